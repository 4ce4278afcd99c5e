"""The authority's own signing keys: makes the first one, keeps the ring at hand, shows it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from tokenauthority.authority.remote import in_thread
from tokenauthority.domain.key import KeyState, StoredKey
from tokenauthority.signing.jwks import JsonWebKeySet
from tokenauthority.signing.keyring import KeyRing


if TYPE_CHECKING:
    from collections.abc import Sequence

    from tokenauthority.authority.vault import Vault
    from tokenauthority.domain.key import Algorithm
    from tokenauthority.domain.times import Millis
    from tokenauthority.storage.store import Store


class Keys:
    """The ring as this server knows it. `load` comes first."""

    def __init__(self, store: Store, vault: Vault, algorithm: Algorithm) -> None:
        self._store = store
        self._vault = vault
        self._algorithm = algorithm
        self._ring: KeyRing | None = None
        self._key_set: JsonWebKeySet | None = None

    async def load(self, now: Millis) -> None:
        """Read the ring; where there is no key yet, make one. Servers that start together make one between them.

        Raises:
            KeyProviderError: the first key cannot be made where it is to live.
            SealBrokenError: the master key is not the one that sealed the ring.
            UnavailableError: the store cannot be read.
        """
        stored = await self._store.list_keys()
        if not any(key.state is KeyState.ACTIVE for key in stored):
            fresh = await in_thread(partial(self._vault.make_signing_key, self._algorithm))
            ours = StoredKey(
                key_id=fresh.key.key_id,
                algorithm=fresh.key.algorithm,
                state=KeyState.ACTIVE,
                create_time=now,
                activate_time=now,
                sealed=fresh.sealed,
                location=fresh.location,
            )
            if await self._store.add_first_key(ours) != ours:
                await in_thread(partial(self._vault.destroy_signing_key, ours))
            stored = await self._store.list_keys()
        self._ring = KeyRing(self._vault.open_signing_key(key) for key in stored)
        self._key_set = JsonWebKeySet.of(self._ring)

    @property
    def ring(self) -> KeyRing:
        """The ring. LookupError before `load`: a wiring bug."""
        if self._ring is None:
            raise LookupError("the key ring is not loaded")
        return self._ring

    @property
    def key_set(self) -> JsonWebKeySet:
        """The public keys as a JWKS. LookupError before `load`: a wiring bug."""
        if self._key_set is None:
            raise LookupError("the key ring is not loaded")
        return self._key_set

    async def stored(self) -> Sequence[StoredKey]:
        """The ring as it is stored, newest first."""
        return await self._store.list_keys()
