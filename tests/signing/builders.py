"""Keys, claims and forged tokens for the tests of the signing core."""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import itertools
import json
import math

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jwt
import msgspec

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from hypothesis import strategies as st

from tokenauthority.domain.ids import make_session_id
from tokenauthority.domain.key import Algorithm, KeyState, StoredKey
from tokenauthority.domain.profile import Profile, RealTimeServer, Table
from tokenauthority.domain.role import BUILT_IN_ROLES, Permission
from tokenauthority.domain.times import Millis, Seconds
from tokenauthority.domain.token import GeneratedToken, TokenClaims, TokenRejectedError, TokenTerms
from tokenauthority.domain.token_format import TokenFormat
from tokenauthority.signing.formats.codec import JwsCodec, TokenKey, TrustedKeys
from tokenauthority.signing.formats.registry import codec_of, read_token, verify_token
from tokenauthority.signing.jose import parse_compact
from tokenauthority.signing.keyring import KeyRing, RingKey
from tokenauthority.signing.project_keys import ProjectKeys, ProjectSecret, VonageKey
from tokenauthority.signing.results import Unverified, Verified
from tokenauthority.signing.signing_key import SigningKey


VECTORS: Mapping[str, Any] = json.loads(
    (Path(__file__).parents[1] / "vectors" / "opentok_tokens.json").read_text(encoding="utf-8")
)

ISSUER = "https://tokens.example"
NOW = Seconds(1_700_000_000)
PROJECT = "47000000"
APPLICATION: str = VECTORS["vonage"]["application_id"]
SESSION = make_session_id(PROJECT, "", relayed=True, now=Millis(1_700_000_000_000), random=bytes(18))
SECRET = ProjectSecret("secret-new", "0123456789abcdef0123456789abcdef01234567")
OLD_SECRET = ProjectSecret("secret-old", "89abcdef0123456789abcdef0123456789abcdef")
FOREIGN_SECRET = ProjectSecret("secret-foreign", "f" * 40)
VONAGE_PEM: str = VECTORS["vonage"]["rsa_test_private_key_pem"]
VONAGE = VonageKey.from_pem("vonage-key", APPLICATION, VONAGE_PEM)
KEYS = ProjectKeys(PROJECT, (SECRET, OLD_SECRET), VONAGE)
SHORT_RSA = generate_private_key(65_537, 1024)  # noqa: S505 - which is what has to be refused
TABLE_FORMATS = tuple(each for each in TokenFormat if isinstance(each.traits.table, Profile))
SCOPED_FORMATS = (TokenFormat.SESSION_JWT, TokenFormat.OPENTOK_JWT, TokenFormat.VONAGE_JWT)
JWT_FORMATS = (*SCOPED_FORMATS, *TABLE_FORMATS)


