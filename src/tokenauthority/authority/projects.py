"""Makes, imports, shows and changes projects, and changes their secrets."""

from __future__ import annotations

import secrets

from typing import TYPE_CHECKING, Final, TypedDict

import attrs

from tokenauthority.domain.caller import ANY
from tokenauthority.domain.change import ChangeKind
from tokenauthority.domain.errors import (
    AlreadyExistsError,
    InvalidRequestError,
    NotFoundError,
    PreconditionError,
    Reason,
    Violation,
)
from tokenauthority.domain.ids import MAX_PROJECT_ID, is_project_id, is_uuid
from tokenauthority.domain.project import MAX_LIVE_SECRETS, Project, is_secret, project_violations
from tokenauthority.domain.times import DEFAULT_TTL, MAX_TTL, Seconds
from tokenauthority.domain.token import TokenFormat


if TYPE_CHECKING:
    from collections.abc import Sequence

    from tokenauthority.authority.catalog import Catalog
    from tokenauthority.authority.vault import Vault
    from tokenauthority.domain.caller import Grant
    from tokenauthority.domain.project import Credential
    from tokenauthority.domain.times import Millis
    from tokenauthority.storage.store import Store


_LOWEST_PICKED: Final = 1_000_000_000
"""Ids that the authority picks have ten digits; those of the OpenTok platform have at most eight."""

_PICKS: Final = 5

_NO_APPLICATION: Final = "00000000-0000-0000-0000-000000000000"
"""Stands in where the application id is none, so that the key is looked at all the same. RFC 9562's Nil UUID."""

_MAX_SECRET_ID: Final = 64


@attrs.frozen(kw_only=True)
class ProjectSpec:
    """What a caller asks of a new project; None means the default."""

    project_id: str = ""
    display_name: str = ""
    default_format: TokenFormat | None = None
    default_ttl: Seconds | None = None
    max_ttl: Seconds | None = None
    external_sessions: bool | None = None


class ProjectChanges(TypedDict, total=False):
    """New values of a project, by field; what is not there stays."""

    display_name: str
    default_format: TokenFormat
    default_ttl: Seconds
    max_ttl: Seconds
    external_sessions: bool


@attrs.frozen(kw_only=True)
class OpenTokImport:
    """A project of the OpenTok platform."""

    api_key: str
    api_secret: str = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class VonageImport:
    """An application of Vonage Video with its private key in PEM."""

    application_id: str
    private_key: str = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class NewSecret:
    """A secret that was just made: the only time that its value is shown."""

    credential: Credential
    value: str = attrs.field(repr=False)


