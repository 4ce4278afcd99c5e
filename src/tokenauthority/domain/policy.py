"""The rules of what a caller gets: a token or TURN credentials, and until when; and what it may make of a role."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import attrs
import msgspec

from tokenauthority.domain.caller import ANY, Grant
from tokenauthority.domain.errors import (
    FieldViolation,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionError,
    Reason,
    TokenAuthorityError,
)
from tokenauthority.domain.project import Project, disabled_error
from tokenauthority.domain.role import Permission, Role
from tokenauthority.domain.session import SessionState, StoredSession
from tokenauthority.domain.times import Millis, Seconds, whole_seconds
from tokenauthority.domain.token import TokenSpec
from tokenauthority.domain.token_format import TokenFormat
from tokenauthority.domain.turn import MAX_TURN_TTL, TurnSpec


class Granted(msgspec.Struct, frozen=True):
    """The caller gets the token: with this role, in this format and with these times."""

    role: Role
    format: TokenFormat
    issue_time: Seconds
    expire_time: Seconds


@attrs.frozen
class Refused:
    """The caller does not get the token, for this reason."""

    error: TokenAuthorityError


def decide(
    request: TokenSpec,
    *,
    project: Project,
    session: StoredSession | None,
    role: Role | None,
    grant: Grant,
    now: Millis,
    roles: Sequence[str] = (),
) -> Granted | Refused:
    """Check a well-formed *request* against the grant, the session, the format and the project, in this order.

    A disabled project is refused after the grant.

    A requested lifetime must be within the grant and the project; the default one is cut to them. The grant is checked
    first, so that nothing outside it can be probed.

    *session* is None if the authority did not make it; the caller of this function has checked that the project accepts
    such sessions (`external_sessions`). *role* is None if the project has no role of that name; *roles* are
    the names of those that it has.
    """
    token_format = request.format or project.default_format
    issue_time = whole_seconds(now)
    lifetime = _lifetime(request, project, grant, issue_time)
    refusal = (
        _outside_grant(request, token_format, lifetime, grant)
        or disabled_error(project)
        or _session_over(request.session_id, session)
        or _beyond_format(request, project, token_format, role)
        or _beyond_project(lifetime, project, _lifetime_field(request))
    )
    if refusal is not None:
        return Refused(refusal)
    if role is None:
        return Refused(NotFoundError.role(request.role, [name for name in roles if grant.allows_role(name)]))
    return Granted(role, token_format, issue_time, Seconds(issue_time + lifetime))


def turn_expire_time(
    request: TurnSpec, *, project: Project, session: StoredSession | None, grant: Grant, now: Millis
) -> Seconds:
    """Return when the TURN credentials of a well-formed *request* expire, by the rules of `decide`.

    Raises:
        PermissionDeniedError: `LIFETIME_NOT_GRANTED`.
        PreconditionError: `PROJECT_DISABLED` or `SESSION_ENDED`.
        InvalidRequestError: the lifetime is above that of the project.
    """
    default = min(MAX_TURN_TTL, project.default_ttl, grant.max_ttl)
    lifetime = default if request.ttl is None else request.ttl
    refusal = (
        _beyond_granted_lifetime(lifetime, grant, "ttl")
        or disabled_error(project)
        or _session_over(request.session_id, session)
        or _beyond_project(lifetime, project, "ttl")
    )
    if refusal is not None:
        raise refusal
    return Seconds(whole_seconds(now) + lifetime)


def require_no_widening(
    changed: Role, before: Collection[Permission], *, roles: Iterable[Role], grant: Grant, named_by_others: bool
) -> None:
    """Require that *changed* may have the permissions that are not in *before*. It may always lose some.

    Args:
        changed: The role as it would be.
        before: Its permissions now; none if it is new.
        roles: All roles of the project as they are, built-in ones included. Those that the caller may grant bound what
            it may put into a role.
        grant: The grant of the caller.
        named_by_others: Whether the grant of another caller names the role. That caller must not gain permissions by
            it: only the callers file may give them.

    Raises:
        PermissionDeniedError: `ROLE_NOT_GRANTED`, it would gain a permission that the caller may not grant.
        PreconditionError: `ROLE_IN_USE`, it would gain one, and the grant of another caller names it.
    """
    added = [permission for permission in changed.permissions if permission not in before]
    grantable = {permission for role in roles if grant.allows_role(role.name) for permission in role.permissions}
    beyond = [permission.value for permission in added if permission not in grantable and ANY not in grant.roles]
    if beyond:
        detail = f"no role that the caller's grant names has the permission {', '.join(beyond)}"
        raise PermissionDeniedError(Reason.ROLE_NOT_GRANTED, detail, limit="roles", field="permissions")
    if added and named_by_others:
        detail = f"another caller's grant names the role {changed.name}, so it can gain no permission"
        raise PreconditionError(Reason.ROLE_IN_USE, changed.name, detail)


def _lifetime(request: TokenSpec, project: Project, grant: Grant, issue_time: Seconds) -> Seconds:
    if request.ttl is not None:
        return request.ttl
    if request.expire_time is not None:
        return Seconds(request.expire_time - issue_time)
    return min(project.default_ttl, grant.max_ttl)


def _outside_grant(
    request: TokenSpec, token_format: TokenFormat, lifetime: Seconds, grant: Grant
) -> PermissionDeniedError | None:
    if not grant.allows_role(request.role):
        detail = f"the caller's grant does not name the role {request.role}"
        return PermissionDeniedError(Reason.ROLE_NOT_GRANTED, detail, limit="roles", field="role")
    if not grant.allows_format(token_format):
        detail = f"the caller's grant does not name the format {token_format}"
        return PermissionDeniedError(Reason.FORMAT_NOT_GRANTED, detail, limit="formats", field="format")
    return _beyond_granted_lifetime(lifetime, grant, _lifetime_field(request))


def _beyond_granted_lifetime(lifetime: Seconds, grant: Grant, field: str) -> PermissionDeniedError | None:
    if lifetime > grant.max_ttl:
        detail, limit = f"the caller's grant allows a lifetime of at most {grant.max_ttl}s", f"max_ttl={grant.max_ttl}s"
        return PermissionDeniedError(Reason.LIFETIME_NOT_GRANTED, detail, limit=limit, field=field)
    return None


def _session_over(session_id: str, session: StoredSession | None) -> PreconditionError | None:
    if session is not None and session.state is SessionState.ENDED:
        return PreconditionError(Reason.SESSION_ENDED, session_id, "the session has ended")
    return None


def _beyond_format(
    request: TokenSpec, project: Project, token_format: TokenFormat, role: Role | None
) -> InvalidRequestError | None:
    traits = token_format.traits
    violations = []
    if role is not None:
        if not role.built_in and not traits.carries_permissions:
            violations.append(FieldViolation("role", f"is one of the project's own, which {token_format} cannot carry"))
        misfits = [table.misfit(role.permissions) for table in project.tables_of(token_format)]
        violations += [FieldViolation("role", f"{role.name} does not fit {token_format}: {m}") for m in misfits if m]
    if request.subject and not traits.carries_subject:
        violations.append(FieldViolation("subject", f"cannot be carried by {token_format}"))
    if request.initial_layout_class_list and not traits.carries_layout:
        violations.append(FieldViolation("initial_layout_class_list", f"cannot be carried by {token_format}"))
    return InvalidRequestError(violations) if violations else None


def _beyond_project(lifetime: Seconds, project: Project, field: str) -> InvalidRequestError | None:
    if lifetime > project.max_ttl:
        return InvalidRequestError([FieldViolation(field, f"is above the project's max_ttl ({project.max_ttl}s)")])
    return None


def _lifetime_field(request: TokenSpec) -> str:
    return "ttl" if request.ttl is not None else "expire_time"
