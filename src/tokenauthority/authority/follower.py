"""Follows the store's changes, so that what this server has at hand stays true when others change it."""

from __future__ import annotations

import asyncio

from typing import TYPE_CHECKING, Final

import structlog

from tokenauthority.domain.change import ChangeKind
from tokenauthority.domain.errors import UnavailableError


if TYPE_CHECKING:
    from collections.abc import Callable

    from tokenauthority.authority.catalog import Catalog
    from tokenauthority.authority.keys import Keys
    from tokenauthority.domain.times import Millis
    from tokenauthority.storage.store import Store


_BATCH: Final = 1000


class Follower:
    """Asks the store for changes every *interval* seconds. `fresh` says whether the last look worked."""

    def __init__(
        self, store: Store, catalog: Catalog, keys: Keys, clock: Callable[[], Millis], interval: float
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._keys = keys
        self._clock = clock
        self._interval = interval
        self._sequence = 0
        self._ring_changed = False
        self._failure = ""
        self._logger = structlog.stdlib.get_logger(__name__)
        self.fresh = False

    async def start(self) -> None:
        """Begin at the newest change; to be called before anything is cached.

        Raises:
            UnavailableError: the store cannot be read.
        """
        self._sequence = await self._store.last_change()
        self.fresh = True

    async def run(self) -> None:
        """Follow until cancelled; a store that cannot be read is asked again."""
        while True:
            await asyncio.sleep(self._interval)
            await self.catch_up()

    async def catch_up(self) -> None:
        """Take in every change since the last look."""
        try:
            while changes := await self._store.changes_after(self._sequence, _BATCH):
                for change in changes:
                    self._catalog.apply(change)
                self._ring_changed |= any(change.kind is ChangeKind.KEY for change in changes)
                self._sequence = changes[-1].sequence
            if self._ring_changed:
                await self._keys.load(self._clock())
                self._ring_changed = False
            self._note(fresh=True)
        except UnavailableError:
            self.fresh = False
        except Exception as error:  # noqa: BLE001 - an ended task would follow nothing more and tell nobody
            # Such as a key that another server sealed under another master key: this server must not go on unnoticed
            # with what it has, and must not stop following either.
            self._note(fresh=False, error=error)

    def _note(self, *, fresh: bool, error: Exception | None = None) -> None:
        if error is not None and str(error) != self._failure:
            self._logger.error("follower.failed", sequence=self._sequence, exc_info=error)
        self._failure = "" if error is None else str(error)
        self.fresh = fresh
