"""Follow the store's changes, so that this server's caches stay correct when other servers change the store."""

from __future__ import annotations

import asyncio

from collections.abc import Callable, Sequence
from time import monotonic
from typing import Final

import structlog

from tokenauthority.authority.event_buffer import EventBuffer, buffered_events
from tokenauthority.authority.revocations import Revocations
from tokenauthority.authority.signing_keys import SigningKeyManager
from tokenauthority.authority.tenant_cache import TenantCache
from tokenauthority.domain.change import Change, ChangeKind, Cursor, HistoryLostError
from tokenauthority.domain.errors import UnavailableError
from tokenauthority.domain.times import Millis
from tokenauthority.outage import Outage
from tokenauthority.signing.sealing import SealBrokenError
from tokenauthority.storage.store import Store


_BATCH: Final = 1000

_UNREADABLE: Final = "cannot be read; cached data is served"
_KEY_NOT_OPENED: Final = "a signing key cannot be opened, the log says which; cached data is served"
_NOT_APPLIED: Final = "changes could not be applied, the log says why; cached data is served"


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
        self._outage = Outage(self._logger, "store.unavailable", recovered="store.recovered")
        self._last_read = monotonic()
        self.woken: Final = asyncio.Event()
        self.fresh = False

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

    async def catch_up(self) -> None:
        """Apply every change since the last read. An outage of the store is reported, not raised.

        Raises:
            SealBrokenError: a signing key of another server does not open; all other changes are applied.
        """
        began, time = monotonic(), self._clock()
        try:
            await self._apply_changes()
            if self._ring_changed:
                await self._keys.refresh()
                self._ring_changed = False
        except UnavailableError as error:
            self._problem, self.fresh = _UNREADABLE, False
            # Only the type: a driver's text may contain the store's URL with its password.
            cause = type(error.__cause__ or error).__name__
            self._outage.report(cause, cause=cause)
        except Exception as error:
            # Such as a key that another server sealed under another master key: this server must report that its data
            # is not fresh, and must continue to follow.
            not_opened = isinstance(error, SealBrokenError)
            self._problem, self.fresh = _KEY_NOT_OPENED if not_opened else _NOT_APPLIED, False
            if not_opened:
                self._outage.recover()
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
        self._outage.recover()
