"""The classes of attack on JWT libraries that RFC 8725 and two decades of CVEs name, each tried on every format."""

from __future__ import annotations

import base64
import json

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
    SESSION,
    VONAGE,
    b64url,
    forge,
    genuine_signature,
    header_of,
    mint,
    payload_of,
    rejection,
    ring,
    ring_key,
    signing_key,
    verify,
)
from tokenauthority.domain.key import Algorithm, KeyState
from tokenauthority.domain.token import MAX_TOKEN, InactiveReason, TokenFormat
from tokenauthority.signing import formats, opentok_jwt, opentok_t1, session_jwt, vonage_jwt
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
    }


def _hs256(secret: bytes) -> Callable[[bytes], bytes]:
    # Not by prepare_key, which is what refuses such secrets.
    return lambda signing_input: jwt.get_algorithm_by_name("HS256").sign(signing_input, secret)


@each_jwt_format
def test_a_forged_token_with_the_genuine_key_is_accepted(token_format: TokenFormat) -> None:
    """The control of all tests below: what they forge fails for the reason that they name."""
    token = forge(token_format)

    assert verify(mint(token_format).token).claims.session_id == verify(token).claims.session_id


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


@pytest.mark.parametrize("form", ["pem", "der", "jwk"])
@pytest.mark.parametrize("token_format", [TokenFormat.SESSION_JWT, TokenFormat.VONAGE_JWT])
def test_a_public_key_is_no_hmac_secret(token_format: TokenFormat, form: str) -> None:
    """RS to HS confusion (CVE-2022-29217, CVE-2026-48526): HS256 under the public key proves nothing."""
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
    "extra",
    [
        {"crit": ["exp"]},
        {"crit": ["b64"], "b64": False},
        {"crit": []},
        {"b64": False},
        {"b64": True},
        {"zip": "DEF"},
        {"enc": "A128GCM"},
    ],
    ids=str,
)
def test_header_parameters_that_change_the_reading_are_refused(
    token_format: TokenFormat, extra: dict[str, object]
) -> None:
    """CVE-2026-32597, CVE-2025-59420: `crit` is not ignored; `b64`, `zip` and `enc` have no place here."""
    answer = rejection(verify, forge(token_format, header=header_of(token_format, **extra)))

    assert answer is MALFORMED


@each_jwt_format
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"role":', '"role":"moderator","role":'),
        ('"role":', '"r\\u006fle":"moderator","role":'),
        ('"scope":', '"x":{"a":1,"a":2},"scope":'),
        ('"scope":', '"x":[{"a":{"b":1,"b":1}}],"scope":'),
    ],
    ids=["twice", "escaped", "nested", "deeper"],
)
def test_a_claim_that_stands_twice_is_refused(token_format: TokenFormat, old: str, new: str) -> None:
    """Parsers differ on which one counts, at every level and in every spelling of the name."""
    payload = json.dumps(payload_of(token_format), separators=(",", ":"))
    doubled = payload.replace(old, new, 1)

    assert doubled != payload
    assert rejection(verify, forge(token_format, payload=doubled.encode())) is MALFORMED


@each_jwt_format
def test_a_header_parameter_that_stands_twice_is_refused(token_format: TokenFormat) -> None:
    """As for claims."""
    header = json.dumps(header_of(token_format)).replace('"alg"', '"alg": "none", "alg"', 1)

    assert rejection(verify, forge(token_format, header=header.encode())) is MALFORMED


@each_jwt_format
@pytest.mark.parametrize(
    "nested",
    ["[" * 16 + "]" * 16, '{"a":' * 16 + "1" + "}" * 16, "[" * 2000 + "]" * 2000, "[" * 14_000 + "]" * 14_000],
    ids=["list", "object", "deep", "deepest"],
)
def test_deep_nesting_is_refused(token_format: TokenFormat, nested: str) -> None:
    """No token drives a parser into its recursion limit."""
    payload = json.dumps(payload_of(token_format))[:-1] + f', "x": {nested}}}'

    assert rejection(verify, forge(token_format, payload=payload.encode())) is MALFORMED


