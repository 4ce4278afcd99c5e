"""Pages of lists: sizes, and opaque tokens that say where the next page begins."""

from __future__ import annotations

import base64
import binascii

from typing import TYPE_CHECKING, Final, NoReturn, TypeVar

import msgspec

from tokenauthority.domain.errors import FieldViolation, InvalidRequestError
from tokenauthority.domain.ids import NUL


if TYPE_CHECKING:
    from collections.abc import Sequence


DEFAULT_PAGE: Final = 50
MAX_PAGE: Final = 1000
_MAX_TOKEN: Final = 1024
_MAX_NUMBER: Final = 2**53

_Position = TypeVar("_Position")
_Item = TypeVar("_Item")


def page_size(asked: int) -> int:
    """The size of a page: 0 is 50, more than 1000 is coerced to 1000.

    Raises:
        InvalidRequestError: it is negative.
    """
    if asked < 0:
        raise InvalidRequestError([FieldViolation("page_size", "must not be negative")])
    return min(asked, MAX_PAGE) or DEFAULT_PAGE


def next_token(query: str, position: object) -> str:
    """A token for the page of the list *query* that begins after *position*."""
    return base64.urlsafe_b64encode(msgspec.json.encode([query, position])).rstrip(b"=").decode()


def position(token: str, query: str | None, shape: type[_Position]) -> _Position | None:
    """Where the page of *token* begins; None for the first.

    *query* is the list that it must be of; None where the request does not say well which one it means.

    Raises:
        InvalidRequestError: it is no token, or one of another list.
    """
    if not token:
        return None
    if len(token) > _MAX_TOKEN:
        _raise_invalid_token()
    try:
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        made_for, encoded = msgspec.json.decode(raw, type=tuple[str, msgspec.Raw])
        found = msgspec.json.decode(encoded, type=shape)
    except (binascii.Error, msgspec.DecodeError, ValueError):
        _raise_invalid_token()
    if query not in {made_for, None} or not all(map(_is_storable, found if isinstance(found, tuple) else (found,))):
        _raise_invalid_token()
    return found


def cut(items: Sequence[_Item], size: int) -> tuple[Sequence[_Item], _Item | None]:
    """Of *size* + 1 items read, the page, and its last item where there are more."""
    if len(items) <= size:
        return items, None
    return items[:size], items[size - 1]


def _is_storable(part: object) -> bool:
    """Whether a store can look for *part*: it would fail at a number beyond 64 bits or a text with U+0000."""
    return NUL not in part if isinstance(part, str) else isinstance(part, int) and 0 <= part <= _MAX_NUMBER


def _raise_invalid_token() -> NoReturn:
    raise InvalidRequestError([FieldViolation("page_token", "is not a token of this list")])
