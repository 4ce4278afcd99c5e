"""A JWKS yields its usable keys, each for one algorithm; what is odd is passed over or refused whole."""

from __future__ import annotations

import contextlib
import json

from typing import Any

import pytest

from cryptography.exceptions import InternalError
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from tests.callers.issuer import Key, forge, header, jwks, segment
from tests.fuzzing import hostile
from tests.signing.builders import roca_modulus
from tokenauthority.callers.identity import ALGORITHMS
from tokenauthority.signing import jwks_reader
from tokenauthority.signing.jose import parse_raw
from tokenauthority.signing.jwks_reader import MAX_KEYS, JwksError, parse_jwks


EC = Key("ec-1")
P384 = Key("p-384", "ES384")
RSA = Key("rsa-1", "RS256")
OKP = Key("ed-1", "EdDSA")
_RSA = {name for name in ALGORITHMS if name[:2] in {"RS", "PS"}}


def rsa_key(bits: int = 2048, exponent: int = 65_537) -> dict[str, Any]:
    """An RSA key of another size or exponent."""
    return Key("rsa-1", "RS256", rsa.generate_private_key(exponent, bits)).jwk()


@pytest.mark.parametrize(
    ("key", "changes", "algorithm"),
    [
        (EC, {}, "ES256"),
        (EC, {"alg": None}, "ES256"),
        (EC, {"use": None}, "ES256"),
        (EC, {"key_ops": ["verify"]}, "ES256"),
        (EC, {"x5c": ["MII"], "x5u": "http://127.0.0.1:9/"}, "ES256"),
        (P384, {"alg": None}, "ES384"),
        (OKP, {"alg": None}, "EdDSA"),
        (RSA, {}, "RS256"),
        (RSA, {"alg": "PS512"}, "PS512"),
    ],
    ids=str,
)
def test_a_key_is_for_one_algorithm(key: Key, changes: dict[str, Any], algorithm: str) -> None:
    """Its own `alg`, else the only one that its curve has."""
    (found,) = parse_jwks(jwks(key.jwk(**changes)), ALGORITHMS).keys.values()

    assert (key.kid, [algorithm]) == (found.key_id, [*found.keys])


@pytest.mark.parametrize("algorithms", [("ES256", "RS256"), ("RS256", "RS512"), ("EdDSA", "PS256", "RS256")], ids=str)
def test_an_rsa_key_without_alg_is_for_those_that_the_issuer_may_use(algorithms: tuple[str, ...]) -> None:
    """Entra's keys have none: the operator's list binds them, and their type."""
    key = parse_jwks(jwks(RSA.jwk(alg=None)), algorithms).keys["rsa-1"]

    assert _RSA.intersection(algorithms) == set(key.keys)
    for algorithm in _RSA:
        token = parse_raw(forge(Key("rsa-1", algorithm, RSA.private)))
        assert (algorithm in algorithms) is key.verifier.holds(token)


@pytest.mark.parametrize("algorithm", [None, "EdDSA", "Ed25519"])
@pytest.mark.parametrize("named", ["EdDSA", "Ed25519"])
def test_a_key_on_ed25519_verifies_under_both_names(algorithm: str | None, named: str) -> None:
    """RFC 9864 gave the algorithm a second name; the key may have either, and the token."""
    key = parse_jwks(jwks(OKP.jwk(alg=algorithm)), ("EdDSA",)).keys["ed-1"]

    assert key.verifier.holds(parse_raw(forge(OKP, head=header(OKP, alg=named))))
    assert not key.verifier.holds(parse_raw(forge(OKP, head=header(OKP, alg=named.lower()))))


@pytest.mark.parametrize("use", ["sig", "jwt-svid", None])
def test_takes_the_keys_of_a_spiffe_bundle(use: str | None) -> None:
    """Those of JWT-SVIDs; those of certificates are for something else, and have no kid."""
    certificate = EC.jwk(kid=None, alg=None, use="x509-svid", x5c=["MIIB"])
    data = json.dumps({"keys": [EC.jwk(use=use, alg=None), certificate], "spiffe_sequence": 7}).encode()
    found = parse_jwks(data, ALGORITHMS)

    assert ({"ec-1"}, ["key 2 has no kid of 1 to 255 characters"]) == (set(found.keys), found.describe_unusable())


