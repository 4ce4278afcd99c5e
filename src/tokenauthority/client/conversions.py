"""Convert between what Python callers write and the contract's types: short names of enums, moments, lifetimes.

`MEDIA_MODE_ROUTED` is "routed". Moments and lifetimes are in whole seconds and UTC.
"""

from __future__ import annotations

import math

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol, TypeVar

from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from tokenauthority.client import arguments


Moment = int | float | datetime
"""Seconds since 1970 or an aware datetime; a fraction of a second is cut off."""

Lifetime = int | timedelta
"""Whole seconds or a timedelta; a fraction of a second is cut off."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_MAX_DURATION: Final = 315_576_000_000
"""Seconds; protobuf's limit."""

Value = TypeVar("Value", bound=int)
Value_co = TypeVar("Value_co", bound=int, covariant=True)


class ProtoEnum(Protocol[Value_co]):
    """A generated enum."""

    def items(self) -> Sequence[tuple[str, Value_co]]:
        """Return names and numbers in the order of the contract; the first name is `..._UNSPECIFIED`."""


def to_value(enum: ProtoEnum[Value], field: str, text: str) -> Value:
    """Return the enum's value that *text* names in either case; an empty text is UNSPECIFIED, the default.

    Raises:
        ValueError: the name is unknown; the message names *field* and lists the known names.
        TypeError: *text* is not a str; the message names *field*.
    """
    name = arguments.text(field, text).upper()
    value = dict(enum.items()).get(_prefix(enum) + (name or "UNSPECIFIED"))
    if value is None:
        raise ValueError(f"{field} must be one of {', '.join(choices(enum))}")
    return value


def to_text(enum: EnumDescriptor, number: int) -> str:
    """Return the short lower-case name of a value; empty for UNSPECIFIED, the number for an unknown value."""
    known = enum.values_by_number.get(number)
    if known is None:
        return str(number)
    name = known.name.removeprefix(enum.values[0].name.removesuffix("UNSPECIFIED")).lower()
    return "" if known.index == 0 else name


def choices(enum: ProtoEnum[int]) -> list[str]:
    """Return the short names of all values but UNSPECIFIED."""
    prefix = _prefix(enum)
    return [name.removeprefix(prefix).lower() for name, _ in enum.items()[1:]]


def _prefix(enum: ProtoEnum[int]) -> str:
    # The contract's lint rules make every first value `PREFIX_UNSPECIFIED`.
    return enum.items()[0][0].removesuffix("UNSPECIFIED")


def timestamp(field: str, at: Moment) -> Timestamp:
    """Convert a moment.

    Raises:
        ValueError: it has no time zone, or is outside the years 1 to 9999; the message names *field*.
        TypeError: it is neither a number nor a datetime; the message names *field*.
    """
    if isinstance(at, datetime):
        if at.utcoffset() is None:
            raise ValueError(f"{field} has no time zone: use datetime.now(UTC) or datetime(..., tzinfo=...)")
        # timestamp() returns a float, which rounds far moments up into the next second.
        at = (at - _EPOCH) // timedelta(seconds=1)
    elif isinstance(at, bool) or not isinstance(at, int | float):
        raise arguments.wrong_type(field, at, "seconds since 1970 or a datetime")
    try:
        seconds = math.floor(at)
        datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        raise ValueError(f"{field} must be in seconds (not milliseconds) since 1970") from None
    return Timestamp(seconds=seconds)


def duration(field: str, lifetime: Lifetime) -> Duration:
    """Convert a lifetime.

    Raises:
        ValueError: the contract's type cannot hold it (more than about 10,000 years); the message names *field*.
        TypeError: it is neither an int nor a timedelta; the message names *field*.
    """
    if isinstance(lifetime, timedelta):
        seconds = math.floor(lifetime.total_seconds())
    else:
        seconds = arguments.instance(field, lifetime, int, wanted="whole seconds (int) or a timedelta")
    if abs(seconds) > _MAX_DURATION:
        raise ValueError(f"{field} is out of range")
    return Duration(seconds=seconds)
