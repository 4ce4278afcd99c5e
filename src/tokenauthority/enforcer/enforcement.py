"""Remove from one real-time server whoever must not be inside: at a revocation, at a return, and in regular turns."""

from __future__ import annotations

import asyncio

from collections.abc import Callable, Mapping
from typing import Final, Protocol

import structlog

from tokenauthority.domain.errors import UnavailableError
from tokenauthority.domain.times import Millis
from tokenauthority.enforcer.admin_api import AdminApiError
from tokenauthority.enforcer.driver import Driver, Outcome, Present, all_of
from tokenauthority.enforcer.metrics import EnforcerMetrics
from tokenauthority.enforcer.pending import LEEWAY, Pending, PendingRemovals, Rules, Wanted
from tokenauthority.outage import Outage


REMOVAL: Final = "removal"
"""The type of a line in the audit log."""


class Notes(Protocol):
    """Where the audit lines go."""

    async def note(self, kind: str, fields: Mapping[str, object]) -> None:
        """Write a line; raise UnavailableError if it may not have been written."""


class Enforcement:
    """What is done to one server. `problem` is why the last turn failed, or empty; `wake` begins a turn at once."""

    def __init__(
        self,
        rules: Rules,
        driver: Driver,
        removals: PendingRemovals,
        *,
        notes: Notes,
        metrics: EnforcerMetrics,
        clock: Callable[[], Millis],
    ) -> None:
        self.rules = rules
        self.wake = asyncio.Event()
        self._driver = driver
        self._removals = removals
        self._notes = notes
        self._metrics = metrics
        self._clock = clock
        logger = structlog.stdlib.get_logger(__name__)
        self._outage = Outage(logger, "enforcer.not_removed", recovered="enforcer.removes_again")

    @property
    def problem(self) -> str:
        """Why people could not be removed in the last turn; empty if they could."""
        return self._outage.cause

    async def turn(self) -> None:
        """Remove everybody who is inside and must not be; after that, delete what was over when the turn began."""
        server, begun = self.rules.server, self._clock()
        wanted = self._removals.wanted(self.rules)
        if wanted.causes:
            try:
                await self._remove_all(wanted)
            except AdminApiError as error:
                self._fail(str(error))
            except Exception as error:
                # Its message may quote what is secret; the supervisor logs the error itself, and begins another turn.
                self._fail(f"unexpected {type(error).__name__}")
                raise
            else:
                self._removals.sweep(wanted.causes)
                self._removals.drop_over(server, begun)
                self._outage.recover(server=server)
        self._metrics.pending.labels(server).set(self._removals.counts()[server])

    async def joined(self, room: str, subject: str) -> None:
        """Remove the person who has just joined, if they must not be inside."""
        cause = self._removals.wanted(self.rules).cause(room, subject)
        if cause is not None:
            try:
                # Also where everybody must leave the room: one request, and a record that names who returned.
                await self._remove(Present(room=room, subject=subject), cause, returned=True)
            except AdminApiError:
                self.wake.set()

    def _fail(self, cause: str) -> None:
        self._metrics.failures.labels(self.rules.server).inc()
        self._outage.report(cause, server=self.rules.server, cause=cause)

    async def _remove_all(self, wanted: Wanted) -> None:
        """Remove all who can be removed; raise the first AdminApiError after that."""
        found = await self._driver.find(wanted)
        causes = [(present, wanted.cause(present.room, present.subject)) for present in found.people]
        _, problem = await all_of(
            self._remove(present, cause, returned=cause.swept) for present, cause in causes if cause is not None
        )
        problem = found.problem or problem
        if problem is not None:
            raise problem

    async def _remove(self, present: Present, cause: Pending, *, returned: bool) -> None:
        server = self.rules.server
        try:
            outcome = await self._driver.remove(present)
        except AdminApiError:
            self._metrics.removals.labels(server, Outcome.FAILED).inc()
            raise
        self._metrics.removals.labels(server, outcome).inc()
        if outcome is Outcome.GONE or (outcome is Outcome.ASKED and returned):
            return
        now = self._clock()
        if self.rules.refreshed:
            # The server may have refreshed the token of the person until now.
            self._removals.extend(cause, Millis(now + self.rules.refreshed + LEEWAY))
        if not returned:
            self._metrics.seconds.labels(server).observe(max(0, now - cause.since) / 1000)
        await self._record(present, cause, outcome, returned=returned)

    async def _record(self, present: Present, cause: Pending, outcome: Outcome, *, returned: bool) -> None:
        fields = {
            "server": self.rules.server,
            "project_id": self.rules.project_id,
            "cause": cause.cause,
            "room": present.room,
            "subject": present.subject,
            "outcome": outcome,
            "returned": returned,
        }
        try:
            await self._notes.note(REMOVAL, fields)
        except UnavailableError:
            # The audit log says so itself. To let people stay inside because of it would be worse.
            return