@each_jwt_format
@pytest.mark.parametrize("name", ["iat", "exp"])
@pytest.mark.parametrize(
    "moment",
    [
        "NaN", "Infinity", "-Infinity", "1e999", "-1e999", "-1", "-0.5", "true", "null", '"1700000000"', "[1700000000]",
        "{}", "1" + "0" * 18, "9" * 31, "1" + "0" * 400, "9" * 5000, "1e300", "0." + "1" * 100,
    ],
    ids=lambda text: text[:14],
)  # fmt: skip
def test_a_moment_that_is_no_moment_is_refused(token_format: TokenFormat, name: str, moment: str) -> None:
    """Moments are finite numbers from 0 of a sane size: no constants, no booleans, no text, no huge integers."""
    payload = json.dumps(payload_of(token_format, **{name: "@"})).replace('"@"', moment)

    assert rejection(verify, forge(token_format, payload=payload.encode())) is MALFORMED


@each_jwt_format
def test_a_fractional_moment_is_cut_off(token_format: TokenFormat) -> None:
    """RFC 7519 allows fractions; a token never lives longer for one."""
    payload = payload_of(token_format, iat=NOW + 0.999, exp=NOW + 7.999)

    claims = verify(forge(token_format, payload=payload)).claims

    assert (NOW, NOW + 7) == (claims.issue_time, claims.expire_time)


@pytest.mark.parametrize("aud", [["47000000"], [], {"47000000": 1}, 47_000_000, "47000000 ", "*", "", None])
def test_aud_is_one_project_id_and_a_string(aud: object) -> None:
    """A list of audiences, or anything else that a lax check might match, makes no token."""
    payload = payload_of(TokenFormat.SESSION_JWT, aud=aud)

    assert rejection(verify, forge(TokenFormat.SESSION_JWT, payload=payload)) is MALFORMED


@pytest.mark.parametrize("iss", [["https://tokens.example"], {}, 7, "", None])
def test_iss_is_one_string(iss: object) -> None:
    """CVE-2024-53861 and its kin: an issuer is no list and no substring."""
    payload = payload_of(TokenFormat.SESSION_JWT, iss=iss)

    assert rejection(verify, forge(TokenFormat.SESSION_JWT, payload=payload)) is MALFORMED


@pytest.mark.parametrize("iss", ["https://tokens.exampl", "https://tokens.example/", "HTTPS://tokens.example", "x"])
def test_another_issuer_under_our_key_is_unknown(iss: str) -> None:
    """The issuer is compared whole."""
    payload = payload_of(TokenFormat.SESSION_JWT, iss=iss)

    assert rejection(verify, forge(TokenFormat.SESSION_JWT, payload=payload)) is KEY_UNKNOWN


@each_jwt_format
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "utf-8-sig", "latin-1"])
def test_json_in_another_encoding_is_refused(token_format: TokenFormat, encoding: str) -> None:
    """UTF-8 only: Python's json module would guess the others."""
    payload = json.dumps(payload_of(token_format, connection_data="é"), ensure_ascii=False).encode(encoding)

    assert rejection(verify, forge(token_format, payload=payload)) is MALFORMED


@each_jwt_format
@pytest.mark.parametrize("escape", ["\\ud800", "\\udfff", "\\udc00\\ud800", "\\uD83Dx"])
@pytest.mark.parametrize("place", ['"connection_data": "%s"', '"%s": 1', '"x": [{"a": "%s"}]'])
def test_a_lone_surrogate_is_refused(token_format: TokenFormat, escape: str, place: str) -> None:
    """It is no character, and would break whatever writes it down as UTF-8."""
    payload = json.dumps(payload_of(token_format))[:-1] + f", {place % escape}}}"

    assert rejection(verify, forge(token_format, payload=payload.encode())) is MALFORMED


