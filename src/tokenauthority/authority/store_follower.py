"""Follow the store's changes, so that this server's caches stay correct when other servers change the store."""

from __future__ import annotations

import asyncio

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

import structlog

from tokenauthority.authority.event_buffer import EventBuffer, buffered_events
from tokenauthority.authority.revocations import Revocations
from tokenauthority.authority.signing_keys import SigningKeyManager
from tokenauthority.authority.tenant_cache import TenantCache
from tokenauthority.clocks import monotonic
from tokenauthority.domain.change import Change, ChangeKind, Cursor, HistoryLostError
from tokenauthority.domain.errors import UnavailableError
from tokenauthority.domain.times import Millis
from tokenauthority.signing.sealing import SealBrokenError
from tokenauthority.storage.store import Store


_BATCH: Final = 1000

_SLEPT: Final = 2.0
"""Seconds. If the last read succeeded, and began longer ago than the interval and this, the process has slept since."""

_READ_WAIT: Final = 5.0
"""Seconds that a call waits, at most, for a read after a sleep of the process."""

_UNREADABLE: Final = "cannot be read"
_KEY_NOT_OPENED: Final = "no signing key can be opened, the log says why"
_NOT_APPLIED: Final = "changes could not be applied, the log says why"


class StoreFollower:
    """Reads the changes every *interval* seconds. `fresh` is whether the last read succeeded.

    A change is applied to the tenant cache, the key ring and the revocations before watchers get it. They get a
    heartbeat every *heartbeat* seconds, or after each read if reads are rarer.
    """

    def __init__(
        self,
        store: Store,
        tenants: TenantCache,
        keys: SigningKeyManager,
        revocations: Revocations,
        event_buffer: EventBuffer,
        *,
        clock: Callable[[], Millis],
        interval: float,
        heartbeat: float,
    ) -> None:
        self._store = store
        self._tenants = tenants
        self._keys = keys
        self._revocations = revocations
        self._event_buffer = event_buffer
        self._clock = clock
        self.interval: Final = interval
        self._heartbeat = heartbeat
        self._last_beat = monotonic()
        self._cursor = Cursor()
        self._ring_changed = False
        self._problem = _UNREADABLE
        self._logger = structlog.stdlib.get_logger(__name__)
        self._last_read = monotonic()
        self.woken: Final = asyncio.Event()
        self.fresh = False
        self._read_ended = asyncio.Event()

    async def start(self) -> None:
        """Load everything as of the newest change. Call this before anything is cached.

        Raises:
            SealBrokenError: the master key does not open the key ring.
            UnavailableError: the store cannot be read.
        """
        began = monotonic()
        await self._load_all()
        await self._keys.load(self._clock())
        self._mark_fresh(began)

    def wake(self) -> None:
        """Have the next read begin at once: this server has changed something that watchers wait for."""
        self.woken.set()

    def age(self) -> float:
        """Return the seconds since the last successful read began: how old cached data may be."""
        return monotonic() - self._last_read

    async def wait_for_read(self) -> None:
        """Wait for a read that begins now or later, if the process has slept: cached data looks fresh, and is old."""
        if not self._has_slept():
            return
        called = monotonic()
        with suppress(TimeoutError):
            async with asyncio.timeout(_READ_WAIT):
                # However long each read takes: one that began after the call has seen all that was written before it.
                while self._has_slept() and self._last_read < called:
                    self.wake()
                    await self._read_ended.wait()

    async def catch_up(self) -> None:
        """Apply every change since the last read. An outage of the store is reported, not raised.

        Raises:
            SealBrokenError: no signing key opens; all other changes are applied.
        """
        try:
            await self._read()
        finally:
            self._read_ended.set()
            self._read_ended = asyncio.Event()

    def _has_slept(self) -> bool:
        return self.fresh and self.age() > self.interval + _SLEPT

    async def _read(self) -> None:
        began, time = monotonic(), self._clock()
        try:
            await self._apply_changes()
            if self._ring_changed:
                await self._keys.refresh()
                self._ring_changed = False
        except UnavailableError:
            # The store logs it.
            self._problem, self.fresh = _UNREADABLE, False
        except Exception as error:
            # Such as a ring of which no key opens: this server must report that its data is not fresh, and must
            # continue to follow.
            not_opened = isinstance(error, SealBrokenError)
            self._problem, self.fresh = _KEY_NOT_OPENED if not_opened else _NOT_APPLIED, False
            raise
        else:
            self._mark_fresh(began)
            # Only here, and with the time at which the read began: a watcher takes it as the age of its own data.
            if began + self.interval - self._last_beat > self._heartbeat:
                self._last_beat = began
                self._event_buffer.beat(time)

    @property
    def problem(self) -> str:
        """Why the data is not `fresh`; empty if it is."""
        return "" if self.fresh else self._problem

    async def _apply_changes(self) -> None:
        try:
            while changes := await self._store.changes_after(self._cursor, _BATCH):
                await self._apply(changes)
        except HistoryLostError:
            self._logger.warning("follower.history_lost", sequence=self._cursor.sequence)
            self._ring_changed = True
            await self._load_all()

    async def _apply(self, changes: Sequence[Change]) -> None:
        entries = await buffered_events(self._store, changes)
        for change in changes:
            self._tenants.invalidate(change.kind, change.project_id, change.subject)
        self._revocations.apply(entry.event for entry in entries)
        self._ring_changed |= any(change.kind is ChangeKind.KEY for change in changes)
        self._cursor = changes[-1].cursor
        self._event_buffer.publish(entries, self._cursor)

    async def _load_all(self) -> None:
        """Load everything as of a cursor that is read first: changes during the load are then applied twice."""
        cursor = await self._store.last_change()
        self._tenants.clear()
        await self._revocations.load(self._clock())
        self._cursor = cursor
        self._event_buffer.begin(cursor)

    def _mark_fresh(self, began: float) -> None:
        self.fresh, self._last_read = True, began
