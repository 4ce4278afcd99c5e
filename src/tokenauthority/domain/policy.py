"""The one rule about tokens: whether a caller gets what it asks for, and until when."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from tokenauthority.domain.errors import (
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionError,
    Reason,
    Violation,
)
from tokenauthority.domain.session import SessionState
from tokenauthority.domain.times import Millis, Seconds, whole_seconds
from tokenauthority.domain.token import TokenFormat


if TYPE_CHECKING:
    from tokenauthority.domain.caller import Grant
    from tokenauthority.domain.errors import TokenAuthorityError
    from tokenauthority.domain.project import Project
    from tokenauthority.domain.role import Role
    from tokenauthority.domain.session import Session
    from tokenauthority.domain.token import TokenRequest


@attrs.frozen
class Granted:
    """The caller gets the token: with this role, in this format and with these times."""

    role: Role
    format: TokenFormat
    issue_time: Seconds
    expire_time: Seconds


@attrs.frozen
class Refused:
    """The caller does not get the token, for this reason."""

    error: TokenAuthorityError


def decide(  # noqa: PLR0913 - the facts that the rule weighs
    request: TokenRequest, *, project: Project, session: Session | None, role: Role | None, grant: Grant, now: Millis
) -> Granted | Refused:
    """Weigh a well-formed *request* against the project, the session, the role and the caller's grant.

    *session* is None for one that the platform made, which the project must then accept; *role* is None where the
    project has none of that name. A lifetime that the request names must fit the grant and the project; one that it
    leaves out is cut to them.
    """
    token_format = request.format or project.default_format
    denied = _outside_grant(request.role, token_format, grant)
    if denied is not None:
        return Refused(denied)
    if role is None:
        return Refused(NotFoundError.role(request.role))
    if session is not None and session.state is SessionState.ENDED:
        return Refused(PreconditionError(Reason.SESSION_ENDED, request.session_id, "the session has ended"))
    if token_format is not TokenFormat.SESSION_JWT:
        if not role.built_in:
            return Refused(_invalid("role", f"is one of the project's own, which {token_format} cannot carry"))
        if request.subject:
            return Refused(_invalid("subject", f"cannot be carried by {token_format}"))
    issue_time = whole_seconds(now)
    if request.ttl is not None:
        lifetime = request.ttl
    elif request.expire_time is not None:
        lifetime = Seconds(request.expire_time - issue_time)
    else:
        lifetime = min(project.default_ttl, grant.max_ttl)
    if lifetime > grant.max_ttl:
        return Refused(_too_long(request, grant.max_ttl))
    if lifetime > project.max_ttl:
        return Refused(_invalid(_lifetime_field(request), f"is above the project's max_ttl ({project.max_ttl}s)"))
    return Granted(role, token_format, issue_time, Seconds(issue_time + lifetime))


def _outside_grant(role: str, token_format: TokenFormat, grant: Grant) -> PermissionDeniedError | None:
    if not grant.allows_role(role):
        return PermissionDeniedError(
            Reason.ROLE_NOT_GRANTED, "the caller's grant does not name this role", limit="roles", field="role"
        )
    if not grant.allows_format(token_format):
        return PermissionDeniedError(
            Reason.FORMAT_NOT_GRANTED,
            f"the caller's grant does not name the format {token_format}",
            limit="formats",
            field="format",
        )
    return None


def _too_long(request: TokenRequest, max_ttl: Seconds) -> PermissionDeniedError:
    return PermissionDeniedError(
        Reason.LIFETIME_NOT_GRANTED,
        f"the caller's grant allows a lifetime of at most {max_ttl}s",
        limit=f"max_ttl={max_ttl}s",
        field=_lifetime_field(request),
    )


def _lifetime_field(request: TokenRequest) -> str:
    return "ttl" if request.ttl is not None else "expire_time"


def _invalid(field: str, problem: str) -> InvalidRequestError:
    return InvalidRequestError([Violation(field, problem)])
