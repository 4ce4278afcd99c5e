"""The reading of compact JWS and the prepared keys, apart from any format."""

from __future__ import annotations

import base64
import binascii
import json

from collections.abc import Mapping

import jwt
import pytest

from cryptography.exceptions import InternalError, InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import HMACAlgorithm
from jwt.utils import der_to_raw_signature

from tests.signing.builders import SECRET, VONAGE, b64url, rejection, signing_key
from tokenauthority.domain.key import Algorithm
from tokenauthority.domain.token import InactiveReason, TokenRejectedError
from tokenauthority.signing.claims import Json
from tokenauthority.signing.jose import (
    LocalSigner,
    SignatureVerifier,
    decode_segment,
    encode_segment,
    parse_compact,
    parse_raw,
)


SIGNERS = {
    "HS256": (SECRET.signer, SECRET.verifier),
    "RS256": (VONAGE.signer, VONAGE.verifier),
    **{a.value: (signing_key(a).signer, signing_key(a).public.verifier) for a in (Algorithm.ES256, Algorithm.EDDSA)},
}
each_algorithm = pytest.mark.parametrize("algorithm", SIGNERS)


@given(st.binary(max_size=200))
def test_a_segment_comes_back_as_it_was(data: bytes) -> None:
    """What is encoded is unpadded base64url, and decodes."""
    segment = encode_segment(data)

    assert b64url(data).encode() == segment
    assert data == decode_segment(segment, "segment")


@given(st.text("ABCDabcd0189-_+/= ").map(str.encode))
def test_a_segment_is_decoded_only_from_its_one_spelling(segment: bytes) -> None:
    """Either refused, or exactly what its bytes encode to."""
    data = _data_of(segment)

    canonical = b64url(data).encode() == segment
    assert (data if canonical else InactiveReason.MALFORMED) == rejection(decode_segment, segment, "segment")


@each_algorithm
def test_what_is_signed_pyjwt_verifies(algorithm: str) -> None:
    """A prepared signer makes what an independent reading of the standard accepts."""
    signer, _ = SIGNERS[algorithm]
    key = {
        "HS256": SECRET.value,
        "RS256": VONAGE.private_key.public_key(),
        "ES256": jwt.PyJWK(signing_key(Algorithm.ES256).public.jwk).key,
        "EdDSA": jwt.PyJWK(signing_key(Algorithm.EDDSA).public.jwk).key,
    }[algorithm]

    token = signer.sign(b'{"a":"b"}')[0]

    assert {"a": "b"} == jwt.decode(token, key, algorithms=[algorithm])


@each_algorithm
def test_a_key_verifies_what_it_signed_and_nothing_else(algorithm: str) -> None:
    """The signature returned is the token's, and holds for this payload under this key alone."""
    signer, verifier = SIGNERS[algorithm]
    token, signature = signer.sign(b'{"a":"b"}')
    other = parse_compact(signer.sign(b'{"a":"c"}')[0])
    mixed = parse_compact(f"{token.rpartition('.')[0]}.{b64url(other.signature)}")

    assert signature == parse_compact(token).signature
    assert {name: name == algorithm for name in SIGNERS} == {
        name: each.holds(parse_compact(token)) for name, (_, each) in SIGNERS.items()
    }
    assert not verifier.holds(mixed)
    with pytest.raises(TokenRejectedError):
        verifier.verify(mixed)


def test_es256_signatures_have_64_bytes_whatever_their_numbers() -> None:
    """Of many signatures, with and without a sign byte in their DER, each is r and s of 32 bytes."""
    signer, verifier = SIGNERS["ES256"]
    raw = [parse_raw(signer.sign(b"{}")[0]) for _ in range(600)]

    assert {64} == {len(jws.signature) for jws in raw}
    assert all(verifier.holds(jws) for jws in raw)
    # About half have an r with a sign byte in DER; short integers, which are rare, have a test of their own below.
    assert {True, False} == {jws.signature[0] >= 0x80 for jws in raw}


