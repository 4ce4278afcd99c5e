"""The life of signing keys: pure rules from a ring and a moment to the next ring.

PREPARED (published, does not sign) -> ACTIVE (signs) -> RETIRED (verifies until the last token that it may have signed
has expired) -> deleted. A revoked key is REVOKED until it would have been deleted. There is always a PREPARED key, so
that a rotation, planned or not, never signs with a key that verifiers have not had the time to fetch.

A PREPARED key that is passed over becomes RETIRED too, as if it had signed until now: whoever writes the store may have
put its PREPARED row back after it signed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

import attrs

from tokenauthority.domain.errors import NotFoundError, PreconditionError, Reason
from tokenauthority.domain.key import Algorithm, KeyState, StoredKey
from tokenauthority.domain.revocation_index import CLOCK_MARGIN
from tokenauthority.domain.times import MAX_TTL, Millis, in_millis


MAX_PREPARED: Final = 4
"""The most PREPARED keys at once: every verifier fetches them all."""

MAX_RING: Final = 100
"""The most keys in a ring that a person may prepare: some JWKS readers accept no more."""

_MARGIN: Final = in_millis(CLOCK_MARGIN)

Ring: TypeAlias = "tuple[StoredKey, ...]"


@attrs.frozen
class Rotation:
    """How keys rotate, in milliseconds.

    `period` is how long a key signs. `publication` is how long it is published before it signs: the lifetime of a JWKS
    cache, and how far servers may lag behind each other.
    """

    period: Millis
    publication: Millis

    def sign_until(self, activate_time: Millis) -> Millis:
        """Return when a key stops signing that nothing replaces: an outage may delay that by a quarter of a period."""
        return Millis(activate_time + self.period + self.period // 4)

    def can_sign(self, key: StoredKey, now: Millis) -> bool:
        """Return whether *key* is PREPARED and has been published for long enough."""
        return key.state is KeyState.PREPARED and key.create_time + self.publication <= now


def is_over(key: StoredKey, now: Millis) -> bool:
    """Return whether the last token that *key* may have signed has expired, whatever leeway a verifier has."""
    return key.expire_time is not None and key.expire_time + _MARGIN <= now


def maintained(
    ring: Sequence[StoredKey],
    new_key: StoredKey | None,
    algorithm: Algorithm,
    rotation: Rotation,
    now: Millis,
    *,
    deletes_by: Millis | None = None,
) -> Ring:
    """Return the ring after the next step of its upkeep: delete expired keys, rotate, or add *new_key*.

    A ring that needs no step is returned equal. An empty ring needs two steps: the first *new_key* becomes ACTIVE at
    once, because no verifier has fetched any key yet, and the second stays PREPARED. A ring that has lost its ACTIVE
    key activates the newest PREPARED one. *new_key* is a PREPARED key of *algorithm*, or None if there is none to add.
    *deletes_by* is the time by which keys are deleted, for a clock that somebody may have set ahead; None is *now*.
    """
    remaining = tuple(key for key in ring if not is_over(key, now if deletes_by is None else deletes_by))
    active = _active(remaining)
    waiting = [key for key in remaining if key.state is KeyState.PREPARED]
    if active is None and not waiting:
        return remaining if new_key is None else (*remaining, _signing(new_key, rotation, now))
    ready = [key for key in waiting if rotation.can_sign(key, now)]
    ready = [key for key in ready if key.algorithm is algorithm] or ready
    if active is None:
        return _with_active(remaining, _newest(ready or waiting), rotation, now)
    if ready and now >= _rotation_time(active, rotation):
        return _with_active(remaining, _newest(ready), rotation, now)
    if new_key is not None and _lacks_prepared(remaining, algorithm):
        return (*remaining, new_key)
    return remaining


def needs_new_key(ring: Sequence[StoredKey], algorithm: Algorithm, rotation: Rotation, now: Millis) -> bool:
    """Return whether the next step of `maintained` would add a new key."""
    following = maintained(ring, None, algorithm, rotation, now)
    active, before = _active(following), _active(ring)
    if (active and active.key_id) != (before and before.key_id):
        return False
    return active is None or _lacks_prepared(following, algorithm)


def next_step(
    ring: Sequence[StoredKey],
    algorithm: Algorithm,
    rotation: Rotation,
    now: Millis,
    *,
    deletes_by: Millis | None = None,
) -> Millis:
    """Return when `maintained` will next change *ring*, at the earliest; *now* or earlier if it would now."""
    active = _active(ring)
    prepared = [key for key in ring if key.state is KeyState.PREPARED]
    if active is None or _lacks_prepared(ring, algorithm):
        return now
    first_ready = min(Millis(key.create_time + rotation.publication) for key in prepared)
    steps = [max(_rotation_time(active, rotation), first_ready)]
    behind = 0 if deletes_by is None else now - deletes_by
    steps += [Millis(key.expire_time + _MARGIN + behind) for key in ring if key.expire_time is not None]
    return min(steps)


def prepared(ring: Sequence[StoredKey], new_key: StoredKey) -> Ring:
    """Return the ring with one more PREPARED key, or raise `KEY_STATE`: it has four, or a hundred keys in all."""
    waiting = sum(key.state is KeyState.PREPARED for key in ring)
    if waiting >= MAX_PREPARED:
        raise _state(new_key.key_id, f"{waiting} keys are PREPARED already: activate or revoke one first")
    if len(ring) >= MAX_RING:
        raise _state(new_key.key_id, f"the ring has {len(ring)} keys already: older ones must expire first")
    return (*ring, new_key)


def activated(ring: Sequence[StoredKey], key_id: str, rotation: Rotation, now: Millis) -> Ring:
    """Return the ring in which the PREPARED key *key_id* signs.

    Raises:
        NotFoundError: `KEY_NOT_FOUND`.
        PreconditionError: `KEY_STATE`, it is not PREPARED, or not published for long enough.
    """
    key = _found(ring, key_id)
    if key.state is not KeyState.PREPARED:
        raise _state(key_id, f"the key is {key.state.name}, not PREPARED")
    if not rotation.can_sign(key, now):
        left = key.create_time + rotation.publication - now
        once = f"once it has been published for {rotation.publication // 1000}s"
        raise _state(key_id, f"verifiers may not have fetched the key yet: it can sign in {-(-left // 1000)}s, {once}")
    return _with_active(ring, key, rotation, now)


def revoked(ring: Sequence[StoredKey], key_id: str, rotation: Rotation, now: Millis) -> Ring:
    """Return the ring in which *key_id* is REVOKED; if it was ACTIVE, a PREPARED key replaces it.

    The newest PREPARED key that verifiers have had the time to fetch is chosen. A second revocation changes nothing.

    Raises:
        NotFoundError: `KEY_NOT_FOUND`.
        PreconditionError: `KEY_STATE`, it is ACTIVE and no key is PREPARED.
    """
    key = _found(ring, key_id)
    if key.state is KeyState.REVOKED:
        return tuple(ring)
    if key.state is KeyState.ACTIVE:
        waiting = [other for other in ring if other.state is KeyState.PREPARED]
        if not waiting:
            raise _state(key_id, "the key signs and none is PREPARED to take its place: prepare one first")
        ready = [other for other in waiting if rotation.can_sign(other, now)]
        ring = _with_active(ring, _newest(ready or waiting), rotation, now)
        key = _found(ring, key_id)
    retire_time = now if key.retire_time is None else key.retire_time
    expire_time = _expire_time(key, now)
    changed = attrs.evolve(key, state=KeyState.REVOKED, retire_time=retire_time, expire_time=expire_time)
    return tuple(changed if other.key_id == key_id else other for other in ring)


def _with_active(ring: Sequence[StoredKey], chosen: StoredKey, rotation: Rotation, now: Millis) -> Ring:
    """Return the ring in which *chosen* signs; its predecessor and older PREPARED keys are RETIRED."""
    following = []
    for key in ring:
        if key.key_id == chosen.key_id:
            following.append(_signing(key, rotation, now))
        elif key.state is KeyState.ACTIVE:
            following.append(_retired(key, _expire_time(key, now), now))
        elif key.state is KeyState.PREPARED and key.create_time <= chosen.create_time:
            following.append(_retired(key, _expire_time(_signing(key, rotation, now), now), now))
        else:
            following.append(key)
    return tuple(following)


def _retired(key: StoredKey, expire_time: Millis, now: Millis) -> StoredKey:
    return attrs.evolve(key, state=KeyState.RETIRED, retire_time=now, expire_time=expire_time)


def _signing(key: StoredKey, rotation: Rotation, now: Millis) -> StoredKey:
    return attrs.evolve(key, state=KeyState.ACTIVE, activate_time=now, sign_until=rotation.sign_until(now))


def _expire_time(key: StoredKey, now: Millis) -> Millis:
    """Return when the last token of *key* expires; a server without the store may sign until the key's `sign_until`.

    It is never earlier than before: the clock may have been set back since.
    """
    last_signature = now if key.sign_until is None else max(now, key.sign_until)
    expire_time = Millis(last_signature + in_millis(MAX_TTL))
    return expire_time if key.expire_time is None else max(expire_time, key.expire_time)


def _rotation_time(active: StoredKey, rotation: Rotation) -> Millis:
    began = active.create_time if active.activate_time is None else active.activate_time
    end = Millis(began + rotation.period)
    if active.sign_until is None:
        return end
    # A shorter period than at the key's activation replaces it earlier. A longer one does not delay that: after
    # `sign_until` nothing would sign until the next upkeep.
    return Millis(min(end, began + (active.sign_until - began) * 4 // 5))


def _active(ring: Sequence[StoredKey]) -> StoredKey | None:
    return next((key for key in ring if key.state is KeyState.ACTIVE), None)


def _lacks_prepared(ring: Sequence[StoredKey], algorithm: Algorithm) -> bool:
    return not any(key.state is KeyState.PREPARED and key.algorithm is algorithm for key in ring)


def _newest(keys: Sequence[StoredKey]) -> StoredKey:
    return max(keys, key=lambda key: (key.create_time, key.key_id))


def _found(ring: Sequence[StoredKey], key_id: str) -> StoredKey:
    found = next((key for key in ring if key.key_id == key_id), None)
    if found is None:
        raise NotFoundError(Reason.KEY_NOT_FOUND, "signing key", key_id)
    return found


def _state(key_id: str, message: str) -> PreconditionError:
    return PreconditionError(Reason.KEY_STATE, key_id, message)