@pytest.mark.parametrize("key", [EC, RSA, OKP], ids=str)
@pytest.mark.parametrize("name", ["use", "alg", "key_ops", "d", "p", "k", "x5c", "x5t", "oth", "spare"])
def test_a_member_that_is_null_is_absent(key: Key, name: str) -> None:
    """As .NET and Java write those that they do not have."""
    data = json.dumps({"keys": [{**key.jwk(), name: None}]}).encode()

    assert ({key.kid}, ()) == (set((found := parse_jwks(data, ("ES256", "RS256", "EdDSA"))).keys), found.unusable)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_takes_every_encoding_that_json_was_ever_written_in(encoding: str) -> None:
    """PowerShell redirects a command's output in UTF-16, and editors of Windows write a byte order mark."""
    assert {"ec-1"} == set(parse_jwks(jwks(EC).decode().encode(encoding), ALGORITHMS).keys)


UNUSABLE: dict[str, dict[str, Any]] = {
    "no kid": EC.jwk(kid=None),
    "empty kid": EC.jwk(kid=""),
    "kid no text": EC.jwk(kid=7),
    "long kid": EC.jwk(kid="a" * 256),
    "for encryption": EC.jwk(use="enc"),
    "use no text": EC.jwk(use=["sig"]),
    "key_ops without verify": EC.jwk(key_ops=["sign"]),
    "key_ops in one text": EC.jwk(key_ops="sign, verify"),
    "alg of another curve": EC.jwk(alg="ES384"),
    "alg of another kind": EC.jwk(alg="RS256"),
    "alg of an HMAC": EC.jwk(alg="HS256"),
    "alg no text": EC.jwk(alg=["ES256"]),
    "alg none": EC.jwk(alg="none"),
    "unknown curve": EC.jwk(crv="P-255"),
    "secp256k1": EC.jwk(crv="secp256k1", alg=None),
    "curve no text": EC.jwk(crv=None),
    "other curve": EC.jwk(crv="P-384", alg="ES384"),
    "point not on the curve": EC.jwk(y=P384.jwk()["y"][:43]),
    "short coordinate": EC.jwk(x=EC.jwk()["x"][:-4]),
    "no y": EC.jwk(y=None),
    "coordinate no text": EC.jwk(x=7),
    "kty no text": EC.jwk(kty=["EC"]),
    "kty of another kind": EC.jwk(kty="RSA"),
    "a secret": {"kty": "oct", "kid": "k", "alg": "HS256", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"},
    "a private key": EC.jwk(d=ECAlgorithm.to_jwk(EC.private, as_dict=True)["d"]),
    "a private RSA key": RSA.jwk(**RSAAlgorithm.to_jwk(RSA.private, as_dict=True)),
    "half a private RSA key": RSA.jwk(d="AAAA"),
    "RSA of 1024 bits": rsa_key(1024),
    "RSA with exponent 3": rsa_key(exponent=3),
    "RSA with exponent 1": RSA.jwk(e="AQ"),
    "RSA with an even exponent": RSA.jwk(e="AQAC"),
    "RSA with a vast exponent": RSA.jwk(e="AQAAAAAB"),
    "RSA of 8200 bits": RSA.jwk(n=Key("x", "RS256").jwk()["n"] * 4 + "AAAA"),
    "RSA of a broken chip": RSA.jwk(n=segment(roca_modulus().to_bytes(256))),
    "no modulus": RSA.jwk(n=None),
    "Ed448": OKP.jwk(crv="Ed448", alg=None),
    "short Ed25519": OKP.jwk(x="AAAA"),
}


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@pytest.mark.parametrize("key", UNUSABLE.values(), ids=UNUSABLE)
def test_passes_over_what_it_cannot_use(key: dict[str, Any]) -> None:
    """RFC 7517, section 5: the other keys count, and an operator sees that one did not."""
    found = parse_jwks(jwks(P384.jwk(kid="good"), key), ALGORITHMS)

    assert ({"good"}, 1) == (set(found.keys), len(found.unusable))


def test_passes_over_what_the_issuer_may_not_sign_with() -> None:
    """The callers file has the last word."""
    assert {"rsa-1"} == set(parse_jwks(jwks(EC, RSA, OKP), ("RS256",)).keys)


def test_a_set_without_keys_revokes_all() -> None:
    """An issuer that was broken into publishes just that."""
    assert {} == parse_jwks(b'{"keys":[]}', ALGORITHMS).keys
    assert {} == parse_jwks(jwks(EC.jwk(use="enc")), ALGORITHMS).keys


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"keys":{}}',
        b'{"keys":null}',
        b'{"keys":[],"keys":[]}',
        b'{"keys":[]} x',
        b"\xff",
        b"[" * 100_000,
        json.dumps(EC.jwk()).encode(),
        b"<html>sign in</html>",
    ],
)
def test_refuses_what_is_no_jwks(data: bytes) -> None:
    """The cached keys then stay."""
    with pytest.raises(JwksError):
        parse_jwks(data, ALGORITHMS)


