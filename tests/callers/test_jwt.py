"""A JWT proves a caller only where everything is right: each known attack is refused."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.callers.issuer import (
    AUDIENCE,
    NAME,
    NOW,
    SUBJECT,
    Key,
    World,
    forge,
    header,
    kubernetes_claims,
    make_issuer,
    make_registry,
    segment,
    write_jwks,
)
from tokenauthority.callers.api_keys import new_api_key
from tokenauthority.callers.file import load_callers
from tokenauthority.callers.identity import ALGORITHMS, JwtIdentity
from tokenauthority.domain.key import Algorithm
from tokenauthority.domain.times import Seconds
from tokenauthority.domain.token import TokenTerms
from tokenauthority.domain.token_format import TokenFormat
from tokenauthority.signing.formats.session_jwt import prepare_session_jwt
from tokenauthority.signing.signing_key import SigningKey


EC = Key("ec-1")
EC_OTHER = Key("ec-2")
RSA = Key("rsa-1", "RS256")
STRANGER = Key("ec-1")
KEYS = (EC, EC_OTHER, RSA)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """An issuer with two keys on P-256 and an RSA key, in a file."""
    return World(make_registry(make_issuer(jwks_file=write_jwks(tmp_path / "jwks.json", *KEYS))))


async def test_knows_a_kubernetes_service_account(world: World) -> None:
    """The token as a pod gets it: a list of audiences, no `typ`, claims of its own."""
    assert "room-service" == await world.knows(forge(RSA))


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
async def test_knows_every_algorithm(tmp_path: Path, algorithm: str) -> None:
    """All that an issuer may be configured with."""
    key = Key("k", algorithm)
    world = World(make_registry(make_issuer(jwks_file=write_jwks(tmp_path / "jwks.json", key))))

    assert "room-service" == await world.knows(forge(key))
    assert await world.knows(forge(key, sign=lambda _: key.sign(b"else"))) is None


@pytest.mark.parametrize("listed", ["EdDSA", "Ed25519"])
@pytest.mark.parametrize("named", ["EdDSA", "Ed25519"])
@pytest.mark.parametrize("of_key", ["EdDSA", "Ed25519", None])
async def test_ed25519_has_two_names(tmp_path: Path, listed: str, named: str, of_key: str | None) -> None:
    """RFC 9864 deprecates the old one: file, key and token may each write either."""
    key = Key("k", "EdDSA")
    write_jwks(tmp_path / "jwks.json", key.jwk(alg=of_key))
    file = tmp_path / "callers.toml"
    file.write_text(
        f'[[issuers]]\nissuer="{NAME}"\naudience="{AUDIENCE}"\nalgorithms=["{listed}"]\njwks_file="jwks.json"\n'
        f'[[callers]]\nname="room-service"\njwt={{issuer="{NAME}",subject="{SUBJECT}"}}\n'
        'projects=["*"]\nactions=["sessions.read"]\n'
    )

    assert "room-service" == await World(load_callers(file)).knows(forge(key, head=header(key, alg=named)))
    assert await World(load_callers(file)).knows(forge(key, head=header(key, alg=named.upper()))) is None


@pytest.mark.parametrize("typ", ["jwt", "JWT", "application/jwt", "Application/AT+JWT", "jose", None])
async def test_typ_is_a_media_type(world: World, typ: str | None) -> None:
    """Its case says nothing, nor does the prefix."""
    assert "room-service" == await world.knows(forge(EC, head=header(EC, typ=typ)))


@pytest.mark.parametrize("algorithms", [("RS256",), ("RS256", "RS512"), ("ES256", "RS256", "RS384", "RS512")], ids=str)
async def test_keys_without_alg_verify_what_the_callers_file_lists(tmp_path: Path, algorithms: tuple[str, ...]) -> None:
    """As Entra publishes them: key type and list decide, and no algorithm beside the list."""
    path = write_jwks(tmp_path / "jwks.json", RSA.jwk(alg=None, x5c=["MIIB"], x5t="x", issuer=NAME))
    world = World(make_registry(make_issuer(jwks_file=path, algorithms=algorithms)))

    for algorithm in ("RS256", "RS384", "RS512", "PS256"):
        expected = "room-service" if algorithm in algorithms else None
        assert expected == await world.knows(forge(Key("rsa-1", algorithm, RSA.private)))


GOOD_CLAIMS: dict[str, dict[str, Any]] = {
    "audience as text": {"aud": AUDIENCE},
    "audience among others": {"aud": ["other", AUDIENCE]},
    "no nbf": {"nbf": None},
    "fractions": {"iat": NOW - 0.5, "exp": NOW + 60.5},
    "issued within the leeway": {"iat": NOW + 30, "nbf": NOW + 30},
    "expired within the leeway": {"iat": NOW - 60, "nbf": NOW - 60, "exp": NOW - 29},
    "the longest life": {"exp": NOW + 86_400},
    "unknown claims": {"admin": True, "x": {"y": [1]}},
}


@pytest.mark.parametrize("changes", GOOD_CLAIMS.values(), ids=GOOD_CLAIMS)
async def test_takes_claims_of_any_proper_shape(world: World, changes: dict[str, Any]) -> None:
    """RFC 7519 leaves issuers some freedom."""
    assert "room-service" == await world.knows(forge(EC, claims=kubernetes_claims(**changes)))


BAD_CLAIMS: dict[str, dict[str, Any]] = {
    "no iss": {"iss": None},
    "other iss": {"iss": NAME + "/"},
    "part of iss": {"iss": NAME[:-1]},
    "iss in other case": {"iss": NAME.upper()},
    "list of iss": {"iss": [NAME]},
    "no aud": {"aud": None},
    "other aud": {"aud": ["other"]},
    "empty aud": {"aud": []},
    "part of aud": {"aud": AUDIENCE[:-1]},
    "aud around": {"aud": AUDIENCE + "/x"},
    "aud of numbers": {"aud": [AUDIENCE, 1]},
    "aud as object": {"aud": {AUDIENCE: True}},
    "no sub": {"sub": None},
    "empty sub": {"sub": ""},
    "other sub": {"sub": SUBJECT + "2"},
    "sub in other case": {"sub": SUBJECT.upper()},
    "sub with NUL": {"sub": SUBJECT + "\0"},
    "number as sub": {"sub": 1},
    "list of sub": {"sub": [SUBJECT]},
    "long sub": {"sub": "a" * 2000},
    "no exp": {"exp": None},
    "exp as text": {"exp": str(NOW + 60)},
    "exp as boolean": {"exp": True},
    "exp negative": {"exp": -1},
    "exp huge": {"exp": 10**30},
    "exp null": {"exp": [None]},
    "expired": {"iat": NOW - 100, "nbf": NOW - 100, "exp": NOW - 30},
    "expired before issued": {"exp": NOW - 1, "iat": NOW},
    "no life at all": {"exp": NOW, "iat": NOW},
    "no iat": {"iat": None},
    "issued in the future": {"iat": NOW + 31},
    "issued in the future without nbf": {"iat": NOW + 31, "nbf": None},
    "not before the future": {"nbf": NOW + 31},
    "nbf as text": {"nbf": "now"},
    "lives too long": {"exp": NOW + 86_401},
    "lives for ever": {"exp": 2**53 - 1},
}


@pytest.mark.parametrize("changes", BAD_CLAIMS.values(), ids=BAD_CLAIMS)
async def test_refuses_invalid_claims(world: World, changes: dict[str, Any]) -> None:
    """Each claim is there, of its type, exactly what it should be, and in its time."""
    assert await world.knows(forge(EC, claims=kubernetes_claims(**changes))) is None


PEM = EC.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
RSA_PEM = RSA.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
RSA_DER = RSA.private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def mac(secret: bytes) -> Callable[[bytes], bytes]:
    """Signs with *secret* by HMAC-SHA256."""
    return lambda signing_input: hmac.new(secret, signing_input, hashlib.sha256).digest()


def raw(size: int = 64) -> Callable[[bytes], bytes]:
    """Signs with zeros."""
    return lambda _: bytes(size)


def der(signing_input: bytes) -> bytes:
    """A genuine signature in DER."""
    made = EC.sign(signing_input)
    return encode_dss_signature(int.from_bytes(made[:32], "big"), int.from_bytes(made[32:], "big"))


def head(key: Key = EC, **changes: Any) -> dict[str, Any]:
    """The header of a token of *key*."""
    return header(key, **changes)


ATTACKS: dict[str, str] = {
    # The algorithm
    "alg none": forge(EC, head=head(alg="none"), sign=raw(0)),
    "alg noNE": forge(EC, head=head(alg="noNE"), sign=raw(0)),
    "alg empty": forge(EC, head=head(alg="")),
    "no alg": forge(EC, head=head(alg=None)),
    "alg no text": forge(EC, head=head(alg=["ES256"])),
    "alg in other case": forge(EC, head=head(alg="es256")),
    "HS256 with the PEM": forge(RSA, head=head(RSA, alg="HS256"), sign=mac(RSA_PEM)),
    "HS256 with the DER": forge(RSA, head=head(RSA, alg="HS256"), sign=mac(RSA_DER)),
    "HS256 with the JWK": forge(RSA, head=head(RSA, alg="HS256"), sign=mac(json.dumps(RSA.jwk()).encode())),
    "HS256 with the PEM of EC": forge(EC, head=head(alg="HS256"), sign=mac(PEM)),
    "RS512 by a key for RS256": forge(Key("rsa-1", "RS512", RSA.private)),
    "PS256 by a key for RS256": forge(Key("rsa-1", "PS256", RSA.private)),
    "kid of a key of another kind": forge(EC, head=head(kid="rsa-1")),
    "alg of the other key": forge(RSA, head=head(RSA, kid="ec-1")),
    # The signature
    "a stranger's signature": forge(STRANGER),
    "the signature of another key": forge(EC, head=head(kid="ec-2")),
    "no signature": forge(EC, sign=raw(0)),
    "psychic signature": forge(EC, sign=raw()),
    "signature in DER": forge(EC, sign=der),
    "short signature": forge(EC, sign=lambda data: EC.sign(data)[:-1]),
    "long signature": forge(EC, sign=lambda data: EC.sign(data) + b"\0"),
    "signature of other claims": forge(EC, sign=lambda _: EC.sign(b"a.b")),
    # The header
    "no kid": forge(EC, head=head(kid=None)),
    "empty kid": forge(EC, head=head(kid="")),
    "unknown kid": forge(EC, head=head(kid="ec-3")),
    "kid as path": forge(EC, head=head(kid="../../../../dev/null")),
    "kid as SQL": forge(EC, head=head(kid="' OR 1=1 --")),
    "kid with NUL": forge(EC, head=head(kid="ec-1\0")),
    "long kid": forge(EC, head=head(kid="a" * 300)),
    "kid no text": forge(EC, head=head(kid=["ec-1"])),
    "embedded jwk": forge(STRANGER, head=head(jwk=STRANGER.jwk(), kid="ec-9")),
    "embedded x5c": forge(STRANGER, head=head(x5c=[base64.b64encode(b"cert").decode()])),
    "jku": forge(STRANGER, head=head(jku="http://127.0.0.1:9/jwks")),
    "x5u": forge(STRANGER, head=head(x5u="http://127.0.0.1:9/cert")),
    "crit": forge(EC, head=head(crit=["exp"])),
    "empty crit": forge(EC, head=head(crit=[])),
    "b64 false": forge(EC, head=head(b64=False)),
    "zip": forge(EC, head=head(zip="DEF")),
    "enc": forge(EC, head=head(enc="A256GCM")),
    "header twice": forge(EC, head=b'{"alg":"none","alg":"ES256","kid":"ec-1"}'),
    "header no object": forge(EC, head=b'["ES256"]'),
    # Another kind of token
    "session token": forge(EC, head=head(typ="session+jwt")),
    "session token in capitals": forge(EC, head=head(typ="SESSION+JWT")),
    "session token as media type": forge(EC, head=head(typ="application/session+jwt")),
    "logout token": forge(EC, head=head(typ="logout+jwt")),
    "typ no text": forge(EC, head=head(typ=["JWT"])),
    "typ empty": forge(EC, head=head(typ="")),
    # The claims
    "claim twice": forge(EC, claims=json.dumps(kubernetes_claims()).replace("{", '{"sub":"x",', 1).encode()),
    "claims no object": forge(EC, claims=b"[]"),
    "claims no JSON": forge(EC, claims=b"{"),
    "claims no UTF-8": forge(EC, claims=b'{"iss":"\xff"}'),
    "lone surrogate": forge(EC, claims=json.dumps(kubernetes_claims()).replace("video", "\\ud800").encode()),
    "exp NaN": forge(EC, claims=json.dumps(kubernetes_claims(exp=float("nan"))).encode()),
    "exp infinite": forge(EC, claims=json.dumps(kubernetes_claims(exp=float("inf"))).encode()),
    "nested": forge(EC, claims=json.dumps(kubernetes_claims()).replace('"node-1"', "[" * 500 + "]" * 500).encode()),
    # The shape
    "two segments": forge(EC).rpartition(".")[0],
    "four segments": forge(EC) + ".x",
    "five segments": forge(EC) + ".x.y",
    "padded": forge(EC) + "==",
    "white space": forge(EC) + " ",
    "line feed": forge(EC) + "\n",
    "standard base64": forge(EC).replace("-", "+").replace("_", "/") + "+",
    "empty": "",
    "dots": "..",
    "JSON serialization": json.dumps({"payload": forge(EC).split(".")[1], "signatures": []}),
    "too large": forge(EC, claims=kubernetes_claims(x="a" * 8192)),
    "not ASCII": forge(EC) + "\u00e9",
    "lone surrogate in the token": "ey\ud800.a.b",
}


@pytest.mark.parametrize("token", ATTACKS.values(), ids=ATTACKS)
async def test_refuses_attack(world: World, token: str) -> None:
    """None is a caller, also where the caller is well known and its valid token is cached."""
    assert "room-service" == await world.knows(forge(EC))
    assert await world.knows(token) is None


async def test_refuses_trailing_bits(world: World) -> None:
    """One token has one spelling: the last character of a signature carries 4 bits that must be 0."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    token = forge(EC)
    other = token[:-1] + alphabet[alphabet.index(token[-1]) + 1]

    assert (None, "room-service") == (await world.knows(other), await world.knows(token))


