"""Which tokens have been taken back, as far as this server knows: read whole at the start, then kept true."""

from __future__ import annotations

import asyncio
import secrets

from typing import TYPE_CHECKING, Final

from tokenauthority.domain.errors import ExhaustedError
from tokenauthority.domain.revocation import StoredRevocation
from tokenauthority.domain.revocation_index import RevocationIndex


if TYPE_CHECKING:
    from collections.abc import Iterable

    from tokenauthority.domain.revocation import Event
    from tokenauthority.domain.times import Millis
    from tokenauthority.storage import RevocationStore


_PAGE: Final = 2_000
"""Read at once. They are taken in within some milliseconds, for which nothing else is served."""

_PRUNED_AT_ONCE: Final = 20_000
"""Looked at without a pause; some milliseconds."""

_KEY_BYTES: Final = 16


class Revocations:
    """What VerifyToken asks. *limit* bounds how many are kept in memory."""

    def __init__(self, store: RevocationStore, limit: int) -> None:
        self._store = store
        self._limit = limit
        self.index = _new_index()
        self._coming: RevocationIndex | None = None

    async def load(self, now: Millis) -> None:
        """Read every revocation in force.

        Raises:
            UnavailableError: the store cannot be read; the index stays as it was.
        """
        self._coming = index = _new_index()
        after = ""
        try:
            while page := await self._store.list_revoked(after=after, limit=_PAGE, now=now):
                index.add_targets(page)
                after = page[-1][0]
            self.index = index
        finally:
            self._coming = None

    def apply(self, events: Iterable[Event]) -> None:
        """Take in what this server or another one has taken back."""
        taken = [event for event in events if isinstance(event, StoredRevocation)]
        self.index.add_all(taken)
        # The pages that `load` has read already may not have had them.
        if self._coming is not None:
            self._coming.add_all(taken)

    async def prune(self, now: Millis) -> int:
        """Forget what can cover no token any more, and let others have their turn meanwhile; how many went."""
        gone = 0
        for count in self.index.remove_expired_in_steps(now, _PRUNED_AT_ONCE):
            gone += count
            await asyncio.sleep(0)
        return gone

    def require_room(self, revocation: StoredRevocation) -> None:
        """Refuse a revocation of one more target where there are as many as there may be.

        Raises:
            ExhaustedError: `REVOCATION_LIMIT`.
        """
        if len(self.index) >= self._limit and not self.index.has_target_of(revocation):
            raise ExhaustedError.too_many_revocations(self._limit)


def _new_index() -> RevocationIndex:
    return RevocationIndex(secrets.token_bytes(_KEY_BYTES))
