"""Authenticate the caller of an RPC, before anything of the request is parsed."""

from __future__ import annotations

from collections.abc import Collection

from tokenauthority.callers.authenticator import Authenticator, CredentialError, PresentedCredentials
from tokenauthority.domain.origin import origin_of
from tokenauthority.interceptors.auth_failures import AuthAttempt, AuthFailureLimiter
from tokenauthority.interceptors.call import Call, Proceed


class AuthenticationInterceptor:
    """Ask the authenticator of the listener. Every failure is the same UNAUTHENTICATED, so it is no oracle.

    The audit record alone says why.

    The methods of *public* (health checks, and reflection if it is on) need no caller. A credential from an address
    with too many failures may be refused without being verified, which says nothing about the credential.
    """

    def __init__(self, authenticator: Authenticator, public: Collection[str], limiter: AuthFailureLimiter) -> None:
        self._authenticator = authenticator
        self._public = frozenset(public)
        self._limiter = limiter

    async def intercept(self, call: Call, proceed: Proceed) -> object:
        """Set the record's caller, or refuse."""
        if call.method in self._public:
            return await proceed(call)
        attempt = AuthAttempt(self._limiter, call.record.peer)
        presented = PresentedCredentials(
            authorization=call.metadata.get("authorization", ()),
            forwarded=call.metadata.get("x-forwarded-client-cert", ()),
            origin=origin_of(call.record.peer),
            tls=call.context.auth_context,
            may_verify=attempt.may_verify,
        )
        try:
            caller = await self._authenticator.authenticate(presented)
        except CredentialError as error:
            call.record.credential_problem = str(error)
            raise attempt.fail() from error
        call.caller = caller
        call.record.identify(caller)
        return await proceed(call)
