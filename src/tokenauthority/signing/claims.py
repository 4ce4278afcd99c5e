"""Strict JSON and typed readers of its claims: an object that two parsers could read differently is refused."""

from __future__ import annotations

import json
import math
import re

from collections.abc import Callable, Mapping
from typing import Final, NoReturn, TypeAlias

from tokenauthority.domain.ids import NUL
from tokenauthority.domain.times import Seconds
from tokenauthority.signing.results import LAST_SECOND, malformed


Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

MAX_DEPTH: Final = 16
"""Levels of objects and lists. The deepest token that an official SDK makes (the `acl` of Vonage) has 4."""

MAX_NUMBER: Final = 32
"""Characters of a JSON number. The longest that an official SDK writes is a JavaScript double, at most 24."""

MAX_MOMENT: Final = 2**53 - 1
"""The largest integer that every JSON parser reads alike. Milliseconds, which Node's SDK accepts, fit."""

_WHITE_SPACE: Final = " \t\n\r"
"""What may stand around a JSON value (RFC 8259, section 2)."""

_STRING: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"')
_TO_SQUARE: Final = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))


def json_object(data: bytes, name: str) -> dict[str, Json]:
    """Return *data* as a JSON object that every parser reads alike; errors call it *name*.

    Raises:
        TokenRejectedError: `MALFORMED`: not UTF-8, a name twice, a number that is infinite or has more than 32
            characters, a lone surrogate, or more than 16 levels.
    """
    try:
        source = data.decode("utf-8").strip(_WHITE_SPACE)
        value, end = _DECODER.raw_decode(source)
        if "\\u" in source:
            # Only an escape can spell a lone surrogate: UTF-8 has none.
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError):
        raise malformed(f"the {name} is not plain JSON in UTF-8") from None
    if end != len(source):
        raise malformed(f"the {name} is not one JSON value")
    if not isinstance(value, dict):
        raise malformed(f"the {name} is not a JSON object")
    # No value is nested deeper than the number of opening brackets.
    if source.count("{") + source.count("[") > MAX_DEPTH:
        _check_depth(data, name)
    return value


def text(claims: Mapping[str, Json], name: str) -> str:
    """Return the claim *name*, which must be present and a string."""
    value = claims.get(name)
    if not isinstance(value, str):
        raise malformed(f"{name} is missing or no string")
    return value


def short_text(claims: Mapping[str, Json], name: str, limit: int) -> str:
    """Return the claim *name*, which must be present and a string of 1 to *limit* characters."""
    value = text(claims, name)
    if not 1 <= len(value) <= limit:
        raise malformed(f"{name} must have 1 to {limit} characters")
    return value


def stored_text(claims: Mapping[str, Json], name: str, limit: int) -> str:
    """Return the same, which must also be `storable`."""
    return storable(text(claims, name), name, limit)


def storable(value: str, name: str, limit: int) -> str:
    """Return *value*, which must have 1 to *limit* characters, none of them U+0000: no store can hold that."""
    if not 1 <= len(value) <= limit:
        raise malformed(f"{name} must have 1 to {limit} characters")
    if NUL in value:
        raise malformed(f"{name} has U+0000")
    return value


def checked_text(claims: Mapping[str, Json], name: str, is_valid: Callable[[str], bool], kind: str) -> str:
    """Return the claim *name*, which must be present and a string that *is_valid*; an error calls it no *kind*."""
    value = text(claims, name)
    if not is_valid(value):
        raise malformed(f"{name} is no {kind}")
    return value


def optional_text(claims: Mapping[str, Json], name: str) -> str:
    """Return the claim *name*, which must be a string; empty if it is absent."""
    return text(claims, name) if name in claims else ""


def require(claims: Mapping[str, Json], name: str, value: str) -> None:
    """Require that the claim *name* is exactly *value*."""
    if claims.get(name) != value:
        raise malformed(f"{name} must be {value!r}")


def numeric_date(claims: Mapping[str, Json], name: str) -> Seconds:
    """Return the claim *name* as a NumericDate (RFC 7519): a number from 0 to 2**53 - 1, its fraction cut off.

    A moment after the year 9999 is read as the last second of it.
    """
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_MOMENT:
        raise malformed(f"{name} is missing or no moment")
    return min(Seconds(int(value)), LAST_SECOND)


def not_before(claims: Mapping[str, Json]) -> Seconds:
    """Return the claim `nbf`, which no SDK writes but RFC 7519 requires to be checked; 0 if it is absent."""
    return numeric_date(claims, "nbf") if "nbf" in claims else Seconds(0)


def text_list(claims: Mapping[str, Json], name: str) -> tuple[str, ...]:
    """Return the claim *name*, which must be present and a list of strings."""
    value = claims.get(name)
    if not isinstance(value, list):
        raise malformed(f"{name} is missing or no list")
    found = tuple(item for item in value if isinstance(item, str))
    if len(found) != len(value):
        raise malformed(f"{name} has an entry that is no string")
    return found


def _unique_names(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _short_int(digits: str) -> int:
    if len(digits) > MAX_NUMBER:
        raise ValueError("the number is too long")
    return int(digits)


def _finite_float(digits: str) -> float:
    if len(digits) > MAX_NUMBER or not math.isfinite(number := float(digits)):
        raise ValueError("the number is too long or infinite")
    return number


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _check_depth(data: bytes, name: str) -> None:
    """Require that the JSON *data* is not nested too deep; to walk its values would take five times as long."""
    brackets = _STRING.sub(b"", data).translate(_TO_SQUARE, _NO_BRACKETS)
    for _ in range(MAX_DEPTH):
        # Remove the innermost level: brackets with nothing between.
        brackets = brackets.replace(b"[]", b"")
    if brackets:
        raise malformed(f"the {name} is nested more than {MAX_DEPTH} deep")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_unique_names, parse_int=_short_int, parse_float=_finite_float, parse_constant=_no_constant
)
"""Made once; `json.loads` with hooks makes one for every call."""
