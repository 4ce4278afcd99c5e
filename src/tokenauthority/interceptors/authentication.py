"""Finds out who is calling, before anything of the request is parsed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tokenauthority.domain.errors import UnauthenticatedError


if TYPE_CHECKING:
    from collections.abc import Collection

    from tokenauthority.callers.authenticator import Authenticator
    from tokenauthority.interceptors.chain import Call, Proceed


_SCHEME: Final = "bearer "


class AuthenticationInterceptor:
    """Takes exactly one `authorization: Bearer ...`; every failure is the same UNAUTHENTICATED, so it is no oracle.

    The methods of *public* (health checks, reflection where it is on) need no caller.
    """

    def __init__(self, authenticator: Authenticator, public: Collection[str]) -> None:
        self._authenticator = authenticator
        self._public = frozenset(public)

    async def intercept(self, call: Call, proceed: Proceed) -> object:
        """Set the record's caller, or refuse."""
        if call.method in self._public:
            return await proceed(call)
        caller = await self._authenticator.authenticate(_bearer(call.metadata.get("authorization", [])))
        if caller is None:
            raise UnauthenticatedError
        call.record.caller = caller
        return await proceed(call)


def _bearer(values: list[str | bytes]) -> str:
    if len(values) != 1 or not isinstance(values[0], str) or values[0][:7].lower() != _SCHEME:
        raise UnauthenticatedError
    return values[0][7:]
