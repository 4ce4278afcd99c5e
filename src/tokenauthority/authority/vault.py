"""Turns sealed credentials into keys that sign, and new keys into sealed credentials."""

from __future__ import annotations

import secrets

from typing import TYPE_CHECKING, Final

from tokenauthority.domain.project import Credential, CredentialKind
from tokenauthority.signing.keys import ProjectKeys, ProjectSecret, SigningKey, VonageKey


if TYPE_CHECKING:
    from tokenauthority.domain.key import StoredKey
    from tokenauthority.domain.project import Project
    from tokenauthority.domain.times import Millis
    from tokenauthority.signing.sealing import Sealer


_PROJECT_CREDENTIAL: Final = "project-credential"
_SIGNING_KEY: Final = "signing-key"


class Vault:
    """Opens and seals with the master key; what it seals is bound to its kind and id."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer

    def seal_secret(self, value: str, now: Millis) -> Credential:
        """A project secret as a credential with a new id."""
        return self._seal(f"sec_{secrets.token_hex(8)}", CredentialKind.SECRET, value.encode(), now)

    def seal_vonage_key(self, key: VonageKey, now: Millis) -> Credential:
        """A Vonage application key as a credential under its own id."""
        return self._seal(key.key_id, CredentialKind.VONAGE_KEY, key.to_der(), now)

    def project_keys(self, project: Project) -> ProjectKeys:
        """The keys of a project.

        Raises:
            SealBrokenError: the master key is another one, or the data was changed.
        """
        vonage = None
        for credential in project.credentials:
            if credential.kind is CredentialKind.VONAGE_KEY and project.vonage_application_id:
                der = self._sealer.open(_PROJECT_CREDENTIAL, credential.credential_id, credential.sealed)
                vonage = VonageKey.from_der(der, application_id=project.vonage_application_id)
        live = tuple(
            ProjectSecret(
                secret_id=secret.credential_id,
                value=self._sealer.open(_PROJECT_CREDENTIAL, secret.credential_id, secret.sealed),
            )
            for secret in project.secrets
        )
        return ProjectKeys(project_id=project.project_id, secrets=live, vonage=vonage)

    def seal_signing_key(self, key: SigningKey) -> bytes:
        """The private half of a signing key, sealed under its `kid`."""
        return self._sealer.seal(_SIGNING_KEY, key.key_id, key.to_der())

    def open_signing_key(self, stored: StoredKey) -> SigningKey:
        """The signing key of a stored one.

        Raises:
            SealBrokenError: the master key is another one, or the data was changed.
        """
        der = self._sealer.open(_SIGNING_KEY, stored.key_id, stored.sealed)
        return SigningKey.from_der(der, algorithm=stored.algorithm)

    def _seal(self, credential_id: str, kind: CredentialKind, plain: bytes, now: Millis) -> Credential:
        sealed = self._sealer.seal(_PROJECT_CREDENTIAL, credential_id, plain)
        return Credential(credential_id=credential_id, kind=kind, create_time=now, sealed=sealed)