async def test_refuses_what_the_issuer_may_not_sign_with(tmp_path: Path) -> None:
    """The JWKS has the key and it signed; the callers file allows another algorithm alone."""
    issuer = make_issuer(jwks_file=write_jwks(tmp_path / "jwks.json", *KEYS), algorithms=("RS256",))
    world = World(make_registry(issuer))

    assert (None, "room-service") == (await world.knows(forge(EC)), await world.knows(forge(RSA)))


async def test_an_issuer_signs_for_itself_alone(tmp_path: Path) -> None:
    """Its keys prove nothing about the subjects of another."""
    ours = make_issuer(jwks_file=write_jwks(tmp_path / "ours.json", EC))
    theirs = make_issuer(issuer="https://other", jwks_file=write_jwks(tmp_path / "theirs.json", STRANGER))
    world = World(make_registry(ours, theirs))

    assert await world.knows(forge(STRANGER)) is None
    assert await world.knows(forge(STRANGER, claims=kubernetes_claims(iss="https://other"))) is None
    assert "room-service" == await world.knows(forge(EC))


async def test_a_subject_without_a_row_is_nobody(tmp_path: Path) -> None:
    """A valid token of somebody else in the cluster."""
    issuer = make_issuer(jwks_file=write_jwks(tmp_path / "jwks.json", EC))
    world = World(make_registry(issuer, identity=JwtIdentity(NAME, "system:serviceaccount:video:other")))

    assert await world.knows(forge(EC)) is None


