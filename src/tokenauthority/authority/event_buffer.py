"""The newest events of the store in one buffer, from which each watcher reads at its own pace."""

from __future__ import annotations

import asyncio

from collections import deque
from collections.abc import Sequence
from typing import Final

import attrs

from tokenauthority.domain.change import Change, ChangeKind, Cursor
from tokenauthority.domain.errors import ExhaustedError, UnavailableError
from tokenauthority.domain.revocation import Event
from tokenauthority.domain.times import Millis
from tokenauthority.storage.store import RevocationStore


_EVENT_KINDS: Final = frozenset({ChangeKind.REVOCATION, ChangeKind.SESSION_END})


@attrs.frozen
class BufferedEvent:
    """An event, and the cursor right after it."""

    cursor: Cursor
    event: Event


class EventBuffer:
    """The last *size* events. A watcher that falls further behind has to resume from its last token.

    `generation` counts how often the store's history was replaced, as after a restore; `beats` counts the heartbeats,
    and `beat_time` is the time of the last one.
    """

    def __init__(self, size: int) -> None:
        self._entries: deque[BufferedEvent] = deque()
        self._size = size
        self._floor = 0
        self._cursor: Cursor | None = None
        self._changed = asyncio.Event()
        self.generation = 0
        self.beats = 0
        self.beat_time = Millis(0)

    @property
    def cursor(self) -> Cursor:
        """The cursor after the newest change that was read; UnavailableError before the first read."""
        if self._cursor is None:
            raise UnavailableError.store()
        return self._cursor

    def begin(self, cursor: Cursor) -> None:
        """Start again at *cursor*: the store was read anew, so earlier events are invalid."""
        self._entries.clear()
        self._floor, self._cursor = cursor.sequence, cursor
        self.generation += 1
        self._wake()

    def publish(self, entries: Sequence[BufferedEvent], cursor: Cursor) -> None:
        """Append events; *cursor* comes after them and after the changes that are no events."""
        self._entries.extend(entries)
        while len(self._entries) > self._size:
            self._floor = self._entries.popleft().cursor.sequence
        self._cursor = cursor
        if entries:
            self._wake()

    def after(self, sequence: int) -> list[BufferedEvent]:
        """Return the events after *sequence*, in order; raise ExhaustedError if some have left the buffer."""
        if sequence < self._floor:
            raise ExhaustedError.slow_reader()
        found = []
        for entry in reversed(self._entries):
            if entry.cursor.sequence <= sequence:
                break
            found.append(entry)
        return found[::-1]

    def beat(self, time: Millis) -> None:
        """Wake every watcher: all events up to *time* have been published."""
        self.beats += 1
        self.beat_time = time
        self._wake()

    def woken(self) -> asyncio.Event:
        """Return what the next event or heartbeat sets. Call it before `after`."""
        return self._changed

    def require_generation(self, generation: int) -> None:
        """Raise UnavailableError if the store's history was replaced since: the watcher has to start again."""
        if generation != self.generation:
            raise UnavailableError.changes_lost()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


async def buffered_events(store: RevocationStore, changes: Sequence[Change]) -> list[BufferedEvent]:
    """Return the events among *changes* (at most 1000), in order, without those that were deleted since."""
    announced = [change for change in changes if change.kind in _EVENT_KINDS]
    events = await store.events_of(announced) if announced else {}
    return [BufferedEvent(change.cursor, events[change.sequence]) for change in announced if change.sequence in events]
