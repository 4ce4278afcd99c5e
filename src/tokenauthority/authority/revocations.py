"""The revocations in force, in memory: read at the start, then updated by the store's changes."""

from __future__ import annotations

import asyncio
import secrets

from collections.abc import Iterable
from typing import Final

from tokenauthority.domain.errors import ExhaustedError
from tokenauthority.domain.revocation import Event, StoredRevocation
from tokenauthority.domain.revocation_index import RevocationIndex
from tokenauthority.domain.times import Millis
from tokenauthority.storage.store import RevocationStore


_PAGE: Final = 2_000
"""Revocations per page. To index a page takes some milliseconds, in which the event loop serves nothing else."""

_PRUNE_STEP: Final = 20_000
"""Revocations that are checked without a pause, in some milliseconds."""

_KEY_BYTES: Final = 16


class Revocations:
    """The index that VerifyToken reads, with at most *limit* revocations.

    A project may hold as many as are free after it. So one project holds at most half, two hold at most two thirds, and
    there is always room for a project that holds few.
    """

    def __init__(self, store: RevocationStore, limit: int) -> None:
        self._store = store
        self._limit = limit
        self.index = _new_index()
        self._loading: RevocationIndex | None = None

    async def load(self, now: Millis) -> None:
        """Read every revocation in force; the index stays as it was if that raises UnavailableError."""
        self._loading = index = _new_index()
        after = ""
        try:
            while page := await self._store.list_revoked(after=after, limit=_PAGE, now=now):
                index.add_targets(page)
                after = page[-1][0]
            self.index = index
        finally:
            self._loading = None

    def apply(self, events: Iterable[Event]) -> None:
        """Add the revocations that this server or another one has made."""
        revocations = [event for event in events if isinstance(event, StoredRevocation)]
        self.index.add_all(revocations)
        # The pages that `load` has already read may lack them.
        if self._loading is not None:
            self._loading.add_all(revocations)

    async def prune(self, now: Millis) -> int:
        """Delete revocations whose tokens have all expired, with pauses for other tasks; return how many."""
        removed = 0
        for count in self.index.remove_expired_in_steps(now, _PRUNE_STEP):
            removed += count
            await asyncio.sleep(0)
        return removed

    def require_room(self, revocation: StoredRevocation) -> None:
        """Raise ExhaustedError if *revocation* is for a new target and its project has no share left."""
        held, free = self.index.count_of(revocation.project_id), self._limit - len(self.index)
        if (free < 1 or held > free) and not self.index.has_target_of(revocation):
            raise ExhaustedError.too_many_revocations(held, self._limit)


def _new_index() -> RevocationIndex:
    return RevocationIndex(secrets.token_bytes(_KEY_BYTES))