async def test_a_session_token_is_no_credential_whatever_the_callers_file_says(tmp_path: Path) -> None:
    """One that the authority itself made, its keys and all its claims configured as a caller's: `typ` alone decides.

    The callers file would refuse to name that issuer; this is the second lock.
    """
    signing = SigningKey.generate(Algorithm.ES256)
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": [signing.public.jwk]}))
    terms = TokenTerms(
        format=TokenFormat.SESSION_JWT, key_id=signing.key_id, session_id="2_x", role="publisher",
        issue_time=Seconds(NOW), expire_time=Seconds(NOW + 600), project_id="47", issuer=NAME,
    )  # fmt: skip
    world = World(make_registry(make_issuer(jwks_file=path, audience="47")))
    payload = jwt.decode(
        token := prepare_session_jwt(terms, signing)("", SUBJECT, "t").token, options={"verify_signature": False}
    )
    retyped = jwt.encode(payload, signing.private_key, "ES256", {"kid": signing.key_id, "typ": "JWT"})

    assert (None, "room-service") == (await world.knows(token), await world.knows(retyped))


def test_the_attacks_are_made_of_a_good_token() -> None:
    """Else they might be refused for another cause: the header and claims are those of the first test."""
    assert {"alg": "ES256", "kid": "ec-1"} == header(EC)
    assert segment(json.dumps(header(EC)).encode()) == forge(EC).split(".")[0]


