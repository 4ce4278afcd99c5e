"""Send a watcher every revocation and ended session: those in force or since it last read, then each new one."""

from __future__ import annotations

import re

from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Final, TypeVar

import attrs

from tokenauthority.authority.event_buffer import EventBuffer, buffered_events
from tokenauthority.authority.shares import Shares
from tokenauthority.domain.caller import ANY, Grant
from tokenauthority.domain.change import Change, Cursor, HistoryLostError
from tokenauthority.domain.errors import FieldViolation, InvalidRequestError, UnavailableError, require_valid
from tokenauthority.domain.ids import MAX_PROJECT_ID, is_project_id
from tokenauthority.domain.revocation import RETENTION, Event, StoredRevocation, StoredSessionEnd
from tokenauthority.domain.revocation_index import CLOCK_MARGIN
from tokenauthority.domain.times import Millis, Seconds, in_millis
from tokenauthority.storage.store import Store


MAX_PROJECTS: Final = 1000

_E = TypeVar("_E", StoredRevocation, StoredSessionEnd)

_PAGE: Final = 1000
_READING: Final = 4
"""Pages of snapshots that are read at the same time."""

_READING_OF_A_CALLER: Final = 2

_TOKEN: Final = re.compile(r"([1-9][0-9]{0,18})\.(0|[1-9][0-9]{0,18})", re.ASCII)
_MAX_SEQUENCE: Final = 2**63 - 1
"""The highest sequence number of a store."""

_NO_TIME: Final = Millis(0)


@attrs.frozen(kw_only=True)
class WatchEvent:
    """One message: an event, the end of the snapshot (`caught_up`), or a heartbeat.

    After the latter two a watcher has everything up to `time`. `resume_token` is empty within the snapshot, which a
    watcher has to read as a whole.
    """

    resume_token: str
    event: Event | None = None
    caught_up: bool = False
    time: Millis = _NO_TIME


