"""Manage the authority's own signing keys: hold the ring, rotate it, and carry out what operators ask for."""

from __future__ import annotations

import asyncio

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import attrs
import structlog

from tokenauthority.authority.credential_sealer import CredentialSealer
from tokenauthority.authority.remote_signing import KeyPlace
from tokenauthority.domain import rotation
from tokenauthority.domain.errors import Reason, UnavailableError
from tokenauthority.domain.key import Algorithm, KeyState, StoredKey
from tokenauthority.domain.rotation import Rotation
from tokenauthority.domain.times import Millis, Seconds, in_millis
from tokenauthority.signing.key_provider import KeyProviderError
from tokenauthority.signing.keyring import JsonWebKeySet, KeyRing, RingKey
from tokenauthority.signing.sealing import SealBrokenError
from tokenauthority.signing.signing_key import SigningKey
from tokenauthority.storage.store import SigningKeyStore


_LONGEST_CHECK_INTERVAL: Final = 30.0
"""Seconds between two checks whether a step is due, at most: somebody may have set the clock."""

_OVERDUE_REPORT_DELAY: Final = in_millis(Seconds(600))
"""How long a step may be overdue before the server reports it."""

_STEPS: Final = 4
"""Steps that may be due at once: delete a key, rotate, and add a first and a second key."""