def roca_modulus() -> int:
    """A modulus of 2048 bits as a broken chip made it: a power of 65537, modulo every small prime (CVE-2017-15361)."""
    product = math.prod(p for p in range(2, 168) if all(p % q for q in range(2, p)))
    return pow(65_537, 12_345, product) + product * (2**2047 // product + 1)


@functools.cache
def signing_key(algorithm: Algorithm, number: int = 0) -> SigningKey:
    """One of any number of keys of *algorithm*, each made once."""
    if algorithm is Algorithm.RS256 and number == 0:
        return SigningKey.local(algorithm, load_pem_private_key(VONAGE_PEM.encode(), None))
    return SigningKey.generate(algorithm)


def ring_key(key: SigningKey, state: KeyState = KeyState.ACTIVE, create_time: int = 0) -> RingKey:
    """*key* in the state *state*."""
    stored = StoredKey(
        key_id=key.key_id,
        algorithm=key.algorithm,
        state=state,
        create_time=Millis(create_time),
        sealed=b"",
    )
    return RingKey(stored, key)


@functools.cache
def ring(algorithm: Algorithm = Algorithm.ES256) -> KeyRing:
    """A ring that signs with *algorithm* and still verifies a retired key of each."""
    retired = [ring_key(signing_key(other, 1), KeyState.RETIRED) for other in Algorithm]
    return KeyRing([ring_key(signing_key(algorithm)), *retired])


def make_claims(token_format: TokenFormat, **changes: Any) -> TokenClaims:
    """Claims that *token_format* carries whole, with *changes*."""
    special: dict[TokenFormat, dict[str, Any]] = {
        TokenFormat.SESSION_JWT: {
            "project_id": PROJECT,
            "token_id": "a1b2c3",
            "issuer": ISSUER,
            "permissions": BUILT_IN_ROLES["publisher"].permissions,
        },
        TokenFormat.VONAGE_JWT: {"application_id": APPLICATION, "token_id": "a1b2c3"},
        **{
            each: {
                "project_id": PROJECT,
                "token_id": "a1b2c3",
                "issuer": SECRET.key_id,
                "permissions": BUILT_IN_ROLES["publisher"].permissions,
                "subject": "alice",
                "not_before": changes.get("issue_time", NOW),
            }
            for each in TABLE_FORMATS
        },
        TokenFormat.JANUS: {
            "project_id": PROJECT,
            "token_id": "a1b2c3",
            "permissions": BUILT_IN_ROLES["publisher"].permissions,
            "subject": "alice",
        },
    }
    own = special.get(token_format, {"project_id": PROJECT})
    times = {"issue_time": NOW, "expire_time": Seconds(NOW + 3600)}
    return TokenClaims(**{"session_id": SESSION, "role": "publisher", **times, **own, **changes})


def key_of(token_format: TokenFormat) -> TokenKey:
    """The key that signs tokens of *token_format*."""
    credential = token_format.traits.signed_by
    key = ring().active if credential is None else KEYS.current(credential)
    assert key is not None
    return key


def make_token(
    token_format: TokenFormat,
    claims: TokenClaims | None = None,
    nonce: int = 424_242,
    key: TokenKey | None = None,
    *,
    room: str = "",
    claims_for: tuple[RealTimeServer, ...] = (),
) -> GeneratedToken:
    """A token of *token_format* by our own codec."""
    said, signing = claims or make_claims(token_format), key or key_of(token_format)
    encode = codec_of(token_format).prepare(
        make_terms(token_format, said, signing, room=room, claims_for=claims_for), signing
    )
    return encode(said.data, said.subject, said.token_id if token_format.traits.has_token_id else str(nonce))


def make_terms(
    token_format: TokenFormat,
    claims: TokenClaims,
    key: TokenKey,
    *,
    room: str = "",
    claims_for: tuple[RealTimeServer, ...] = (),
) -> TokenTerms:
    """What the tokens of *claims* have in common with others."""
    return TokenTerms(
        format=token_format,
        key_id=key.key_id,
        session_id=claims.session_id,
        role=claims.role,
        issue_time=claims.issue_time,
        expire_time=claims.expire_time,
        project_id=claims.project_id,
        application_id=claims.application_id,
        permissions=claims.permissions,
        initial_layout_class_list=claims.initial_layout_class_list,
        issuer=claims.issuer,
        room=room,
        claims_for=claims_for,
    )


def read_as(token_format: TokenFormat, token: str) -> Unverified:
    """What the codec of a JWT format alone reads of *token*."""
    codec = codec_of(token_format)
    assert isinstance(codec, JwsCodec)
    return codec.read(parse_compact(token))


def trusted(keys: ProjectKeys = KEYS, ring_: KeyRing | None = None) -> TrustedKeys:
    """The keys of *keys* and those of *ring_*."""
    return TrustedKeys(ring=ring_ or ring(), issuer=ISSUER, project=keys)


def verify(token: str, keys: ProjectKeys = KEYS, ring_: KeyRing | None = None) -> Verified:
    """What VerifyToken does with signatures: recognise the format, read, verify."""
    return verify_token(read_token(token), trusted(keys, ring_))


def rejection(action: Callable[..., object], *arguments: object) -> object:
    """Why *action* refuses its token; what it returned if it does not."""
    try:
        return action(*arguments)
    except TokenRejectedError as error:
        return error.reason


def b64url(data: bytes) -> str:
    """*data* as a JOSE segment, not by our own code."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def payload_of(token_format: TokenFormat, **changes: Any) -> dict[str, Any]:
    """The payload of our own token of a JWT format, with *changes*; None takes a claim away."""
    claims: dict[str, Any] = jwt.decode(make_token(token_format).token, options={"verify_signature": False})
    return {name: value for name, value in {**claims, **changes}.items() if value is not None}


def header_of(token_format: TokenFormat, **changes: Any) -> dict[str, Any]:
    """The header of our own token of a JWT format, with *changes*; None takes a parameter away."""
    header = {**jwt.get_unverified_header(make_token(token_format).token), **changes}
    return {name: value for name, value in header.items() if value is not None}


def genuine_signature(token_format: TokenFormat, signing_input: bytes) -> bytes:
    """The signature that the format's own key makes, by PyJWT alone."""
    match token_format:
        case TokenFormat.SESSION_JWT:
            return jwt.get_algorithm_by_name("ES256").sign(signing_input, ring().active.private_key)
        case TokenFormat.VONAGE_JWT:
            return jwt.get_algorithm_by_name("RS256").sign(signing_input, VONAGE.private_key)
        case _:
            return jwt.get_algorithm_by_name("HS256").sign(signing_input, SECRET.value.encode())


def forge(
    token_format: TokenFormat,
    *,
    header: Mapping[str, Any] | bytes | None = None,
    payload: Mapping[str, Any] | bytes | None = None,
    sign: Callable[[bytes], bytes] | None = None,
) -> str:
    """A JWT with any header and payload, signed by the genuine key unless *sign* does it."""
    segments = [
        b64url(part if isinstance(part, bytes) else json.dumps(part).encode())
        for part in (
            header_of(token_format) if header is None else header,
            payload_of(token_format) if payload is None else payload,
        )
    ]
    signing_input = ".".join(segments).encode()
    signature = genuine_signature(token_format, signing_input) if sign is None else sign(signing_input)
    return f"{signing_input.decode()}.{b64url(signature)}"


def t1(data: str | bytes, meta: str = f"partner_id={PROJECT}", secret: ProjectSecret = SECRET) -> str:
    """A T1 token with any signed part and any outer fields before `sig`."""
    signed = data.encode() if isinstance(data, str) else data
    signature = hmac.new(secret.value.encode(), signed, hashlib.sha1).hexdigest()
    return "T1==" + base64.b64encode(f"{meta}&sig={signature}:".encode() + signed).decode()


def t1_data(**changes: str | None) -> str:
    """The signed part of a plain T1 token with *changes*, unescaped; None takes a field away."""
    fields = {
        "session_id": SESSION,
        "create_time": str(NOW),
        "expire_time": str(NOW + 3600),
        "role": "publisher",
        "nonce": "424242",
        **changes,
    }
    return "&".join(f"{name}={value}" for name, value in fields.items() if value is not None)


hostile_text = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=200),
    st.text('\n\r\t &=:%+"\\/\x00\x07\x1f\x7f\x85\u2028\u200f\u05d0\u202eé😀', max_size=200),
    st.sampled_from(["😀" * 1000, "\U0010ffff" * 1000, "a+b %2B %zz %", "\r\n", "\x00", '","role":"moderator']),
)
"""Connection data that breaks a careless codec: up to 1000 characters of anything but surrogates."""

