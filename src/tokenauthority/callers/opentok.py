"""Authenticate the official OpenTok and Vonage SDKs: by a JWT that a project's secret or Vonage key signed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import attrs

from tokenauthority.authority.tenant_cache import Tenant, TenantCache
from tokenauthority.callers.authenticator import CredentialError, PresentedCredentials
from tokenauthority.callers.identity import OpentokIdentity
from tokenauthority.callers.opentok_rules import SdkJwt, read_opentok_auth, read_vonage_bearer
from tokenauthority.callers.registry import CurrentCallers
from tokenauthority.domain.caller import Caller, Grant
from tokenauthority.domain.credential import CredentialKind
from tokenauthority.domain.times import Millis, Seconds, whole_seconds
from tokenauthority.domain.token import TokenRejectedError


SCHEME: Final = "opentok"
"""What stands before the value of a header `X-OPENTOK-AUTH` where it is presented as an `authorization`."""

_READERS: Final = {SCHEME: read_opentok_auth, "bearer": read_vonage_bearer}


class OpentokAuthenticator:
    """Accepts exactly one JWT: in `X-OPENTOK-AUTH`, or as `authorization: Bearer` of a Vonage application.

    Only the projects of callers with `opentok_project` are looked for. Every live secret counts. Nothing is cached: an
    SDK makes a new JWT for each request. *wait_for_read* is that of `StoreFollower`.
    """

    def __init__(
        self,
        callers: CurrentCallers,
        tenants: TenantCache,
        clock: Callable[[], Millis],
        wait_for_read: Callable[[], Awaitable[None]],
    ) -> None:
        self._callers = callers
        self._tenants = tenants
        self._clock = clock
        self._wait_for_read = wait_for_read

    async def authenticate(self, presented: PresentedCredentials) -> Caller:
        """Find the caller, whose identity also names the key that signed; see `Authenticator.authenticate`.

        Raises:
            UnavailableError: the project cannot be read now.
        """
        if not presented.may_verify():
            raise CredentialError("the credential was not verified: too many failures from its address")
        try:
            jwt = _read(presented, whole_seconds(self._clock()))
        except TokenRejectedError as error:
            raise CredentialError(f"OpenTok JWT: {error.detail}") from None
        # After a sleep of the process, a secret that was removed meanwhile may still be cached.
        await self._wait_for_read()
        enabled = Grant(projects=self._callers.registry.opentok_projects, actions=frozenset())
        tenant = await self._tenants.granted_tenant(jwt.owner, enabled)
        if tenant is None:
            raise CredentialError(f"OpenTok JWT: no caller has opentok_project for {jwt.owner}, or it does not exist")
        key_id = await self._signing_key(jwt, tenant)
        # A reload may have replaced the callers meanwhile: the current ones decide.
        project_id = tenant.project.project_id
        caller = self._callers.registry.find_caller(OpentokIdentity(project_id))
        if caller is None:
            raise CredentialError(f"OpenTok JWT: no caller has opentok_project {project_id} any longer")
        return attrs.evolve(caller, identity=f"{project_id} {key_id}")

    async def _signing_key(self, jwt: SdkJwt, tenant: Tenant) -> str:
        key_id = _key_that_signed(jwt, tenant)
        if not key_id:
            # Another server may have made the secret a moment ago.
            renewed = await self._tenants.renewed(tenant)
            key_id = "" if renewed is None else _key_that_signed(jwt, renewed)
        if not key_id:
            raise CredentialError(f"OpenTok JWT: the signature is not that of a live {jwt.kind} of {jwt.owner}")
        return key_id


def _read(presented: PresentedCredentials, now: Seconds) -> SdkJwt:
    values = presented.authorization
    if len(values) != 1:
        raise CredentialError(f"there are {len(values)} values of X-OPENTOK-AUTH and authorization, and must be one")
    scheme, _, token = str(values[0]).partition(" ")
    reader = _READERS.get(scheme.lower())
    if reader is None:
        raise CredentialError("authorization does not begin with Bearer and one space")
    return reader(token, now)


def _key_that_signed(jwt: SdkJwt, tenant: Tenant) -> str:
    """Return the id of the live key that signed *jwt*, or nothing. Every secret is tried, with no early exit."""
    keys = tenant.keys
    if jwt.kind is CredentialKind.SECRET:
        found = [secret.key_id for secret in keys.secrets if secret.verifier.holds(jwt.jws)]
        return "".join(found[:1])
    vonage = keys.vonage
    is_signed = vonage is not None and vonage.application_id == jwt.owner and vonage.verifier.holds(jwt.jws)
    return vonage.key_id if vonage is not None and is_signed else ""
