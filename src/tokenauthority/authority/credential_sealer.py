"""Encrypt credentials and signing keys under the master key, and open them as keys that sign."""

from __future__ import annotations

import secrets

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import attrs

from tokenauthority.domain.credential import Credential, CredentialKind
from tokenauthority.domain.key import Algorithm, KeyState, StoredKey
from tokenauthority.domain.project import Project
from tokenauthority.domain.sealed import SealedBlob, SealedKind
from tokenauthority.domain.times import Millis
from tokenauthority.signing.key_provider import AbsentSigner, KeyProvider, KeyProviderError
from tokenauthority.signing.key_serialization import load_public_der, public_der
from tokenauthority.signing.keyring import RingKey
from tokenauthority.signing.project_keys import ProjectKeys, ProjectSecret, VonageKey
from tokenauthority.signing.sealing import SealBrokenError, Sealer, SealProblem
from tokenauthority.signing.signing_key import SigningKey


_PROJECT_CREDENTIAL: Final = "project-credential"
_SIGNING_KEY: Final = "signing-key"
_PURPOSES: Final = {SealedKind.SIGNING_KEY: _SIGNING_KEY, SealedKind.PROJECT_CREDENTIAL: _PROJECT_CREDENTIAL}


@attrs.frozen
class NewKey:
    """A signing key that was just created, with its `location` and its sealed form for the store."""

    key: SigningKey
    location: str
    sealed: bytes = attrs.field(repr=False)

    def prepared(self, now: Millis) -> StoredKey:
        """Return its row for the store, in the state PREPARED."""
        return StoredKey(
            key_id=self.key.key_id,
            algorithm=self.key.algorithm,
            state=KeyState.PREPARED,
            create_time=now,
            sealed=self.sealed,
            location=self.location,
        )


class CredentialSealer:
    """Seals and opens credentials with the master key. A sealed blob opens only as its own kind and id.

    With a *provider*, such as an HSM, new private keys are created there, and the store has the sealed public key. So
    whoever can write to the store cannot read a private key, and cannot replace a public key by another one.
    """

    def __init__(self, sealer: Sealer, provider: KeyProvider | None = None) -> None:
        self._sealer = sealer
        self._provider = provider

    def seal_secret(self, value: str, now: Millis) -> Credential:
        """Return a project secret as a credential with a new id."""
        return self._seal(f"sec_{secrets.token_hex(8)}", CredentialKind.SECRET, value.encode(), now)

    def seal_vonage_key(self, pem: str, application_id: str, now: Millis) -> Credential:
        """Return a Vonage key as a credential with a new id; raise ValueError as `VonageKey.from_pem`."""
        key = VonageKey.from_pem(f"vkey_{secrets.token_hex(8)}", application_id, pem)
        return self._seal(key.key_id, CredentialKind.VONAGE_KEY, key.to_der(), now)

    def project_keys(self, project: Project) -> ProjectKeys:
        """Return the keys of a project; raise SealBrokenError as `open_signing_key`."""
        live = tuple(ProjectSecret(c.credential_id, self._open(c).decode()) for c in project.secrets)
        vonage = None
        for credential in project.credentials:
            if credential.kind is CredentialKind.VONAGE_KEY and project.vonage_application_id:
                der = self._open(credential)
                with _damaged_if_unparsable(_PROJECT_CREDENTIAL, credential.credential_id):
                    vonage = VonageKey.from_der(credential.credential_id, project.vonage_application_id, der)
        return ProjectKeys(project.project_id, live, vonage)

    def make_signing_key(self, algorithm: Algorithm) -> NewKey:
        """Create a signing key, or raise KeyProviderError. Blocks: for RSA tenths of a second, a provider longer."""
        if self._provider is None:
            key, location = SigningKey.generate(algorithm), ""
        else:
            key, location = self._provider.generate_key(algorithm)
        return NewKey(key, location, self.seal_signing_key(key))

    def destroy_signing_key(self, stored: StoredKey) -> None:
        """Have the provider destroy a key that lives there, or raise KeyProviderError. Blocks."""
        if not stored.location:
            return
        provider = self._provider_of(stored)
        if provider is None:
            raise KeyProviderError(_no_provider(stored))
        provider.destroy_key(stored)

    def seal_signing_key(self, key: SigningKey) -> bytes:
        """Return the sealed private key, or the sealed public key of a remote one, bound to its `kid`."""
        der = public_der(key.public_key) if key.remote else key.to_der()
        return self._sealer.seal(der, purpose=_SIGNING_KEY, object_id=key.key_id)

    def open_signing_key(self, stored: StoredKey) -> RingKey:
        """Return a stored signing key for the ring. Asks no provider, so the key verifies while that is away.

        Raises:
            SealBrokenError: the data was sealed under another master key, or has changed.
        """
        der = self._sealer.open(stored.sealed, purpose=_SIGNING_KEY, object_id=stored.key_id)
        with _damaged_if_unparsable(_SIGNING_KEY, stored.key_id):
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
        """The ids of the master keys; the first one seals, all of them open."""
        return self._sealer.key_ids

    def resealed(self, blob: SealedBlob) -> bytes | None:
        """Return *blob* sealed under the first master key, or None if it is already; raise SealBrokenError."""
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
def _damaged_if_unparsable(purpose: str, object_id: str) -> Iterator[None]:
    """Raise SealBrokenError where opened bytes are not a key, as if another version had written them."""
    try:
        yield
    except ValueError as error:
        raise SealBrokenError(purpose, object_id, SealProblem.DAMAGED, str(error)) from error


def _no_provider(stored: StoredKey) -> str:
    return f"signing key {stored.key_id} is at {stored.location}, and this server is set to no such provider"