class Watch:
    """The use case WatchRevocations."""

    def __init__(self, store: Store, event_buffer: EventBuffer, clock: Callable[[], Millis]) -> None:
        self._store = store
        self._event_buffer = event_buffer
        self._clock = clock
        self._reading = Shares(_READING, _READING_OF_A_CALLER)
        self.watchers = 0

    def projects(self, project_ids: Sequence[str], grant: Grant) -> frozenset[str]:
        """Return the projects to watch: *project_ids*, or those of the grant, which may contain `*`.

        Raises:
            InvalidRequestError: there are more than 1000, or one is not a project id.
            PermissionDeniedError: one is outside the grant.
        """
        if len(project_ids) > MAX_PROJECTS:
            raise InvalidRequestError([FieldViolation("project_ids", f"must have at most {MAX_PROJECTS} items")])
        require_valid(
            [
                FieldViolation(f"project_ids[{i}]", f"must be a decimal number from 1 to {MAX_PROJECT_ID}")
                for i, project_id in enumerate(project_ids)
                if not is_project_id(project_id)
            ]
        )
        for i, project_id in enumerate(project_ids):
            grant.require_project(project_id, f"project_ids[{i}]")
        return frozenset(project_ids) or grant.projects

    async def follow(self, projects: frozenset[str], resume_token: str, caller: str) -> AsyncIterator[WatchEvent]:
        """Yield all events after *resume_token*, or a snapshot first if that is empty or of a replaced history.

        Of the reads of snapshots each *caller* has a share.

        Raises:
            InvalidRequestError: *resume_token* is malformed.
            ExhaustedError: the reader is too slow.
            UnavailableError: the store cannot be read, or was restored from a backup.
        """
        self.watchers += 1
        try:
            async for message in self._follow(projects, resume_token, caller):
                yield message
        finally:
            self.watchers -= 1

    async def _follow(self, projects: frozenset[str], resume_token: str, caller: str) -> AsyncIterator[WatchEvent]:
        generation, began = self._event_buffer.generation, self._clock()
        cursor = await self._known(resume_token)
        if cursor is None:
            # Events that happen during the snapshot come after it, perhaps a second time.
            cursor = self._event_buffer.cursor
            async for event in self._in_force(None if ANY in projects else projects, caller):
                yield WatchEvent(resume_token="", event=event)
        # From the store, because the buffer may not reach back that far.
        while changes := await self._changes(cursor):
            for entry in await buffered_events(self._store, changes):
                if _is_watched(entry.event, projects):
                    yield WatchEvent(resume_token=_token(entry.cursor), event=entry.event)
            cursor = changes[-1].cursor
        yield WatchEvent(resume_token=_token(cursor), caught_up=True, time=began)
        async for message in self._live(cursor, generation, projects):
            yield message

    async def _live(self, cursor: Cursor, generation: int, projects: frozenset[str]) -> AsyncIterator[WatchEvent]:
        seen = self._event_buffer.beats
        while True:
            woken = self._event_buffer.woken()
            self._event_buffer.require_generation(generation)
            # All read at once: events that are published while a message waits for its reader are not among these, and
            # events before the heartbeat are.
            entries, reached = self._event_buffer.after(cursor.sequence), self._event_buffer.cursor
            beats, time = self._event_buffer.beats, self._event_buffer.beat_time
            for entry in entries:
                cursor = entry.cursor
                if _is_watched(entry.event, projects):
                    yield WatchEvent(resume_token=_token(cursor), event=entry.event)
            if reached.sequence > cursor.sequence:
                cursor = reached
            if beats != seen:
                seen = beats
                yield WatchEvent(resume_token=_token(cursor), time=time)
            await woken.wait()

    async def _known(self, resume_token: str) -> Cursor | None:
        if not resume_token:
            return None
        match = _TOKEN.fullmatch(resume_token)
        if match is None or int(match[1]) > _MAX_SEQUENCE:
            raise InvalidRequestError([FieldViolation("resume_token", "is not one that WatchRevocations sent")])
        cursor = Cursor(int(match[1]), int(match[2]))
        try:
            await self._store.changes_after(cursor, 1)
        except HistoryLostError:
            return None
        return cursor

    async def _changes(self, cursor: Cursor) -> Sequence[Change]:
        try:
            return await self._store.changes_after(cursor, _PAGE)
        except HistoryLostError:
            raise UnavailableError.changes_lost() from None

    async def _in_force(self, projects: frozenset[str] | None, caller: str) -> AsyncIterator[Event]:
        """Yield the snapshot of these projects, or of all. A page that is not full is the last one."""
        now, after = self._clock(), ""
        while revocations := await self._page(
            self._store.list_revocations(project_ids=projects, after=after, limit=_PAGE, now=now), caller
        ):
            for revocation in revocations:
                yield revocation
            if len(revocations) < _PAGE:
                break
            after = revocations[-1].revocation_id
        since = Millis(now - in_millis(Seconds(RETENTION + CLOCK_MARGIN)))
        last = (since, "")
        while ends := await self._page(
            self._store.list_session_ends(project_ids=projects, since=since, after=last, limit=_PAGE), caller
        ):
            for end in ends:
                yield end
            if len(ends) < _PAGE:
                break
            last = (ends[-1].end_time, ends[-1].session_id)

    async def _page(self, read: Coroutine[object, object, Sequence[_E]], caller: str) -> Sequence[_E]:
        """Return what *read* answers, with a bound on how many watchers read at once, so that others get through."""
        try:
            async with self._reading.hold(caller):
                return await read
        finally:
            # It was not begun if its watcher has left meanwhile.
            read.close()


def _is_watched(event: Event, projects: frozenset[str]) -> bool:
    return ANY in projects or event.project_id in projects


def _token(cursor: Cursor) -> str:
    return f"{cursor.sequence}.{cursor.mark}"
