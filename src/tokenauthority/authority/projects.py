"""Create, import, show and change projects."""

from __future__ import annotations

import secrets

from collections.abc import Sequence
from typing import Final, NoReturn

import attrs

from tokenauthority.authority.credential_sealer import CredentialSealer, new_secret
from tokenauthority.authority.key_checks import KeyChecks
from tokenauthority.authority.project_spec import (
    SERVER_KEY_ID_RULE,
    SERVER_SECRET_RULE,
    OpenTokImport,
    ProjectChanges,
    ProjectSpec,
    ServerImport,
    VonageImport,
    format_violations,
    new_project,
    platform_violations,
    spec_violations,
)
from tokenauthority.authority.tenant_cache import TenantCache
from tokenauthority.domain.caller import ANY, Caller, Grant
from tokenauthority.domain.change import ChangeKind
from tokenauthority.domain.credential import PlainCredential
from tokenauthority.domain.errors import (
    AlreadyExistsError,
    FieldViolation,
    InvalidRequestError,
    UnavailableError,
    require_valid,
)
from tokenauthority.domain.ids import MAX_PROJECT_ID, is_project_id, is_server_key_id, is_uuid
from tokenauthority.domain.project import (
    Project,
    is_secret,
    is_server_secret,
    project_violations,
)
from tokenauthority.domain.times import Millis
from tokenauthority.domain.token_format import DEFAULT_FORMAT, TokenFormat
from tokenauthority.storage import errors
from tokenauthority.storage.store import ProjectStore


_LOWEST_PICKED: Final = 1_000_000_000
"""The ids that the authority picks have ten digits; those of the OpenTok platform have at most eight."""

_PICKS: Final = 5

_NO_APPLICATION: Final = "00000000-0000-0000-0000-000000000000"
"""The Nil UUID (RFC 9562) in place of a malformed application id, so that the key is checked too."""

_OF_SERVERS: Final = {
    "livekit": (TokenFormat.LIVEKIT_JWT, "livekit.api_key", "livekit.api_secret"),
    "jitsi": (TokenFormat.JITSI_JWT, "jitsi.app_id", "jitsi.app_secret"),
}
"""The default format, and the fields of the key and of its secret."""


