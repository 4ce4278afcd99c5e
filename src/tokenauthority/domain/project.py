"""Projects (tenants) and their credentials, sealed as they are stored."""

from __future__ import annotations

import re

from collections.abc import Sequence
from typing import Final

import attrs

from tokenauthority.domain.credential import Credential, CredentialKind
from tokenauthority.domain.errors import (
    FieldViolation,
    NotFoundError,
    PreconditionError,
    Reason,
    stored_text_violations,
)
from tokenauthority.domain.profile import RealTimeServer, Table
from tokenauthority.domain.times import MAX_TTL, Millis, Seconds
from tokenauthority.domain.token_format import TokenFormat


MAX_DISPLAY_NAME: Final = 128
MAX_LIVE_SECRETS: Final = 2
_SECRET: Final = re.compile(r"[0-9a-fA-F]{40}", re.ASCII)
_SERVER_SECRET: Final = re.compile(r"(?!.*(?:ssh-|ecdsa-))[A-Za-z0-9+/=_-]{32,255}", re.ASCII)


@attrs.frozen(kw_only=True)
class Project:
    """A tenant.

    `platform_url` is the platform that creates the ids of its sessions, or empty. A `disabled` one gets no sessions and
    tokens, and VerifyToken refuses its tokens. `unreadable` says which value of its
    row nobody can read; empty if all can be read.
    """

    project_id: str
    display_name: str
    default_format: TokenFormat
    default_ttl: Seconds
    max_ttl: Seconds
    external_sessions: bool
    create_time: Millis
    vonage_application_id: str | None = None
    platform_url: str = ""
    claims_for: tuple[RealTimeServer, ...] = ()
    disabled: bool = False
    credentials: tuple[Credential, ...] = ()
    unreadable: str = ""

    @property
    def secrets(self) -> tuple[Credential, ...]:
        """Return its live secrets, newest first."""
        live = [c for c in self.credentials if c.kind is CredentialKind.SECRET]
        return tuple(sorted(live, key=lambda c: (c.create_time, c.credential_id), reverse=True))

    def tables_of(self, token_format: TokenFormat) -> tuple[Table, ...]:
        """Return the tables of the servers that shall take its tokens of *token_format*."""
        traits = token_format.traits
        if traits.signed_by_authority:
            return tuple(server.table for server in self.claims_for)
        return () if traits.table is None else (traits.table,)

    def needs_subject(self, token_format: TokenFormat) -> bool:
        """Return whether one of those servers takes no token of *token_format* without a subject."""
        tables = self.tables_of(token_format)
        return bool(tables) and any(table.needs_subject for table in tables)

    def without(self, others: Sequence[Credential]) -> tuple[Credential, ...]:
        """Return its credentials that are not among *others*."""
        return tuple(credential for credential in self.credentials if credential not in others)

    def with_values_of(self, changed: Project) -> Project:
        """Return this project with the changeable values of *changed*: not its id, times, application or secrets."""
        return attrs.evolve(
            self,
            display_name=changed.display_name,
            default_format=changed.default_format,
            default_ttl=changed.default_ttl,
            max_ttl=changed.max_ttl,
            external_sessions=changed.external_sessions,
            platform_url=changed.platform_url,
            claims_for=changed.claims_for,
            disabled=changed.disabled,
            unreadable=changed.unreadable,
        )


@attrs.frozen
class ProjectContents:
    """How many objects a project has that are deleted with it. Of sessions and revocations a store counts so many."""

    sessions: int
    secrets: int
    roles: int
    revocations: int


def disabled_error(project: Project) -> PreconditionError | None:
    """Return the error for a session or token of *project* if it is disabled."""
    if not project.disabled:
        return None
    message = f"project {project.project_id} is disabled"
    return PreconditionError(Reason.PROJECT_DISABLED, project.project_id, message)


def require_one_secret(project: Project) -> None:
    """Require that a second secret can be added; raise PreconditionError, `SECRET_COUNT`."""
    count = len(project.secrets)
    if count != MAX_LIVE_SECRETS - 1:
        message = f"project {project.project_id} has {count} live secrets: a rotation needs exactly one"
        raise PreconditionError(Reason.SECRET_COUNT, project.project_id, message)


def require_other_secret(project: Project, secret_id: str) -> None:
    """Require that *secret_id* is one of two live secrets.

    Raises:
        NotFoundError: `SECRET_NOT_FOUND`.
        PreconditionError: `SECRET_COUNT`, it is the only one.
    """
    if all(secret.credential_id != secret_id for secret in project.secrets):
        raise NotFoundError.secret(secret_id)
    if len(project.secrets) == 1:
        message = f"project {project.project_id} has no other live secret; add one first"
        raise PreconditionError(Reason.SECRET_COUNT, project.project_id, message)


def is_secret(text: str) -> bool:
    """Return whether *text* has the shape of a project secret: 40 hex characters, which every official SDK accepts."""
    return _SECRET.fullmatch(text) is not None


def is_server_secret(text: str) -> bool:
    """Return whether *text* is a secret of LiveKit or Jitsi: 32 to 255 characters of either base64.

    A shorter one is no key for HS256 (RFC 7518, section 3.2). PyJWT takes a text with the name of an SSH key for a
    public key, and refuses it.
    """
    return _SERVER_SECRET.fullmatch(text) is not None


def project_violations(project: Project) -> list[FieldViolation]:
    """Return what is wrong with the values of a new or changed project."""
    found = stored_text_violations("display_name", project.display_name, MAX_DISPLAY_NAME)
    limit, name = project.max_ttl, "max_ttl"
    if not 1 <= limit <= MAX_TTL:
        found.append(FieldViolation("max_ttl", f"must be from 1s to 30 days ({MAX_TTL}s)"))
        limit, name = MAX_TTL, "30 days"
    if not 1 <= project.default_ttl <= limit:
        found.append(FieldViolation("default_ttl", f"must be from 1s to {name} ({limit}s)"))
    return found
