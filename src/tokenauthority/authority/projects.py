"""Makes, imports, shows and changes projects, and changes their secrets."""

from __future__ import annotations

import asyncio
import secrets

from typing import TYPE_CHECKING, Final, NoReturn

import attrs

from tokenauthority.authority.project_spec import (
    NewSecret,
    format_violations,
    new_project,
    spec_violations,
)
from tokenauthority.domain.caller import ANY
from tokenauthority.domain.change import ChangeKind
from tokenauthority.domain.errors import (
    AlreadyExistsError,
    FieldViolation,
    InvalidRequestError,
    NotFoundError,
    PreconditionError,
    Reason,
)
from tokenauthority.domain.ids import MAX_PROJECT_ID, is_project_id, is_uuid
from tokenauthority.domain.project import MAX_LIVE_SECRETS, is_secret, project_violations
from tokenauthority.domain.token_format import TokenFormat


if TYPE_CHECKING:
    from collections.abc import Sequence

    from tokenauthority.authority.credential_sealer import CredentialSealer
    from tokenauthority.authority.project_spec import OpenTokImport, ProjectChanges, ProjectSpec, VonageImport
    from tokenauthority.authority.tenant_cache import TenantCache
    from tokenauthority.domain.caller import Grant
    from tokenauthority.domain.project import Credential, Project
    from tokenauthority.domain.times import Millis
    from tokenauthority.storage import ProjectStore


_LOWEST_PICKED: Final = 1_000_000_000
"""Ids that the authority picks have ten digits; those of the OpenTok platform have at most eight."""

_PICKS: Final = 5

_NO_APPLICATION: Final = "00000000-0000-0000-0000-000000000000"
"""Stands in where the application id is none, so that the key is looked at all the same. RFC 9562's Nil UUID."""

_MAX_SECRET_ID: Final = 64


