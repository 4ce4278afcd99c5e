"""Word the errors that every store raises alike, so that no caller can distinguish one engine from another."""

from __future__ import annotations

from tokenauthority.domain.errors import AlreadyExistsError, PreconditionError, Reason, UnavailableError
from tokenauthority.domain.project import Project
from tokenauthority.domain.role import MAX_ROLES, Role
from tokenauthority.domain.session import StoredSession


def project_exists(project: Project, *, by_id: bool) -> AlreadyExistsError:
    """Say that the id is taken, or (not *by_id*) the Vonage application, without naming the project that has it."""
    resource = (Reason.PROJECT_EXISTS, "project", project.project_id)
    if by_id:
        return AlreadyExistsError(*resource)
    application_id = project.vonage_application_id
    return AlreadyExistsError(*resource, f"a project of the Vonage application {application_id} exists already")


def secret_exists(project: Project, secret_id: str) -> AlreadyExistsError:
    """Say that a project has a secret of that id, without naming the project."""
    message = f"a project with the API key or app id {secret_id} exists already"
    return AlreadyExistsError(Reason.PROJECT_EXISTS, "project", project.project_id, message)


def role_exists(role: Role) -> AlreadyExistsError:
    """Say that the project has a role of that name."""
    return AlreadyExistsError(Reason.ROLE_EXISTS, "role", role.name)


def role_limit(project_id: str) -> PreconditionError:
    """Say that the project has as many roles as a project may have."""
    return PreconditionError(Reason.ROLE_LIMIT, project_id, f"project {project_id} has {MAX_ROLES} roles already")


def unreadable(what: str) -> UnavailableError:
    """Say that nobody can read the row of *what*, such as a session with its id: somebody has changed it."""
    return UnavailableError.seal_broken(f"{what}: a value of its row is none that this program writes")


def session_taken(session: StoredSession) -> UnavailableError:
    """Say that the platform answered the id of a session that is stored already: ids made here never repeat."""
    return UnavailableError.platform(session.project_id, "the platform answered the id of an earlier session")


def session_exists(name: str) -> AlreadyExistsError:
    """Say that the project has a session of that name, which may have ended."""
    message = f"the name {name} is that of another session, which is active, or ended less than 31 days ago"
    return AlreadyExistsError(Reason.SESSION_EXISTS, "session", name, message)


def request_id_reused(request_id: str) -> AlreadyExistsError:
    """Say that the request id was used with another body."""
    message = f"request id {request_id} was used with another body in the last 24 hours"
    return AlreadyExistsError(Reason.REQUEST_ID_REUSED, "request", request_id, message)
