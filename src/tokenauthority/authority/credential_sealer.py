"""Turns sealed credentials into keys that sign, and new keys into sealed credentials."""

from __future__ import annotations

import secrets

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import attrs

from tokenauthority.domain.key import KeyState, StoredKey
from tokenauthority.domain.project import Credential, CredentialKind
from tokenauthority.domain.sealed import SealedKind
from tokenauthority.signing.key_provider import AbsentSigner, KeyProviderError
from tokenauthority.signing.key_serialization import load_public_der, public_der
from tokenauthority.signing.keyring import RingKey
from tokenauthority.signing.project_keys import ProjectKeys, ProjectSecret, VonageKey
from tokenauthority.signing.sealing import SealBrokenError, SealProblem
from tokenauthority.signing.signing_key import SigningKey


if TYPE_CHECKING:
    from collections.abc import Iterator

    from tokenauthority.domain.key import Algorithm
    from tokenauthority.domain.project import Project
    from tokenauthority.domain.sealed import SealedBlob
    from tokenauthority.domain.times import Millis
    from tokenauthority.signing.key_provider import KeyProvider
    from tokenauthority.signing.sealing import Sealer


_PROJECT_CREDENTIAL: Final = "project-credential"
_SIGNING_KEY: Final = "signing-key"
_PURPOSES: Final = {SealedKind.SIGNING_KEY: _SIGNING_KEY, SealedKind.PROJECT_CREDENTIAL: _PROJECT_CREDENTIAL}


@attrs.frozen
class NewKey:
    """A signing key just made, with what is stored of it: its `location` and what is sealed."""

    key: SigningKey
    location: str
    sealed: bytes = attrs.field(repr=False)

    def prepared(self, now: Millis) -> StoredKey:
        """What is stored of it, PREPARED."""
        return StoredKey(
            key_id=self.key.key_id,
            algorithm=self.key.algorithm,
            state=KeyState.PREPARED,
            create_time=now,
            sealed=self.sealed,
            location=self.location,
        )


class CredentialSealer:
    """Opens and seals with the master key; what it seals is bound to its kind and id.

    New signing keys live with *provider* where there is one. Whoever can write to the store can then neither have a
    private key nor pass off a public one, which is sealed in its place.
    """

    def __init__(self, sealer: Sealer, provider: KeyProvider | None = None) -> None:
        self._sealer = sealer
        self._provider = provider

    def seal_secret(self, value: str, now: Millis) -> Credential:
        """A project secret as a credential with a new id."""
        return self._seal(f"sec_{secrets.token_hex(8)}", CredentialKind.SECRET, value.encode(), now)

    def seal_vonage_key(self, pem: str, application_id: str, now: Millis) -> Credential:
        """A Vonage application key in PEM as a credential with a new id.

        Raises:
            ValueError: it is no key that can sign; see `VonageKey.from_pem`.
        """
        key = VonageKey.from_pem(f"vkey_{secrets.token_hex(8)}", application_id, pem)
        return self._seal(key.key_id, CredentialKind.VONAGE_KEY, key.to_der(), now)

    def project_keys(self, project: Project) -> ProjectKeys:
        """The keys of a project.

        Raises:
            SealBrokenError: the master key is another one, or the data was changed.
        """
        live = tuple(ProjectSecret(c.credential_id, self._open(c).decode()) for c in project.secrets)
        vonage = None
        for credential in project.credentials:
            if credential.kind is CredentialKind.VONAGE_KEY and project.vonage_application_id:
                der = self._open(credential)
                with _read(_PROJECT_CREDENTIAL, credential.credential_id):
                    vonage = VonageKey.from_der(credential.credential_id, project.vonage_application_id, der)
        return ProjectKeys(project.project_id, live, vonage)

    def make_signing_key(self, algorithm: Algorithm) -> NewKey:
        """A new signing key. Blocks: with a provider for as long as that takes, and for RSA some tenths of a second.

        Raises:
            KeyProviderError: the provider cannot make it.
        """
        if self._provider is None:
            key = SigningKey.generate(algorithm)
            return NewKey(key, "", self.seal_signing_key(key))
        key, location = self._provider.generate_key(algorithm)
        return NewKey(key, location, self.seal_signing_key(key))

    def destroy_signing_key(self, stored: StoredKey) -> None:
        """Have the provider destroy a key that it keeps; one that is in its row goes with that. Blocks.

        Raises:
            KeyProviderError: it cannot be destroyed now, or its provider is not the one of this server.
        """
        if not stored.location:
            return
        provider = self._provider_of(stored)
        if provider is None:
            raise KeyProviderError(_no_provider(stored))
        provider.destroy_key(stored)

    def seal_signing_key(self, key: SigningKey) -> bytes:
        """The private half of a signing key, or the public one where that is remote, sealed under its `kid`."""
        der = public_der(key.public_key) if key.remote else key.to_der()
        return self._sealer.seal(der, purpose=_SIGNING_KEY, object_id=key.key_id)

    def open_signing_key(self, stored: StoredKey) -> RingKey:
        """A stored signing key, ready for the ring. No provider is asked: the key verifies also while that is away.

        Raises:
            SealBrokenError: the master key is another one, or the data was changed.
        """
        der = self._sealer.open(stored.sealed, purpose=_SIGNING_KEY, object_id=stored.key_id)
        with _read(_SIGNING_KEY, stored.key_id):
            if not stored.location:
                return RingKey(stored, SigningKey.from_der(stored.algorithm, der))
            public_key, provider = load_public_der(der), self._provider_of(stored)
            if provider is not None:
                return RingKey(stored, provider.located_key(stored, public_key))
            absent = AbsentSigner(_no_provider(stored))
            return RingKey(stored, SigningKey.located(stored.algorithm, public_key, lambda *_: absent))

    def _provider_of(self, stored: StoredKey) -> KeyProvider | None:
        provider = self._provider
        return provider if provider is not None and stored.location.startswith(f"{provider.scheme}:") else None

    @property
    def master_key_ids(self) -> tuple[str, ...]:
        """The ids of the master keys that it opens with, that of the one that it seals with first."""
        return self._sealer.key_ids

    def resealed(self, blob: SealedBlob) -> bytes | None:
        """The envelope that belongs in the place of *blob*; None if it is under the right master key already.

        Raises:
            SealBrokenError: the blob does not open, whichever master key it is under.
        """
        purpose = _PURPOSES[blob.kind]
        plaintext = self._sealer.open(blob.sealed, purpose=purpose, object_id=blob.object_id)
        if self._sealer.is_current(blob.sealed):
            return None
        return self._sealer.seal(plaintext, purpose=purpose, object_id=blob.object_id)

    def _seal(self, credential_id: str, kind: CredentialKind, plain: bytes, now: Millis) -> Credential:
        sealed = self._sealer.seal(plain, purpose=_PROJECT_CREDENTIAL, object_id=credential_id)
        return Credential(credential_id=credential_id, kind=kind, create_time=now, sealed=sealed)

    def _open(self, credential: Credential) -> bytes:
        return self._sealer.open(credential.sealed, purpose=_PROJECT_CREDENTIAL, object_id=credential.credential_id)


@contextmanager
def _read(purpose: str, object_id: str) -> Iterator[None]:
    """What the seal kept is no such key, as another version may have written it: it does not open either."""
    try:
        yield
    except ValueError as error:
        raise SealBrokenError(purpose, object_id, SealProblem.DAMAGED, str(error)) from error


def _no_provider(stored: StoredKey) -> str:
    return f"signing key {stored.key_id} is at {stored.location}, and this server is set to no such provider"