layout_class = st.one_of(
    st.text(st.characters(exclude_categories=["Cs", "Zs", "Zl", "Zp", "Cc"]), min_size=1, max_size=20),
    st.sampled_from(["a+b", "100%", "%2B", "focus", "x:y", "😀"]),
).filter(lambda name: not any(c.isspace() or c in "&=" for c in name))

layout = st.lists(layout_class, max_size=5).map(tuple)
moments = st.integers(0, 253_402_300_799).map(Seconds)
session_ids = st.one_of(st.just(SESSION), st.text("abcXYZ019_-=~.", min_size=1, max_size=255))
role_names = st.sampled_from(sorted(BUILT_IN_ROLES))


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, form: PrivateFormat, password: bytes = b"") -> str:
    """A private key as PEM, encrypted if there is a password."""
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, form, encryption).decode()


permissions = st.lists(st.sampled_from(Permission), unique=True).map(tuple)


def fitting(table: Table) -> st.SearchStrategy[tuple[Permission, ...]]:
    """The permissions of any role that the server of *table* can keep to."""
    sets = (found for count in range(len(Permission) + 1) for found in itertools.combinations(Permission, count))
    return st.sampled_from([found for found in sets if not table.misfit(found)])


@st.composite
def claims(draw: st.DrawFn, token_format: TokenFormat) -> TokenClaims:
    """Any claims that *token_format* carries."""
    said = make_claims(
        token_format,
        session_id=draw(session_ids),
        role=draw(role_names),
        issue_time=draw(moments),
        expire_time=draw(moments),
        data=draw(hostile_text),
        initial_layout_class_list=draw(layout) if token_format.traits.carries_layout else (),
    )
    if not token_format.traits.carries_permissions:
        return said
    table = token_format.traits.table
    subject = draw(hostile_text).replace("\x00", "")[:255]
    return msgspec.structs.replace(
        said,
        role=draw(st.from_regex(r"[a-z][a-z0-9_-]{0,62}", fullmatch=True).filter(lambda n: n not in BUILT_IN_ROLES)),
        permissions=draw(permissions if table is None else fitting(table)),
        subject=subject or (said.token_id if table is not None and table.needs_subject else ""),
    )
