"""Says whether a token is good now, and if not, why. A bad token is a verdict, never an error."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from tokenauthority.domain.role import BUILT_IN_ROLES, Permission
from tokenauthority.domain.session import SessionState
from tokenauthority.domain.times import Millis, Seconds, whole_seconds
from tokenauthority.domain.token import InactiveReason, TokenFormat, TokenRejectedError
from tokenauthority.signing import formats, opentok_jwt, opentok_t1, session_jwt, vonage_jwt


if TYPE_CHECKING:
    from collections.abc import Collection

    from tokenauthority.authority.catalog import Catalog, Tenant
    from tokenauthority.authority.keys import Keys
    from tokenauthority.domain.caller import Grant
    from tokenauthority.domain.token import TokenClaims
    from tokenauthority.signing.codec import Unverified, Verified


@attrs.frozen(kw_only=True)
class Signed:
    """What a token says whose signature holds."""

    format: TokenFormat
    key_id: str
    project_id: str
    permissions: tuple[Permission, ...]
    claims: TokenClaims


@attrs.frozen(kw_only=True)
class Verdict:
    """Whether a token is good; `reason` None means that it is. `signed` is there wherever the signature holds."""

    reason: InactiveReason | None = None
    detail: str = ""
    signed: Signed | None = None


class Verify:
    """The use case VerifyToken. *leeway* is how far clocks may differ, in seconds."""

    def __init__(self, catalog: Catalog, keys: Keys, issuer: str, leeway: Seconds) -> None:
        self._catalog = catalog
        self._keys = keys
        self._issuer = issuer
        self._leeway = leeway

    async def check(
        self,
        token: str,
        grant: Grant,
        now: Millis,
        *,
        session_id: str = "",
        required: Collection[Permission] = (),
    ) -> Verdict:
        """The verdict about *token*, for *session_id* if given, with the *required* permissions.

        Raises:
            UnavailableError: the store cannot be read.
        """
        try:
            unverified = formats.parse(token)
            tenant = await self._tenant(unverified, grant)
            verified = await self._verified(unverified, tenant)
        except TokenRejectedError as rejected:
            return Verdict(reason=rejected.reason, detail=rejected.detail)
        signed = _signed(unverified.format, verified, tenant)
        try:
            self._require_time(signed.claims, whole_seconds(now))
            await self._require_session(signed.claims, tenant, session_id)
            _require_permissions(signed, required)
        except TokenRejectedError as rejected:
            return Verdict(reason=rejected.reason, detail=rejected.detail, signed=signed)
        return Verdict(signed=signed)

    async def _tenant(self, unverified: Unverified, grant: Grant) -> Tenant:
        claims = unverified.claims
        tenant = await self._catalog.tenant_of(claims.project_id or claims.application_id.lower())
        if tenant is None or not grant.allows_project(tenant.project.project_id):
            raise TokenRejectedError(InactiveReason.PROJECT_UNKNOWN, "the token's project is not known to the caller")
        return tenant

    async def _verified(self, unverified: Unverified, tenant: Tenant) -> Verified:
        try:
            return self._check_signature(unverified, tenant)
        except TokenRejectedError:
            if unverified.format is TokenFormat.SESSION_JWT:
                raise
            # No token is refused for a secret that another server made a moment ago.
            renewed = await self._catalog.renewed(tenant)
            if renewed is None:
                raise
            return self._check_signature(unverified, renewed)

    def _check_signature(self, unverified: Unverified, tenant: Tenant) -> Verified:
        match unverified.format:
            case TokenFormat.SESSION_JWT:
                return session_jwt.verify(unverified, self._keys.ring, self._issuer)
            case TokenFormat.VONAGE_JWT:
                return vonage_jwt.verify(unverified, tenant.keys)
            case TokenFormat.OPENTOK_T1:
                return opentok_t1.verify(unverified, tenant.keys)
            case TokenFormat.OPENTOK_JWT:
                return opentok_jwt.verify(unverified, tenant.keys)

    def _require_time(self, claims: TokenClaims, now: Seconds) -> None:
        if claims.issue_time > now + self._leeway:
            raise TokenRejectedError(InactiveReason.NOT_YET_VALID, f"issued {claims.issue_time - now}s in the future")
        if claims.not_before > now + self._leeway:
            raise TokenRejectedError(InactiveReason.NOT_YET_VALID, f"good in {claims.not_before - now}s (nbf)")
        good_until = claims.good_until()
        if now >= good_until + self._leeway:
            raise TokenRejectedError(InactiveReason.EXPIRED, f"expired {now - good_until}s ago")

    async def _require_session(self, claims: TokenClaims, tenant: Tenant, session_id: str) -> None:
        known = await self._catalog.session(claims.session_id)
        own = tenant.owns(claims.session_id) if known is None else known.project_id == tenant.project.project_id
        if own and known is not None and known.state is SessionState.ENDED:
            raise TokenRejectedError(InactiveReason.SESSION_ENDED, "the session has ended")
        if session_id and session_id != claims.session_id:
            raise TokenRejectedError(InactiveReason.SESSION_MISMATCH, "the token is for another session")
        if not own:
            raise TokenRejectedError(InactiveReason.SESSION_MISMATCH, "the session is not one of the token's project")
        if known is None and not tenant.project.external_sessions:
            raise TokenRejectedError(InactiveReason.SESSION_MISMATCH, "the session was never made here")


def _signed(token_format: TokenFormat, verified: Verified, tenant: Tenant) -> Signed:
    claims = verified.claims
    native = token_format is TokenFormat.SESSION_JWT
    return Signed(
        format=token_format,
        key_id=verified.key_id,
        project_id=tenant.project.project_id,
        permissions=claims.permissions if native else BUILT_IN_ROLES[claims.role].permissions,
        claims=claims,
    )


def _require_permissions(signed: Signed, required: Collection[Permission]) -> None:
    missing = [permission.value for permission in required if permission not in signed.permissions]
    if missing:
        raise TokenRejectedError(InactiveReason.PERMISSION_MISSING, "lacks " + ", ".join(missing))