@pytest.mark.parametrize(
    ("r", "s"),
    [(1, 1), (2**248 - 1, 2**255), (2**255, 1), (2**255 - 1, 2**256 - 2**32), (2**127, 2**128)],
)
def test_es256_der_is_turned_into_r_and_s_as_pyjwt_does(r: int, s: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Short integers are filled up with zeros in front, and the sign byte of high ones is dropped."""

    class FixedKey:
        """A P-256 key whose next signature is known."""

        def sign(self, message: bytes, algorithm: object) -> bytes:
            return encode_dss_signature(r, s)

    signer = signing_key(Algorithm.ES256, 9).signer
    monkeypatch.setattr(signer, "_key", FixedKey())

    signature = signer.sign(b"{}")[1]

    assert der_to_raw_signature(encode_dss_signature(r, s), SECP256R1()) == signature


@pytest.mark.parametrize(
    "error",
    [
        ValueError("a"),
        TypeError("a"),
        jwt.InvalidKeyError("a"),
        InvalidSignature(),
        UnsupportedAlgorithm("a"),
        InternalError("a", []),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_of_the_libraries_is_a_refusal(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever PyJWT or cryptography raise at an odd signature, the token is refused and nothing escapes."""

    class Failing(HMACAlgorithm):
        """HS256 that cannot verify."""

        def verify(self, msg: bytes, key: bytes, sig: bytes) -> bool:
            raise error

    verifier = SignatureVerifier({"HS256": SECRET.value.encode()})
    monkeypatch.setitem(verifier._keys, "HS256", (Failing(HMACAlgorithm.SHA256), SECRET.value.encode()))

    answer = rejection(verifier.verify, parse_compact(SECRET.signer.sign(b"{}")[0]))

    assert InactiveReason.SIGNATURE_INVALID is answer


def test_the_payload_keeps_its_order() -> None:
    """PHP's tokens are told by the order of their claims."""
    jws = parse_compact(SECRET.signer.sign(b'{"b":1,"a":2,"c":3}')[0])

    assert ["b", "a", "c"] == list(jws.payload)


@pytest.mark.parametrize("body", [b"", b"[]", b"1", b'"a"', b"null", b"{", b"{}{}", b"{'a':1}", b"{} x", b"\xff"])
def test_a_payload_that_is_no_object_is_raw_only(body: bytes) -> None:
    """`parse_raw` takes any payload, `parse_compact` a JSON object."""
    token = SECRET.signer.sign(body)[0]

    assert body == parse_raw(token).body
    with pytest.raises(TokenRejectedError) as caught:
        parse_compact(token)
    assert InactiveReason.MALFORMED is caught.value.reason


@pytest.mark.parametrize("header", [b"", b"[]", b"null", b"{}", b'{"alg":null}', b'{"alg":["HS256"]}', b"{"])
def test_a_header_that_is_no_object_with_an_algorithm_is_refused(header: bytes) -> None:
    """A header is a JSON object and names its algorithm."""
    with pytest.raises(TokenRejectedError) as caught:
        parse_raw(f"{b64url(header)}.{b64url(b'{}')}.AA")
    assert InactiveReason.MALFORMED is caught.value.reason


@pytest.mark.parametrize("header", [b'{"alg":"HS256","crit":["x"]}', b'{"alg":"HS256","alg":"none"}', b'{"typ":"JWT"}'])
def test_a_header_that_was_refused_is_refused_again(header: bytes) -> None:
    """Whatever is cached of headers."""
    for _ in range(3):
        with pytest.raises(TokenRejectedError) as caught:
            parse_raw(f"{b64url(header)}.{b64url(b'{}')}.AA")
        assert InactiveReason.MALFORMED is caught.value.reason


@given(st.lists(st.sampled_from(["HS256", "ES256", "none", "hs256"]), min_size=2), st.booleans())
def test_each_token_has_its_own_header(algorithms: list[str], long: bool) -> None:  # noqa: FBT001 - drawn by hypothesis
    """Also where others came before, and where a header is too long for the cache."""
    kid = "k" * (600 if long else 6)
    for number, algorithm in enumerate(algorithms):
        header = {"alg": algorithm, "typ": f"Application/{number}", "kid": kid}
        jws = parse_raw(f"{b64url(json.dumps(header).encode())}.{b64url(b'{}')}.AA")

        assert (header, algorithm, str(number)) == (jws.header, jws.algorithm, jws.media_type)


def test_short_headers_are_cached_and_only_the_last_256() -> None:
    """Strangers choose the headers, so the cache has a bound in entries and in bytes."""

    def header(number: int, filler: int) -> Mapping[str, Json]:
        text = b'{"alg":"HS256","kid":"%d","x":"%b"}' % (number, b"x" * filler)
        return parse_raw(f"{b64url(text)}.{b64url(b'{}')}.AA").header

    first, long = header(0, 100), header(0, 200)
    assert header(0, 100) is first
    assert header(0, 200) is not long
    for number in range(255):
        header(number + 1, 100)
    assert header(0, 100) is first
    for number in range(256):
        header(number + 1000, 100)
    assert header(0, 100) is not first


def test_a_key_prepared_for_one_algorithm_is_refused_by_another() -> None:
    """A signer or verifier cannot be built over a key of another kind."""
    ec_key = signing_key(Algorithm.ES256).private_key

    for algorithm in ("RS256", "EdDSA", "HS256"):
        with pytest.raises((jwt.InvalidKeyError, TypeError)):
            LocalSigner(algorithm, ec_key, {"alg": algorithm})
    with pytest.raises(jwt.InvalidKeyError):
        SignatureVerifier({"HS256": json.dumps(signing_key(Algorithm.ES256).public.jwk).encode()})


def _data_of(segment: bytes) -> bytes:
    """A lax decoding of *segment*, as many libraries do it."""
    try:
        return base64.urlsafe_b64decode(segment + b"==")
    except binascii.Error:
        return b""