class Projects:
    """The use cases of ProjectService."""

    def __init__(self, store: Store, catalog: Catalog, vault: Vault) -> None:
        self._store = store
        self._catalog = catalog
        self._vault = vault

    async def create(self, spec: ProjectSpec, grant: Grant, now: Millis) -> tuple[Project, NewSecret]:
        """A new project with its first secret.

        Raises:
            InvalidRequestError, PermissionDeniedError, AlreadyExistsError, UnavailableError.
        """
        project = _new_project(spec, now, TokenFormat.SESSION_JWT, external=False)
        _refuse(_violations(project))
        value = secrets.token_hex(20)
        credential = self._vault.seal_secret(value, now)
        return await self._add(project, credential, grant), NewSecret(credential=credential, value=value)

    async def import_opentok(self, spec: ProjectSpec, source: OpenTokImport, grant: Grant, now: Millis) -> Project:
        """A project of the OpenTok platform, under its own API key as project id.

        Raises:
            InvalidRequestError, PermissionDeniedError, AlreadyExistsError, UnavailableError.
        """
        unnamed = attrs.evolve(spec, project_id="")
        project = _new_project(unnamed, now, TokenFormat.OPENTOK_JWT, external=True)
        violations = _violations(project)
        if spec.project_id:
            violations.append(Violation("project_id", "must not be set: the API key becomes the project id"))
        if not is_project_id(source.api_key):
            violations.append(Violation("opentok.api_key", f"must be a decimal number from 1 to {MAX_PROJECT_ID}"))
        if not is_secret(source.api_secret):
            violations.append(Violation("opentok.api_secret", "must be 40 hex characters"))
        _refuse(violations)
        credential = self._vault.seal_secret(source.api_secret, now)
        return await self._add(attrs.evolve(project, project_id=source.api_key), credential, grant)

    async def import_vonage(self, spec: ProjectSpec, source: VonageImport, grant: Grant, now: Millis) -> Project:
        """A project that stands for an application of Vonage Video.

        Raises:
            InvalidRequestError, PermissionDeniedError, AlreadyExistsError, UnavailableError.
        """
        application_id = source.application_id.lower() if is_uuid(source.application_id) else _NO_APPLICATION
        project = _new_project(spec, now, TokenFormat.VONAGE_JWT, external=True, application_id=application_id)
        violations = _violations(project)
        if application_id == _NO_APPLICATION:
            violations.append(Violation("vonage.application_id", "must be a UUID"))
        try:
            credential = self._vault.seal_vonage_key(source.private_key, application_id, now)
        except ValueError as error:
            raise InvalidRequestError([*violations, Violation("vonage.private_key", str(error))]) from error
        _refuse(violations)
        return await self._add(project, credential, grant)

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

    async def update(self, project_id: str, changes: ProjectChanges) -> Project:
        """The project with the values of *changes*, by field name.

        Raises:
            InvalidRequestError, NotFoundError, UnavailableError.
        """
        project = await self._fresh(project_id)
        changed = attrs.evolve(project, **changes)
        violations = [*project_violations(changed), *_format_violations(changed, has_secret=bool(changed.secrets))]
        _refuse([v.under("project") for v in violations])
        await self._store.update_project(changed)
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
            raise InvalidRequestError([Violation("secret_id", f"must have 1 to {_MAX_SECRET_ID} printable characters")])
        await self._store.remove_secret(project_id, secret_id)
        self._catalog.forget(ChangeKind.PROJECT, project_id, project_id)
        return await self._fresh(project_id)

    async def _fresh(self, project_id: str) -> Project:
        """The project as the store has it now: a cached one could undo another server's change."""
        project = await self._store.get_project(project_id)
        if project is None:
            raise NotFoundError.project(project_id)
        return project

    async def _add(self, project: Project, credential: Credential, grant: Grant) -> Project:
        # Without a wanted id only a grant of every project can name the one that will be picked.
        grant.require_project(project.project_id or ANY, "project_id")
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


def _new_project(
    spec: ProjectSpec, now: Millis, default_format: TokenFormat, *, external: bool, application_id: str | None = None
) -> Project:
    max_ttl = MAX_TTL if spec.max_ttl is None else spec.max_ttl
    return Project(
        project_id=spec.project_id,
        display_name=spec.display_name,
        default_format=spec.default_format or default_format,
        default_ttl=min(DEFAULT_TTL, max_ttl) if spec.default_ttl is None else spec.default_ttl,
        max_ttl=max_ttl,
        external_sessions=external if spec.external_sessions is None else spec.external_sessions,
        create_time=now,
        vonage_application_id=application_id,
    )


def _violations(project: Project) -> list[Violation]:
    """What is wrong with a new project, but for its credential: an application has its key, any other a secret."""
    found = project_violations(project)
    if project.project_id and not is_project_id(project.project_id):
        found.append(Violation("project_id", f"must be a decimal number from 1 to {MAX_PROJECT_ID}"))
    found += _format_violations(project, has_secret=not project.vonage_application_id)
    return found


def _format_violations(project: Project, *, has_secret: bool) -> list[Violation]:
    if project.default_format is TokenFormat.VONAGE_JWT and not project.vonage_application_id:
        return [Violation("default_format", "VONAGE_JWT needs an imported application")]
    if project.default_format in {TokenFormat.OPENTOK_T1, TokenFormat.OPENTOK_JWT} and not has_secret:
        return [Violation("default_format", "needs a project secret, which this has not")]
    return []


def _refuse(violations: list[Violation]) -> None:
    if violations:
        raise InvalidRequestError(violations)
