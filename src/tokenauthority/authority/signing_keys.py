"""The authority's own signing keys: keeps the ring at hand and in its course of life, by itself and by hand."""

from __future__ import annotations

import asyncio

from functools import partial
from typing import TYPE_CHECKING, Final

import attrs
import structlog

from tokenauthority.authority.remote_signing import KeyPlace
from tokenauthority.domain import rotation
from tokenauthority.domain.errors import Reason, UnavailableError
from tokenauthority.domain.key import KeyState
from tokenauthority.domain.times import Seconds, in_millis
from tokenauthority.signing.key_provider import KeyProviderError
from tokenauthority.signing.keyring import JsonWebKeySet, KeyRing
from tokenauthority.signing.sealing import SealBrokenError


if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tokenauthority.authority.credential_sealer import CredentialSealer
    from tokenauthority.domain.key import Algorithm, StoredKey
    from tokenauthority.domain.rotation import Rotation
    from tokenauthority.domain.times import Millis
    from tokenauthority.signing.keyring import RingKey
    from tokenauthority.signing.signing_key import SigningKey
    from tokenauthority.storage import SigningKeyStore


_LOOK: Final = 30.0
"""Seconds between two looks whether something is due; the clock may have been set meanwhile."""

_PATIENCE: Final = in_millis(Seconds(600))
"""How long something that is due may wait before somebody should look at it."""

_STEPS: Final = 4
"""What may be due at once: to forget, to rotate, and to take in a first and a second key."""


