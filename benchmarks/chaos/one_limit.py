"""Three servers of one PostgreSQL under three times the rate of one caller: together they have one limit."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import attrs
import trustme

from tests.support.limited_servers import LimitedServers, passed
from tests.support.postgres import running_postgres
from tests.support.production import production_in
from tokenauthority.storage.migrate import migrate


_RATE: Final = 20
_SERVERS: Final = 3
_LOOPS: Final = 2
"""Clients of each server, each of which calls twice as often as the rate, or as fast as the machine lets it."""

_TOLERANCE: Final = 0.05


@attrs.frozen(kw_only=True)
class OneLimit:
    """How many calls passed in so many seconds, and how many the limit allows."""

    seconds: float
    passed: int
    allowed: float

    def as_text(self) -> str:
        """For people."""
        return (
            f"one limit: {_SERVERS} servers let {self.passed} calls pass in {self.seconds:.0f} seconds, "
            f"where the limit of their caller is {self.allowed:.0f}: {self.passed / self.allowed - 1:+.1%}"
        )

    @property
    def is_right(self) -> bool:
        """Whether the two are within five percent, and a second of the rate that leases may be ahead."""
        return abs(self.passed - self.allowed) <= max(_TOLERANCE * self.allowed, 1.1 * _RATE)


def measure(directory: Path, seconds: float) -> OneLimit:
    """Call the servers for so many *seconds*."""
    with production_in(directory, trustme.CA()) as production, running_postgres() as postgres:
        url = postgres.url("postgres")
        migrate(url)
        limited = LimitedServers(production=production, url=url, per_second=_RATE, burst=_RATE, quota=1)
        with limited.calls(limited.start(_SERVERS) * _LOOPS, limited.rated) as calls:
            count, took = passed(calls, seconds, 1 / (2 * _RATE))
    return OneLimit(seconds=took, passed=count, allowed=_RATE * (took + 1))
