"""Rotate, correct and retire the secrets of projects."""

from __future__ import annotations

import secrets

from collections.abc import Callable, Sequence
from typing import Final

import attrs

from tokenauthority.authority.credential_sealer import CredentialSealer, new_secret
from tokenauthority.authority.key_checks import KeyChecks
from tokenauthority.authority.project_spec import (
    GENERATED,
    SERVER_KEY_ID_RULE,
    SERVER_SECRET_RULE,
    GivenSecret,
)
from tokenauthority.authority.tenant_cache import TenantCache
from tokenauthority.domain.change import ChangeKind
from tokenauthority.domain.credential import CredentialKind, PlainCredential
from tokenauthority.domain.errors import (
    FieldViolation,
    InvalidRequestError,
    PreconditionError,
    Reason,
    UnavailableError,
    require_valid,
)
from tokenauthority.domain.ids import is_server_key_id
from tokenauthority.domain.project import (
    Project,
    is_secret,
    is_server_secret,
    require_one_secret,
    require_other_secret,
)
from tokenauthority.domain.times import Millis
from tokenauthority.signing.sealing import SealBrokenError
from tokenauthority.storage import errors
from tokenauthority.storage.store import ProjectStore


_MAX_SECRET_ID: Final = 64

_Change = Callable[[Project, Sequence[PlainCredential]], Sequence[PlainCredential]]


class ProjectSecrets:
    """The use cases RotateProjectSecret and RetireProjectSecret.

    They raise what the contract names for the RPC, and UnavailableError.
    """

    def __init__(
        self, store: ProjectStore, tenants: TenantCache, credentials: CredentialSealer, checks: KeyChecks
    ) -> None:
        self._store = store
        self._tenants = tenants
        self._credentials = credentials
        self._checks = checks

    async def rotate(
        self, project_id: str, caller: str, now: Millis, given: GivenSecret = GENERATED
    ) -> PlainCredential:
        """Add a second secret, *given* or a new one, which signs from now on.

        One with the id of a live secret takes its place, and a private key that of the project's application.
        """
        require_valid(_violations(given))
        if given.private_key:
            return await self._replace_key(project_id, given.private_key, caller, now)
        if given.secret_id:
            owner = await self._store.find_secret_project(given.secret_id, only=None)
            if owner not in {None, project_id}:
                raise errors.secret_exists(await self._project(project_id), given.secret_id)
        return await self._add_secret(project_id, given, now)

    async def retire(self, project_id: str, secret_id: str) -> Project:
        """Retire the secret, and return the project without it."""
        if not (secret_id.isprintable() and 1 <= len(secret_id) <= _MAX_SECRET_ID):
            raise InvalidRequestError(
                [FieldViolation("secret_id", f"must have 1 to {_MAX_SECRET_ID} printable characters")]
            )

        def change(project: Project, credentials: Sequence[PlainCredential]) -> Sequence[PlainCredential]:
            require_other_secret(project, secret_id)
            return [credential for credential in credentials if credential.credential_id != secret_id]

        return await self._change_credentials(project_id, change)

    async def _add_secret(self, project_id: str, given: GivenSecret, now: Millis) -> PlainCredential:
        value = given.secret or secrets.token_hex(20)
        added: list[PlainCredential] = []

        def change(project: Project, credentials: Sequence[PlainCredential]) -> Sequence[PlainCredential]:
            others = [credential for credential in credentials if credential.credential_id != given.secret_id]
            if len(others) == len(credentials):
                require_one_secret(project)
            if any(credential.value == value.encode() for credential in credentials):
                raise InvalidRequestError([FieldViolation("secret", "is the live secret of the project already")])
            # Strictly later than its predecessor: the newest signs, also if the clock stood still or went back.
            at = max(now, type(now)(project.secrets[0].create_time + 1))
            added.append(new_secret(value, at, given.secret_id))
            return [*others, added[-1]]

        await self._change_credentials(project_id, change)
        return added[-1]

    async def _replace_key(self, project_id: str, private_key: str, caller: str, now: Millis) -> PlainCredential:
        application_id = (await self._project(project_id)).vonage_application_id
        if application_id is None:
            message = f"project {project_id} was not imported from Vonage"
            raise PreconditionError(Reason.FORMAT_UNAVAILABLE, project_id, message)
        async with self._checks.hold(caller):
            try:
                key = await self._checks.vonage_key(private_key, application_id, now)
            except ValueError as error:
                raise InvalidRequestError([FieldViolation("private_key", str(error))]) from error

        def change(_: Project, credentials: Sequence[PlainCredential]) -> Sequence[PlainCredential]:
            return [*(each for each in credentials if each.kind is not CredentialKind.VONAGE_KEY), key]

        await self._change_credentials(project_id, change)
        return key

    async def _project(self, project_id: str) -> Project:
        return (await self._tenants.require_tenant(project_id)).project

    async def _change_credentials(self, project_id: str, change: _Change) -> Project:
        """Replace the credentials of a project, and seal all that are live then as one set."""

        def sealed(project: Project) -> Project:
            genuine = self._credentials.genuine(project)
            changed = self._credentials.sealed_project(
                genuine, change(genuine, self._credentials.open_project(genuine))
            )
            # Rows that somebody has put there may be those of another project: they stay, and are reported.
            strays = project.without(genuine.credentials)
            return attrs.evolve(changed, credentials=(*changed.credentials, *strays))

        try:
            changed = self._credentials.genuine(await self._store.update_credentials(project_id, sealed))
        except SealBrokenError as error:
            raise UnavailableError.seal_broken(f"the keys of project {project_id}") from error
        self._tenants.invalidate(ChangeKind.PROJECT, project_id, project_id)
        return changed


def _violations(given: GivenSecret) -> list[FieldViolation]:
    """Return what is wrong with a secret that a request gives, or with its key."""
    if given.private_key:
        alone = not (given.secret or given.secret_id)
        return [] if alone else [FieldViolation("private_key", "must not be set together with a secret")]
    if not given.secret_id:
        is_valid = not given.secret or is_secret(given.secret)
        return [] if is_valid else [FieldViolation("secret", "must be 40 hex characters")]
    found = [] if is_server_key_id(given.secret_id) else [FieldViolation("secret_id", SERVER_KEY_ID_RULE)]
    return found if is_server_secret(given.secret) else [*found, FieldViolation("secret", SERVER_SECRET_RULE)]
