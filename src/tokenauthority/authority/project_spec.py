"""What a caller requests of a project, and the rules for it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, Literal, TypedDict

import attrs

from tokenauthority.domain.credential import CredentialKind
from tokenauthority.domain.errors import FieldViolation
from tokenauthority.domain.ids import MAX_PROJECT_ID, is_project_id
from tokenauthority.domain.profile import RealTimeServer
from tokenauthority.domain.project import Project, project_violations
from tokenauthority.domain.times import DEFAULT_TTL, MAX_TTL, Millis, Seconds
from tokenauthority.domain.token_format import TokenFormat


@attrs.frozen(kw_only=True)
class ProjectSpec:
    """What a caller requests of a new project; None means the default.

    `problems` are what could not be parsed, such as an unknown format.
    """

    project_id: str = ""
    display_name: str = ""
    default_format: TokenFormat | None = None
    default_ttl: Seconds | None = None
    max_ttl: Seconds | None = None
    external_sessions: bool | None = None
    platform_url: str = ""
    claims_for: tuple[RealTimeServer, ...] = ()
    problems: tuple[FieldViolation, ...] = ()


class ProjectChanges(TypedDict, total=False):
    """New values of a project, by field; absent fields stay unchanged."""

    display_name: str
    default_format: TokenFormat
    default_ttl: Seconds
    max_ttl: Seconds
    external_sessions: bool
    platform_url: str
    claims_for: tuple[RealTimeServer, ...]
    disabled: bool


SERVER_KEY_ID_RULE: Final = (
    "must have 1 to 64 of A-Z, a-z, 0-9, '-', '_' and '.', and be no number, UUID or id of a secret"
)
SERVER_SECRET_RULE: Final = "must have 32 to 255 of A-Z, a-z, 0-9, '+', '/', '=', '-' and '_'"  # noqa: S105 - a rule


@attrs.frozen(kw_only=True)
class GivenSecret:
    """What a rotation gives: a secret, perhaps with the id that a server knows it by, or a Vonage key."""

    secret: str = attrs.field(default="", repr=False)
    secret_id: str = ""
    private_key: str = attrs.field(default="", repr=False)


GENERATED: Final = GivenSecret()
"""Nothing is given: the authority makes the secret."""


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


@attrs.frozen
class ServerImport:
    """An API key of LiveKit or an app of Jitsi, by the name of the server in the request."""

    server: Literal["livekit", "jitsi"]
    key_id: str
    secret: str = attrs.field(repr=False)


def new_project(
    spec: ProjectSpec, now: Millis, default_format: TokenFormat, *, external: bool, application_id: str | None = None
) -> Project:
    """Return the project of *spec*, without its credential; *default_format* and *external* are its kind's defaults."""
    max_ttl = MAX_TTL if spec.max_ttl is None else spec.max_ttl
    return Project(
        project_id=spec.project_id,
        display_name=spec.display_name,
        default_format=spec.default_format or default_format,
        default_ttl=max(min(DEFAULT_TTL, max_ttl), Seconds(1)) if spec.default_ttl is None else spec.default_ttl,
        max_ttl=max_ttl,
        external_sessions=external if spec.external_sessions is None else spec.external_sessions,
        create_time=now,
        vonage_application_id=application_id,
        platform_url=spec.platform_url,
        claims_for=spec.claims_for,
    )


def spec_violations(spec: ProjectSpec, project: Project) -> list[FieldViolation]:
    """Return what is wrong with the new *project* of *spec*, but for its credential."""
    found = [*spec.problems, *project_violations(project)]
    if project.project_id and not is_project_id(project.project_id):
        found.append(FieldViolation("project_id", f"must be a decimal number from 1 to {MAX_PROJECT_ID}"))
    # A project of an application has the application's key; every other project has a secret.
    found += format_violations(project, has_secret=not project.vonage_application_id)
    return found


def format_violations(project: Project, *, has_secret: bool) -> list[FieldViolation]:
    """Return what is wrong with the default format of *project*, which must have the credential for it."""
    needed = project.default_format.traits.signed_by
    has = {CredentialKind.SECRET: has_secret, CredentialKind.VONAGE_KEY: bool(project.vonage_application_id)}
    if needed is None or has[needed]:
        return []
    return [FieldViolation("default_format", f"{project.default_format} needs {_CREDENTIALS[needed]}")]


def platform_violations(project: Project, allowed: Collection[str]) -> list[FieldViolation]:
    """Return what is wrong with the platform of *project*; *allowed* are the URLs that the server's settings name."""
    if not project.platform_url or project.platform_url in allowed:
        return []
    return [FieldViolation("platform_url", "must be one of platform.urls in the settings of the server, or empty")]


_CREDENTIALS: Final = {CredentialKind.SECRET: "a project secret", CredentialKind.VONAGE_KEY: "an imported application"}
