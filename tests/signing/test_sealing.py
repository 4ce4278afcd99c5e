"""Sealing at rest."""

from __future__ import annotations

import base64

import pytest

from hypothesis import given
from hypothesis import strategies as st

from tokenauthority.signing.sealing import MasterKey, SealBrokenError, Sealer, SealProblem


KEY = MasterKey(bytes(range(32)))
OTHER = MasterKey(bytes(range(1, 33)))
SEALED = Sealer(KEY).seal(b"hunter2", purpose="signing_key", object_id="k1")

names = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def _problem(sealer: Sealer, sealed: bytes, purpose: str = "signing_key", object_id: str = "k1") -> SealProblem:
    with pytest.raises(SealBrokenError) as caught:
        sealer.open(sealed, purpose=purpose, object_id=object_id)
    return caught.value.problem


@given(st.binary(max_size=300), names, names)
def test_what_is_sealed_opens(plaintext: bytes, purpose: str, object_id: str) -> None:
    """Any bytes, for any object."""
    sealed = Sealer(KEY).seal(plaintext, purpose=purpose, object_id=object_id)

    assert plaintext == Sealer(KEY).open(sealed, purpose=purpose, object_id=object_id)


@given(st.integers(0, len(SEALED) - 1), st.integers(1, 255))
def test_a_changed_byte_is_found(index: int, change: int) -> None:
    """Anywhere in the envelope: damaged, or in the bytes that name the master key, another one's."""
    damaged = SEALED[:index] + bytes([SEALED[index] ^ change]) + SEALED[index + 1 :]

    expected = SealProblem.OTHER_MASTER_KEY if 1 <= index <= 8 else SealProblem.DAMAGED
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


def test_another_master_key_is_distinguished_from_damage() -> None:
    """The message names the object and the master key's id, and holds neither key nor content."""
    with pytest.raises(SealBrokenError, match=r"^signing_key k1: sealed under the master key") as caught:
        Sealer(OTHER).open(SEALED, purpose="signing_key", object_id="k1")

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
    opened = both.open(SEALED, purpose="signing_key", object_id="k1")
    resealed = both.seal(opened, purpose="signing_key", object_id="k1")

    assert b"hunter2" == opened == Sealer(OTHER).open(resealed, purpose="signing_key", object_id="k1")
    assert (False, True) == (both.is_current(SEALED), both.is_current(resealed))


def test_no_two_envelopes_are_alike() -> None:
    """Each has a nonce of its own, and none shows its content."""
    envelopes = {Sealer(KEY).seal(b"hunter2", purpose="p", object_id="i") for _ in range(100)}

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
