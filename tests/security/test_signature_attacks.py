"""Attacks on the choice of the key and the algorithm, and on signatures, tried on every JWT format (RFC 8725, CVEs)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jwt
import pytest

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.signing.builders import (
    FOREIGN_SECRET,
    JWT_FORMATS,
    KEYS,
    NOW,
    SECRET,
    VONAGE,
    forge,
    genuine_signature,
    header_of,
    make_token,
    read_as,
    rejection,
    ring,
    ring_key,
    signing_key,
    trusted,
    verify,
)
from tokenauthority.domain.key import Algorithm, KeyState
from tokenauthority.domain.token import InactiveReason
from tokenauthority.domain.token_format import TokenFormat
from tokenauthority.signing.formats.registry import codec_of, read_token
from tokenauthority.signing.keyring import KeyRing


MALFORMED = InactiveReason.MALFORMED
SIGNATURE_INVALID = InactiveReason.SIGNATURE_INVALID
KEY_UNKNOWN = InactiveReason.KEY_UNKNOWN

each_jwt_format = pytest.mark.parametrize("token_format", JWT_FORMATS)


def _public_forms(key: Any) -> dict[str, bytes]:
    """The public half in every form that a confused library has taken for an HMAC secret."""
    public = key.public_key()
    algorithm = jwt.get_algorithm_by_name(
        "RS256" if hasattr(key, "private_numbers") and not hasattr(key, "curve") else "ES256"
    )
    return {
        "pem": public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "der": public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "jwk": algorithm.to_jwk(public).encode(),
        "openssh": public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
    }


def _hs256(secret: bytes) -> Callable[[bytes], bytes]:
    # Not by prepare_key, which is what refuses such secrets.
    return lambda signing_input: jwt.get_algorithm_by_name("HS256").sign(signing_input, secret)


@each_jwt_format
def test_a_forged_token_with_the_genuine_key_is_accepted(token_format: TokenFormat) -> None:
    """The control of all tests below: what they forge fails for the reason that they name."""
    token = forge(token_format)

    assert verify(make_token(token_format).token).claims.session_id == verify(token).claims.session_id


@each_jwt_format
@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE"])
def test_alg_none_is_refused_in_every_spelling(token_format: TokenFormat, alg: str) -> None:
    """CVE-2015-9235: neither an empty signature nor the genuine one makes `none` an algorithm."""
    header = header_of(token_format, alg=alg)

    empty = rejection(verify, forge(token_format, header=header, sign=lambda _: b""))
    genuine = rejection(verify, forge(token_format, header=header))

    assert (SIGNATURE_INVALID, SIGNATURE_INVALID) == (empty, genuine)


@each_jwt_format
@pytest.mark.parametrize("alg", [None, "", 256, ["HS256"], "hs256", "es256", "rs256", "HS512", "PS256"])
def test_alg_must_be_the_keys_own_to_the_letter(token_format: TokenFormat, alg: object) -> None:
    """The token never chooses: a missing, odd, other or differently spelt `alg` is refused."""
    answer = rejection(verify, forge(token_format, header=header_of(token_format, alg=alg)))

    assert (SIGNATURE_INVALID if isinstance(alg, str) else MALFORMED) == answer


@each_jwt_format
@pytest.mark.parametrize("alg", ["dir", "RSA1_5", "RSA-OAEP", "A256KW", "ECDH-ES", "PBES2-HS512+A256KW"])
def test_an_algorithm_of_encryption_is_refused(token_format: TokenFormat, alg: str) -> None:
    """CVE-2023-51774: a signed token is no encrypted one; and nothing is derived, however large `p2c` is."""
    header = header_of(token_format, alg=alg, p2c=2**31 - 1, p2s="c2FsdA", epk=dict(ring().active.public.jwk))
    with_enc = {**header, "enc": "A256GCM"}

    answers = [rejection(verify, forge(token_format, header=each)) for each in (header, with_enc)]

    assert [SIGNATURE_INVALID, MALFORMED] == answers


@pytest.mark.parametrize("form", ["pem", "der", "jwk", "openssh"])
@pytest.mark.parametrize("token_format", [TokenFormat.SESSION_JWT, TokenFormat.VONAGE_JWT])
def test_a_public_key_is_no_hmac_secret(token_format: TokenFormat, form: str) -> None:
    """RS to HS confusion (CVE-2022-29217, CVE-2024-33663, CVE-2026-48526): a public key makes no MAC."""
    key = ring().active.private_key if token_format is TokenFormat.SESSION_JWT else VONAGE.private_key
    secret = _public_forms(key)[form]

    answer = rejection(verify, forge(token_format, header=header_of(token_format, alg="HS256"), sign=_hs256(secret)))

    assert answer is SIGNATURE_INVALID


def test_a_project_secret_signs_no_native_token() -> None:
    """A tenant's HMAC key does not make SESSION_JWT tokens, even under the name of a real key."""
    header = header_of(TokenFormat.SESSION_JWT, alg="HS256")

    answer = rejection(verify, forge(TokenFormat.SESSION_JWT, header=header, sign=_hs256(SECRET.value.encode())))

    assert answer is SIGNATURE_INVALID


