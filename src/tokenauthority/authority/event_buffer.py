"""The newest events of the store, kept once for all who watch: each reads on from its own place, at its own pace."""

from __future__ import annotations

import asyncio

from collections import deque
from typing import TYPE_CHECKING, Final

import attrs

from tokenauthority.domain.change import ChangeKind
from tokenauthority.domain.errors import ExhaustedError, UnavailableError
from tokenauthority.domain.times import Millis


if TYPE_CHECKING:
    from collections.abc import Sequence

    from tokenauthority.domain.change import Change, Cursor
    from tokenauthority.domain.revocation import Event
    from tokenauthority.storage import RevocationStore


_TOLD: Final = frozenset({ChangeKind.REVOCATION, ChangeKind.SESSION_END})


@attrs.frozen
class BufferedEvent:
    """An event, and the place right after it."""

    cursor: Cursor
    event: Event


class EventBuffer:
    """The last *size* events. Whoever falls further behind is told to start again from where it was."""

    def __init__(self, size: int) -> None:
        self._entries: deque[BufferedEvent] = deque()
        self._size = size
        self._floor = 0
        self._cursor: Cursor | None = None
        self._changed = asyncio.Event()
        self._generation = 0
        self._beats = 0
        self._beat_time = Millis(0)

    @property
    def cursor(self) -> Cursor:
        """The place up to which everything is known here.

        Raises:
            UnavailableError: nothing is, the store has not been read yet.
        """
        if self._cursor is None:
            raise UnavailableError.store()
        return self._cursor

    @property
    def generation(self) -> int:
        """How often the history of the store was found to be another one."""
        return self._generation

    def begin(self, cursor: Cursor) -> None:
        """Start at *cursor*; what was told before is void, for the store was read anew."""
        self._entries.clear()
        self._floor, self._cursor = cursor.sequence, cursor
        self._generation += 1
        self._wake()

    def publish(self, entries: Sequence[BufferedEvent], cursor: Cursor) -> None:
        """Append events; *cursor* is the place after them and after changes that are none."""
        self._entries.extend(entries)
        while len(self._entries) > self._size:
            self._floor = self._entries.popleft().cursor.sequence
        self._cursor = cursor
        if entries:
            self._wake()

    def after(self, sequence: int) -> list[BufferedEvent]:
        """The events after *sequence*, in order.

        Raises:
            ExhaustedError: `READER_TOO_SLOW`, some of them are not kept any more.
        """
        if sequence < self._floor:
            raise ExhaustedError.slow_reader()
        found = []
        for entry in reversed(self._entries):
            if entry.cursor.sequence <= sequence:
                break
            found.append(entry)
        return found[::-1]

    def beat(self, time: Millis) -> None:
        """Wake all who wait: everything that was there at *time* has been published."""
        self._beats += 1
        self._beat_time = time
        self._wake()

    @property
    def beats(self) -> int:
        """How many beats there were."""
        return self._beats

    @property
    def beat_time(self) -> Millis:
        """The moment of the last beat."""
        return self._beat_time

    def woken(self) -> asyncio.Event:
        """What is set at the next event or beat; to be taken before `after` is asked."""
        return self._changed

    def require_generation(self, generation: int) -> None:
        """Refuse to go on where the history has become another one.

        Raises:
            UnavailableError: the reader has to begin anew.
        """
        if generation != self._generation:
            raise UnavailableError.changes_lost()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


async def buffered_events(store: RevocationStore, changes: Sequence[Change]) -> list[BufferedEvent]:
    """The events among *changes* (at most 1000), in order; those that are forgotten since are left out.

    Raises:
        UnavailableError: the store cannot be read.
    """
    told = [change for change in changes if change.kind in _TOLD]
    events = await store.events_of(told) if told else {}
    return [BufferedEvent(change.cursor, events[change.sequence]) for change in told if change.sequence in events]
