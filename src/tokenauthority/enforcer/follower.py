"""Follow the stream of revocations, and make each event a pending removal before the place in the stream moves on."""

from __future__ import annotations

import asyncio

from collections.abc import Callable, Sequence
from typing import Final

import structlog

from tokenauthority.client import AsyncAuthority, AuthorityError
from tokenauthority.client.errors import InvalidArgument, NotFound
from tokenauthority.client.revocations import Heartbeat, Revocation, RevocationEvent, SessionEnd, SnapshotEnd
from tokenauthority.domain.ids import make_session_id
from tokenauthority.domain.times import Millis
from tokenauthority.enforcer.enforcement import Enforcement
from tokenauthority.enforcer.metrics import EnforcerMetrics
from tokenauthority.enforcer.pending import PendingRemovals
from tokenauthority.outage import Outage


_FULL_PAUSE: Final = 1.0
"""Seconds between two looks whether there is room for more pending removals."""


class StreamFollower:
    """Reads the stream of *authority*. `problem` is why it is not up to date, or empty; `changed` asks for a save."""

    def __init__(
        self,
        authority: AsyncAuthority,
        enforcements: Sequence[Enforcement],
        removals: PendingRemovals,
        *,
        metrics: EnforcerMetrics,
        clock: Callable[[], Millis],
        changed: asyncio.Event,
    ) -> None:
        self._authority = authority
        self._enforcements = enforcements
        self._projects = sorted({each.rules.project_id for each in enforcements})
        self._removals = removals
        self._metrics = metrics
        self._clock = clock
        self._changed = changed
        logger = structlog.stdlib.get_logger(__name__)
        self._outage = Outage(logger, "enforcer.stream_lost", recovered="enforcer.stream_recovered", level="warning")
        self._full = Outage(logger, "enforcer.full", recovered="enforcer.not_full")
        self.problem = "what is in force has not been read yet"

    async def follow(self) -> None:
        """Apply events until cancelled; raise AuthorityError if that does not help to try again."""
        try:
            for project_id in self._projects:
                await self._require_names(project_id)
            watch = self._authority.watch_revocations(
                project_ids=self._projects, resume_token=self._removals.resume_token, on_lost=self._report_loss
            )
            async with watch:
                async for event in watch:
                    await self._apply(event)
                    self._removals.resume_token = watch.resume_token
        except AuthorityError as error:
            self._lose(str(error))
            if isinstance(error, InvalidArgument):
                # The token may be from another authority, which this address once was: everything in force comes again.
                self._removals.resume_token = ""
            raise

    async def _require_names(self, project_id: str) -> None:
        """Raise PermissionDenied if the grant does not allow GetSession: nobody else says the name of a session."""
        absent = make_session_id(project_id, "", relayed=True, now=Millis(0), random=bytes(18))
        await self._name_of(absent)

    async def _apply(self, event: RevocationEvent) -> None:
        match event:
            case SnapshotEnd() | Heartbeat():
                self.problem = ""
                self._outage.recover()
                self._metrics.connected.set(1)
                self._metrics.complete_to.set(event.time.timestamp())
            case Revocation() | SessionEnd():
                await self._wait_for_room()
                self._add(event, "")
                if event.session_id and (name := await self._name_of(event.session_id)):
                    self._add(event, name)

    def _add(self, event: Revocation | SessionEnd, name: str) -> None:
        for enforcement in self._enforcements:
            pending = enforcement.rules.pending(event, self._clock(), name)
            if pending is not None:
                self._removals.add(pending)
                enforcement.wake.set()
                self._changed.set()

    async def _wait_for_room(self) -> None:
        """Read no further while as much is pending as may be: what is not read comes again after a crash."""
        while self._removals.is_full:
            self.problem = "as many removals are pending as max_pending allows"
            self._full.report(self.problem, pending=len(self._removals))
            await asyncio.sleep(_FULL_PAUSE)
        if self._full.cause:
            self._full.recover()
            self.problem = ""

    async def _name_of(self, session_id: str) -> str:
        try:
            return (await self._authority.get_session(session_id)).name
        except NotFound:
            # A session of the OpenTok platform, which has no name here.
            return ""

    def _report_loss(self, error: AuthorityError, _: float) -> None:
        self._lose(str(error))
        self._outage.report(self.problem, cause=self.problem)

    def _lose(self, problem: str) -> None:
        self.problem = problem
        self._metrics.connected.set(0)
