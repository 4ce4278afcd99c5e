"""The refusals that every store must word alike, so that no caller can tell one engine from another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokenauthority.domain.errors import AlreadyExistsError, PreconditionError, Reason
from tokenauthority.domain.project import MAX_LIVE_SECRETS
from tokenauthority.domain.role import MAX_ROLES


if TYPE_CHECKING:
    from tokenauthority.domain.project import Project
    from tokenauthority.domain.role import Role


def project_taken(project: Project, *, by_id: bool) -> AlreadyExistsError:
    """The id is taken, or (not *by_id*) the Vonage application; which project has it is not told."""
    if by_id:
        return AlreadyExistsError(Reason.PROJECT_EXISTS, "project", project.project_id)
    return AlreadyExistsError(
        Reason.PROJECT_EXISTS,
        "project",
        project.project_id,
        f"a project of the Vonage application {project.vonage_application_id} exists already",
    )


def role_taken(role: Role) -> AlreadyExistsError:
    """The project has a role of that name."""
    return AlreadyExistsError(Reason.ROLE_EXISTS, "role", role.name)


def role_limit(project_id: str) -> PreconditionError:
    """The project has as many roles as one may have."""
    return PreconditionError(Reason.ROLE_LIMIT, project_id, f"project {project_id} has {MAX_ROLES} roles already")


def too_many_secrets(project_id: str, count: int) -> PreconditionError:
    """A second secret needs exactly one first."""
    return PreconditionError(
        Reason.SECRET_COUNT,
        project_id,
        f"project {project_id} has {count} live secrets; one can be added only to exactly one"
        f" (at most {MAX_LIVE_SECRETS} are live at once)",
    )


def only_secret(project_id: str) -> PreconditionError:
    """The last live secret stays."""
    return PreconditionError(
        Reason.SECRET_COUNT, project_id, f"project {project_id} has no other live secret; add one first"
    )


def request_reused(request_id: str) -> AlreadyExistsError:
    """The request id was used with another body."""
    return AlreadyExistsError(
        Reason.REQUEST_ID_REUSED,
        "request",
        request_id,
        f"request id {request_id} was used with another body in the last 24 hours",
    )