@each_jwt_format
def test_a_surrogate_pair_is_a_character(token_format: TokenFormat) -> None:
    """The control of the test above, and how Python's SDK writes an emoji."""
    payload = json.dumps(payload_of(token_format))[:-1] + ', "connection_data": "\\ud83d\\ude00"}'

    assert verify(forge(token_format, payload=payload.encode())).claims.data == "😀"


@each_jwt_format
@pytest.mark.parametrize("segment", [0, 1, 2])
@pytest.mark.parametrize(
    "change", ["{}=", "{}==", " {}", "{} ", "{}\n", "\n{}", "{}\x00", "{}%3D", "{}?", "{}é", "{}+", "{}A"]
)
def test_a_segment_with_padding_white_space_or_strange_characters_is_refused(
    token_format: TokenFormat, segment: int, change: str
) -> None:
    """There is one way to write a token."""
    segments = mint(token_format).token.split(".")
    segments[segment] = change.format(segments[segment])

    answer = rejection(verify, ".".join(segments))

    # One more character of the alphabet may be canonical; then it is the signature that is wrong.
    assert answer in ((MALFORMED, SIGNATURE_INVALID) if change == "{}A" else (MALFORMED,))


@each_jwt_format
def test_trailing_bits_that_are_not_zero_are_refused(token_format: TokenFormat) -> None:
    """The last character of a segment has spare bits, which lax decoders ignore: a second token with one signature."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    token = mint(token_format).token
    sibling = token[:-1] + alphabet[alphabet.index(token[-1]) + 1]

    assert base64.urlsafe_b64decode(token.rpartition(".")[2] + "==") == base64.urlsafe_b64decode(
        sibling.rpartition(".")[2] + "=="
    )
    assert rejection(verify, sibling) is MALFORMED


@each_jwt_format
def test_the_other_base64_alphabet_is_refused(token_format: TokenFormat) -> None:
    """`+` and `/` are not in base64url."""
    signature = b"\xfb\xff" * 32

    answer = rejection(verify, f"{mint(token_format).token.rpartition('.')[0]}.{base64.b64encode(signature).decode()}")

    assert answer is MALFORMED


@each_jwt_format
def test_json_serialisation_is_refused(token_format: TokenFormat) -> None:
    """A compact token only; neither of the JSON forms of RFC 7515."""
    protected, payload, signature = mint(token_format).token.split(".")
    flattened = {"protected": protected, "payload": payload, "signature": signature}
    general = {"payload": payload, "signatures": [{"protected": protected, "signature": signature}]}

    assert [MALFORMED, MALFORMED] == [rejection(formats.parse, json.dumps(form)) for form in (flattened, general)]


@each_jwt_format
@pytest.mark.parametrize(
    "change", [lambda t: t.replace(".", "", 1), lambda t: t + ".", lambda t: t + ".YQ", lambda t: "." + t]
)
def test_a_wrong_number_of_segments_is_refused(token_format: TokenFormat, change: Callable[[str], str]) -> None:
    """Two, four or more."""
    assert rejection(formats.parse, change(mint(token_format).token)) is MALFORMED


@pytest.mark.parametrize("text", ["." * 40_000, "a." * 20_000, ".", "..", "...", "", "a.b.c", "A.A.A"])
def test_dots_alone_are_no_token(text: str) -> None:
    """CVE-2025-61920: nothing is split, decoded or parsed without bound."""
    assert rejection(formats.parse, text) is MALFORMED


@each_jwt_format
def test_an_oversized_token_is_refused_even_if_genuine(token_format: TokenFormat) -> None:
    """A token of one byte more than the limit is not looked at, and one just within it is good."""
    spare = MAX_TOKEN - len(forge(token_format, payload=payload_of(token_format, connection_data="x")))
    within = forge(token_format, payload=payload_of(token_format, connection_data="x" * (spare * 3 // 4 - 3)))
    beyond = forge(token_format, payload=payload_of(token_format, connection_data="x" * (spare * 3 // 4 + 9)))

    assert len(within) <= MAX_TOKEN < len(beyond)
    assert verify(within).claims.session_id == SESSION
    assert rejection(verify, beyond) is MALFORMED


def test_a_jwe_is_refused_before_anything_is_inflated() -> None:
    """CVE-2024-33664, CVE-2023-51774: an encrypted token is no token here, whatever its header says."""
    header = b64url(json.dumps({"alg": "dir", "enc": "A128GCM", "zip": "DEF"}).encode())

    assert [MALFORMED, MALFORMED] == [
        rejection(formats.parse, f"{header}..{'A' * 16}.{'A' * 400}.{'A' * 22}"),
        rejection(formats.parse, f"{header}.{'A' * 400}.{'A' * 22}"),
    ]


@each_jwt_format
@pytest.mark.parametrize(
    "typ", ["at+jwt", "JOSE", "jwt", "Session+jwt", "session+JWT", "application/session+jwt", "", 7]
)
def test_a_jwt_of_another_type_is_refused(token_format: TokenFormat, typ: object) -> None:
    """Explicit typing: an access token of somebody else, even under our key, is no session token."""
    assert rejection(verify, forge(token_format, header=header_of(token_format, typ=typ))) is MALFORMED


@each_jwt_format
@pytest.mark.parametrize("other", JWT_FORMATS)
def test_no_token_passes_as_one_of_another_format(token_format: TokenFormat, other: TokenFormat) -> None:
    """Cross-JWT confusion: each codec refuses the others' tokens, and each verifier what it did not read."""
    codec = {
        TokenFormat.SESSION_JWT: session_jwt,
        TokenFormat.OPENTOK_JWT: opentok_jwt,
        TokenFormat.VONAGE_JWT: vonage_jwt,
    }[other]
    token = mint(token_format).token
    unverified = formats.parse(token)
    answers = [
        rejection(session_jwt.verify, unverified, ring(), "https://tokens.example"),
        rejection(opentok_jwt.verify, unverified, KEYS),
        rejection(vonage_jwt.verify, unverified, KEYS),
        rejection(opentok_t1.verify, unverified, KEYS),
    ]

    assert (unverified if other is token_format else MALFORMED) == rejection(codec.parse, token)
    assert answers.count(KEY_UNKNOWN) == 3


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
        rejection(verify, mint(TokenFormat.SESSION_JWT).token, KEYS, other) for other in (with_revoked, without)
    ]


