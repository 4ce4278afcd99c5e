"""A server believes what the seals of the key ring say, and nothing that a row says without one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import attrs
import pytest

from hypothesis import given
from hypothesis import strategies as st

from tests.authority.world import NOW, PERIOD, ROTATION
from tokenauthority.authority.credential_sealer import CredentialSealer
from tokenauthority.authority.sealed_ring import RingChange, SealedRing, change_ring, open_ring
from tokenauthority.domain import rotation
from tokenauthority.domain.errors import Reason, UnavailableError
from tokenauthority.domain.key import Algorithm, KeyState, StoredKey
from tokenauthority.domain.rotation import Ring
from tokenauthority.domain.times import Millis
from tokenauthority.signing.sealing import MasterKey, SealBrokenError, Sealer, SealProblem


CREDENTIALS: Final = CredentialSealer(Sealer(MasterKey(bytes(32))))
OTHERS: Final = CredentialSealer(Sealer(MasterKey(bytes([1] * 32))))
"""A server with another master key."""

LATER: Final = Millis(NOW + PERIOD)


def make_key(credentials: CredentialSealer = CREDENTIALS, **values: Any) -> StoredKey:
    """A key with *values*, sealed with them."""
    made = credentials.make_signing_key(Algorithm.ES256, NOW)
    return credentials.resealed_key(made, attrs.evolve(made, **values))


ACTIVE: Final = make_key(state=KeyState.ACTIVE, activate_time=NOW, sign_until=ROTATION.sign_until(NOW))
PREPARED: Final = make_key()
RETIRED: Final = make_key(state=KeyState.RETIRED, retire_time=NOW, expire_time=Millis(LATER + PERIOD))
RING: Final = (ACTIVE, PREPARED, RETIRED)
WHOLE: Final = open_ring(RING, {}, CREDENTIALS)


def change(
    rows: Sequence[StoredKey], rule: Callable[[Sequence[StoredKey]], Ring], ring: SealedRing = WHOLE
) -> RingChange:
    """What a server that has opened *ring* before makes of *rows*."""
    return change_ring(rows, open_ring(rows, ring.opened, CREDENTIALS), None, rule, CREDENTIALS)


def upkeep(now: Millis) -> Callable[[Sequence[StoredKey]], Ring]:
    """The next step, without a new key."""
    return lambda ring: rotation.maintained(ring, None, Algorithm.ES256, ROTATION, now)


def earlier(key: StoredKey, state: KeyState) -> StoredKey:
    """A row of *key* as it was before, with its seal."""
    begun = {"activate_time": NOW, "sign_until": ROTATION.sign_until(NOW)} if state is KeyState.ACTIVE else {}
    values: dict[str, Any] = {"activate_time": None, "sign_until": None, "retire_time": None, "expire_time": None}
    return CREDENTIALS.resealed_key(key, attrs.evolve(key, state=state, **values | begun))


EARLIER: Final = {
    ACTIVE.key_id: [earlier(ACTIVE, KeyState.PREPARED)],
    PREPARED.key_id: [PREPARED],
    RETIRED.key_id: [earlier(RETIRED, KeyState.PREPARED), earlier(RETIRED, KeyState.ACTIVE)],
}
"""All rows that each key ever had, before the present one."""

HEADERS: Final = [b"\x02" + bytes.fromhex(key_id) for key_id in (*CREDENTIALS.master_key_ids, *OTHERS.master_key_ids)]

ENVELOPES: Final = st.one_of(
    st.binary(max_size=60),
    st.sampled_from([row.sealed for row in (*RING, *(row for rows in EARLIER.values() for row in rows))]),
    st.just(make_key(OTHERS).sealed),
    st.builds(
        bytes.__add__, st.sampled_from([*HEADERS, b"\x02unknown.", b"\x01" + HEADERS[0][1:]]), st.binary(max_size=60)
    ),
)

FIELDS: Final = st.fixed_dictionaries(
    {},
    optional={
        "state": st.sampled_from(KeyState),
        **{
            name: st.none() | st.integers(0, 2**50)
            for name in ("activate_time", "sign_until", "retire_time", "expire_time")
        },
        "create_time": st.integers(0, 2**50),
        "location": st.sampled_from(["", "pkcs11:token=other"]),
        "sealed": ENVELOPES,
    },
)


def lies_about(key: StoredKey) -> st.SearchStrategy[StoredKey]:
    """A row with other values, or an earlier one."""
    return FIELDS.map(lambda values: attrs.evolve(key, **values)) | st.sampled_from(EARLIER[key.key_id])


ROWS: Final = st.tuples(*map(lies_about, RING))


def is_revoked_elsewhere(row: StoredKey) -> bool:
    """Whether it says REVOKED, and a master key that this server lacks seals it."""
    try:
        CREDENTIALS.open_signing_key(row)
    except SealBrokenError as error:
        return row.state is KeyState.REVOKED and error.problem is SealProblem.OTHER_MASTER_KEY
    return False


@given(ROWS)
def test_no_change_of_rows_changes_what_is_believed(rows: Sequence[StoredKey]) -> None:
    """Whatever is written into them: the ring is what it was, but for claims to be REVOKED; each such row is named."""
    ring = open_ring(rows, WHOLE.opened, CREDENTIALS)

    assert [key for row, key in zip(rows, RING, strict=True) if not is_revoked_elsewhere(row)] == list(ring.keys)
    assert {row.key_id for row, key in zip(rows, RING, strict=True) if row != key} == ring.broken.keys()


@given(ROWS, st.booleans())
def test_no_change_of_rows_loses_a_key(rows: Sequence[StoredKey], known: bool) -> None:  # noqa: FBT001 - hypothesis
    """Whether the server has opened the keys before or not, and whatever is due."""
    before = WHOLE if known else SealedRing()
    for now in (NOW, LATER):
        try:
            done = change(rows, upkeep(now), before)
        except UnavailableError as error:
            # The row seems to be under a master key that this server lacks, so it changes nothing.
            assert Reason.SEAL_BROKEN is error.reason  # noqa: PT017 - that it is refused at times is what is tested
            continue

        assert not done.left_out
        assert {key.key_id for key in rows} == {key.key_id for key in done.rows}
        if sum(key.state is KeyState.ACTIVE for key in rows) <= 1:
            assert sum(key.state is KeyState.ACTIVE for key in done.rows) <= 1
        for row, key in zip(rows, RING, strict=True):
            changed = next(after for after in done.rows if after.key_id == row.key_id)
            assert changed.sealed == row.sealed or CREDENTIALS.open_signing_key(changed).stored == changed, key


def test_a_key_that_is_over_is_left_out() -> None:
    """By the time that was sealed."""
    over = Millis(NOW + 10**12)

    assert (RETIRED,) == change(RING, upkeep(over)).left_out
    assert () == change((ACTIVE, PREPARED, attrs.evolve(RETIRED, retire_time=Millis(1))), upkeep(over)).left_out


def test_what_never_opened_is_not_in_the_ring() -> None:
    """And no rule sees it; a row that only says REVOKED is reported too."""
    invented = attrs.evolve(PREPARED, key_id="x" * 43)
    revoked = attrs.evolve(invented, key_id="y" * 43, state=KeyState.REVOKED)
    ring = open_ring((*RING, invented, revoked), {}, CREDENTIALS)
    done = change((*RING, invented, revoked), upkeep(LATER))

    assert RING == ring.keys
    assert [invented.key_id, revoked.key_id] == list(ring.broken)
    assert "signing-key " + invented.key_id in ring.problem
    assert ring.foreign is None
    assert {invented, revoked} <= set(done.rows)


def test_an_unopened_key_makes_room_for_the_one_that_signs() -> None:
    """The store can hold one ACTIVE key: a row that only says so does not stop the next one."""
    lies = attrs.evolve(ACTIVE, sign_until=Millis(1))
    done = change((lies, PREPARED), upkeep(NOW), SealedRing())

    assert {(lies.key_id, KeyState.RETIRED), (PREPARED.key_id, KeyState.ACTIVE)} == {
        (key.key_id, key.state) for key in done.rows
    }


def test_an_unopened_key_makes_room_for_the_one_whose_row_was_put_back() -> None:
    """Which is ACTIVE, and whose later row is written again."""
    active = CREDENTIALS.resealed_key(PREPARED, attrs.evolve(ACTIVE, key_id=PREPARED.key_id))
    retired = CREDENTIALS.resealed_key(ACTIVE, attrs.evolve(RETIRED, key_id=ACTIVE.key_id))
    known = open_ring((active, retired), {}, CREDENTIALS)
    lies = attrs.evolve(ACTIVE, sealed=b"swapped")
    done = change((lies, PREPARED), upkeep(NOW), known)

    assert [(lies.key_id, KeyState.RETIRED), (PREPARED.key_id, KeyState.ACTIVE)] == [
        (key.key_id, key.state) for key in done.rows
    ]


def test_a_key_that_another_master_key_seals_is_not_replaced() -> None:
    """The other servers sign with it. Nor is one written that this server knows as it was before."""
    foreign = make_key(OTHERS, state=KeyState.ACTIVE, activate_time=NOW)
    known_before = OTHERS.resealed_key(
        make_key(OTHERS), attrs.evolve(PREPARED, state=KeyState.RETIRED, retire_time=NOW)
    )
    for rows, before in (((foreign, PREPARED), SealedRing()), ((ACTIVE, known_before), WHOLE)):
        with pytest.raises(UnavailableError) as refused:
            change(rows, upkeep(LATER), before)
        assert Reason.SEAL_BROKEN is refused.value.reason
    ring = open_ring((foreign, PREPARED), {}, CREDENTIALS)

    assert ring.foreign is not None
    assert SealProblem.OTHER_MASTER_KEY is ring.foreign.problem


def test_a_revocation_under_another_master_key_counts() -> None:
    """A server that misses a master key must not go on with a revoked key; nobody gains by fewer valid keys."""
    revoked = OTHERS.resealed_key(make_key(OTHERS), attrs.evolve(ACTIVE, state=KeyState.REVOKED))

    ring = open_ring((revoked, PREPARED), WHOLE.opened, CREDENTIALS)

    assert (PREPARED,) == ring.keys
    assert [ACTIVE.key_id] == list(ring.broken)
    assert ring.foreign is None


def test_one_key_is_active() -> None:
    """The one whose row says so with its seal, also where its predecessor's row is damaged."""
    lies = attrs.evolve(ACTIVE, sign_until=Millis(1))
    next_one = CREDENTIALS.resealed_key(PREPARED, attrs.evolve(PREPARED, state=KeyState.ACTIVE))
    ring = open_ring((lies, next_one), WHOLE.opened, CREDENTIALS)

    assert [(ACTIVE.key_id, KeyState.RETIRED), (PREPARED.key_id, KeyState.ACTIVE)] == [
        (key.key_id, key.state) for key in ring.keys
    ]
