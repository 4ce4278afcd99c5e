"""Signing keys in a real PKCS#11 token: they sign as any other, and never come out of it."""

from __future__ import annotations

import attrs
import jwt
import pkcs11
import pytest

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from pkcs11 import Attribute, Mechanism, ObjectClass

from tests.authority.world import NOW
from tests.signing.builders import roca_modulus
from tests.support.softhsm import SoftHsm
from tokenauthority.domain.key import Algorithm, KeyState, StoredKey
from tokenauthority.signing import hsm, hsm_token
from tokenauthority.signing.jose import parse_raw
from tokenauthority.signing.key_provider import KeyProviderError
from tokenauthority.signing.signing_key import SigningKey


def private_keys(hsm: SoftHsm) -> list[dict[Attribute, object]]:
    """What the token says of its private keys."""
    shown = (
        Attribute.LABEL,
        Attribute.ID,
        Attribute.SENSITIVE,
        Attribute.ALWAYS_SENSITIVE,
        Attribute.EXTRACTABLE,
        Attribute.NEVER_EXTRACTABLE,
        Attribute.TOKEN,
        Attribute.LOCAL,
        Attribute.SIGN,
        Attribute.DECRYPT,
    )

    def look(session: pkcs11.Session) -> list[dict[Attribute, object]]:
        found = list(session.get_objects({Attribute.CLASS: ObjectClass.PRIVATE_KEY}))
        return [{name: key[name] for name in shown} for key in found]

    return hsm.token().call(look)


def stored_key(key: SigningKey, location: str) -> StoredKey:
    """The key as it is stored."""
    return StoredKey(
        key_id=key.key_id,
        algorithm=key.algorithm,
        state=KeyState.ACTIVE,
        create_time=NOW,
        sealed=b"",
        location=location,
    )


@pytest.mark.parametrize("algorithm", Algorithm)
def test_what_it_signs_verifies_with_the_jwk(softhsm: SoftHsm, algorithm: Algorithm) -> None:
    """By our verifier and by PyJWT, for every algorithm."""
    key, _ = softhsm.provider().generate_key(algorithm)

    token, signature = key.signer.sign(b'{"sub":"x"}')

    key.public.verifier.verify(parse_raw(token))
    decoded = jwt.decode_complete(token, jwt.PyJWK(key.public.jwk), algorithms=[algorithm.value])
    assert ({"sub": "x"}, signature) == (decoded["payload"], decoded["signature"])
    assert {"alg": algorithm.value, "typ": "session+jwt", "kid": key.key_id} == decoded["header"]


@pytest.mark.parametrize("algorithm", Algorithm)
def test_the_private_key_cannot_leave_the_token(softhsm: SoftHsm, algorithm: Algorithm) -> None:
    """It is made there, sensitive and not extractable from its first moment, and can only sign."""
    key, _ = softhsm.provider().generate_key(algorithm)

    assert [
        {
            Attribute.LABEL: f"tokenauthority-{key.key_id}",
            Attribute.ID: key.key_id.encode(),
            Attribute.SENSITIVE: True,
            Attribute.ALWAYS_SENSITIVE: True,
            Attribute.EXTRACTABLE: False,
            Attribute.NEVER_EXTRACTABLE: True,
            Attribute.TOKEN: True,
            Attribute.LOCAL: True,
            Attribute.SIGN: True,
            Attribute.DECRYPT: False,
        }
    ] == private_keys(softhsm)
    with pytest.raises(LookupError, match="is with a key provider"):
        key.to_der()


def test_another_server_finds_the_key(softhsm: SoftHsm) -> None:
    """By its location and public half alone, also under another module path."""
    key, location = softhsm.provider().generate_key(Algorithm.ES256)

    found = softhsm.provider().located_key(stored_key(key, location), key.public_key)

    key.public.verifier.verify(parse_raw(found.signer.sign(b"{}")[0]))
    assert f"pkcs11:token=signing%20keys;object=tokenauthority-{key.key_id};id={key.key_id};type=private" == location