PROBLEMS: dict[str, tuple[str, str]] = {
    "unknown issuer": (forge(EC, claims=kubernetes_claims(iss=NAME + "/")), f'iss "{NAME}/" is no issuer of'),
    "audience": (forge(EC, claims=kubernetes_claims(aud="x")), f'aud is "x" and must hold "{AUDIENCE}"'),
    "expired": (
        forge(EC, claims=kubernetes_claims(iat=NOW - 99, exp=NOW - 60)),
        "expired at 2026-09-21T14:12:20Z, 60 s",
    ),
    "clock": (forge(EC, claims=kubernetes_claims(nbf=NOW + 95)), "in 95 seconds: compare the clocks"),
    "lifetime": (forge(EC, claims=kubernetes_claims(exp=NOW + 86_401)), "are 86401 seconds, and must be 1 to 86400"),
    "subject": (forge(EC, claims=kubernetes_claims(sub="x")), f'no caller has the sub "x" of {NAME}'),
    "no subject": (forge(EC, claims=kubernetes_claims(sub=None)), "sub is missing or no string"),
    "unknown key": (forge(EC, head=header(EC, kid="old")), f'kid "old" is no usable key of {NAME}; usable keys: 3'),
    "no key": (forge(EC, head=header(EC, kid=None)), "kid is missing or no string"),
    "signature": (forge(STRANGER), f'the signature is not that of kid "ec-1" of {NAME}'),
    "algorithm": (forge(EC, head=header(EC, alg="HS256")), "alg is none of the algorithms of the issuer: ES256, "),
    "type": (forge(EC, head=header(EC, typ="logout+jwt")), "typ must be absent or one of at+jwt, jose, jwt"),
    "an API key": (
        forge(EC, claims=kubernetes_claims(iss=(KEY := new_api_key()))),
        "iss (which looks like a credential)",
    ),
    "a token": (forge(EC, claims=kubernetes_claims(aud=forge(EC))), "aud is (which looks like a credential)"),
    "a token in a URL": (
        forge(EC, claims=kubernetes_claims(iss=f"https://x.example/?t={forge(EC)}")),
        "iss (which looks like a credential)",
    ),
    "a token in a list": (
        forge(EC, claims=kubernetes_claims(aud=["x", f"Bearer {forge(EC)}", "eyes.example.com"])),
        'aud is "x", (which looks like a credential), "eyes.example.com" and must',
    ),
    "a token of OpenTok": (
        forge(EC, claims=kubernetes_claims(sub="T1==cGFydG5lcl9pZD0xJnNpZz0y")),
        "no caller has the sub (which looks like a credential) of",
    ),
    "a long list": (forge(EC, claims=kubernetes_claims(aud=["x"] * 99)), '"x", "x", and 94 more and must hold'),
    "long": (forge(EC, claims=kubernetes_claims(iss="x" * 1000)), f'iss "{"x" * 200}..." is'),
    "controls": (forge(EC, claims=kubernetes_claims(iss="\x1b[2J\u202e\n")), 'iss "\\u001b[2J\\u202e\\n" is'),
    "not a JWT": ("tak_" + "x" * 42, "neither an API key nor a JWT"),
    "unknown API key": (KEY, f"no caller has the API key sha256:{hashlib.sha256(KEY.encode()).hexdigest()[:16]}"),
    "two words": ("Bearer x", "neither an API key nor a JWT"),
}


@pytest.mark.parametrize(("credential", "problem"), PROBLEMS.values(), ids=PROBLEMS)
async def test_says_why_a_credential_proves_no_caller(world: World, credential: str, problem: str) -> None:
    """Exactly one cause, in one line of ASCII, without the credential."""
    found = await world.problem(credential)

    assert problem in found
    assert found.isascii()
    assert found.isprintable()
    assert len(found) < 600
    assert not [part for part in (KEY, *credential.split(".")) if len(part) > 20 and part in found]


async def test_says_that_the_keys_cannot_be_had(tmp_path: Path) -> None:
    """With the cause of the last fetch: the token may be valid."""
    world = World(make_registry(make_issuer(jwks_file=tmp_path / "absent.json")))

    assert (
        f'JWT: kid "ec-1" is no usable key of {NAME}; the last fetch failed: '
        f"{tmp_path}/absent.json cannot be read: No such file or directory"
    ) == await world.problem(forge(EC))
