"""What is sealed opens only as what it was sealed as."""

from __future__ import annotations

import attrs
import pytest

from tests.authority.world import NOW, rsa_pem
from tokenauthority.authority.credential_sealer import CredentialSealer
from tokenauthority.domain.credential import Credential
from tokenauthority.domain.key import Algorithm, KeyState, StoredKey
from tokenauthority.domain.project import Project
from tokenauthority.domain.times import DAY, MAX_TTL
from tokenauthority.domain.token_format import TokenFormat
from tokenauthority.signing.sealing import MasterKey, SealBrokenError, Sealer
from tokenauthority.signing.signing_key import SigningKey


SECRET = "0123456789abcdef0123456789abcdef01234567"
APPLICATION = "29f760f8-7ce1-46c9-ade3-f2dedee4ed5f"


@pytest.fixture
def credentials() -> CredentialSealer:
    """A sealer of credentials with a master key of its own."""
    return CredentialSealer(Sealer(MasterKey.generate()))


def make_project(*credentials: Credential, application: str | None = None) -> Project:
    """A project with *credentials*."""
    return Project(
        project_id="1",
        display_name="",
        default_format=TokenFormat.SESSION_JWT,
        default_ttl=DAY,
        max_ttl=MAX_TTL,
        external_sessions=False,
        create_time=NOW,
        vonage_application_id=application,
        credentials=credentials,
    )


def test_a_sealed_secret_opens_to_what_it_was(credentials: CredentialSealer) -> None:
    """Under its own id, and nothing of it shows while it is sealed."""
    credential = credentials.seal_secret(SECRET, NOW)

    keys = credentials.project_keys(make_project(credential))

    assert [(credential.credential_id, SECRET)] == [(secret.key_id, secret.value) for secret in keys.secrets]
    assert SECRET.encode() not in credential.sealed
    assert SECRET not in repr(keys)


def test_a_sealed_application_key_opens_to_what_it_was(credentials: CredentialSealer) -> None:
    """The key of a Vonage application comes back, bound to the application."""
    credential = credentials.seal_vonage_key(rsa_pem(), APPLICATION, NOW)

    keys = credentials.project_keys(make_project(credential, application=APPLICATION))

    assert keys.vonage is not None
    assert (credential.credential_id, APPLICATION) == (keys.vonage.key_id, keys.vonage.application_id)
    assert () == keys.secrets


def test_each_credential_has_an_id_of_its_own(credentials: CredentialSealer) -> None:
    """The same value sealed twice is two credentials."""
    assert credentials.seal_secret(SECRET, NOW) != credentials.seal_secret(SECRET, NOW)


def test_what_is_sealed_is_bound_to_its_id(credentials: CredentialSealer) -> None:
    """Somebody who can write to the store cannot move a secret to another id."""
    moved = attrs.evolve(credentials.seal_secret(SECRET, NOW), credential_id="sec_other")

    with pytest.raises(SealBrokenError):
        credentials.project_keys(make_project(moved))


def test_what_is_sealed_is_bound_to_its_kind(credentials: CredentialSealer) -> None:
    """A signing key cannot pass for a project secret of the same id."""
    key = SigningKey.generate(Algorithm.ES256)
    posing = attrs.evolve(
        credentials.seal_secret(SECRET, NOW), credential_id=key.key_id, sealed=credentials.seal_signing_key(key)
    )

    with pytest.raises(SealBrokenError):
        credentials.project_keys(make_project(posing))


def test_a_signing_key_opens_to_what_it_was(credentials: CredentialSealer) -> None:
    """With its algorithm and id."""
    key = SigningKey.generate(Algorithm.EDDSA)
    stored = StoredKey(
        key_id=key.key_id,
        algorithm=key.algorithm,
        state=KeyState.ACTIVE,
        create_time=NOW,
        sealed=credentials.seal_signing_key(key),
    )

    opened = credentials.open_signing_key(stored)

    assert (key.key_id, key.public.jwk) == (opened.key.key_id, opened.key.public.jwk)


@pytest.mark.parametrize("pem", ["", "no key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_refuses_what_is_no_key(credentials: CredentialSealer, pem: str) -> None:
    """A bad PEM is refused before anything is sealed, in words that repeat none of it."""
    with pytest.raises(ValueError, match="key") as caught:
        credentials.seal_vonage_key(pem, APPLICATION, NOW)

    assert "AAAA" not in str(caught.value)
