"""The ring of signing keys and the key set that it publishes."""

from __future__ import annotations

import json
import re

import attrs
import jwt
import pytest

from hypothesis import given
from hypothesis import strategies as st

from tests.signing.builders import make_token, ring, ring_key, signing_key
from tokenauthority.domain.key import Algorithm, KeyState
from tokenauthority.domain.token_format import TokenFormat
from tokenauthority.signing.keyring import JsonWebKeySet, KeyRing, RingKey


POOL = [signing_key(Algorithm.ES256, number) for number in range(6)] + [signing_key(Algorithm.EDDSA, 1)]
UNKNOWN = signing_key(Algorithm.EDDSA, 2).key_id

INACTIVE = [state for state in KeyState if state is not KeyState.ACTIVE]

create_times = st.integers(0, 3)
entries = st.lists(
    st.tuples(st.sampled_from(POOL), st.sampled_from(KeyState), create_times),
    unique_by=lambda entry: entry[0].key_id,
).map(lambda drawn: [ring_key(*entry) for entry in drawn])


@st.composite
def ring_entries(draw: st.DrawFn) -> list[RingKey]:
    """Keys in any order and any states of which exactly one is ACTIVE."""
    keys = draw(st.lists(st.sampled_from(POOL), min_size=1, unique_by=lambda key: key.key_id))
    others = [ring_key(key, draw(st.sampled_from(INACTIVE)), draw(create_times)) for key in keys[1:]]
    return draw(st.permutations([ring_key(keys[0], KeyState.ACTIVE, draw(create_times)), *others]))


def _states(keys: list[RingKey], state: KeyState) -> list[str]:
    return [entry.stored.key_id for entry in keys if entry.stored.state is state]


@given(entries)
def test_a_ring_has_exactly_one_active_key_or_does_not_exist(keys: list[RingKey]) -> None:
    """The active key is the one that is ACTIVE; with none or several there is no ring."""
    active = _states(keys, KeyState.ACTIVE)
    if len(active) != 1:
        with pytest.raises(ValueError, match="needs exactly 1 active"):
            KeyRing(keys)
        return

    assert active[0] == KeyRing(keys).active.key_id


@given(ring_entries())
def test_every_key_verifies_until_it_is_revoked(keys: list[RingKey]) -> None:
    """PREPARED, ACTIVE and RETIRED keys verify; REVOKED ones do not, and are told from unknown ones."""
    ring = KeyRing(keys)

    for entry in keys:
        revoked = entry.stored.state is KeyState.REVOKED
        assert (None if revoked else entry.key.public) == ring.verifying(entry.stored.key_id)
        assert revoked == ring.is_revoked(entry.stored.key_id)
    assert (None, False) == (ring.verifying(UNKNOWN), ring.is_revoked(UNKNOWN))


@given(ring_entries(), st.data())
def test_the_order_is_newest_first_however_the_keys_come(keys: list[RingKey], data: st.DataObject) -> None:
    """By when they were made, and for a tie by id, so that two servers publish one document."""
    ring = KeyRing(keys)

    order = [(entry.stored.create_time, entry.stored.key_id) for entry in ring.entries]
    assert sorted(order, reverse=True) == order
    assert ring == KeyRing(data.draw(st.permutations(keys)))
    published = {entry.stored.key_id for entry in keys} - set(_states(keys, KeyState.REVOKED))
    assert [key_id for _, key_id in order if key_id in published] == [key.key_id for key in ring.published]


def test_no_id_may_stand_twice() -> None:
    """Two entries for one key would let a revoked one come back."""
    key = signing_key(Algorithm.ES256)

    with pytest.raises(ValueError, match="one id"):
        KeyRing([ring_key(key), ring_key(key, KeyState.REVOKED)])


@pytest.mark.parametrize("changes", [{"key_id": "x"}, {"algorithm": Algorithm.EDDSA}])
def test_a_key_must_be_the_one_that_is_stored(changes: dict[str, object]) -> None:
    """A private key under another's id or algorithm is refused."""
    key = signing_key(Algorithm.ES256)

    with pytest.raises(ValueError, match="is stored with the key of"):
        RingKey(attrs.evolve(ring_key(key).stored, **changes), key)  # type: ignore[arg-type]  # each is of its field's type


def test_a_ring_does_not_change() -> None:
    """A rotation makes a new ring."""
    ring = KeyRing([ring_key(signing_key(Algorithm.ES256))])

    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        ring.active = signing_key(Algorithm.ES256, 1)  # type: ignore[misc]  # that is the point


def test_anyone_verifies_a_native_token_with_the_document() -> None:
    """PyJWT's own client finds the key by `kid` and accepts the token."""
    key_set = jwt.PyJWKSet.from_json(JsonWebKeySet.from_ring(ring()).body.decode())
    token = make_token(TokenFormat.SESSION_JWT).token

    key = key_set[jwt.get_unverified_header(token)["kid"]]

    options = {"verify_exp": False, "verify_aud": False}
    assert "session.connect" == jwt.decode(token, key, algorithms=["ES256"], options=options)["scope"]  # type: ignore[arg-type]  # a plain dict is an Options


def test_the_document_lists_all_that_verify_and_no_revoked_one() -> None:
    """Newest first."""
    keys = [
        ring_key(signing_key(Algorithm.ES256, 0), KeyState.ACTIVE, 2),
        ring_key(signing_key(Algorithm.ES256, 1), KeyState.PREPARED, 3),
        ring_key(signing_key(Algorithm.EDDSA, 1), KeyState.RETIRED, 1),
        ring_key(signing_key(Algorithm.ES256, 2), KeyState.REVOKED, 4),
    ]

    document = json.loads(JsonWebKeySet.from_ring(KeyRing(keys)).body)

    expected = [keys[1], keys[0], keys[2]]
    assert {"keys": [entry.key.public.jwk for entry in expected]} == document


def test_the_bytes_are_the_document_and_the_etag_theirs() -> None:
    """Strong, quoted, the same for the same keys and another for others."""
    key_set = JsonWebKeySet.from_ring(ring())

    assert {"keys": list(key_set.keys)} == json.loads(key_set.body)
    assert re.fullmatch(r'"[0-9a-f]{64}"', key_set.etag)
    assert key_set == JsonWebKeySet.from_ring(KeyRing(reversed(ring().entries)))
    assert key_set.etag != JsonWebKeySet.from_ring(ring(Algorithm.EDDSA)).etag


def test_a_reader_cannot_change_the_ring() -> None:
    """The keys are copies."""
    JsonWebKeySet.from_ring(ring()).keys[0]["kid"] = "changed"

    assert "changed" not in JsonWebKeySet.from_ring(ring()).body.decode()
