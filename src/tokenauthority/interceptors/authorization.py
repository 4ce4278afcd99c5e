"""Lets a caller only do what its grant names; a table of methods and actions with a gap keeps the server from starting.

What the request itself names (project, role, lifetime) is weighed further in, by `domain.policy` and the use cases.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tokenauthority.domain.caller import Action
from tokenauthority.domain.errors import PermissionDeniedError, Reason, UnimplementedError


if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from tokenauthority.interceptors.chain import Call, Proceed


_V1: Final = "/tokenauthority.v1."

HEALTH_METHODS: Final = frozenset(
    {"/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch", "/grpc.health.v1.Health/List"}
)
REFLECTION_METHODS: Final = frozenset(
    {
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    }
)
PUBLIC: Final = HEALTH_METHODS | REFLECTION_METHODS
"""Methods that need no caller."""

ACTIONS: Final[Mapping[str, Action]] = {
    _V1 + "SessionService/CreateSession": Action.SESSIONS_CREATE,
    _V1 + "SessionService/GetSession": Action.SESSIONS_READ,
    _V1 + "SessionService/ListSessions": Action.SESSIONS_READ,
    _V1 + "SessionService/EndSession": Action.SESSIONS_END,
    _V1 + "TokenService/GenerateToken": Action.TOKENS_GENERATE,
    _V1 + "TokenService/BatchGenerateTokens": Action.TOKENS_GENERATE,
    _V1 + "TokenService/VerifyToken": Action.TOKENS_VERIFY,
    _V1 + "TokenService/RevokeTokens": Action.TOKENS_REVOKE,
    _V1 + "TokenService/WatchRevocations": Action.TOKENS_WATCH,
    _V1 + "RoleService/ListRoles": Action.ROLES_READ,
    _V1 + "RoleService/GetRole": Action.ROLES_READ,
    _V1 + "RoleService/CreateRole": Action.ROLES_WRITE,
    _V1 + "RoleService/UpdateRole": Action.ROLES_WRITE,
    _V1 + "RoleService/DeleteRole": Action.ROLES_WRITE,
    _V1 + "ProjectService/CreateProject": Action.PROJECTS_CREATE,
    _V1 + "ProjectService/ImportProject": Action.PROJECTS_CREATE,
    _V1 + "ProjectService/GetProject": Action.PROJECTS_READ,
    _V1 + "ProjectService/ListProjects": Action.PROJECTS_READ,
    _V1 + "ProjectService/UpdateProject": Action.PROJECTS_UPDATE,
    _V1 + "ProjectService/RotateProjectSecret": Action.PROJECTS_ROTATE,
    _V1 + "ProjectService/RetireProjectSecret": Action.PROJECTS_ROTATE,
    _V1 + "KeyService/GetJsonWebKeySet": Action.KEYS_READ,
    _V1 + "KeyService/ListSigningKeys": Action.KEYS_READ,
    _V1 + "KeyService/PrepareSigningKey": Action.KEYS_MANAGE,
    _V1 + "KeyService/ActivateSigningKey": Action.KEYS_MANAGE,
    _V1 + "KeyService/RevokeSigningKey": Action.KEYS_MANAGE,
}


_CHANGING: Final = frozenset(
    {
        Action.SESSIONS_CREATE,
        Action.SESSIONS_END,
        Action.TOKENS_REVOKE,
        Action.ROLES_WRITE,
        Action.PROJECTS_CREATE,
        Action.PROJECTS_UPDATE,
        Action.PROJECTS_ROTATE,
        Action.KEYS_MANAGE,
    }
)

CHANGING: Final = frozenset(method for method, action in ACTIONS.items() if action in _CHANGING)
"""Methods that change what the store holds."""


class AuthorizationTableError(Exception):
    """A registered method has no row in the table; the server must not start."""


def require_complete(methods: Collection[str], actions: Mapping[str, Action] = ACTIONS) -> None:
    """Refuse to go on where one of the server's *methods* has no row.

    Raises:
        AuthorizationTableError: it names every such method.
    """
    missing = sorted(set(methods) - set(actions) - PUBLIC)
    if missing:
        raise AuthorizationTableError("methods without a row in the authorization table: " + ", ".join(missing))


class AuthorizationInterceptor:
    """Default deny: an unlisted method is refused to all, a listed one to callers whose grant lacks its action."""

    def __init__(self, actions: Mapping[str, Action] = ACTIONS) -> None:
        self._actions = actions

    async def intercept(self, call: Call, proceed: Proceed) -> object:
        """Proceed where the caller's grant names the method's action."""
        if call.method in PUBLIC:
            return await proceed(call)
        action = self._actions.get(call.method)
        if action is None:
            raise UnimplementedError
        call.record.action = action
        caller = call.record.caller
        if caller is None or action not in caller.grant.actions:
            raise PermissionDeniedError(
                Reason.ACTION_NOT_GRANTED,
                f"the caller's grant does not name the action {action}",
                limit="actions",
            )
        return await proceed(call)