def test_one_kid_for_two_keys_stands_for_neither() -> None:
    """Which of them a token means would be a matter of order. The other keys count, and an unusable one does not."""
    other = Key("ec-1", "ES256", ec.generate_private_key(ec.SECP256R1()))
    found = parse_jwks(jwks(EC, RSA, other), ALGORITHMS)

    assert ({"rsa-1"}, ['kid "ec-1" stands for 2 keys of ES256']) == (set(found.keys), found.describe_unusable())
    assert {"ec-1"} == set(parse_jwks(jwks(EC, other.jwk(use="enc")), ALGORITHMS).keys)


def test_one_kid_may_stand_for_the_same_key_again_and_for_one_of_each_algorithm() -> None:
    """RFC 7517, section 4.5, names the second; the algorithm of the token says which is meant."""
    same = RSA.jwk(kid="ec-1")
    found = parse_jwks(jwks(EC, EC, EC.jwk(x5t="x"), same), ALGORITHMS)
    key = found.keys["ec-1"]

    assert ({"ES256", "RS256"}, ()) == (set(key.keys), found.unusable)
    assert key.verifier.holds(parse_raw(forge(EC)))
    assert key.verifier.holds(parse_raw(forge(RSA)))
    assert not key.verifier.holds(parse_raw(forge(Key("ec-1"))))


TWICE = json.dumps(EC.jwk()).replace("{", '{"kid":"other",', 1)
ODD_KEYS: dict[str, tuple[str, str]] = {
    "no object": ("7", "key 1 is no JSON object, or has a member twice"),
    "null": ("null", "key 1 is no JSON object, or has a member twice"),
    "nested deep": ("[" * 300 + "]" * 300, "key 1 is no JSON object, or has a member twice"),
    "a member twice": (TWICE, 'kid "ec-1" is no JSON object, or has a member twice'),
    "x5c alone": ('{"kty":"RSA","kid":"x","x5c":["MIIB"]}', 'kid "x" is no valid public key'),
    "a lone surrogate": ('{"kty":"RSA","kid":"\\ud800"}', 'kid "\\ud800" is no valid public key'),
    "controls in the kid": (json.dumps(EC.jwk(kid="\x9b\u202e", use="enc")), 'kid "\\u009b\\u202e" has a use other'),
    "a long kid": (json.dumps(EC.jwk(kid="a" * 300)), f'kid "{"a" * 60}..." has no kid of 1 to 255'),
    "a vast number": (json.dumps(RSA.jwk(n="A" * 200_000)), 'kid "rsa-1" has a number of more than 1400 characters'),
    "a weak key": (
        json.dumps(RSA.jwk(e="Aw")),
        'kid "rsa-1" cannot be used: the public exponent of the RSA key must be odd, from 65537',
    ),
    "another curve": (json.dumps(EC.jwk(crv="P-192")), 'kid "ec-1" has a kty or crv that is not supported'),
    "another algorithm": (json.dumps(RSA.jwk(alg="RSA-OAEP")), 'kid "rsa-1" has an alg other than PS256, PS384, PS512'),
    "for encryption": (json.dumps(RSA.jwk(use="enc")), 'kid "rsa-1" has a use other than sig and jwt-svid'),
    "to sign with": (json.dumps(RSA.jwk(key_ops=["sign"])), 'kid "rsa-1" has key_ops without verify'),
    "private": (json.dumps(RSA.jwk(d="AAAA")), 'kid "rsa-1" is a private or shared key'),
}


@pytest.mark.parametrize(("written", "text"), ODD_KEYS.values(), ids=ODD_KEYS)
def test_names_the_key_that_it_cannot_use_and_why(written: str, text: str) -> None:
    """By kid, or by its place; whatever it is, the others count."""
    found = parse_jwks(f'{{"keys":[{written},{json.dumps(P384.jwk())}]}}'.encode(), ALGORITHMS)
    (described,) = found.describe_unusable()

    assert {"p-384"} == set(found.keys)
    assert described.startswith(text)


@pytest.mark.parametrize("number", ["1e400", "-1E999999", "9" * 100_000, "NaN", "0.1", "1" + "0" * 5_000])
def test_no_number_takes_a_key_with_it(number: str) -> None:
    """Members that we do not know may be anything; ours are never numbers."""
    member = json.dumps(EC.jwk()).replace("{", f'{{"exp":{number},', 1)

    assert {"ec-1"} == set(parse_jwks(f'{{"keys":[{member}]}}'.encode(), ALGORITHMS).keys)


