"""Encrypt credentials and signing keys under the master key, and open them as keys that sign.

Every envelope is bound to all that decides for whom and how long its content signs (`_facts_of_...`), so that whoever
can write to the store, and lacks the master key, cannot move, copy, swap or change what the store has sealed.
"""

from __future__ import annotations

import secrets

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import combinations
from typing import Final

import attrs

from tokenauthority.domain.credential import Credential, CredentialKind, PlainCredential
from tokenauthority.domain.key import Algorithm, KeyState, StoredKey
from tokenauthority.domain.project import Project
from tokenauthority.domain.times import Millis
from tokenauthority.signing.key_provider import AbsentSigner, KeyProvider, KeyProviderError
from tokenauthority.signing.key_serialization import load_public_der, public_der
from tokenauthority.signing.keyring import RingKey
from tokenauthority.signing.project_keys import ProjectKeys, ProjectSecret, VonageKey
from tokenauthority.signing.sealing import Facts, SealBrokenError, Sealer, SealProblem, is_version_1
from tokenauthority.signing.signing_key import SigningKey


_MAX_ROWS: Final = 6
"""The most credentials of a project among which those are searched that were sealed for it. It has at most three."""

_PROJECT: Final = "project"
_PROJECT_CREDENTIAL: Final = "project-credential"
_SIGNING_KEY: Final = "signing-key"


def new_secret(value: str, now: Millis, secret_id: str = "") -> PlainCredential:
    """Return a project secret as a credential, with a new id unless a server knows it by *secret_id*."""
    secret_id = secret_id or f"sec_{secrets.token_hex(8)}"
    return PlainCredential(credential_id=secret_id, kind=CredentialKind.SECRET, create_time=now, value=value.encode())


def new_vonage_key(pem: str, application_id: str, now: Millis) -> PlainCredential:
    """Return a Vonage key as a credential with a new id; raise ValueError as `VonageKey.from_pem`."""
    key = VonageKey.from_pem(f"vkey_{secrets.token_hex(8)}", application_id, pem)
    return PlainCredential(
        credential_id=key.key_id, kind=CredentialKind.VONAGE_KEY, create_time=now, value=key.to_der()
    )


