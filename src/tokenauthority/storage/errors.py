"""Word the errors that every store raises alike, so that no caller can tell one engine from another."""

from __future__ import annotations

from tokenauthority.domain.errors import AlreadyExistsError, PreconditionError, Reason
from tokenauthority.domain.project import MAX_LIVE_SECRETS, Project
from tokenauthority.domain.role import MAX_ROLES, Role


def project_exists(project: Project, *, by_id: bool) -> AlreadyExistsError:
    """Say that the id is taken, or (not *by_id*) the Vonage application, without naming the project that has it."""
    resource = (Reason.PROJECT_EXISTS, "project", project.project_id)
    if by_id:
        return AlreadyExistsError(*resource)
    application_id = project.vonage_application_id
    return AlreadyExistsError(*resource, f"a project of the Vonage application {application_id} exists already")


def role_exists(role: Role) -> AlreadyExistsError:
    """Say that the project has a role of that name."""
    return AlreadyExistsError(Reason.ROLE_EXISTS, "role", role.name)


def role_limit(project_id: str) -> PreconditionError:
    """Say that the project has as many roles as a project may have."""
    return PreconditionError(Reason.ROLE_LIMIT, project_id, f"project {project_id} has {MAX_ROLES} roles already")


def not_one_secret(project_id: str, count: int) -> PreconditionError:
    """Say that the project has another number of live secrets than one."""
    rule = f"one can be added only to exactly one (at most {MAX_LIVE_SECRETS} are live at once)"
    return PreconditionError(Reason.SECRET_COUNT, project_id, f"project {project_id} has {count} live secrets; {rule}")


def only_secret(project_id: str) -> PreconditionError:
    """Say that the project has one live secret, which has to stay."""
    message = f"project {project_id} has no other live secret; add one first"
    return PreconditionError(Reason.SECRET_COUNT, project_id, message)


def request_id_reused(request_id: str) -> AlreadyExistsError:
    """Say that the request id was used with another body."""
    message = f"request id {request_id} was used with another body in the last 24 hours"
    return AlreadyExistsError(Reason.REQUEST_ID_REUSED, "request", request_id, message)