class Projects:
    """The use cases of ProjectService."""

    def __init__(self, store: ProjectStore, catalog: TenantCache, vault: CredentialSealer) -> None:
        self._store = store
        self._catalog = catalog
        self._vault = vault

    async def create(self, spec: ProjectSpec, grant: Grant, now: Millis) -> tuple[Project, NewSecret]:
        """A new project with its first secret.

        Raises:
            InvalidRequestError, PermissionDeniedError, AlreadyExistsError, UnavailableError.
        """
        _require_granted(grant, spec.project_id, "project_id")
        project = new_project(spec, now, TokenFormat.SESSION_JWT, external=False)
        _refuse(spec_violations(spec, project))
        value = secrets.token_hex(20)
        credential = self._vault.seal_secret(value, now)
        return await self._add(project, credential), NewSecret(credential=credential, value=value)

    async def import_opentok(self, spec: ProjectSpec, source: OpenTokImport, grant: Grant, now: Millis) -> Project:
        """A project of the OpenTok platform, under its own API key as project id.

        Raises:
            InvalidRequestError, PermissionDeniedError, AlreadyExistsError, UnavailableError.
        """
        if source.api_key:
            _require_granted(grant, source.api_key, "opentok.api_key")
        unnamed = attrs.evolve(spec, project_id="")
        project = new_project(unnamed, now, TokenFormat.OPENTOK_JWT, external=True)
        violations = spec_violations(unnamed, project)
        if spec.project_id:
            violations.append(FieldViolation("project_id", "must not be set: the API key becomes the project id"))
        if not is_project_id(source.api_key):
            violations.append(FieldViolation("opentok.api_key", f"must be a decimal number from 1 to {MAX_PROJECT_ID}"))
        if not is_secret(source.api_secret):
            violations.append(FieldViolation("opentok.api_secret", "must be 40 hex characters"))
        _refuse(violations)
        credential = self._vault.seal_secret(source.api_secret, now)
        return await self._add(attrs.evolve(project, project_id=source.api_key), credential)

    async def import_vonage(self, spec: ProjectSpec, source: VonageImport, grant: Grant, now: Millis) -> Project:
        """A project that stands for an application of Vonage Video.

        Raises:
            InvalidRequestError, PermissionDeniedError, AlreadyExistsError, UnavailableError.
        """
        _require_granted(grant, spec.project_id, "project_id")
        application_id = source.application_id.lower() if is_uuid(source.application_id) else _NO_APPLICATION
        project = new_project(spec, now, TokenFormat.VONAGE_JWT, external=True, application_id=application_id)
        violations = spec_violations(spec, project)
        if application_id == _NO_APPLICATION:
            violations.append(FieldViolation("vonage.application_id", "must be a UUID"))
        try:
            # Checking an RSA key takes a tenth of a second and more.
            credential = await asyncio.to_thread(self._vault.seal_vonage_key, source.private_key, application_id, now)
        except ValueError as error:
            raise InvalidRequestError([*violations, FieldViolation("vonage.private_key", str(error))]) from error
        _refuse(violations)
        return await self._add(project, credential)

    def refuse_import(self, spec: ProjectSpec, grant: Grant, now: Millis, violation: FieldViolation) -> NoReturn:
        """Refuse an import without a usable source for *violation*, and for all else that is wrong with it.

        Raises:
            InvalidRequestError, PermissionDeniedError.
        """
        if spec.project_id:
            _require_granted(grant, spec.project_id, "project_id")
        # Which formats it may have as its default depends on the source.
        spec = attrs.evolve(spec, default_format=None)
        project = new_project(spec, now, TokenFormat.SESSION_JWT, external=True)
        raise InvalidRequestError([*spec_violations(spec, project), violation])

    async def get(self, project_id: str) -> Project:
        """The project (already chosen by the grant).

        Raises:
            NotFoundError, UnavailableError.
        """
        tenant = await self._catalog.tenant(project_id)
        if tenant is None:
            raise NotFoundError.project(project_id)
        return tenant.project

    async def list_page(self, grant: Grant, *, after: int, limit: int) -> Sequence[Project]:
        """At most *limit* projects of the grant with an id above *after*.

        Raises:
            UnavailableError.
        """
        only = None if ANY in grant.projects else grant.projects
        return await self._store.list_projects(after=after, limit=limit, only=only)

    async def update(
        self, project_id: str, changes: ProjectChanges, problems: Sequence[FieldViolation] = ()
    ) -> Project:
        """The project with the values of *changes*, by field name.

        *problems* are what of them could not even be read; they are named with all others.

        Raises:
            InvalidRequestError, NotFoundError, UnavailableError.
        """

        def change(project: Project) -> Project:
            changed = attrs.evolve(project, **changes)
            found = [*project_violations(changed), *format_violations(changed, has_secret=bool(changed.secrets))]
            _refuse([*problems, *(violation.under("project") for violation in found)])
            return changed

        changed = await self._store.update_project(project_id, change)
        self._catalog.forget(ChangeKind.PROJECT, project_id, project_id)
        return changed

    async def rotate_secret(self, project_id: str, now: Millis) -> NewSecret:
        """A second secret, which signs from now on.

        Raises:
            NotFoundError, PreconditionError, UnavailableError.
        """
        project = await self._fresh(project_id)
        if len(project.secrets) != MAX_LIVE_SECRETS - 1:
            raise PreconditionError(
                Reason.SECRET_COUNT,
                project_id,
                f"the project has {len(project.secrets)} live secrets; this needs one",
            )
        value = secrets.token_hex(20)
        # Strictly later than the one it follows: the newest signs, also where the clock stood still or went back.
        moment = max(now, type(now)(project.secrets[0].create_time + 1))
        credential = self._vault.seal_secret(value, moment)
        await self._store.add_secret(project_id, credential)
        self._catalog.forget(ChangeKind.PROJECT, project_id, project_id)
        return NewSecret(credential=credential, value=value)

    async def retire_secret(self, project_id: str, secret_id: str) -> Project:
        """The project without that secret.

        Raises:
            InvalidRequestError, NotFoundError, PreconditionError, UnavailableError.
        """
        if not (secret_id.isprintable() and 1 <= len(secret_id) <= _MAX_SECRET_ID):
            raise InvalidRequestError(
                [FieldViolation("secret_id", f"must have 1 to {_MAX_SECRET_ID} printable characters")]
            )
        await self._store.remove_secret(project_id, secret_id)
        self._catalog.forget(ChangeKind.PROJECT, project_id, project_id)
        return await self._fresh(project_id)

    async def _fresh(self, project_id: str) -> Project:
        """The project as the store has it now: a cached one could undo another server's change."""
        project = await self._store.get_project(project_id)
        if project is None:
            raise NotFoundError.project(project_id)
        return project

    async def _add(self, project: Project, credential: Credential) -> Project:
        project = attrs.evolve(project, credentials=(credential,))
        if not project.project_id:
            return await self._add_picked(project)
        await self._store.create_project(project)
        return project

    async def _add_picked(self, project: Project) -> Project:
        for attempt in range(_PICKS):
            picked = _LOWEST_PICKED + secrets.randbelow(MAX_PROJECT_ID - _LOWEST_PICKED + 1)
            project = attrs.evolve(project, project_id=str(picked))
            try:
                await self._store.create_project(project)
            except AlreadyExistsError as error:
                if attempt == _PICKS - 1 or error.kind != "project":
                    raise
            else:
                return project
        raise AssertionError("unreachable")


def _require_granted(grant: Grant, project_id: str, field: str) -> None:
    """Refuse a new project outside of the grant before anything else; a malformed id is for others to refuse.

    Without a wanted id only a grant of every project can name the one that will be picked.
    """
    if not project_id or is_project_id(project_id):
        grant.require_project(project_id or ANY, field)


def _refuse(violations: list[FieldViolation]) -> None:
    if violations:
        raise InvalidRequestError(violations)
