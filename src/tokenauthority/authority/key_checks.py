"""Check private keys that callers give, in threads, each caller within a share."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Final

from tokenauthority.authority.credential_sealer import new_vonage_key
from tokenauthority.authority.shares import Shares
from tokenauthority.domain.credential import PlainCredential
from tokenauthority.domain.times import Millis
from tokenauthority.threads import BlockingPool


_CHECKS: Final = 2
"""Keys that are checked at once. A caller has one of them checked at a time."""


class KeyChecks:
    """The places for checks, and the threads that make them: to check an RSA key takes milliseconds."""

    def __init__(self) -> None:
        self._threads = BlockingPool("key-checks", threads=_CHECKS)
        self._shares = Shares(_CHECKS, 1)

    def hold(self, caller: str) -> AbstractAsyncContextManager[None]:
        """Wait for the caller's place, and hold it."""
        return self._shares.hold(caller)

    async def vonage_key(self, pem: str, application_id: str, now: Millis) -> PlainCredential:
        """Return the key as a credential with a new id; raise ValueError, which says what is wrong with it."""
        return await self._threads.run(partial(new_vonage_key, pem, application_id, now))