@pytest.mark.usefixtures("socket_disabled")
@pytest.mark.parametrize("name", ["jwk", "jku", "x5u", "x5c", "x5t"])
def test_a_key_that_the_token_brings_along_is_never_used(name: str) -> None:
    """Embedded and linked keys (CVE-2018-0114, SSRF by `jku`) are ignored, whoever signed the token."""
    attacker = signing_key(Algorithm.ES256, 7)
    value = {"jwk": dict(attacker.public.jwk), "x5c": ["MIIB"]}.get(name, "http://127.0.0.1:9/keys")
    ours = header_of(TokenFormat.SESSION_JWT, **{name: value})
    theirs = {**ours, "kid": attacker.key_id}

    def sign(signing_input: bytes) -> bytes:
        return jwt.get_algorithm_by_name("ES256").sign(signing_input, attacker.private_key)

    answers = [
        rejection(verify, forge(TokenFormat.SESSION_JWT, header=ours, sign=sign)),
        rejection(verify, forge(TokenFormat.SESSION_JWT, header=theirs, sign=sign)),
    ]

    assert [SIGNATURE_INVALID, KEY_UNKNOWN] == answers
    assert verify(forge(TokenFormat.SESSION_JWT, header=ours)).key_id == ring().active.key_id


@pytest.mark.parametrize(
    "kid",
    ["../../../dev/null", "' OR 1=1 --", "x\x00y", "/etc/passwd", "k" * 255, "*", " "],
    ids=["path", "sql", "nul", "file", "long", "ldap", "space"],
)
def test_kid_is_a_lookup_key_and_nothing_else(kid: str) -> None:
    """An injected `kid` is an unknown key."""
    header = header_of(TokenFormat.SESSION_JWT, kid=kid)

    assert rejection(verify, forge(TokenFormat.SESSION_JWT, header=header)) is KEY_UNKNOWN


@pytest.mark.parametrize("kid", [None, "", 7, ["a"], {}, "k" * 256])
def test_kid_must_be_a_string_of_sane_length(kid: object) -> None:
    """A `kid` that is missing, empty, very long or no string makes no token."""
    header = header_of(TokenFormat.SESSION_JWT, kid=kid)

    assert rejection(verify, forge(TokenFormat.SESSION_JWT, header=header)) is MALFORMED


def test_kid_of_a_key_of_another_algorithm_is_refused() -> None:
    """A token signed by our EdDSA key does not pass under the id of our ES256 key, nor the other way round."""
    ed_key = signing_key(Algorithm.EDDSA, 1)

    def sign(signing_input: bytes) -> bytes:
        return jwt.get_algorithm_by_name("EdDSA").sign(signing_input, ed_key.private_key)

    as_es256 = header_of(TokenFormat.SESSION_JWT, alg="EdDSA")
    as_itself = header_of(TokenFormat.SESSION_JWT, alg="EdDSA", kid=ed_key.key_id)
    answers = [
        rejection(verify, forge(TokenFormat.SESSION_JWT, header=as_es256, sign=sign)),
        rejection(verify, forge(TokenFormat.SESSION_JWT, header={**as_itself, "alg": "ES256"}, sign=sign)),
    ]

    assert [SIGNATURE_INVALID, SIGNATURE_INVALID] == answers
    assert verify(forge(TokenFormat.SESSION_JWT, header=as_itself, sign=sign)).key_id == ed_key.key_id


@pytest.mark.parametrize(
    "signature",
    [
        b"",
        bytes(64),
        bytes(32) + b"\x01".rjust(32, b"\x00"),
        b"\xff" * 64,
        bytes(63),
        bytes(65),
        bytes(128),
        encode_dss_signature(1, 1),
    ],
    ids=["none", "zero", "r0", "above_n", "63", "65", "128", "der_of_ones"],
)
def test_psychic_and_misshapen_ecdsa_signatures_are_refused(signature: bytes) -> None:
    """CVE-2022-21449 and its kin: r and s of 0 or above the order, no signature, one of another length."""
    answer = rejection(verify, forge(TokenFormat.SESSION_JWT, sign=lambda _: signature))

    assert answer is SIGNATURE_INVALID


