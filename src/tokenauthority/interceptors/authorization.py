"""Allow an RPC only to callers whose grant names its action, which the contract states for each RPC.

What the request itself names (project, role, lifetime) is decided further in, by `domain.policy` and the use cases.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from tokenauthority.contract import Method
from tokenauthority.domain.caller import Action
from tokenauthority.domain.errors import PermissionDeniedError, Reason, UnimplementedError
from tokenauthority.interceptors.call import Call, Proceed


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


class AuthorizationTableError(Exception):
    """The contract states no action for an RPC, or one that no grant can name; the server must not start."""


def required_actions(methods: Iterable[Method]) -> Mapping[str, Action]:
    """Return the action that each method needs, by path; raise AuthorizationTableError for an unknown or no action."""
    known = {action.value: action for action in Action}
    actions = {method.path: known.get(method.required_action) for method in methods}
    gaps = sorted(path for path, action in actions.items() if action is None)
    if gaps:
        raise AuthorizationTableError("methods of the contract without a known required_action: " + ", ".join(gaps))
    return {path: action for path, action in actions.items() if action is not None}


class AuthorizationInterceptor:
    """Deny by default: a listed method needs its action of *actions*, and a method without one is refused to all."""

    def __init__(self, actions: Mapping[str, Action]) -> None:
        self._actions = actions

    async def intercept(self, call: Call, proceed: Proceed) -> object:
        """Proceed if the caller's grant names the method's action."""
        if call.method in PUBLIC:
            return await proceed(call)
        action = self._actions.get(call.method)
        if action is None:
            raise UnimplementedError
        call.record.action = action
        caller = call.caller
        if caller is None or action not in caller.grant.actions:
            raise PermissionDeniedError(
                Reason.ACTION_NOT_GRANTED, f"the caller's grant does not name the action {action}", limit="actions"
            )
        return await proceed(call)
