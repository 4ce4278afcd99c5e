"""Projects (tenants) and their credentials, sealed as they are stored."""

from __future__ import annotations

import re

from typing import Final

import attrs

from tokenauthority.domain.credential import Credential, CredentialKind
from tokenauthority.domain.errors import FieldViolation, stored_text_violations
from tokenauthority.domain.times import MAX_TTL, Millis, Seconds
from tokenauthority.domain.token_format import TokenFormat


MAX_DISPLAY_NAME: Final = 128
MAX_LIVE_SECRETS: Final = 2
_SECRET: Final = re.compile(r"[0-9a-fA-F]{40}", re.ASCII)


@attrs.frozen(kw_only=True)
class Project:
    """A tenant."""

    project_id: str
    display_name: str
    default_format: TokenFormat
    default_ttl: Seconds
    max_ttl: Seconds
    external_sessions: bool
    create_time: Millis
    vonage_application_id: str | None = None
    credentials: tuple[Credential, ...] = ()

    @property
    def secrets(self) -> tuple[Credential, ...]:
        """Return its live secrets, newest first."""
        live = [c for c in self.credentials if c.kind is CredentialKind.SECRET]
        return tuple(sorted(live, key=lambda c: (c.create_time, c.credential_id), reverse=True))

    def with_values_of(self, changed: Project) -> Project:
        """Return this project with the changeable values of *changed*: not its id, times, application or secrets."""
        return attrs.evolve(
            self,
            display_name=changed.display_name,
            default_format=changed.default_format,
            default_ttl=changed.default_ttl,
            max_ttl=changed.max_ttl,
            external_sessions=changed.external_sessions,
        )


def is_secret(text: str) -> bool:
    """Return whether *text* has the shape of a project secret: 40 hex characters, which every official SDK accepts."""
    return _SECRET.fullmatch(text) is not None


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
