"""Moments as integers whose type names the unit, so that seconds and milliseconds cannot be mixed up."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, NewType


Millis = NewType("Millis", int)
"""UTC milliseconds since 1970: the clock, and everything that is stored."""

Seconds = NewType("Seconds", int)
"""Whole seconds: since 1970 for a moment in a token (RFC 7519 NumericDate), or a lifetime."""

DAY: Final = Seconds(24 * 60 * 60)
SECONDS_OF: Final = {"s": 1, "m": 60, "h": 3600, "d": DAY}
"""Seconds of each unit that a callers file may use."""

MAX_TTL: Final = Seconds(30 * DAY)
"""The longest lifetime of a token in the OpenTok model."""

MAX_LEEWAY: Final = Seconds(300)
"""Seconds by which the clocks of servers and verifiers may at most be set to differ."""

DEFAULT_TTL: Final = DAY
"""The lifetime of a token whose request names none, in the OpenTok model."""


def whole_seconds(moment: Millis) -> Seconds:
    """Return the second of *moment*, cut off as in a token."""
    return Seconds(moment // 1000)


def in_millis(moment: Seconds) -> Millis:
    """Return the first millisecond of the second *moment*."""
    return Millis(moment * 1000)


def as_text(moment: Seconds) -> str:
    """Return *moment* for a person, as RFC 3339: 2026-11-24T15:08:27Z."""
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%dT%H:%M:%SZ}"
