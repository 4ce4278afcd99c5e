"""Finds out who is calling, before anything of the request is parsed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tokenauthority.callers.authenticator import PresentedCredentials


if TYPE_CHECKING:
    from collections.abc import Collection

    from tokenauthority.callers.authenticator import Authenticator
    from tokenauthority.interceptors.auth_failures import AuthFailureLimiter
    from tokenauthority.interceptors.chain import Call, Proceed


_AUTHORIZATION: Final = "authorization"
_FORWARDED: Final = "x-forwarded-client-cert"


class AuthenticationInterceptor:
    """Asks the authenticator of its listener; every failure is the same UNAUTHENTICATED, so it is no oracle.

    The methods of *public* (health checks, reflection where it is on) need no caller. Where *failures* had too many of
    the address, a credential may be refused unseen, which says nothing about it.
    """

    def __init__(self, authenticator: Authenticator, public: Collection[str], failures: AuthFailureLimiter) -> None:
        self._authenticator = authenticator
        self._public = frozenset(public)
        self._failures = failures

    async def intercept(self, call: Call, proceed: Proceed) -> object:
        """Set the record's caller, or refuse."""
        if call.method in self._public:
            return await proceed(call)
        attempt = self._failures.attempt(call.record.peer)
        presented = PresentedCredentials(
            authorization=call.metadata.get(_AUTHORIZATION, ()),
            forwarded=call.metadata.get(_FORWARDED, ()),
            tls=call.context.auth_context,
            may_verify=attempt.may_verify,
        )
        caller = await self._authenticator.authenticate(presented)
        if caller is None:
            raise attempt.failed()
        call.caller = caller
        call.record.identify(caller)
        return await proceed(call)
