"""Decide whether a token is valid now, and if not, why. An invalid token is a verdict, never an error."""

from __future__ import annotations

from collections.abc import Collection

import attrs
import msgspec

from tokenauthority.authority.revocations import Revocations
from tokenauthority.authority.signing_keys import SigningKeyManager
from tokenauthority.authority.store_follower import StoreFollower
from tokenauthority.authority.tenant_cache import Tenant, TenantCache
from tokenauthority.domain.caller import Grant
from tokenauthority.domain.errors import UnavailableError
from tokenauthority.domain.ids import is_session_name
from tokenauthority.domain.role import BUILT_IN_ROLES, Permission
from tokenauthority.domain.session import SessionState
from tokenauthority.domain.times import Millis, Seconds, whole_seconds
from tokenauthority.domain.token import InactiveReason, TokenClaims, TokenRejectedError
from tokenauthority.domain.token_format import TokenFormat
from tokenauthority.domain.validity import (
    require_enabled,
    require_not_revoked,
    require_original_not_revoked,
    require_permissions,
    require_time,
)
from tokenauthority.signing.formats.codec import TrustedKeys
from tokenauthority.signing.formats.registry import read_token, verify_token
from tokenauthority.signing.results import Unverified, Verified


class Signed(msgspec.Struct, frozen=True, kw_only=True):
    """What a token says whose signature verifies."""

    format: TokenFormat
    key_id: str
    project_id: str
    permissions: tuple[Permission, ...]
    claims: TokenClaims


class VerificationResult(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a token is valid: `reason` is None. `signed` is what it says, if its signature verifies."""

    reason: InactiveReason | None = None
    detail: str = ""
    signed: Signed | None = None


@attrs.frozen(eq=False, repr=False)
class Verify:
    """The use case VerifyToken.

    *leeway* is how many seconds clocks may differ. *max_staleness* is for how many seconds it answers without reading
    the changes of the store: any longer, and a token that was revoked on another server would pass.
    """

    _tenants: TenantCache
    _keys: SigningKeyManager
    _revocations: Revocations
    _follower: StoreFollower
    _issuer: str = attrs.field(kw_only=True)
    _leeway: Seconds = attrs.field(kw_only=True)
    _max_staleness: float = attrs.field(kw_only=True)

    async def check(
        self, token: str, grant: Grant, now: Millis, *, session_id: str = "", required: Collection[Permission] = ()
    ) -> VerificationResult:
        """Return the verdict for the session with the id or name *session_id* (empty: any) and *required* permissions.

        Raises:
            UnavailableError: the store, or the changes of other servers, cannot be read.
        """
        self.require_current()
        try:
            signed, tenant = await self._signed_token(token, grant)
        except TokenRejectedError as rejected:
            return VerificationResult(reason=rejected.reason, detail=rejected.detail)
        try:
            require_enabled(tenant.project)
            require_time(signed.claims, whole_seconds(now), self._leeway)
            require_not_revoked(self._revocations.index, signed.project_id, signed.claims)
            if signed.format.traits.table is not None:
                require_original_not_revoked(self._revocations.index, signed.project_id, signed.claims)
            await self._require_session(signed.claims, tenant, session_id)
            require_permissions(signed.permissions, required)
        except TokenRejectedError as rejected:
            return VerificationResult(reason=rejected.reason, detail=rejected.detail, signed=signed)
        return VerificationResult(signed=signed)

    def require_current(self) -> None:
        """Raise UnavailableError if the store's changes were not read for too long: a revocation could be missed."""
        if self.stale:
            raise UnavailableError.store()

    @property
    def stale(self) -> bool:
        """Whether the store's changes were not read for longer than *max_staleness*."""
        return self._follower.age() > self._max_staleness

    async def require_signed(self, token: str, grant: Grant) -> Signed:
        """Return what *token* says, expired, revoked or not; raise TokenRejectedError if its signature is invalid."""
        return (await self._signed_token(token, grant))[0]

    async def _signed_token(self, token: str, grant: Grant) -> tuple[Signed, Tenant]:
        unverified = read_token(token)
        tenant = await self._tenant(unverified, grant)
        verified = await self._verified(unverified, tenant)
        claims = await self._with_session_id(unverified.format, verified.claims, tenant)
        return _signed(unverified.format, claims, verified.key_id, tenant), tenant

    async def _tenant(self, unverified: Unverified, grant: Grant) -> Tenant:
        claims = unverified.claims
        tenant = await self._tenants.granted_tenant(claims.owner, grant)
        if tenant is None:
            raise TokenRejectedError(InactiveReason.PROJECT_UNKNOWN, "the token's project is not known to the caller")
        return tenant

    async def _with_session_id(self, token_format: TokenFormat, claims: TokenClaims, tenant: Tenant) -> TokenClaims:
        """Return *claims* with the id of the session whose room they name."""
        if token_format.traits.table is None or not is_session_name(claims.session_id):
            return claims
        named = await self._tenants.named_session(tenant.project.project_id, claims.session_id)
        if named is None or not tenant.owns(named.session_id):
            return claims
        return msgspec.structs.replace(claims, session_id=named.session_id)

    async def _verified(self, unverified: Unverified, tenant: Tenant) -> Verified:
        try:
            return self._check_signature(unverified, tenant)
        except TokenRejectedError:
            if unverified.format.traits.signed_by_authority:
                # Another server may know its key: that is no verdict on the token.
                self._keys.believed.require_opened(unverified.key_hint)
                raise
            # Another server may have made the secret a moment ago.
            renewed = await self._tenants.renewed(tenant)
            if renewed is None:
                raise
            return self._check_signature(unverified, renewed)

    def _check_signature(self, unverified: Unverified, tenant: Tenant) -> Verified:
        return verify_token(unverified, TrustedKeys(ring=self._keys.ring, issuer=self._issuer, project=tenant.keys))

    async def _require_session(self, claims: TokenClaims, tenant: Tenant, session_id: str) -> None:
        known = await self._tenants.session(claims.session_id)
        own = tenant.owns(claims.session_id) if known is None else known.project_id == tenant.project.project_id
        if own and known is not None and known.state is SessionState.ENDED:
            raise TokenRejectedError(InactiveReason.SESSION_ENDED, "the session has ended")
        names = {claims.session_id} if known is None else {claims.session_id, known.spec.name}
        if session_id and session_id not in names:
            raise TokenRejectedError(InactiveReason.SESSION_MISMATCH, "the token is for another session")
        if not own or (known is not None and known.session_id != claims.session_id):
            raise TokenRejectedError(InactiveReason.SESSION_MISMATCH, "the session is not one of the token's project")
        if known is None and not tenant.project.external_sessions:
            raise TokenRejectedError(InactiveReason.SESSION_MISMATCH, "the session was not created here")


def _signed(token_format: TokenFormat, claims: TokenClaims, key_id: str, tenant: Tenant) -> Signed:
    return Signed(
        format=token_format,
        key_id=key_id,
        project_id=tenant.project.project_id,
        permissions=(
            claims.permissions if token_format.traits.carries_permissions else BUILT_IN_ROLES[claims.role].permissions
        ),
        claims=claims,
    )