class SigningKeyManager:
    """The key ring of this server. Call `load` first; a read or a change of the store may raise UnavailableError."""

    def __init__(
        self, store: SigningKeyStore, credentials: CredentialSealer, algorithm: Algorithm, rotation: Rotation
    ) -> None:
        self._store = store
        self._credentials = credentials
        self._algorithm = algorithm
        self._rotation = rotation
        self._lock = asyncio.Lock()
        self._stored: Sequence[StoredKey] = ()
        self._opened: dict[str, RingKey] = {}
        self._ring: KeyRing | None = None
        self._key_set: JsonWebKeySet | None = None
        self.woken: Final = asyncio.Event()
        self._place = KeyPlace()
        self._logger = structlog.stdlib.get_logger(__name__)

    async def load(self, now: Millis) -> None:
        """Read the ring and do what is due; create a key if there is none.

        Servers that start at the same time create one key together.

        Raises:
            KeyProviderError: the provider cannot create the first key.
            SealBrokenError: the ring was sealed under another master key.
        """
        await self.refresh()
        await self.maintain(now)

    async def refresh(self) -> None:
        """Read the ring, which another server changed; SealBrokenError means that all keys but one are up to date."""
        failure = await self._read_ring()
        # A ring that was restored to an earlier day may be due at once.
        self.woken.set()
        if failure is not None:
            raise failure

    async def prove_active_key(self) -> None:
        """Return if the ACTIVE key can sign; raise KeyProviderError if its provider, such as an HSM, cannot."""
        await self._place.prove(self.ring.active)

    async def maintain(self, now: Millis) -> None:
        """Do what is due: prepare the next key, rotate, delete. One of several servers does it."""
        try:
            for _ in range(_STEPS):
                if rotation.next_step(self._stored, self._algorithm, self._rotation, now) > now:
                    return
                await self._take_step(now)
        finally:
            # Its own changes wake nobody: what could not be done just now cannot be done at once.
            self.woken.clear()

    def seconds_to_next_look(self, now: Millis) -> float:
        """Return how long `maintain` may wait unless `woken` is set: from 1 to 30 seconds."""
        due = rotation.next_step(self._stored, self._algorithm, self._rotation, now) - now
        return min(_LONGEST_CHECK_INTERVAL, max(1.0, due / 1000))

    async def prepare(self, algorithm: Algorithm | None, now: Millis) -> StoredKey:
        """Create a PREPARED key, which is published from now on; raise PreconditionError if the ring is full."""
        try:
            new_key = await self._create_key(algorithm or self._algorithm, now)
        except KeyProviderError as error:
            raise UnavailableError.signing() from error
        return _found(await self._change_ring(lambda ring: rotation.prepared(ring, new_key), new_key), new_key.key_id)

    async def activate(self, key_id: str, now: Millis) -> StoredKey:
        """Make the key ACTIVE, and return it; raise NotFoundError or PreconditionError."""
        known = self._opened.get(key_id)
        if known is not None:
            try:
                await self._place.prove(known.key)
            except KeyProviderError as error:
                raise UnavailableError.signing() from error
        elif any(key.key_id == key_id and key.state is KeyState.PREPARED for key in self._stored):
            raise UnavailableError.seal_broken(f"signing key {key_id}")
        stored = await self._change_ring(lambda ring: rotation.activated(ring, key_id, self._rotation, now))
        return _found(stored, key_id)

    async def revoke(self, key_id: str, now: Millis) -> StoredKey:
        """Make the key REVOKED, and return it: it leaves the JWKS, and its tokens are invalid. Raise as `activate`."""
        stored = await self._change_ring(lambda ring: rotation.revoked(ring, key_id, self._rotation, now))
        return _found(stored, key_id)

    def signing(self, now: Millis) -> SigningKey:
        """Return the key that signs; raise UnavailableError if it has ended, or does not open here."""
        ring = self.ring
        if not ring.can_sign:
            raise UnavailableError.seal_broken("the signing key")
        if ring.sign_until is not None and now >= ring.sign_until:
            raise UnavailableError(Reason.SIGNING_KEY_ENDED, "the signing key has ended and could not be replaced yet")
        return ring.active

    def problem(self, now: Millis) -> str:
        """Return why a SESSION_JWT cannot be signed now or soon; empty if it can."""
        due = rotation.next_step(self._stored, self._algorithm, self._rotation, now)
        if not self.ring.can_sign:
            return "the key that signs cannot be opened"
        if self.ring.sign_until is not None and now >= self.ring.sign_until:
            return "the signing key has ended and could not be replaced"
        return "the signing keys could not be brought up to date" if now - due > _OVERDUE_REPORT_DELAY else ""

    def max_age(self, longest: int, now: Millis) -> int:
        """Return the seconds for which the JWKS may be cached: at most *longest*, and until the ring changes."""
        due = rotation.next_step(self._stored, self._algorithm, self._rotation, now)
        return max(0, min(longest, (due - now) // 1000))

    @property
    def ring(self) -> KeyRing:
        """The ring. LookupError before `load`, which is a bug of the wiring."""
        if self._ring is None:
            raise LookupError("the key ring is not loaded")
        return self._ring

    @property
    def key_set(self) -> JsonWebKeySet:
        """The public keys as a JWKS. LookupError before `load`."""
        if self._key_set is None:
            raise LookupError("the key ring is not loaded")
        return self._key_set

    async def stored(self) -> Sequence[StoredKey]:
        """Return the stored keys, newest first."""
        return await self._store.list_keys()

    async def _read_ring(self) -> Exception | None:
        async with self._lock:
            return self._replace_ring(await self._store.list_keys())

    async def _take_step(self, now: Millis) -> None:
        # Another server may have done it already. And while the store is away no key must be created in vain: in an
        # HSM that is hard to undo. The follower reports a key that does not open.
        await self._read_ring()
        new_key = None
        if rotation.needs_new_key(self._stored, self._algorithm, self._rotation, now):
            new_key = await self._create_key(self._algorithm, now)
        step = partial(
            rotation.maintained, new_key=new_key, algorithm=self._algorithm, rotation=self._rotation, now=now
        )
        await self._change_ring(step, new_key)

    async def _create_key(self, algorithm: Algorithm, now: Millis) -> StoredKey:
        new = await self._place.make(
            partial(self._credentials.make_signing_key, algorithm),
            # Nobody waits for the key any more, and no row will name it.
            late=lambda made: self._destroy_at_provider(made.prepared(now)),
        )
        return new.prepared(now)

    async def _change_ring(
        self, change: Callable[[Sequence[StoredKey]], Sequence[StoredKey]], new_key: StoredKey | None = None
    ) -> Sequence[StoredKey]:
        """Change the ring in the store, and have the provider destroy keys that are not in it, as *new_key* may be.

        The change goes on when its caller gives up: else a new key could remain at the provider without a row.
        """
        return await asyncio.shield(self._store_and_replace_ring(change, new_key))

    async def _store_and_replace_ring(
        self, change: Callable[[Sequence[StoredKey]], Sequence[StoredKey]], new_key: StoredKey | None
    ) -> Sequence[StoredKey]:
        # One at a time, so that an older read never replaces a newer one.
        async with self._lock:
            known = self._stored
            try:
                stored = await self._store.update_keys(change)
            except UnavailableError:
                # The change may have been stored, so a new key must stay at the provider.
                raise
            except Exception:
                if new_key is not None:
                    await self._destroy(new_key)
                raise
            failure = self._replace_ring(stored)
        if failure is not None:
            # The change is stored; the follower meets the same failure and reports that its data is not fresh.
            self._logger.error("keys.not_opened", problem=str(failure))
        self.woken.set()
        there = {key.key_id for key in stored}
        for key in (*known, *([] if new_key is None else [new_key])):
            if key.key_id not in there:
                await self._destroy(key)
        return stored

    async def _destroy(self, key: StoredKey) -> None:
        try:
            await self._place.ask(partial(self._destroy_at_provider, key))
        except KeyProviderError as error:
            self._logger.warning("keys.not_destroyed", key_id=key.key_id, problem=str(error))

    def _destroy_at_provider(self, key: StoredKey) -> None:
        try:
            self._credentials.destroy_signing_key(key)
        except KeyProviderError as error:
            self._logger.warning("keys.not_destroyed", key_id=key.key_id, problem=str(error))

    def _replace_ring(self, stored: Sequence[StoredKey]) -> Exception | None:
        """Replace the ring by the stored keys that open: one that does not open must not keep a revoked one in use.

        Return why the first one does not open. If none opens, the ring is unchanged.
        """
        opened: dict[str, RingKey] = {}
        failure: Exception | None = None
        for key in stored:
            known = self._opened.get(key.key_id)
            try:
                opened[key.key_id] = (
                    self._credentials.open_signing_key(key) if known is None else attrs.evolve(known, stored=key)
                )
            except SealBrokenError as error:
                # Nobody needs a revoked key.
                failure = failure if key.state is KeyState.REVOKED else failure or error
        if failure is not None and not opened:
            return failure
        if opened:
            signs = any(entry.stored.state is KeyState.ACTIVE for entry in opened.values())
            self._ring = KeyRing(opened.values(), may_sign=signs)
            self._key_set = JsonWebKeySet.from_ring(self._ring)
        self._stored, self._opened = tuple(stored), opened
        return failure


def _found(ring: Sequence[StoredKey], key_id: str) -> StoredKey:
    return next(key for key in ring if key.key_id == key_id)