@each_jwt_format
@pytest.mark.parametrize("scope", [None, "", "session.connect ", "session", ["session.connect"], "session.connect x"])
def test_another_scope_is_refused(token_format: TokenFormat, scope: object) -> None:
    """`scope` is exactly `session.connect`."""
    assert rejection(verify, forge(token_format, payload=payload_of(token_format, scope=scope))) is MALFORMED


@each_jwt_format
@pytest.mark.parametrize("session_id", [None, "", "x" * 256, 7, [SESSION]])
def test_a_session_id_of_no_sane_length_is_refused(token_format: TokenFormat, session_id: object) -> None:
    """1 to 255 characters, and a string."""
    payload = payload_of(token_format, session_id=session_id)

    assert rejection(verify, forge(token_format, payload=payload)) is MALFORMED


@pytest.mark.parametrize("token_format", [TokenFormat.OPENTOK_JWT, TokenFormat.OPENTOK_T1])
def test_a_secret_of_another_project_verifies_nothing(token_format: TokenFormat) -> None:
    """Signed by a secret that is not the project's."""
    codec = opentok_jwt if token_format is TokenFormat.OPENTOK_JWT else opentok_t1
    claims = verify(mint(token_format).token).claims

    assert rejection(verify, codec.encode(claims, FOREIGN_SECRET, 1).token) is SIGNATURE_INVALID