def test_a_destroyed_key_is_gone(softhsm: SoftHsm) -> None:
    """That one alone; to destroy it again is no error."""
    provider = softhsm.provider()
    key, location = provider.generate_key(Algorithm.ES256)
    other, _ = provider.generate_key(Algorithm.ES256)

    provider.destroy_key(stored_key(key, location))
    provider.destroy_key(stored_key(key, location))

    assert [other.key_id.encode()] == [found[Attribute.ID] for found in private_keys(softhsm)]
    with pytest.raises(KeyProviderError, match=f"does not have exactly one private key {key.key_id}"):
        key.signer.sign(b"{}")


def test_a_key_of_another_token_is_not_touched(softhsm: SoftHsm) -> None:
    """It verifies; to sign with it or to destroy it is refused, by the names of both tokens."""
    provider = softhsm.provider()
    key, location = provider.generate_key(Algorithm.ES256)
    moved = stored_key(key, location.replace("signing%20keys", "elsewhere"))

    opened = provider.located_key(moved, key.public_key)

    opened.public.verifier.verify(parse_raw(key.signer.sign(b"{}")[0]))
    for attempt in (lambda: opened.signer.sign(b"{}")[0], lambda: provider.destroy_key(moved)):
        with pytest.raises(KeyProviderError, match=r"token=elsewhere.* is not in the token pkcs11:token=signing"):
            attempt()


def test_an_algorithm_without_mechanism_is_refused(softhsm: SoftHsm) -> None:
    """Before anything is made."""
    configuration = softhsm.directory / "softhsm2.conf"
    configuration.write_text(configuration.read_text() + "slots.mechanisms = CKM_EC_KEY_PAIR_GEN,CKM_ECDSA\n")
    loaded = hsm_token.module(softhsm.module_path)
    with loaded.locked():
        loaded.restart()

    with pytest.raises(KeyProviderError, match="lacks the mechanisms of EdDSA"):
        softhsm.provider().generate_key(Algorithm.EDDSA)

    assert [] == private_keys(softhsm)


def test_a_key_that_cannot_be_located_is_not_left_behind(softhsm: SoftHsm, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody would find it again."""

    def refuse(*_: object) -> SigningKey:
        raise ValueError("no")

    monkeypatch.setattr(SigningKey, "located", refuse)

    with pytest.raises(KeyProviderError, match="made a key that cannot be used: no"):
        softhsm.provider().generate_key(Algorithm.ES256)

    assert [] == private_keys(softhsm)


def test_a_key_that_can_be_factored_is_not_used(softhsm: SoftHsm, monkeypatch: pytest.MonkeyPatch) -> None:
    """The chips that made such keys are in tokens."""
    weak = RSAPublicNumbers(65_537, roca_modulus()).public_key()
    monkeypatch.setattr(hsm, "_exported", lambda _: weak)

    with pytest.raises(KeyProviderError, match="can be factored"):
        softhsm.provider().generate_key(Algorithm.RS256)

    assert [] == private_keys(softhsm)


def test_the_public_half_must_be_one_for_the_algorithm(softhsm: SoftHsm) -> None:
    """A row that says otherwise is refused as it is opened."""
    key, location = softhsm.provider().generate_key(Algorithm.ES256)
    other = attrs.evolve(stored_key(key, location), algorithm=Algorithm.RS256)

    with pytest.raises(ValueError, match="not one for RS256"):
        softhsm.provider().located_key(other, key.public_key)


def test_a_signature_needs_no_mechanism_that_hashes(softhsm: SoftHsm) -> None:
    """SoftHSM has none for ECDSA, as other tokens."""

    def mechanisms(session: pkcs11.Session) -> set[Mechanism]:
        return session.token.slot.get_mechanisms()

    assert Mechanism.ECDSA_SHA256 not in softhsm.token().call(mechanisms)
