"""Follows the store's changes, so that what this server has at hand stays true when others change it."""

from __future__ import annotations

import asyncio

from time import monotonic
from typing import TYPE_CHECKING, Final

import structlog

from tokenauthority.authority.event_buffer import buffered_events
from tokenauthority.domain.change import ChangeKind, Cursor, HistoryLostError
from tokenauthority.domain.errors import UnavailableError
from tokenauthority.outage import Outage
from tokenauthority.signing.sealing import SealBrokenError


if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tokenauthority.authority.event_buffer import EventBuffer
    from tokenauthority.authority.revocations import Revocations
    from tokenauthority.authority.signing_keys import SigningKeyManager
    from tokenauthority.authority.tenant_cache import TenantCache
    from tokenauthority.domain.change import Change
    from tokenauthority.domain.times import Millis
    from tokenauthority.storage import Store


_BATCH: Final = 1000

_SEALED: Final = "a signing key cannot be opened, the log says which; what is at hand is served"


class StoreFollower:
    """Asks the store for changes every *interval* seconds. `fresh` says whether the last look worked.

    Those who watch get a sign of life at least every *heartbeat* seconds, or after each look if those are rarer.
    What it finds goes into the tenants, the ring and the revocations first, and to those who watch after that.
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
        self._beaten = monotonic()
        self._cursor = Cursor()
        self._ring_changed = False
        self._sealed = ""
        self._logger = structlog.stdlib.get_logger(__name__)
        self._outage = Outage(self._logger, "store.unavailable", recovered="store.recovered")
        self._seen = monotonic()
        self.woken: Final = asyncio.Event()
        self.fresh = False

    async def start(self) -> None:
        """Begin at the newest change; to be called before anything is cached.

        Raises:
            SealBrokenError: the master key does not open the key ring.
            UnavailableError: the store cannot be read.
        """
        began = monotonic()
        await self._begin()
        await self._keys.load(self._clock())
        self._followed(began)

    def wake(self) -> None:
        """Have the next look begin at once: this server has changed something that others wait for."""
        self.woken.set()

    def age(self) -> float:
        """Seconds since the last look that worked began: how old what is at hand may be."""
        return monotonic() - self._seen

    async def catch_up(self) -> None:
        """Apply every change since the last look. While the store cannot be read, there is none.

        Raises:
            SealBrokenError: a signing key that another server made does not open; everything else is applied.
        """
        began, time = monotonic(), self._clock()
        try:
            await self._take_in()
            if self._ring_changed:
                await self._keys.refresh()
                self._ring_changed = False
        except UnavailableError as error:
            self._sealed, self.fresh = "", False
            # Its kind alone: a driver's text may quote the store's URL, password included.
            cause = type(error.__cause__ or error).__name__
            self._outage.report(cause, cause=cause)
        except Exception as error:
            # Such as a key that another server sealed under another master key: this server must not go on unnoticed
            # with what it has, and must not stop following either.
            self._sealed, self.fresh = _SEALED if isinstance(error, SealBrokenError) else "", False
            raise
        else:
            self._followed(began)
            # Only here, and with the moment at which the look began: a reader takes it for the age of what it knows.
            if began + self.interval - self._beaten > self._heartbeat:
                self._beaten = began
                self._event_buffer.beat(time)

    @property
    def problem(self) -> str:
        """Why it is not `fresh`; empty where it is."""
        return "" if self.fresh else self._sealed or "cannot be read; what is at hand is served"

    async def _take_in(self) -> None:
        try:
            while changes := await self._store.changes_after(self._cursor, _BATCH):
                await self._apply(changes)
        except HistoryLostError:
            self._logger.warning("follower.history_lost", sequence=self._cursor.sequence)
            self._ring_changed = True
            await self._begin()

    async def _apply(self, changes: Sequence[Change]) -> None:
        entries = await buffered_events(self._store, changes)
        for change in changes:
            self._tenants.apply(change)
        self._revocations.apply(entry.event for entry in entries)
        self._ring_changed |= any(change.kind is ChangeKind.KEY for change in changes)
        self._cursor = changes[-1].cursor
        self._event_buffer.publish(entries, self._cursor)

    async def _begin(self) -> None:
        """Read everything anew, as of a place that is read first: what changes meanwhile is then taken in twice."""
        cursor = await self._store.last_change()
        self._tenants.clear()
        await self._revocations.load(self._clock())
        self._cursor = cursor
        self._event_buffer.begin(cursor)

    def _followed(self, began: float) -> None:
        self.fresh, self._seen = True, began
        self._outage.recover()
