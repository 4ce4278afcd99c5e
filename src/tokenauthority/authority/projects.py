"""Create, import, show and change projects, and rotate their secrets."""

from __future__ import annotations

import secrets

from collections.abc import Sequence
from functools import partial
from typing import Final, NoReturn

import attrs

from tokenauthority.authority.credential_sealer import CredentialSealer
from tokenauthority.authority.project_spec import (
    NewSecret,
    OpenTokImport,
    ProjectChanges,
    ProjectSpec,
    VonageImport,
    format_violations,
    new_project,
    spec_violations,
)
from tokenauthority.authority.tenant_cache import TenantCache
from tokenauthority.domain.caller import ANY, Grant
from tokenauthority.domain.change import ChangeKind
from tokenauthority.domain.credential import Credential
from tokenauthority.domain.errors import (
    AlreadyExistsError,
    FieldViolation,
    InvalidRequestError,
    NotFoundError,
    PreconditionError,
    Reason,
    require_valid,
)
from tokenauthority.domain.ids import MAX_PROJECT_ID, is_project_id, is_uuid
from tokenauthority.domain.project import MAX_LIVE_SECRETS, Project, is_secret, project_violations
from tokenauthority.domain.times import Millis
from tokenauthority.domain.token_format import TokenFormat
from tokenauthority.storage.store import ProjectStore
from tokenauthority.threads import BlockingPool


_LOWEST_PICKED: Final = 1_000_000_000
"""The ids that the authority picks have ten digits; those of the OpenTok platform have at most eight."""

_PICKS: Final = 5

_NO_APPLICATION: Final = "00000000-0000-0000-0000-000000000000"
"""The Nil UUID (RFC 9562) in place of a malformed application id, so that the key is checked too."""

_MAX_SECRET_ID: Final = 64

_CHECKING_THREADS: Final = 4


