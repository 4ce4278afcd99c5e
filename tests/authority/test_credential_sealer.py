"""What is sealed opens only as what it was sealed as."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import attrs
import pytest

from tests.authority.world import NOW, make_sealed, rsa_pem
from tokenauthority.authority.credential_sealer import CredentialSealer, new_secret, new_vonage_key
from tokenauthority.domain.credential import CredentialKind
from tokenauthority.domain.key import Algorithm, KeyState, StoredKey
from tokenauthority.domain.project import Project
from tokenauthority.domain.times import Millis
from tokenauthority.signing.sealing import MasterKey, SealBrokenError, Sealer
from tokenauthority.signing.signing_key import SigningKey


SECRET = "0123456789abcdef0123456789abcdef01234567"
APPLICATION = "29f760f8-7ce1-46c9-ade3-f2dedee4ed5f"


@pytest.fixture
def credentials() -> CredentialSealer:
    """A sealer of credentials with a master key of its own."""
    return CredentialSealer(Sealer(MasterKey.generate()))


def test_a_sealed_secret_opens_to_what_it_was(credentials: CredentialSealer) -> None:
    """Under its own id, and nothing of it shows while it is sealed."""
    secret = new_secret(SECRET, NOW)
    project = make_sealed(credentials, "1", secret)

    keys = credentials.project_keys(project)

    assert [(secret.credential_id, SECRET)] == [(each.key_id, each.value) for each in keys.secrets]
    assert (secret,) == credentials.open_project(project)
    assert SECRET.encode() not in project.credentials[0].sealed
    assert SECRET not in repr(keys)


def test_a_sealed_application_key_opens_to_what_it_was(credentials: CredentialSealer) -> None:
    """The key of a Vonage application comes back, bound to the application."""
    key = new_vonage_key(rsa_pem(), APPLICATION, NOW)

    keys = credentials.project_keys(make_sealed(credentials, "1", key, application=APPLICATION))

    assert keys.vonage is not None
    assert (key.credential_id, APPLICATION) == (keys.vonage.key_id, keys.vonage.application_id)
    assert () == keys.secrets


def test_the_newest_secret_signs(credentials: CredentialSealer) -> None:
    """In whichever order they are stored."""
    old, new = new_secret("a" * 40, NOW), new_secret("b" * 40, Millis(NOW + 1))

    for order in ((old, new), (new, old)):
        keys = credentials.project_keys(make_sealed(credentials, "1", *order))
        assert [new.credential_id, old.credential_id] == [secret.key_id for secret in keys.secrets]


def test_each_credential_has_an_id_of_its_own() -> None:
    """The same value is two credentials."""
    assert new_secret(SECRET, NOW) != new_secret(SECRET, NOW)


def _first(project: Project, **changes: Any) -> Project:
    return attrs.evolve(
        project, credentials=(attrs.evolve(project.credentials[0], **changes), *project.credentials[1:])
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda p: attrs.evolve(p, project_id="2"),
        lambda p: attrs.evolve(p, vonage_application_id=None),
        lambda p: attrs.evolve(p, vonage_application_id=APPLICATION.replace("2", "3")),
        lambda p: attrs.evolve(p, credentials=()),
        lambda p: attrs.evolve(p, credentials=p.credentials[:1]),
        lambda p: attrs.evolve(p, credentials=(*p.credentials, attrs.evolve(p.credentials[0], credential_id="sec_x"))),
        lambda p: _first(p, credential_id="sec_other"),
        lambda p: _first(p, create_time=Millis(NOW + 2)),
        lambda p: _first(p, kind=CredentialKind.VONAGE_KEY),
        lambda p: _first(p, sealed=p.credentials[1].sealed),
        lambda p: _first(p, sealed=b""),
    ],
    ids=[
        "moved to another project",
        "application removed",
        "another application",
        "all removed",
        "one removed",
        "copied",
        "renamed",
        "made the newest",
        "another kind",
        "swapped",
        "no envelope",
    ],
)
def test_credentials_open_only_as_the_set_that_was_sealed(
    credentials: CredentialSealer, change: Callable[[Project], Project]
) -> None:
    """All that decides for whom they sign is bound."""
    plain = (
        new_secret("a" * 40, NOW),
        new_secret("b" * 40, Millis(NOW + 1)),
        new_vonage_key(rsa_pem(), APPLICATION, NOW),
    )
    project = make_sealed(credentials, "1", *plain, application=APPLICATION)

    with pytest.raises(SealBrokenError):
        credentials.project_keys(change(project))


def test_rows_beside_the_set_are_told_from_it(credentials: CredentialSealer) -> None:
    """Those of another project, and an earlier row of a secret that was retired; what is sealed is not changed."""
    old, new = new_secret("a" * 40, NOW), new_secret("b" * 40, Millis(NOW + 1))
    both, one = make_sealed(credentials, "1", old, new), make_sealed(credentials, "1", new)
    others = make_sealed(credentials, "2", new_secret(SECRET, NOW))
    rows = (*others.credentials, both.credentials[0], *one.credentials)

    assert one == credentials.genuine(attrs.evolve(one, credentials=rows))
    assert both == credentials.genuine(both)
    assert (
        both.credentials
        == credentials.genuine(attrs.evolve(both, credentials=(*both.credentials, *others.credentials))).credentials
    )


@pytest.mark.parametrize("strays", [0, 1, 20])
def test_without_one_whole_set_nothing_is_genuine(credentials: CredentialSealer, strays: int) -> None:
    """Neither where a row is missing, nor where two sets are there; and the search has a bound."""
    old, new = new_secret("a" * 40, NOW), new_secret("b" * 40, Millis(NOW + 1))
    both = make_sealed(credentials, "1", old, new)
    first, last = make_sealed(credentials, "1", old), make_sealed(credentials, "1", new)
    [other] = make_sealed(credentials, "2", new_secret(SECRET, NOW)).credentials
    beside = tuple(attrs.evolve(other, credential_id=f"sec_{n}") for n in range(strays))
    broken = [both.credentials[:1], (*first.credentials, *last.credentials)]

    for rows in [*broken, both.credentials] if strays == 20 else broken:
        with pytest.raises(SealBrokenError):
            credentials.genuine(attrs.evolve(both, credentials=(*rows, *beside)))


def test_a_signing_key_opens_to_what_it_was(credentials: CredentialSealer) -> None:
    """With its algorithm and id, after each change of its state."""
    key = SigningKey.generate(Algorithm.EDDSA)
    prepared = credentials.seal_signing_key(key, create_time=NOW)
    active = credentials.resealed_key(prepared, attrs.evolve(prepared, state=KeyState.ACTIVE, activate_time=NOW))

    for stored in (prepared, active):
        opened = credentials.open_signing_key(stored)
        assert (key.key_id, key.public.jwk, stored) == (opened.key.key_id, opened.key.public.jwk, opened.stored)


OTHERS: Final[dict[str, Any]] = {
    "key_id": "x" * 43,
    "algorithm": Algorithm.EDDSA,
    "state": KeyState.RETIRED,
    "create_time": NOW + 1,
    "activate_time": NOW,
    "sign_until": NOW,
    "retire_time": NOW,
    "expire_time": NOW,
    "location": "pkcs11:token=x",
    "sealed": b"",
}
"""Another value for each field of a stored key."""


@pytest.mark.parametrize("field", [field.name for field in attrs.fields(StoredKey)])
def test_a_signing_key_opens_only_as_it_was_sealed(credentials: CredentialSealer, field: str) -> None:
    """Whatever of its row is changed: its state and its times too."""
    stored = credentials.make_signing_key(Algorithm.ES256, NOW)

    with pytest.raises(SealBrokenError):
        credentials.open_signing_key(attrs.evolve(stored, **{field: OTHERS[field]}))


def test_what_is_sealed_is_bound_to_its_kind(credentials: CredentialSealer) -> None:
    """A signing key cannot pass for a project secret of the same id."""
    key = credentials.make_signing_key(Algorithm.ES256, NOW)
    project = make_sealed(credentials, "1", new_secret(SECRET, NOW))

    with pytest.raises(SealBrokenError):
        credentials.project_keys(_first(project, credential_id=key.key_id, sealed=key.sealed))


@pytest.mark.parametrize("pem", ["", "no key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_refuses_what_is_no_key(pem: str) -> None:
    """A bad PEM is refused before anything is sealed, in words that repeat none of it."""
    with pytest.raises(ValueError, match="key") as caught:
        new_vonage_key(pem, APPLICATION, NOW)

    assert "AAAA" not in str(caught.value)
