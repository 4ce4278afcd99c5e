"""What a server believes of the stored key ring: what the seals say, and nothing that a row says without one.

A row whose seal is broken was changed outside of this program, or is under a master key that this server lacks. Its key
stays as it last opened here. A key that never opened here is not in the ring, and its row stays in the store as it is.
A row that opens, and is an earlier one than this server has seen of its key, was put back: the next change of the ring
writes the later one again.
So a row that lies starts nothing that cannot be undone: above all, no private key is destroyed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import attrs

from tokenauthority.authority.credential_sealer import CredentialSealer
from tokenauthority.domain.errors import UnavailableError
from tokenauthority.domain.key import KeyState, StoredKey
from tokenauthority.domain.rotation import Ring
from tokenauthority.signing.keyring import RingKey
from tokenauthority.signing.sealing import SealBrokenError, SealProblem


@attrs.frozen
class SealedRing:
    """The ring as this server believes it: `opened` by key id, newest first; `broken` says why a row is not believed.

    A key can be in both: its row is not believed, and it is in `opened` as it last opened here.
    """

    opened: Mapping[str, RingKey] = attrs.Factory(dict)
    broken: Mapping[str, SealBrokenError] = attrs.Factory(dict)

    @property
    def keys(self) -> Ring:
        """Return the stored form of the keys that the server believes, newest first."""
        return tuple(entry.stored for entry in self.opened.values())

    @property
    def foreign(self) -> SealBrokenError | None:
        """Return why a key cannot be opened that was sealed under a master key which this server lacks."""
        return next((e for e in self.broken.values() if e.problem is SealProblem.OTHER_MASTER_KEY), None)

    def require_opened(self, key_id: str) -> None:
        """Raise UnavailableError, `SEAL_BROKEN`, for a key stored under a master key that this server lacks."""
        error = self.broken.get(key_id)
        if error is not None:
            _require_master_key(error)

    @property
    def put_back(self) -> frozenset[str]:
        """Return the ids of the keys whose rows are earlier ones."""
        return frozenset(k for k, e in self.broken.items() if e.problem is SealProblem.PUT_BACK)

    @property
    def problem(self) -> str:
        """Say which rows are not believed, and why; empty if all are."""
        return "; ".join(map(str, self.broken.values()))


@attrs.frozen
class RingChange:
    """What was believed before a change, the rows to store after it, and the keys that the change has left out."""

    before: SealedRing
    rows: Ring
    left_out: Ring


def open_ring(rows: Sequence[StoredKey], known: Mapping[str, RingKey], credentials: CredentialSealer) -> SealedRing:
    """Return what to believe of *rows*, newest first. *known* are all keys that ever opened here, as they last did."""
    opened: dict[str, RingKey] = {}
    broken: dict[str, SealBrokenError] = {}
    for row in rows:
        entry = known.get(row.key_id)
        if entry is None or entry.stored != row:
            try:
                entry = _opened_later(row, entry, credentials)
            except SealBrokenError as error:
                broken[row.key_id] = error
                if row.state is KeyState.REVOKED and error.problem is SealProblem.OTHER_MASTER_KEY:
                    # A server that lacks a master key must still stop to use a revoked key, and misses nothing then.
                    broken[row.key_id] = _unproven_revocation(row)
                    continue
        if entry is not None:
            opened[row.key_id] = entry
    return SealedRing(_with_one_active(opened, broken, credentials), broken)


def change_ring(
    rows: Sequence[StoredKey],
    ring: SealedRing,
    new_key: StoredKey | None,
    rule: Callable[[Sequence[StoredKey]], Sequence[StoredKey]],
    credentials: CredentialSealer,
) -> RingChange:
    """Return *rows* after *rule*, which sees the keys of *ring* alone; each key that it changes is sealed anew.

    Raises:
        UnavailableError: `SEAL_BROKEN`, the rule changes or replaces a key whose master key this server lacks.
    """
    before = {key.key_id: key for key in (*ring.keys, *([] if new_key is None else [new_key]))}
    after = {key.key_id: key for key in rule(ring.keys)}
    changed = {key_id: key for key_id, key in after.items() if key == new_key or key != before[key_id]}
    for key_id in changed.keys() & ring.broken.keys():
        _require_master_key(ring.broken[key_id])
    unknown = ring.broken.keys() - ring.put_back
    try:
        changed = {
            key_id: key if key == new_key else credentials.resealed_key(before[key_id], key)
            for key_id, key in changed.items()
        }
    except SealBrokenError as error:
        raise UnavailableError.seal_broken(f"signing key {error.object_id}") from error
    # Nobody knows what became of a key whose row does not open.
    left_out = tuple(key for key in ring.keys if key.key_id not in after and key.key_id not in unknown)
    gone = {key.key_id for key in left_out}
    remaining = [row for row in rows if row.key_id not in changed and row.key_id not in gone]
    restored = [ring.opened[row.key_id].stored for row in remaining if row.key_id in ring.put_back]
    active = next((key.key_id for key in (*changed.values(), *restored) if key.state is KeyState.ACTIVE), None)
    remaining = [_beside(row, active, ring) for row in remaining]
    return RingChange(ring, (*remaining, *changed.values()), left_out)


def _opened_later(row: StoredKey, known: RingKey | None, credentials: CredentialSealer) -> RingKey:
    """Return the key of *row*; raise SealBrokenError if it does not open, or the *known* one is a later one."""
    entry = credentials.open_signing_key(row)
    if known is not None and row.is_earlier_than(known.stored):
        detail = f"an earlier row was put back: {row.state.name}, and the key is {known.stored.state.name}"
        raise SealBrokenError("signing-key", row.key_id, SealProblem.PUT_BACK, detail)
    return entry


def _unproven_revocation(row: StoredKey) -> SealBrokenError:
    detail = "not used: its row says REVOKED, sealed under a master key that is not among those given"
    return SealBrokenError("signing-key", row.key_id, SealProblem.DAMAGED, detail)


def _with_one_active(
    opened: dict[str, RingKey], broken: Mapping[str, SealBrokenError], credentials: CredentialSealer
) -> dict[str, RingKey]:
    """Return the keys with one ACTIVE key at most: the one whose row says so with its seal, if there is one."""
    active = [key_id for key_id, entry in opened.items() if entry.stored.state is KeyState.ACTIVE]
    for key_id in active if len(active) > 1 else ():
        if key_id in broken:
            active_key = opened[key_id].stored
            retired = credentials.resealed_key(active_key, attrs.evolve(active_key, state=KeyState.RETIRED))
            opened[key_id] = attrs.evolve(opened[key_id], stored=retired)
    return opened


def _beside(row: StoredKey, active: str | None, ring: SealedRing) -> StoredKey:
    """Return an unchanged row, or the later one of a row that was put back.

    A row that does not open makes room for the key *active*, as two cannot be ACTIVE.
    """
    if row.key_id in ring.put_back:
        return ring.opened[row.key_id].stored
    error = ring.broken.get(row.key_id)
    if active is None or error is None or row.state is not KeyState.ACTIVE:
        return row
    _require_master_key(error)
    return attrs.evolve(row, state=KeyState.RETIRED)


def _require_master_key(error: SealBrokenError) -> None:
    """Require that a row is broken for all servers: what another one can open, it may have changed since."""
    if error.problem is SealProblem.OTHER_MASTER_KEY:
        raise UnavailableError.seal_broken(f"signing key {error.object_id}") from error