class Projects:
    """The use cases of ProjectService. They raise what the contract names for the RPC, and UnavailableError."""

    def __init__(self, store: ProjectStore, tenants: TenantCache, credentials: CredentialSealer) -> None:
        self._store = store
        self._tenants = tenants
        self._credentials = credentials
        self._threads = BlockingPool("key-checks", threads=_CHECKING_THREADS)

    async def create(self, spec: ProjectSpec, grant: Grant, now: Millis) -> tuple[Project, NewSecret]:
        """Create a project, and return it with its first secret."""
        _require_granted(grant, spec.project_id, "project_id")
        project = new_project(spec, now, TokenFormat.SESSION_JWT, external=False)
        require_valid(spec_violations(spec, project))
        value = secrets.token_hex(20)
        credential = self._credentials.seal_secret(value, now)
        return await self._create_project(project, credential), NewSecret(credential=credential, value=value)

    async def import_opentok(self, spec: ProjectSpec, source: OpenTokImport, grant: Grant, now: Millis) -> Project:
        """Import a project of the OpenTok platform, with its API key as project id."""
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
        require_valid(violations)
        credential = self._credentials.seal_secret(source.api_secret, now)
        return await self._create_project(attrs.evolve(project, project_id=source.api_key), credential)

    async def import_vonage(self, spec: ProjectSpec, source: VonageImport, grant: Grant, now: Millis) -> Project:
        """Import an application of Vonage Video as a project."""
        _require_granted(grant, spec.project_id, "project_id")
        application_id = source.application_id.lower() if is_uuid(source.application_id) else _NO_APPLICATION
        project = new_project(spec, now, TokenFormat.VONAGE_JWT, external=True, application_id=application_id)
        violations = spec_violations(spec, project)
        if application_id == _NO_APPLICATION:
            violations.append(FieldViolation("vonage.application_id", "must be a UUID"))
        try:
            # To check an RSA key takes a tenth of a second and more.
            seal = partial(self._credentials.seal_vonage_key, source.private_key, application_id, now)
            credential = await self._threads.run(seal)
        except ValueError as error:
            raise InvalidRequestError([*violations, FieldViolation("vonage.private_key", str(error))]) from error
        require_valid(violations)
        return await self._create_project(project, credential)

    def refuse_import(self, spec: ProjectSpec, grant: Grant, now: Millis, violation: FieldViolation) -> NoReturn:
        """Refuse an import without a usable source: for *violation*, and for everything else that is wrong with it."""
        if spec.project_id:
            _require_granted(grant, spec.project_id, "project_id")
        # The source decides which default formats are possible.
        spec = attrs.evolve(spec, default_format=None)
        project = new_project(spec, now, TokenFormat.SESSION_JWT, external=True)
        raise InvalidRequestError([*spec_violations(spec, project), violation])

    async def get(self, project_id: str) -> Project:
        """Return the project, which the grant must allow already."""
        return (await self._tenants.require_tenant(project_id)).project

    async def list_page(self, grant: Grant, *, after: int, limit: int) -> Sequence[Project]:
        """Return at most *limit* projects of the grant with an id above *after*."""
        only = None if ANY in grant.projects else grant.projects
        return await self._store.list_projects(after=after, limit=limit, only=only)

    async def update(
        self, project_id: str, changes: ProjectChanges, problems: Sequence[FieldViolation] = ()
    ) -> Project:
        """Change the project's fields to the values of *changes*, and return it.

        *problems* are fields that could not be parsed; they are reported with all others.
        """

        def change(project: Project) -> Project:
            changed = attrs.evolve(project, **changes)
            found = [*project_violations(changed), *format_violations(changed, has_secret=bool(changed.secrets))]
            require_valid([*problems, *(violation.under("project") for violation in found)])
            return changed

        changed = await self._store.update_project(project_id, change)
        self._tenants.invalidate(ChangeKind.PROJECT, project_id, project_id)
        return changed

    async def rotate_secret(self, project_id: str, now: Millis) -> NewSecret:
        """Add a second secret, which signs from now on."""
        project = await self._stored_project(project_id)
        if len(project.secrets) != MAX_LIVE_SECRETS - 1:
            raise PreconditionError(
                Reason.SECRET_COUNT, project_id, f"the project has {len(project.secrets)} live secrets; this needs one"
            )
        value = secrets.token_hex(20)
        # Strictly later than its predecessor: the newest signs, also if the clock stood still or went back.
        moment = max(now, type(now)(project.secrets[0].create_time + 1))
        credential = self._credentials.seal_secret(value, moment)
        await self._store.add_secret(project_id, credential)
        self._tenants.invalidate(ChangeKind.PROJECT, project_id, project_id)
        return NewSecret(credential=credential, value=value)

    async def retire_secret(self, project_id: str, secret_id: str) -> Project:
        """Retire the secret, and return the project without it."""
        if not (secret_id.isprintable() and 1 <= len(secret_id) <= _MAX_SECRET_ID):
            raise InvalidRequestError(
                [FieldViolation("secret_id", f"must have 1 to {_MAX_SECRET_ID} printable characters")]
            )
        await self._store.remove_secret(project_id, secret_id)
        self._tenants.invalidate(ChangeKind.PROJECT, project_id, project_id)
        return await self._stored_project(project_id)

    async def _stored_project(self, project_id: str) -> Project:
        """Return the project as it is stored now: a cached one could undo another server's change."""
        project = await self._store.get_project(project_id)
        if project is None:
            raise NotFoundError.project(project_id)
        return project

    async def _create_project(self, project: Project, credential: Credential) -> Project:
        project = attrs.evolve(project, credentials=(credential,))
        if project.project_id:
            await self._store.create_project(project)
            return project
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
    """Require that the grant allows the new project; a malformed id is refused elsewhere.

    If the request names no id, the grant must allow every project, because the id is not known yet.
    """
    if not project_id or is_project_id(project_id):
        grant.require_project(project_id or ANY, field)
