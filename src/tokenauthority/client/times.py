"""Convert moments and lifetimes between Python and the contract, in whole seconds and UTC."""

from __future__ import annotations

import math

from datetime import UTC, datetime, timedelta
from typing import Final

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp


Moment = int | float | datetime
"""Seconds since 1970 or an aware datetime; a fraction of a second is cut off."""

Lifetime = int | timedelta
"""Whole seconds or a timedelta; a fraction of a second is cut off."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_MAX_DURATION: Final = 315_576_000_000
"""Seconds; protobuf's limit."""


def timestamp(field: str, at: Moment) -> Timestamp:
    """Convert a moment to the contract's type.

    Raises:
        ValueError: a datetime has no time zone, or the moment is outside the years 1 to 9999. It names *field*.
    """
    if isinstance(at, datetime):
        if at.utcoffset() is None:
            raise ValueError(f"{field} has no time zone: use datetime.now(UTC) or datetime(..., tzinfo=...)")
        # timestamp() returns a float, which rounds far moments up into the next second.
        at = (at - _EPOCH) // timedelta(seconds=1)
    try:
        seconds = math.floor(at)
        datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        raise ValueError(f"{field} must be in seconds (not milliseconds) since 1970") from None
    return Timestamp(seconds=seconds)


def duration(field: str, lifetime: Lifetime) -> Duration:
    """Convert a lifetime to the contract's type.

    Raises:
        ValueError: it is longer than the type can hold (about 10,000 years). It names *field*.
    """
    seconds = math.floor(lifetime.total_seconds()) if isinstance(lifetime, timedelta) else lifetime
    if abs(seconds) > _MAX_DURATION:
        raise ValueError(f"{field} is out of range")
    return Duration(seconds=seconds)


def moment(timestamp: Timestamp) -> datetime:
    """Convert *timestamp* to an aware datetime in UTC."""
    return timestamp.ToDatetime(tzinfo=UTC)
