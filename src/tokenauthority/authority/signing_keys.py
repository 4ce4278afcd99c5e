"""Manage the authority's own signing keys: hold the ring, rotate it, and carry out what operators ask for."""

from __future__ import annotations

import asyncio

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, TypeAlias

import structlog

from tokenauthority.authority.credential_sealer import CredentialSealer
from tokenauthority.authority.key_destruction import NEVER_STORED, KeyDestruction, keys_to_destroy
from tokenauthority.authority.remote_signing import KeyPlace
from tokenauthority.authority.sealed_ring import RingChange, SealedRing, change_ring, open_ring
from tokenauthority.domain import rotation
from tokenauthority.domain.errors import Reason, UnavailableError
from tokenauthority.domain.key import Algorithm, KeyState, StoredKey
from tokenauthority.domain.rotation import Rotation
from tokenauthority.domain.times import Millis, Seconds, in_millis
from tokenauthority.outage import Outage
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

_Rule: TypeAlias = "Callable[[Sequence[StoredKey]], Sequence[StoredKey]]"


class SigningKeyManager:
    """The key ring of this server. Call `load` first; a read or a change of the store may raise UnavailableError.

    *deletes_by* returns the time by which keys are deleted. It may be behind the clock, but never ahead.
    """

    def __init__(
        self,
        store: SigningKeyStore,
        credentials: CredentialSealer,
        algorithm: Algorithm,
        rotation: Rotation,
        deletes_by: Callable[[Millis], Millis] = lambda now: now,
    ) -> None:
        self._store = store
        self._credentials = credentials
        self._algorithm = algorithm
        self._rotation = rotation
        self._deletes_by = deletes_by
        self._lock = asyncio.Lock()
        self.believed = SealedRing()
        # Of deleted rows too: they can be put back. Few keys are made.
        self._known: dict[str, RingKey] = {}
        self._ring: KeyRing | None = None
        self._key_set: JsonWebKeySet | None = None
        self.woken: Final = asyncio.Event()
        self._place = KeyPlace()
        self._destruction = KeyDestruction(credentials, self._place)
        self._logger = structlog.stdlib.get_logger(__name__)
        self._broken = Outage(self._logger, "keys.not_opened", recovered="keys.opened")

    async def load(self, now: Millis) -> None:
        """Read the ring and do what is due; create a key if there is none.

        Servers that start at the same time create one key together.

        Raises:
            KeyProviderError: the provider cannot create the first key.
            SealBrokenError: as `refresh`.
        """
        await self.refresh()
        await self.maintain(now)

    async def refresh(self) -> None:
        """Read the ring, which another server changed.

        Raises:
            SealBrokenError: no key opens; then the ring is unchanged.
        """
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
                if self._next_step(now) > now:
                    return
                await self._take_step(now)
        finally:
            # Its own changes wake nobody: what could not be done just now cannot be done at once.
            self.woken.clear()

    def seconds_to_next_look(self, now: Millis) -> float:
        """Return how long `maintain` may wait unless `woken` is set: from 1 to 30 seconds."""
        due = self._next_step(now) - now
        return min(_LONGEST_CHECK_INTERVAL, max(1.0, due / 1000))

    async def prepare(self, algorithm: Algorithm | None, now: Millis) -> StoredKey:
        """Create a PREPARED key, which is published from now on; raise PreconditionError if the ring is full."""
        try:
            new_key = await self._create_key(algorithm or self._algorithm, now)
        except KeyProviderError as error:
            raise UnavailableError.signing() from error
        stored = await self._change_ring(lambda ring: rotation.prepared(ring, new_key), now, new_key)
        return _found(stored, new_key.key_id)

    async def activate(self, key_id: str, now: Millis) -> StoredKey:
        """Make the key ACTIVE, and return it; raise NotFoundError or PreconditionError."""
        if (known := self.believed.opened.get(key_id)) is not None:
            try:
                await self._place.prove(known.key)
            except KeyProviderError as error:
                raise UnavailableError.signing() from error
        stored = await self._change_ring(
            lambda ring: rotation.activated(ring, key_id, self._rotation, now), now, about=key_id
        )
        return _found(stored, key_id)

    async def revoke(self, key_id: str, now: Millis) -> StoredKey:
        """Make the key REVOKED, and return it: it leaves the JWKS, and its tokens are invalid. Raise as `activate`."""
        stored = await self._change_ring(
            lambda ring: rotation.revoked(ring, key_id, self._rotation, now), now, about=key_id
        )
        return _found(stored, key_id)

    def signing(self, now: Millis) -> SigningKey:
        """Return the key that signs; raise UnavailableError if it has ended, or does not open here."""
        ring = self.ring
        if not ring.can_sign:
            raise UnavailableError.seal_broken("the signing key")
        if ring.sign_until is not None and now >= ring.sign_until:
            raise UnavailableError(Reason.SIGNING_KEY_ENDED, "the signing key has ended and could not be replaced yet")
        return ring.active

    def cannot_sign(self, now: Millis) -> str:
        """Return why the ring has no key that signs now; empty if it has one."""
        if not self.ring.can_sign:
            return "the key that signs cannot be opened"
        if self.ring.sign_until is not None and now >= self.ring.sign_until:
            return "the signing key has ended and could not be replaced"
        return ""

    def problem(self, now: Millis) -> str:
        """Return what else fails of the ring, although it signs; empty if nothing does."""
        if now - self._next_step(now) > _OVERDUE_REPORT_DELAY:
            return "the signing keys could not be brought up to date"
        return f"{self.unopened} cannot be opened, the log says which" if self.unopened else ""

    @property
    def unopened(self) -> int:
        """The number of stored keys whose rows do not open on this server, or were put back."""
        return len(self.believed.broken)

    def max_age(self, longest: int, now: Millis) -> int:
        """Return the seconds for which the JWKS may be cached: at most *longest*, and until the ring changes."""
        due = self._next_step(now)
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
        """Return the stored keys, newest first; a row that does not open as the key was when it last opened here."""
        rows = await self._store.list_keys()
        opened = open_ring(rows, self._known, self._credentials).opened
        return [opened[row.key_id].stored if row.key_id in opened else row for row in rows]

    def _next_step(self, now: Millis) -> Millis:
        if self.believed.put_back:
            return now
        by = self._deletes_by(now)
        return rotation.next_step(self.believed.keys, self._algorithm, self._rotation, now, deletes_by=by)

    async def _read_ring(self) -> SealBrokenError | None:
        async with self._lock:
            return self._replace_ring(await self._store.list_keys())

    async def _take_step(self, now: Millis) -> None:
        # Another server may have done it already. And while the store is away no key must be created in vain: in an
        # HSM that is hard to undo. The follower reports a key that does not open.
        await self._read_ring()
        new_key = None
        if rotation.needs_new_key(self.believed.keys, self._algorithm, self._rotation, now):
            new_key = await self._create_key(self._algorithm, now)
        step = partial(
            rotation.maintained,
            new_key=new_key,
            algorithm=self._algorithm,
            rotation=self._rotation,
            now=now,
            deletes_by=self._deletes_by(now),
        )
        await self._change_ring(step, now, new_key)

    async def _create_key(self, algorithm: Algorithm, now: Millis) -> StoredKey:
        return await self._place.make(
            partial(self._credentials.make_signing_key, algorithm, now),
            # Nobody waits for the key any more, and no row will name it.
            late=lambda made: self._destruction.destroy_now(made, NEVER_STORED),
        )

    async def _change_ring(
        self, rule: _Rule, now: Millis, new_key: StoredKey | None = None, *, about: str = ""
    ) -> Sequence[StoredKey]:
        """Change the ring in the store, and have the provider destroy keys that are over, or *new_key* if it is unused.

        The change goes on when its caller gives up: else a new key could remain at the provider without a row.

        Raises:
            UnavailableError: the key *about* does not open here, so nobody knows what it is.
        """
        if about in self.believed.broken and about not in self.believed.opened:
            raise UnavailableError.seal_broken(f"signing key {about}")
        return await asyncio.shield(self._store_and_replace_ring(rule, now, new_key))

    async def _store_and_replace_ring(self, rule: _Rule, now: Millis, new_key: StoredKey | None) -> Sequence[StoredKey]:
        # One at a time, so that an older read never replaces a newer one.
        async with self._lock:
            known = self.believed
            made: list[RingChange] = []

            def change(rows: Sequence[StoredKey]) -> Sequence[StoredKey]:
                ring = open_ring(rows, self._known, self._credentials)
                made.append(change_ring(rows, ring, new_key, rule, self._credentials))
                return made[-1].rows

            try:
                stored = await self._store.update_keys(change)
            except Exception as error:
                # If the store has failed after the change was made, that may be stored, and its key must stay.
                if new_key is not None and not (made and isinstance(error, UnavailableError)):
                    await self._destruction.destroy(new_key, NEVER_STORED)
                raise
            # The change is stored. The follower meets the same failure, and reports that its data is not fresh.
            self._report(made[-1].before)
            self._replace_ring(stored)
        self.woken.set()
        for key, reason in keys_to_destroy(made[-1].left_out, known, stored, self._deletes_by(now)):
            await self._destruction.destroy(key, reason)
        if new_key is not None and all(key.key_id != new_key.key_id for key in stored):
            await self._destruction.destroy(new_key, NEVER_STORED)
        return stored

    def _replace_ring(self, rows: Sequence[StoredKey]) -> SealBrokenError | None:
        """Replace the ring by what this server believes of *rows*, and report what does not open.

        If no key opens, the ring is unchanged; return why.
        """
        believed = open_ring(rows, self._known, self._credentials)
        self._report(believed)
        if believed.broken and not believed.opened:
            return next(iter(believed.broken.values()))
        if believed.opened:
            signs = any(key.state is KeyState.ACTIVE for key in believed.keys)
            self._ring = KeyRing(believed.opened.values(), may_sign=signs)
            self._key_set = JsonWebKeySet.from_ring(self._ring)
        self.believed = believed
        self._known |= believed.opened
        return None

    def _report(self, ring: SealedRing) -> None:
        if ring.broken:
            self._broken.report(ring.problem, problem=ring.problem)
        else:
            self._broken.recover()


def _found(ring: Sequence[StoredKey], key_id: str) -> StoredKey:
    return next(key for key in ring if key.key_id == key_id)
