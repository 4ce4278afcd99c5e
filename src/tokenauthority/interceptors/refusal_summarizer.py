"""Limit the records that refused calls write to the audit log: count further ones, and write the counts as summaries.

The limit is for calls without a caller, which anybody can make, and for calls of a caller beyond its limits. Such a
call gave nothing out, so its answer need not wait for a line. Every other record is written by itself.
"""

from __future__ import annotations

import asyncio

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

import attrs
import prometheus_client
import structlog

from tokenauthority.audit.record import AuditRecord, time_text
from tokenauthority.audit.writing.log import AuditLog
from tokenauthority.domain.caller import Rate
from tokenauthority.domain.errors import Reason, UnavailableError
from tokenauthority.domain.origin import origin_of
from tokenauthority.domain.times import Millis
from tokenauthority.interceptors.buckets import Buckets
from tokenauthority.outage import Outage


SUMMARY_INTERVAL: Final = 60.0
"""Seconds between two summaries."""

_LIMITS: Final = frozenset({Reason.RATE_LIMIT, Reason.MEMORY_LIMIT})
"""Reasons of refusals of a caller that asks for more than it may have."""

_MAX_ORIGINS: Final = 32
"""Origins that have a summary of their own. All others share one: many origins must not write many lines."""


@attrs.define
class _Tally:
    """Calls that have no record of their own, by status, since the first of them."""

    since: Millis
    codes: Counter[str] = attrs.Factory(Counter)

    def add(self, other: _Tally) -> None:
        self.since = min(self.since, other.since)
        self.codes.update(other.codes)


class RefusalSummarizer:
    """Passes records to *log*; limits those of refused calls, of *each* origin and caller and of all *together*."""

    def __init__(
        self,
        log: AuditLog,
        registry: prometheus_client.CollectorRegistry,
        clock: Callable[[], Millis],
        *,
        each: Rate,
        together: Rate,
    ) -> None:
        self._log = log
        self._clock = clock
        self._origins = Buckets(each)
        self._callers = Buckets(each)
        self._together = Buckets(together)
        self._tallies: dict[tuple[str, str], _Tally] = {}
        self._counted = prometheus_client.Counter(
            "tokenauthority_summarised_calls", "Refused calls that the audit log only counts.", registry=registry
        )
        self._flushing = asyncio.Lock()
        logger = structlog.stdlib.get_logger(__name__)
        self._outage = Outage(logger, "audit.summary_failed", recovered="audit.summary_recovered", level="warning")

    async def append(self, record: AuditRecord, *, more: bool = False) -> None:
        """Write *record* by itself, or count it in a summary; see `AuditLog.append`."""
        if self._has_its_own_line(record):
            await self._log.append(record, more=more)

    async def note(self, kind: str, fields: Mapping[str, object]) -> None:
        """See `AuditLog.note`."""
        await self._log.note(kind, fields)

    def _has_its_own_line(self, record: AuditRecord) -> bool:
        if record.caller and record.reason not in _LIMITS:
            return True
        now = self._clock()
        if not record.caller:
            kind, name = "peer", origin_of(record.peer)
            written = self._origins.try_take(name, now) and self._together.try_take("", now)
        else:
            kind, name = "caller", record.caller
            written = self._callers.try_take(name, now)
        if not written:
            if kind == "peer" and (kind, name) not in self._tallies and len(self._tallies) >= _MAX_ORIGINS:
                name = "others"
            self._tallies.setdefault((kind, name), _Tally(now)).codes[record.code] += 1
            self._counted.inc()
        return written

    async def flush(self) -> None:
        """Write a summary of what was counted since the last one. Counts that cannot be written stay for the next."""
        async with self._flushing:
            unwritten, self._tallies = self._tallies, {}
            try:
                for (kind, name), tally in tuple(unwritten.items()):
                    fields = {
                        kind: name,
                        "since": time_text(tally.since),
                        "until": time_text(self._clock()),
                        "count": tally.codes.total(),
                        "codes": dict(tally.codes),
                    }
                    await self._log.note("summary", fields)
                    del unwritten[kind, name]
            except UnavailableError as error:
                self._outage.report(str(error))
            else:
                self._outage.recover()
            finally:
                for key, tally in unwritten.items():
                    self._tallies.setdefault(key, _Tally(tally.since)).add(tally)
