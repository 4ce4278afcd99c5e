"""Sealing at rest."""

from __future__ import annotations

import base64

import pytest

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from tokenauthority.signing.sealing import Facts, MasterKey, SealBrokenError, Sealer, SealProblem, is_version_1


KEY = MasterKey(bytes(range(32)))
OTHER = MasterKey(bytes(range(1, 33)))
FACTS: Facts = {"state": "active", "expire_time": None, "create_time": 5, "ids": ["a", "b"]}
SEALED = Sealer(KEY).seal(b"hunter2", purpose="signing_key", object_id="k1", facts=FACTS)

names = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


facts_of_any_object = st.dictionaries(names, st.none() | st.integers(-(2**63), 2**63 - 1) | names | st.lists(names))


def _problem(
    sealer: Sealer, sealed: bytes, purpose: str = "signing_key", object_id: str = "k1", facts: Facts = FACTS
) -> SealProblem:
    with pytest.raises(SealBrokenError) as caught:
        sealer.open(sealed, purpose=purpose, object_id=object_id, facts=facts)
    return caught.value.problem


@given(st.binary(max_size=300), names, names, facts_of_any_object)
def test_what_is_sealed_opens(plaintext: bytes, purpose: str, object_id: str, facts: Facts) -> None:
    """Any bytes, for any object."""
    sealed = Sealer(KEY).seal(plaintext, purpose=purpose, object_id=object_id, facts=facts)

    assert plaintext == Sealer(KEY).open(sealed, purpose=purpose, object_id=object_id, facts=facts)


@given(st.integers(0, len(SEALED) - 1), st.integers(1, 255))
def test_a_changed_byte_is_found(index: int, change: int) -> None:
    """Anywhere in the envelope: damaged, or in the bytes that name the master key, another one's."""
    damaged = SEALED[:index] + bytes([SEALED[index] ^ change]) + SEALED[index + 1 :]

    expected = SealProblem.OTHER_MASTER_KEY if 1 <= index <= 8 else SealProblem.DAMAGED
    if index == 0 and damaged[0] == 1:
        expected = SealProblem.EARLIER_VERSION
    assert expected is _problem(Sealer(KEY), damaged)


@given(st.integers(0, len(SEALED) - 1))
def test_a_cut_off_envelope_is_damaged(length: int) -> None:
    """No beginning of an envelope opens."""
    assert SealProblem.DAMAGED is _problem(Sealer(KEY), SEALED[:length])


@pytest.mark.parametrize(
    ("purpose", "object_id"), [("signing_key", "k2"), ("secret", "k1"), ("signing_keyk", "1"), ("", "signing_keyk1")]
)
def test_a_blob_does_not_open_as_another_objects(purpose: str, object_id: str) -> None:
    """Moved to another row or column it is damaged, even where purpose and id run together alike."""
    assert SealProblem.DAMAGED is _problem(Sealer(KEY), SEALED, purpose, object_id)


@given(facts_of_any_object, facts_of_any_object)
def test_a_blob_opens_for_no_other_facts(facts: Facts, others: Facts) -> None:
    """However alike they are: each name and value counts, with its type."""
    sealed = Sealer(KEY).seal(b"x", purpose="p", object_id="i", facts=facts)

    if facts == others:
        assert b"x" == Sealer(KEY).open(sealed, purpose="p", object_id="i", facts=facts)
    else:
        assert SealProblem.DAMAGED is _problem(Sealer(KEY), sealed, "p", "i", others)


@pytest.mark.parametrize(
    "facts",
    [
        {**FACTS, "state": "retired"},
        {**FACTS, "expire_time": 0},
        {**FACTS, "expire_time": ""},
        {**FACTS, "expire_time": "null"},
        {**FACTS, "create_time": "5"},
        {**FACTS, "ids": ["ab"]},
        {**FACTS, "ids": ["b", "a"]},
        {**FACTS, "ids": "ab"},
        {**FACTS, "more": None},
        {"state": 'active","expire_time":null', "create_time": 5, "ids": ["a", "b"]},
        {},
    ],
)
def test_a_blob_does_not_open_after_a_fact_was_changed(facts: Facts) -> None:
    """Nor where facts run together alike."""
    assert SealProblem.DAMAGED is _problem(Sealer(KEY), SEALED, facts=facts)


def _version_1(key: MasterKey, plaintext: bytes, purpose: str, object_id: str) -> bytes:
    """An envelope as the first version of the program made it."""
    header, nonce = b"\x01" + bytes.fromhex(key.key_id), bytes(12)
    bound = header + len(purpose).to_bytes(2, "big") + purpose.encode() + object_id.encode()
    return header + nonce + AESGCM(key.value).encrypt(nonce, plaintext, bound)