def test_a_genuine_ecdsa_signature_in_der_or_padded_is_refused() -> None:
    """JWS has r and s in 64 bytes; the same numbers in DER or with zeros around are another signature."""

    def der(signing_input: bytes) -> bytes:
        raw = genuine_signature(TokenFormat.SESSION_JWT, signing_input)
        return encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))

    def padded(signing_input: bytes) -> bytes:
        raw = genuine_signature(TokenFormat.SESSION_JWT, signing_input)
        return raw[:32].rjust(33, b"\x00") + raw[32:].rjust(33, b"\x00")

    answers = [rejection(verify, forge(TokenFormat.SESSION_JWT, sign=sign)) for sign in (der, padded)]

    assert [SIGNATURE_INVALID, SIGNATURE_INVALID] == answers


@each_jwt_format
@pytest.mark.parametrize("length", [0, 1, 31])
def test_a_cut_off_signature_is_refused(token_format: TokenFormat, length: int) -> None:
    """The first bytes of the genuine signature are no signature."""
    answer = rejection(verify, forge(token_format, sign=lambda data: genuine_signature(token_format, data)[:length]))

    assert answer is SIGNATURE_INVALID


@each_jwt_format
@pytest.mark.parametrize(
    "typ", ["at+jwt", "application/at+jwt", "JOSE", "logout+jwt", "text/jwt", "text/session+jwt", "jwt;v=1", "", 7]
)
def test_a_jwt_of_another_type_is_refused(token_format: TokenFormat, typ: object) -> None:
    """Explicit typing: an access token of somebody else, even under our key, is no session token."""
    assert rejection(verify, forge(token_format, header=header_of(token_format, typ=typ))) is MALFORMED


@each_jwt_format
@pytest.mark.parametrize("other", JWT_FORMATS)
def test_no_token_passes_as_one_of_another_format(token_format: TokenFormat, other: TokenFormat) -> None:
    """Cross-JWT confusion: each codec refuses the others' tokens, and each verifier what it did not read."""
    token = make_token(token_format).token
    unverified = read_token(token)
    answers = [rejection(codec_of(each).verify, unverified, trusted()) for each in TokenFormat]

    assert (unverified if other is token_format else MALFORMED) == rejection(read_as, other, token)
    assert answers.count(KEY_UNKNOWN) == len(TokenFormat) - 1


@each_jwt_format
def test_the_typ_of_one_format_on_anothers_claims_is_refused(token_format: TokenFormat) -> None:
    """The type and the claims must agree."""
    typ = "JWT" if token_format is TokenFormat.SESSION_JWT else "session+jwt"

    assert rejection(verify, forge(token_format, header=header_of(token_format, typ=typ))) is MALFORMED


def test_an_opentok_rest_jwt_is_no_session_token() -> None:
    """The JWT with which an SDK signs its REST calls, under the same secret, joins no session."""
    payload = {"iss": "47000000", "ist": "project", "iat": NOW, "exp": NOW + 180, "jti": "x"}

    assert rejection(verify, forge(TokenFormat.OPENTOK_JWT, payload=payload)) is MALFORMED


def test_a_revoked_key_verifies_nothing() -> None:
    """A genuine token of a revoked key is refused, and so is one of a key that was never ours."""
    gone = signing_key(Algorithm.ES256)
    with_revoked = KeyRing(
        [ring_key(gone, KeyState.REVOKED), ring_key(signing_key(Algorithm.ES256, 3), KeyState.ACTIVE)]
    )
    without = KeyRing([ring_key(signing_key(Algorithm.ES256, 3), KeyState.ACTIVE)])

    assert [KEY_UNKNOWN, KEY_UNKNOWN] == [
        rejection(verify, make_token(TokenFormat.SESSION_JWT).token, KEYS, other) for other in (with_revoked, without)
    ]


@pytest.mark.parametrize("token_format", [TokenFormat.OPENTOK_JWT, TokenFormat.OPENTOK_T1])
def test_a_secret_of_another_project_verifies_nothing(token_format: TokenFormat) -> None:
    """Signed by a secret that is not the project's."""
    assert rejection(verify, make_token(token_format, key=FOREIGN_SECRET).token) is SIGNATURE_INVALID