class CredentialSealer:
    """Seals and opens credentials with the master key.

    With a *provider*, such as an HSM, new private keys are created there, and the store has the sealed public key. So
    whoever can write to the store cannot read a private key, and cannot replace a public key by another one.
    """

    def __init__(self, sealer: Sealer, provider: KeyProvider | None = None) -> None:
        self._sealer = sealer
        self._provider = provider

    @property
    def master_key_ids(self) -> tuple[str, ...]:
        """The ids of the master keys; the first one seals, all of them open."""
        return self._sealer.key_ids

    def is_current(self, sealed: bytes) -> bool:
        """Return whether an envelope is of this version, and under the master key that seals."""
        return self._sealer.is_current(sealed)

    def sealed_project(self, project: Project, plain: Sequence[PlainCredential]) -> Project:
        """Return *project* with the credentials *plain*, which are sealed for it as a set."""
        credentials = tuple(
            Credential(credential_id=c.credential_id, kind=c.kind, create_time=c.create_time, sealed=b"") for c in plain
        )
        project = attrs.evolve(project, credentials=credentials)
        sealed = tuple(
            attrs.evolve(
                credential,
                sealed=self._sealer.seal(
                    opened.value,
                    purpose=_PROJECT_CREDENTIAL,
                    object_id=credential.credential_id,
                    facts=_facts_of_credential(project, credential),
                ),
            )
            for credential, opened in zip(credentials, plain, strict=True)
        )
        return attrs.evolve(project, credentials=sealed)

    def open_project(self, project: Project) -> tuple[PlainCredential, ...]:
        """Return the credentials of *project* in the clear, in their order.

        Raises:
            SealBrokenError: one is under another master key; or it, the set of them or the project has changed.
        """
        if not project.credentials:
            # Nothing that is sealed says that there is such a project: its row was invented, or its credentials moved.
            detail = "it has no credential, and every project has one"
            raise SealBrokenError(_PROJECT, project.project_id, SealProblem.DAMAGED, detail)
        return tuple(
            _plain(
                credential,
                self._sealer.open(
                    credential.sealed,
                    purpose=_PROJECT_CREDENTIAL,
                    object_id=credential.credential_id,
                    facts=_facts_of_credential(project, credential),
                ),
            )
            for credential in project.credentials
        )

    def genuine(self, project: Project) -> Project:
        """Return *project* with the credentials alone that were sealed for it as one set.

        Somebody may have put other rows beside them, or an earlier row of a secret that was retired.

        Raises:
            SealBrokenError: as `open_project`, if no such set is there, or several.
        """
        try:
            self.open_project(project)
        except SealBrokenError:
            rows = project.credentials
            sizes = range(1, len(rows)) if len(rows) <= _MAX_ROWS else ()
            parts = (part for size in sizes for part in combinations(rows, size))
            found = [each for part in parts if self._opens(each := attrs.evolve(project, credentials=part))]
            if len(found) != 1:
                raise
            return found[0]
        return project

    def _opens(self, project: Project) -> bool:
        try:
            self.open_project(project)
        except SealBrokenError:
            return False
        return True

    def open_project_of_version_1(self, project: Project) -> tuple[PlainCredential, ...]:
        """Return the credentials of a project that an earlier version sealed, each bound to its id alone.

        Rows of other versions beside them are left out: somebody has put them there.

        Raises:
            SealBrokenError: a row of version 1 does not open, or there is none.
        """
        rows = [credential for credential in project.credentials if is_version_1(credential.sealed)]
        if not rows:
            return self.open_project(project)
        return tuple(
            _plain(
                credential,
                self._sealer.open_version_1(
                    credential.sealed, purpose=_PROJECT_CREDENTIAL, object_id=credential.credential_id
                ),
            )
            for credential in rows
        )

    def project_keys(self, project: Project) -> ProjectKeys:
        """Return the keys of a project; raise SealBrokenError as `open_project`, and if its row is unreadable."""
        if project.unreadable:
            raise SealBrokenError(_PROJECT, project.project_id, SealProblem.DAMAGED, project.unreadable)
        live, vonage = [], None
        for plain in sorted(self.open_project(project), key=lambda c: (c.create_time, c.credential_id), reverse=True):
            with _damaged_if_unparsable(_PROJECT_CREDENTIAL, plain.credential_id):
                if plain.kind is CredentialKind.SECRET:
                    live.append(ProjectSecret(plain.credential_id, plain.value.decode()))
                elif project.vonage_application_id:
                    vonage = VonageKey.from_der(plain.credential_id, project.vonage_application_id, plain.value)
        return ProjectKeys(project.project_id, tuple(live), vonage)

    def make_signing_key(self, algorithm: Algorithm, now: Millis) -> StoredKey:
        """Create a PREPARED signing key, or raise KeyProviderError.

        It blocks: for RSA tenths of a second, a provider longer.
        """
        if self._provider is None:
            key, location = SigningKey.generate(algorithm), ""
        else:
            key, location = self._provider.generate_key(algorithm)
        return self.seal_signing_key(key, create_time=now, location=location)

    def seal_signing_key(self, key: SigningKey, *, create_time: Millis, location: str = "") -> StoredKey:
        """Return *key* PREPARED, with its sealed private key, or the sealed public key of a remote one."""
        stored = StoredKey(
            key_id=key.key_id,
            algorithm=key.algorithm,
            state=KeyState.PREPARED,
            create_time=create_time,
            sealed=b"",
            location=location,
        )
        return self._seal_key(stored, public_der(key.public_key) if key.remote else key.to_der())

    def resealed_key(self, before: StoredKey, after: StoredKey) -> StoredKey:
        """Return *after* with the envelope of *before*, the same key, sealed for its new state and times.

        Raises:
            SealBrokenError: *before* does not open.
        """
        return self._seal_key(after, self._open_key(before))

    def resealed_key_of_version_1(self, stored: StoredKey) -> StoredKey:
        """Return a key that an earlier version sealed, bound to its id alone, sealed for its state and times."""
        der = self._sealer.open_version_1(stored.sealed, purpose=_SIGNING_KEY, object_id=stored.key_id)
        return self._seal_key(stored, der)

    def open_signing_key(self, stored: StoredKey) -> RingKey:
        """Return a stored signing key for the ring. Asks no provider, so the key verifies while that is away.

        Raises:
            SealBrokenError: the data was sealed under another master key, or it, the key's state or a time has changed.
        """
        der = self._open_key(stored)
        with _damaged_if_unparsable(_SIGNING_KEY, stored.key_id):
            if not stored.location:
                return RingKey(stored, SigningKey.from_der(stored.algorithm, der))
            public_key, provider = load_public_der(der), self._provider_of(stored)
            if provider is not None:
                return RingKey(stored, provider.located_key(stored, public_key))
            absent = AbsentSigner(_no_provider(stored))
            return RingKey(stored, SigningKey.located(stored.algorithm, public_key, lambda *_: absent))

    def destroy_signing_key(self, stored: StoredKey) -> None:
        """Have the provider destroy a key that lives there, or raise KeyProviderError. Blocks."""
        if not stored.location:
            return
        provider = self._provider_of(stored)
        if provider is None:
            raise KeyProviderError(_no_provider(stored))
        provider.destroy_key(stored)

    def _provider_of(self, stored: StoredKey) -> KeyProvider | None:
        provider = self._provider
        return provider if provider is not None and stored.location.startswith(f"{provider.scheme}:") else None

    def _seal_key(self, stored: StoredKey, der: bytes) -> StoredKey:
        facts = _facts_of_key(stored)
        sealed = self._sealer.seal(der, purpose=_SIGNING_KEY, object_id=stored.key_id, facts=facts)
        return attrs.evolve(stored, sealed=sealed)

    def _open_key(self, stored: StoredKey) -> bytes:
        facts = _facts_of_key(stored)
        return self._sealer.open(stored.sealed, purpose=_SIGNING_KEY, object_id=stored.key_id, facts=facts)


def _facts_of_key(stored: StoredKey) -> Facts:
    """Return all that is stored of a key: its state and times decide what it signs, and when it is destroyed."""
    return attrs.asdict(stored, filter=attrs.filters.exclude("sealed"))


def _facts_of_credential(project: Project, credential: Credential) -> Facts:
    """Return for whom a credential signs, and which others are live: the newest signs, and a retired one does not."""
    return {
        "kind": credential.kind.value,
        "create_time": credential.create_time,
        "project_id": project.project_id,
        "vonage_application_id": project.vonage_application_id,
        "credentials": sorted(each.credential_id for each in project.credentials),
    }


def _plain(credential: Credential, value: bytes) -> PlainCredential:
    return PlainCredential(
        credential_id=credential.credential_id,
        kind=credential.kind,
        create_time=credential.create_time,
        value=value,
    )


@contextmanager
def _damaged_if_unparsable(purpose: str, object_id: str) -> Iterator[None]:
    """Raise SealBrokenError where opened bytes are not a key, as if another version had written them."""
    try:
        yield
    except ValueError as error:
        raise SealBrokenError(purpose, object_id, SealProblem.DAMAGED, str(error)) from error


def _no_provider(stored: StoredKey) -> str:
    return f"signing key {stored.key_id} is at {stored.location}, and this server is set to no such provider"