@pytest.mark.parametrize("step", ["get_algorithm_by_name", "public_der", "SignatureVerifier"])
@pytest.mark.parametrize("error", [RuntimeError("x"), InternalError("x", []), OverflowError(), RecursionError()])
def test_no_error_of_a_library_takes_the_other_keys_with_it(
    monkeypatch: pytest.MonkeyPatch, step: str, error: Exception
) -> None:
    """Whatever one key makes it raise: the key is named, with the error's type."""
    genuine, calls = getattr(jwks_reader, step), 0

    def fail_once(*args: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise error
        return genuine(*args)

    monkeypatch.setattr(jwks_reader, step, fail_once)
    found = parse_jwks(jwks(EC, RSA, OKP), ALGORITHMS)

    assert {"rsa-1", "ed-1"} == set(found.keys)
    assert [f'kid "ec-1" cannot be read: {type(error).__name__}'] == found.describe_unusable()


def test_reads_so_many_keys_and_says_so() -> None:
    """The first hundred, also where each of the others would be valid."""
    found = parse_jwks(jwks(*(EC.jwk(kid=str(number)) for number in range(MAX_KEYS + 50))), ALGORITHMS)

    assert (MAX_KEYS, ["key 101 and all after it: only 100 keys are read"]) == (
        len(found.keys),
        found.describe_unusable(),
    )


def test_names_ten_keys_at_most() -> None:
    """A whole set of unusable keys fills no log."""
    found = parse_jwks(jwks(*(EC.jwk(kid=str(number), use="enc") for number in range(30))), ALGORITHMS)

    assert (11, "and 20 more") == (len(found.describe_unusable()), found.describe_unusable()[-1])


def test_the_same_key_again_is_equal() -> None:
    """So that a refresh which changes nothing can be told from one that does."""
    first, second = (parse_jwks(jwks(EC, RSA), ALGORITHMS) for _ in range(2))

    assert first == second
    assert first != parse_jwks(jwks(EC, Key("rsa-1", "RS256")), ALGORITHMS)


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@given(
    key=st.sampled_from([EC, P384, RSA, OKP]),
    name=st.sampled_from(["kty", "crv", "x", "y", "n", "e", "kid", "alg", "use", "key_ops", "d", "k"]),
    value=st.sampled_from(hostile.RAW) | st.from_regex(rb'"[A-Za-z0-9_=+/-]{0,90}"', fullmatch=True),
)
def test_no_member_of_a_key_is_more_than_unusable(key: Key, name: str, value: bytes) -> None:
    """Whatever stands there: one key fewer, or no JWKS; and never another error."""
    members = {member: json.dumps(said).encode() for member, said in key.jwk().items()} | {name: value}
    written = b",".join(f'"{member}":'.encode() + said for member, said in members.items())
    with contextlib.suppress(JwksError):
        found = parse_jwks(
            b'{"keys":[{' + written + b"}," + json.dumps(P384.jwk(kid="good")).encode() + b"]}", ALGORITHMS
        )
        assert (2, True) == (len(found.keys) + len(found.unusable), "good" in found.keys)


MEMBERS = st.lists(
    st.tuples(
        st.sampled_from([EC, P384, RSA, OKP]),
        st.text(min_size=1, max_size=5),
        st.sampled_from(
            [{}, {"alg": None}, {"use": "jwt-svid"}, {"use": "enc"}, {"d": "AAAA"}, {"crv": "x", "kty": "EC"}]
        ),
    ),
    max_size=8,
)


@given(members=MEMBERS)
def test_every_key_is_usable_or_named(members: list[tuple[Key, str, dict[str, Any]]]) -> None:
    """The order says nothing; a kid stands for the keys that are usable under it, unless two are for one algorithm."""
    wanted: dict[str, dict[str, set[str]]] = {}
    for key, kid, changes in members:
        if not {"d", "crv"} & changes.keys() and changes.get("use") != "enc":
            names = ALGORITHMS & ({key.algorithm} if key is not RSA or "alg" not in changes else _RSA)
            for name in names:
                wanted.setdefault(kid, {}).setdefault(name, set()).add(key.kid)
    written = [key.jwk(kid=kid, **changes) for key, kid, changes in members]
    found = parse_jwks(jwks(*written), ALGORITHMS)
    again = parse_jwks(jwks(*reversed(written)), ALGORITHMS)

    expected = {kid: {name for name, keys in names.items() if len(keys) == 1} for kid, names in wanted.items()}
    assert {kid: names for kid, names in expected.items() if names} == {
        kid: set(k.keys) for kid, k in found.keys.items()
    }
    assert found.keys == again.keys
    assert len(found.unusable) >= sum(1 for _, __, changes in members if {"d", "crv"} & changes.keys())


@given(st.binary(max_size=200) | st.text().map(lambda text: json.dumps({"keys": [text]}).encode()))
def test_no_bytes_are_more_than_no_jwks(data: bytes) -> None:
    """An issuer that was broken into may serve anything."""
    with contextlib.suppress(JwksError):
        assert {} == parse_jwks(data, ALGORITHMS).keys