def test_an_envelope_of_version_1_opens_only_where_that_is_asked_for() -> None:
    """It is bound to purpose and id alone, so that a row with it could be moved."""
    sealed = _version_1(KEY, b"hunter2", "signing_key", "k1")

    assert SealProblem.EARLIER_VERSION is _problem(Sealer(KEY), sealed)
    assert b"hunter2" == Sealer(OTHER, KEY).open_version_1(sealed, purpose="signing_key", object_id="k1")
    assert not Sealer(KEY).is_current(sealed)
    assert is_version_1(sealed)
    for envelope, object_id in ((sealed, "k2"), (SEALED, "k1"), (b"\x01" + SEALED[1:], "k1")):
        with pytest.raises(SealBrokenError):
            Sealer(OTHER, KEY).open_version_1(envelope, purpose="signing_key", object_id=object_id)


def test_the_master_key_that_seals_opens_nothing_of_version_1() -> None:
    """Old envelopes that somebody puts back would open else."""
    sealed = _version_1(KEY, b"hunter2", "signing_key", "k1")
    with pytest.raises(SealBrokenError) as caught:
        Sealer(KEY, OTHER).open_version_1(sealed, purpose="signing_key", object_id="k1")

    assert SealProblem.EARLIER_VERSION is caught.value.problem


def test_another_master_key_is_distinguished_from_damage() -> None:
    """The message names the object and the master key's id, and holds neither key nor content."""
    with pytest.raises(SealBrokenError, match=r"^signing_key k1: sealed under the master key") as caught:
        Sealer(OTHER).open(SEALED, purpose="signing_key", object_id="k1", facts=FACTS)

    assert SealProblem.OTHER_MASTER_KEY is caught.value.problem
    assert ("signing_key", "k1") == (caught.value.purpose, caught.value.object_id)
    assert KEY.key_id in str(caught.value)
    assert KEY.value.hex() not in str(caught.value)


def test_the_header_cannot_be_swapped_for_another_keys() -> None:
    """An envelope that claims another of the sealer's keys is damaged."""
    swapped = SEALED[:1] + bytes.fromhex(OTHER.key_id) + SEALED[9:]

    assert SealProblem.DAMAGED is _problem(Sealer(KEY, OTHER), swapped)


def test_the_master_key_can_be_changed() -> None:
    """The first key seals, all open, and what is not under the first is told."""
    both = Sealer(OTHER, KEY)
    opened = both.open(SEALED, purpose="signing_key", object_id="k1", facts=FACTS)
    resealed = both.seal(opened, purpose="signing_key", object_id="k1", facts=FACTS)

    assert b"hunter2" == opened == Sealer(OTHER).open(resealed, purpose="signing_key", object_id="k1", facts=FACTS)
    assert (False, True) == (both.is_current(SEALED), both.is_current(resealed))


def test_no_two_envelopes_are_alike() -> None:
    """Each has a nonce of its own, and none shows its content."""
    envelopes = {Sealer(KEY).seal(b"hunter2", purpose="p", object_id="i", facts={}) for _ in range(100)}

    assert 100 == len(envelopes) == len({envelope[9:21] for envelope in envelopes})
    assert not [envelope for envelope in envelopes if b"hunter2" in envelope]


def test_a_sealer_needs_a_key() -> None:
    """Without a master key nothing is sealed, rather than in clear."""
    with pytest.raises(ValueError, match="needs a master key"):
        Sealer()


@pytest.mark.parametrize(
    "text",
    [
        KEY.value.hex(),
        KEY.value.hex().upper(),
        base64.b64encode(KEY.value).decode(),
        base64.urlsafe_b64encode(KEY.value).decode().rstrip("="),
        f"\n {KEY.value.hex()}\n",
        KEY.reveal(),
    ],
)
def test_a_master_key_is_read_from_hex_and_base64(text: str) -> None:
    """As `openssl rand` writes it, with the line end of its file."""
    assert KEY == MasterKey.parse(text)


@given(st.binary(min_size=32, max_size=32))
def test_any_master_key_is_read_in_every_form(value: bytes) -> None:
    """Including those whose base64 has the characters that differ."""
    forms = [value.hex(), base64.b64encode(value).decode(), base64.urlsafe_b64encode(value).decode()]

    assert [MasterKey(value)] * 3 == [MasterKey.parse(form) for form in forms]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hunter2",
        "0" * 63,
        "0" * 65,
        "g" * 64,
        "A" * 42,
        "A" * 42 + "B",
        "A" * 43 + "==",
        "A" * 44,
        "é" * 43,
        "0x" + "0" * 62,
    ],
)
def test_anything_else_is_no_master_key_and_is_not_shown(text: str) -> None:
    """The error has a fixed text."""
    with pytest.raises(ValueError, match=r"^a master key is 32 random bytes as 64 hex characters or in base64$"):
        MasterKey.parse(text)


@pytest.mark.parametrize("length", [0, 16, 24, 31, 33])
def test_a_master_key_has_256_bits(length: int) -> None:
    """AES-128 and AES-192 keys are refused too."""
    with pytest.raises(ValueError, match="has 32 bytes"):
        MasterKey(bytes(length))


def test_a_master_key_does_not_show_itself() -> None:
    """`repr` has its id, which does not tell it; two new keys differ."""
    key, other = MasterKey.generate(), MasterKey.generate()

    assert key != other
    assert key == MasterKey.parse(key.reveal())
    assert f"MasterKey(key_id='{key.key_id}')" == repr(key)
    assert key.key_id not in key.value.hex()
