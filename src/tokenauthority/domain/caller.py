"""Callers: the authenticated back ends that make RPCs, and what each may do."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import attrs

from tokenauthority.domain.errors import FieldViolation, InvalidRequestError, PermissionDeniedError, Reason
from tokenauthority.domain.ids import is_project_id
from tokenauthority.domain.times import MAX_TTL, SECONDS_OF, Seconds
from tokenauthority.domain.token_format import TokenFormat


ANY: Final = "*"
"""In a grant's projects, roles or formats: every one. An empty set is none, so that an omission grants nothing."""


class Action(StrEnum):
    """What an RPC does, as a grant names it."""

    SESSIONS_CREATE = "sessions.create"
    SESSIONS_READ = "sessions.read"
    SESSIONS_END = "sessions.end"
    TOKENS_GENERATE = "tokens.generate"
    TOKENS_VERIFY = "tokens.verify"
    TOKENS_REVOKE = "tokens.revoke"
    TOKENS_WATCH = "tokens.watch"
    TURN_CREATE = "turn.create"
    ROLES_READ = "roles.read"
    ROLES_WRITE = "roles.write"
    PROJECTS_CREATE = "projects.create"
    PROJECTS_READ = "projects.read"
    PROJECTS_UPDATE = "projects.update"
    PROJECTS_ROTATE = "projects.rotate"
    PROJECTS_DELETE = "projects.delete"
    KEYS_READ = "keys.read"
    KEYS_MANAGE = "keys.manage"


class CallerKind(StrEnum):
    """How a caller authenticates."""

    API_KEY = "api_key"
    SPIFFE = "spiffe"
    JWT = "jwt"
    OPENTOK = "opentok"


@attrs.frozen
class Rate:
    """How many items a caller may request: *per_second* on average, *burst* at once. A batch of 100 is 100 items."""

    per_second: float
    burst: int

    def __str__(self) -> str:
        """Return the average as a callers file has it: in the first unit in which it is whole, such as `1/m`."""
        counts = {unit: round(self.per_second * seconds, 6) for unit, seconds in SECONDS_OF.items()}
        whole = (f"{int(count)}/{unit}" for unit, count in counts.items() if count % 1 == 0)
        return next(whole, f"{self.per_second:g}/s")


@attrs.frozen(kw_only=True)
class Grant:
    """What a caller may do. A set with `*` allows everything of its kind; an empty one nothing.

    *vonage_applications* are UUIDs in lower case: an application is a second name of a project, by which sessions and
    tokens find it, so the right to a project id is not enough to import one.
    """

    projects: frozenset[str]
    actions: frozenset[Action]
    roles: frozenset[str] = frozenset()
    vonage_applications: frozenset[str] = frozenset()
    formats: frozenset[TokenFormat | str] = frozenset({ANY})
    max_ttl: Seconds = MAX_TTL
    rate: Rate | None = None
    daily_quota: int | None = None

    def allows_project(self, project_id: str) -> bool:
        """Return whether the project is one of the grant's."""
        return project_id in self.projects or ANY in self.projects

    def allows_role(self, name: str) -> bool:
        """Return whether tokens may have the role."""
        return name in self.roles or ANY in self.roles

    def allows_format(self, token_format: TokenFormat) -> bool:
        """Return whether tokens may have the format."""
        return token_format in self.formats or ANY in self.formats

    def require_project(self, project_id: str, field: str = "") -> None:
        """Raise PermissionDeniedError for a project outside the grant; so an absent project cannot be probed."""
        if not self.allows_project(project_id):
            detail = "the caller's grant does not name this project"
            raise PermissionDeniedError(Reason.PROJECT_NOT_GRANTED, detail, limit="projects", field=field)

    def allows_application(self, application_id: str) -> bool:
        """Return whether the Vonage application, in lower case, may be imported; with all projects, every one may."""
        return application_id in self.vonage_applications or ANY in self.projects

    def require_application(self, application_id: str, field: str) -> None:
        """Raise PermissionDeniedError for a Vonage application outside the grant, whether it exists here or not."""
        if not self.allows_application(application_id):
            detail = "the caller's grant does not name this Vonage application"
            raise PermissionDeniedError(Reason.PROJECT_NOT_GRANTED, detail, limit="vonage_applications", field=field)

    def chosen_project(self, project_id: str) -> str:
        """Return the project of a request: the one that it names, or the grant's only one.

        Raises:
            InvalidRequestError: *project_id* is malformed, or empty and the grant has several.
            PermissionDeniedError: it is outside the grant.
        """
        if not project_id:
            if len(self.projects) == 1 and ANY not in self.projects:
                return next(iter(self.projects))
            problem = "is required: the caller may use more than one project"
            raise InvalidRequestError([FieldViolation("project_id", problem)])
        if not is_project_id(project_id):
            raise InvalidRequestError([FieldViolation("project_id", "must be a decimal number from 1 to 2147483647")])
        self.require_project(project_id, "project_id")
        return project_id


@attrs.frozen(kw_only=True)
class Caller:
    """An authenticated back end. `identity` is what identified it, without the credential itself."""

    name: str
    kind: CallerKind
    identity: str
    grant: Grant
