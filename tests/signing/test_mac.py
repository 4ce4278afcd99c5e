"""HMACs under a key that is hashed once are those of RFC 2104, however many it makes."""

from __future__ import annotations

import hmac

import pytest

from hypothesis import given
from hypothesis import strategies as st

from tokenauthority.signing.mac import Mac


_TEXT = b"what do ya want for nothing?"


@pytest.mark.parametrize(
    ("digest", "expected"),
    [
        ("sha1", "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
        ("sha256", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
    ],
)
def test_each_hmac_is_that_of_its_message_alone(digest: str, expected: str) -> None:
    """The second cases of RFC 2202 and RFC 4231, twice, with another message between."""
    mac = Mac(b"Jefe", digest)
    first, _, again = (mac.of(message).hex() for message in (_TEXT, b"another", _TEXT))

    assert (expected, expected) == (first, again)


@pytest.mark.parametrize("size", [0, 1, 63, 64, 65, 127, 128, 129, 200])
@pytest.mark.parametrize("digest", ["sha1", "sha256", "sha384", "sha512"])
def test_a_key_of_any_length_makes_the_hmac_of_the_standard_library(digest: str, size: int) -> None:
    """Also one that is longer than a block of the hash, which is hashed before."""
    key = bytes(range(size))

    assert hmac.digest(key, _TEXT, digest) == Mac(key, digest).of(_TEXT)


@given(
    key=st.binary(max_size=200),
    digest=st.sampled_from(["sha1", "sha256", "sha384", "sha512"]),
    parts=st.lists(st.binary(max_size=300), min_size=1, max_size=4),
)
def test_it_is_that_of_the_standard_library(key: bytes, digest: str, parts: list[bytes]) -> None:
    """Also where the message is hashed in parts."""
    first, *others = parts
    mac = Mac(key, digest, first)
    for part in others:
        mac = mac.with_prefix(part)

    expected = hmac.digest(key, b"".join(parts) + b"rest", digest)
    assert (expected, expected) == (mac.of(b"rest"), Mac(key, digest).of(b"".join(parts) + b"rest"))


def test_holds_for_its_own_message_and_key_only() -> None:
    """A part of a signature is none."""
    mac = Mac(b"Jefe", "sha1")
    signature = mac.of(_TEXT)

    assert mac.holds(_TEXT, signature)
    assert not mac.holds(b"another", signature)
    assert not mac.holds(_TEXT, signature[:10])
    assert not Mac(b"another", "sha1").holds(_TEXT, signature)