class SigningKeyManager:
    """The ring as this server knows it. `load` comes first."""

    def __init__(
        self, store: SigningKeyStore, credentials: CredentialSealer, algorithm: Algorithm, rotation: Rotation
    ) -> None:
        self._store = store
        self._credentials = credentials
        self._algorithm = algorithm
        self._rotation = rotation
        self._turn = asyncio.Lock()
        self._stored: Sequence[StoredKey] = ()
        self._opened: dict[str, RingKey] = {}
        self._ring: KeyRing | None = None
        self._key_set: JsonWebKeySet | None = None
        self.woken: Final = asyncio.Event()
        self._place = KeyPlace()
        self._logger = structlog.stdlib.get_logger(__name__)

    async def load(self, now: Millis) -> None:
        """Read the ring, and do what is due; where there is no key yet, make one.

        Servers that start together make one between them.

        Raises:
            KeyProviderError: the first key cannot be made where it is to live.
            SealBrokenError: the master key is not the one that sealed the ring.
            UnavailableError: the store cannot be read.
        """
        await self.refresh()
        await self.maintain(now)

    async def refresh(self) -> None:
        """Read the ring anew: another server has changed it.

        Raises:
            SealBrokenError: a key does not open; of the others the ring is what the store has.
            UnavailableError: the store cannot be read; the ring stays as it was.
        """
        failure = await self._read_ring()
        # A ring that was restored to an earlier day may be due at once.
        self.woken.set()
        if failure is not None:
            raise failure

    async def prove_active_key(self) -> None:
        """Return if the key that signs can sign.

        Raises:
            KeyProviderError: it cannot where it lives.
        """
        await self._place.prove(self.ring.active)

    async def maintain(self, now: Millis) -> None:
        """Do what is due: prepare the next key, rotate, forget. Of several servers that would, one does.

        Raises:
            UnavailableError: the store cannot be written.
        """
        for _ in range(_STEPS):
            if rotation.next_step(self._stored, self._algorithm, self._rotation, now) > now:
                return
            # Another server may have done it already, and while the store is away no key is made in vain: where keys
            # live in an HSM, that is hard to undo. That a key does not open is for the follower to say.
            await self._read_ring()
            fresh = None
            if rotation.needs_fresh(self._stored, self._algorithm, self._rotation, now):
                fresh = await self._fresh(self._algorithm, now)
            step = partial(
                rotation.maintained, fresh=fresh, algorithm=self._algorithm, rotation=self._rotation, now=now
            )
            await self._update(step, fresh)

    def seconds_to_next_look(self, now: Millis) -> float:
        """Return how long `maintain` may wait unless `woken` is set: from 1 to 30 seconds."""
        due = rotation.next_step(self._stored, self._algorithm, self._rotation, now) - now
        return min(_LOOK, max(1.0, due / 1000))

    async def prepare(self, algorithm: Algorithm | None, now: Millis) -> StoredKey:
        """A new PREPARED key, published from now on.

        Raises:
            PreconditionError: there are as many as there may be.
            UnavailableError: the store cannot be written, or the key not be made where it is to live.
        """
        try:
            fresh = await self._fresh(algorithm or self._algorithm, now)
        except KeyProviderError as error:
            raise UnavailableError.signing() from error
        kept = await self._update(lambda ring: rotation.prepared(ring, fresh), fresh)
        return _found(kept, fresh.key_id)

    async def activate(self, key_id: str, now: Millis) -> StoredKey:
        """The key, ACTIVE.

        Raises:
            NotFoundError, PreconditionError, UnavailableError.
        """
        known = self._opened.get(key_id)
        if known is not None:
            try:
                await self._place.prove(known.key)
            except KeyProviderError as error:
                raise UnavailableError.signing() from error
        elif any(key.key_id == key_id and key.state is KeyState.PREPARED for key in self._stored):
            raise UnavailableError.seal_broken(f"signing key {key_id}")
        kept = await self._update(lambda ring: rotation.activated(ring, key_id, self._rotation, now))
        return _found(kept, key_id)

    async def revoke(self, key_id: str, now: Millis) -> StoredKey:
        """The key, REVOKED: out of the JWKS, and none of its tokens good.

        Raises:
            NotFoundError, PreconditionError, UnavailableError.
        """
        kept = await self._update(lambda ring: rotation.revoked(ring, key_id, self._rotation, now))
        return _found(kept, key_id)

    def signing(self, now: Millis) -> SigningKey:
        """The key that signs.

        Raises:
            UnavailableError: it is past its end, because the store has been away for too long, or does not open here.
        """
        ring = self.ring
        if not ring.can_sign:
            raise UnavailableError.seal_broken("the signing key")
        if ring.sign_until is not None and now >= ring.sign_until:
            raise UnavailableError(Reason.SIGNING_KEY_ENDED, "the signing key has ended and could not be replaced yet")
        return ring.active

    def problem(self, now: Millis) -> str:
        """What keeps native tokens from being signed, or will soon; empty where all is well."""
        due = rotation.next_step(self._stored, self._algorithm, self._rotation, now)
        if not self.ring.can_sign:
            return "the key that signs cannot be opened"
        if self.ring.sign_until is not None and now >= self.ring.sign_until:
            return "the signing key has ended and could not be replaced"
        return "the signing keys could not be brought up to date" if now - due > _PATIENCE else ""

    def max_age(self, longest: int, now: Millis) -> int:
        """For how many seconds the JWKS may be kept: *longest*, or until the ring is next going to change."""
        due = rotation.next_step(self._stored, self._algorithm, self._rotation, now)
        return max(0, min(longest, (due - now) // 1000))

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

    async def _read_ring(self) -> Exception | None:
        async with self._turn:
            return self._take(await self._store.list_keys())

    async def _fresh(self, algorithm: Algorithm, now: Millis) -> StoredKey:
        new = await self._place.make(
            partial(self._credentials.make_signing_key, algorithm),
            # Nobody waits for it any more, and no row will ever name it.
            late=lambda made: self._give_back(made.prepared(now)),
        )
        return new.prepared(now)

    async def _update(
        self, change: Callable[[Sequence[StoredKey]], Sequence[StoredKey]], fresh: StoredKey | None = None
    ) -> Sequence[StoredKey]:
        """Change the ring in the store. Keys that are not in it, as *fresh* may be, go where they live, too.

        It goes on though its caller gives up: a key that was made would else be left where no row names it.
        """
        return await asyncio.shield(self._changed(change, fresh))

    async def _changed(
        self, change: Callable[[Sequence[StoredKey]], Sequence[StoredKey]], fresh: StoredKey | None
    ) -> Sequence[StoredKey]:
        # One at a time, so that what was read before never takes the place of what was read after.
        async with self._turn:
            known = self._stored
            try:
                kept = await self._store.update_keys(change)
            except UnavailableError:
                # Nobody knows whether it was kept, so a fresh key has to stay where it lives.
                raise
            except Exception:
                if fresh is not None:
                    await self._destroy(fresh)
                raise
            failure = self._take(kept)
        if failure is not None:
            # It is done all the same; who follows the changes meets this again, and says that it is behind.
            self._logger.error("keys.not_opened", problem=str(failure))
        self.woken.set()
        there = {key.key_id for key in kept}
        for key in (*known, *([] if fresh is None else [fresh])):
            if key.key_id not in there:
                await self._destroy(key)
        return kept

    async def _destroy(self, key: StoredKey) -> None:
        try:
            await self._place.ask(partial(self._give_back, key))
        except KeyProviderError as error:
            self._logger.warning("keys.not_destroyed", key_id=key.key_id, problem=str(error))

    def _give_back(self, key: StoredKey) -> None:
        try:
            self._credentials.destroy_signing_key(key)
        except KeyProviderError as error:
            self._logger.warning("keys.not_destroyed", key_id=key.key_id, problem=str(error))

    def _take(self, stored: Sequence[StoredKey]) -> Exception | None:
        """Have what the store has, as far as it opens: one key that does not must not keep another one from going.

        Answers what kept the first from opening. Where none opens, the ring stays as it was.
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
                # One that is revoked is missed by nobody.
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