class Projects:
    """The use cases of ProjectService. They raise what the contract names for the RPC, and UnavailableError.

    *platform_urls* are the platforms that a project may have.
    """

    def __init__(
        self,
        store: ProjectStore,
        tenants: TenantCache,
        credentials: CredentialSealer,
        checks: KeyChecks,
        platform_urls: frozenset[str] = frozenset(),
    ) -> None:
        self._platform_urls = platform_urls
        self._store = store
        self._tenants = tenants
        self._credentials = credentials
        self._checks = checks

    async def create(self, spec: ProjectSpec, grant: Grant, now: Millis) -> tuple[Project, PlainCredential]:
        """Create a project, and return it with its first secret."""
        _require_granted(grant, spec.project_id, "project_id")
        project = new_project(spec, now, DEFAULT_FORMAT, external=False)
        require_valid(spec_violations(spec, project))
        secret = new_secret(secrets.token_hex(20), now)
        return await self._create_project(project, secret), secret

    async def import_opentok(self, spec: ProjectSpec, source: OpenTokImport, grant: Grant, now: Millis) -> Project:
        """Import a project of the OpenTok platform, with its API key as project id."""
        if source.api_key:
            _require_granted(grant, source.api_key, "opentok.api_key")
        unnamed = attrs.evolve(spec, project_id="")
        project = new_project(unnamed, now, TokenFormat.OPENTOK_JWT, external=True)
        violations = [*spec_violations(unnamed, project), *platform_violations(project, self._platform_urls)]
        if spec.project_id:
            violations.append(FieldViolation("project_id", "must not be set: the API key becomes the project id"))
        if not is_project_id(source.api_key):
            violations.append(FieldViolation("opentok.api_key", f"must be a decimal number from 1 to {MAX_PROJECT_ID}"))
        if not is_secret(source.api_secret):
            violations.append(FieldViolation("opentok.api_secret", "must be 40 hex characters"))
        require_valid(violations)
        secret = new_secret(source.api_secret, now)
        return await self._create_project(attrs.evolve(project, project_id=source.api_key), secret)

    async def import_vonage(self, spec: ProjectSpec, source: VonageImport, caller: Caller, now: Millis) -> Project:
        """Import an application of Vonage Video as a project."""
        _require_granted(caller.grant, spec.project_id, "project_id")
        application_id = _NO_APPLICATION
        if is_uuid(source.application_id):
            application_id = source.application_id.lower()
            caller.grant.require_application(application_id, "vonage.application_id")
        project = new_project(spec, now, TokenFormat.VONAGE_JWT, external=True, application_id=application_id)
        violations = [*spec_violations(spec, project), *platform_violations(project, self._platform_urls)]
        if application_id == _NO_APPLICATION:
            violations.append(FieldViolation("vonage.application_id", "must be a UUID"))
        async with self._checks.hold(caller.name):
            if not violations:
                await self._require_new(project)
            try:
                credential = await self._checks.vonage_key(source.private_key, application_id, now)
            except ValueError as error:
                raise InvalidRequestError([*violations, FieldViolation("vonage.private_key", str(error))]) from error
        require_valid(violations)
        return await self._create_project(project, credential)

    async def import_server(self, spec: ProjectSpec, source: ServerImport, grant: Grant, now: Millis) -> Project:
        """Create a project whose secret a LiveKit or a Jitsi has already."""
        _require_granted(grant, spec.project_id, "project_id")
        token_format, key_field, secret_field = _OF_SERVERS[source.server]
        project = new_project(spec, now, token_format, external=False)
        violations = [*spec_violations(spec, project), *platform_violations(project, self._platform_urls)]
        if not is_server_key_id(source.key_id):
            violations.append(FieldViolation(key_field, SERVER_KEY_ID_RULE))
        if not is_server_secret(source.secret):
            violations.append(FieldViolation(secret_field, SERVER_SECRET_RULE))
        require_valid(violations)
        # Of two imports at once both may pass. Then neither project is found by the key, only by `aud`.
        if await self._store.find_secret_project(source.key_id, only=None) is not None:
            raise errors.secret_exists(project, source.key_id)
        return await self._create_project(project, new_secret(source.secret, now, source.key_id))

    def refuse_import(self, spec: ProjectSpec, grant: Grant, now: Millis, violation: FieldViolation) -> NoReturn:
        """Refuse an import without a usable source: for *violation*, and for everything else that is wrong with it."""
        if spec.project_id:
            _require_granted(grant, spec.project_id, "project_id")
        # The source decides which default formats are possible.
        spec = attrs.evolve(spec, default_format=None)
        project = new_project(spec, now, DEFAULT_FORMAT, external=True)
        found = [*spec_violations(spec, project), *platform_violations(project, self._platform_urls)]
        raise InvalidRequestError([*found, violation])

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
            if any(name in project.unreadable and name not in changes for name in ("default_format", "claims_for")):
                raise UnavailableError.seal_broken(f"project {project_id}: {project.unreadable}")
            changed = attrs.evolve(project, **changes, unreadable="")
            found = [*project_violations(changed), *format_violations(changed, has_secret=bool(changed.secrets))]
            if "platform_url" in changes:
                found += platform_violations(changed, self._platform_urls)
            require_valid([*problems, *(violation.under("project") for violation in found)])
            return changed

        changed = await self._store.update_project(project_id, change)
        self._tenants.invalidate(ChangeKind.PROJECT, project_id, project_id)
        return changed

    async def _require_new(self, project: Project) -> None:
        """Raise AlreadyExistsError before the key is checked; what another call makes meanwhile is found later."""
        if project.project_id and await self._store.get_project(project.project_id) is not None:
            raise errors.project_exists(project, by_id=True)
        if await self._store.find_vonage_project(project.vonage_application_id or "", only=None) is not None:
            raise errors.project_exists(project, by_id=False)

    async def _create_project(self, project: Project, credential: PlainCredential) -> Project:
        created = await self._store_project(project, credential)
        self._tenants.invalidate(ChangeKind.PROJECT, created.project_id, created.project_id)
        return created

    async def _store_project(self, project: Project, credential: PlainCredential) -> Project:
        if project.project_id:
            project = self._credentials.sealed_project(project, [credential])
            await self._store.create_project(project)
            return project
        for attempt in range(_PICKS):
            picked = _LOWEST_PICKED + secrets.randbelow(MAX_PROJECT_ID - _LOWEST_PICKED + 1)
            project = self._credentials.sealed_project(attrs.evolve(project, project_id=str(picked)), [credential])
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
