"""Make tokens: one, or a batch of which all or none are made."""

from __future__ import annotations

import asyncio

from collections.abc import Hashable, Sequence
from functools import partial
from time import perf_counter
from typing import Final

import attrs

from tokenauthority.authority.randomness import Randomness
from tokenauthority.authority.remote_signing import RemoteSigning
from tokenauthority.authority.sessions import authorized_tenant
from tokenauthority.authority.signing_keys import SigningKeyManager
from tokenauthority.authority.tenant_cache import Tenant, TenantCache
from tokenauthority.domain.caller import Grant
from tokenauthority.domain.errors import (
    FieldViolation,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionError,
    Reason,
    TokenAuthorityError,
    require_valid,
)
from tokenauthority.domain.policy import Granted, Refused, decide
from tokenauthority.domain.times import Millis
from tokenauthority.domain.token import (
    MAX_BATCH,
    MintedToken,
    TokenClaims,
    TokenSpec,
    request_violations,
    terms_violations,
    text_violations,
)
from tokenauthority.domain.token_format import FormatTraits
from tokenauthority.signing.formats.codec import Codec, TokenKey
from tokenauthority.signing.formats.registry import codec_of
from tokenauthority.signing.project_keys import ProjectSecret, VonageKey
from tokenauthority.signing.results import Encoded
from tokenauthority.signing.signing_key import SigningKey


_SLICE: Final = 0.005
"""Seconds that a batch may hold the event loop before other tasks may run."""

_NONCES: Final = 2**53
"""What every JSON parser reads exactly. The official SDKs draw smaller nonces, but the audit log names a token by its
signature: whoever reads the log must not be able to find the token's nonce by trying all of them."""


@attrs.frozen
class _Plan:
    """What is decided about a request, and about every other one of a batch on the same terms.

    `key` is the project's key that signs; None where the authority's own does.
    """

    tenant: Tenant
    granted: Granted
    traits: FormatTraits
    codec: Codec
    key: ProjectSecret | VonageKey | None


class Generate:
    """The use cases GenerateToken and BatchGenerateTokens; *issuer* is the `iss` of the tokens that it signs itself."""

    def __init__(
        self, tenants: TenantCache, keys: SigningKeyManager, issuer: str, remote: RemoteSigning | None = None
    ) -> None:
        self._tenants = tenants
        self._keys = keys
        self._issuer = issuer
        self._remote = remote or RemoteSigning()
        self._random = Randomness()

    async def one(self, request: TokenSpec, grant: Grant, now: Millis) -> MintedToken:
        """Make one token; raise what the contract names for GenerateToken, or UnavailableError."""
        require_valid(request_violations(request, now))
        plan = await self._plan(request, grant, now)
        signing_key = self._keys.signing(now) if plan.key is None else None
        if signing_key is not None and signing_key.remote:
            return (await self._mint_remotely([(request, plan)], signing_key))[0]
        return self._mint(request, plan, signing_key)

    async def batch(self, requests: Sequence[TokenSpec], grant: Grant, now: Millis) -> list[MintedToken]:
        """Make all tokens in the order of *requests*, or none.

        Raises:
            PermissionDeniedError: the first item that the grant does not allow.
            InvalidRequestError: every item that is invalid for any other cause, as `requests[17].role`.
            UnavailableError: the store cannot be read, or the signing key not reached.
        """
        if not 1 <= len(requests) <= MAX_BATCH:
            raise InvalidRequestError(
                [FieldViolation("requests", f"must have 1 to {MAX_BATCH} items, has {len(requests)}")]
            )
        time_slice = _TimeSlice()
        plans: dict[Hashable, _Plan | Sequence[FieldViolation]] = {}
        planned: list[tuple[TokenSpec, _Plan]] = []
        violations: list[FieldViolation] = []
        for index, request in enumerate(requests):
            terms = _terms(request)
            plan = plans.get(terms)
            if plan is None:
                plan = plans[terms] = await self._plan_of_item(request, grant, now, f"requests[{index}]")
            found = text_violations(request)
            if isinstance(plan, _Plan):
                planned.append((request, plan))
            else:
                found = [*plan, *found]
            if found:
                violations.extend(v.under(f"requests[{index}]") for v in found)
            await time_slice.yield_if_due()
        require_valid(violations)
        signing_key = self._keys.signing(now) if any(plan.key is None for _, plan in planned) else None
        if signing_key is not None and signing_key.remote:
            return await self._mint_remotely(planned, signing_key)
        minted = []
        for request, plan in planned:
            minted.append(self._mint(request, plan, signing_key))
            await time_slice.yield_if_due()
        return minted

    async def _plan_of_item(
        self, request: TokenSpec, grant: Grant, now: Millis, item: str
    ) -> _Plan | Sequence[FieldViolation]:
        violations = terms_violations(request, now)
        if violations:
            return violations
        try:
            return await self._plan(request, grant, now)
        except (InvalidRequestError, PermissionDeniedError, NotFoundError, PreconditionError) as error:
            return _as_violations(error, item)

    async def _plan(self, request: TokenSpec, grant: Grant, now: Millis) -> _Plan:
        tenant = await authorized_tenant(request.session_id, self._tenants, grant)
        project = tenant.project
        session = await self._tenants.session(request.session_id)
        if session is None and not project.external_sessions:
            raise NotFoundError.session(request.session_id)
        role = await self._tenants.role(project.project_id, request.role)
        decision = decide(request, project=project, session=session, role=role, grant=grant, now=now)
        if isinstance(decision, Refused):
            raise decision.error
        traits = decision.format.traits
        key = None if traits.signed_by is None else tenant.keys.current(traits.signed_by)
        if key is None and not traits.signed_by_authority:
            raise PreconditionError(
                Reason.FORMAT_UNAVAILABLE, project.project_id, f"the project has no key that signs {decision.format}"
            )
        return _Plan(tenant, decision, traits, codec_of(decision.format), key)

    async def _mint_remotely(self, planned: Sequence[tuple[TokenSpec, _Plan]], key: SigningKey) -> list[MintedToken]:
        """As `_mint`, in one thread for all tokens that the remote *key* signs."""
        time_slice = _TimeSlice()
        drafts: list[tuple[_Plan, TokenClaims] | MintedToken] = []
        for request, plan in planned:
            drafts.append((plan, self._claims(request, plan)) if plan.key is None else self._mint(request, plan, None))
            await time_slice.yield_if_due()
        unsigned = [draft for draft in drafts if not isinstance(draft, MintedToken)]
        signed = iter(await self._remote.run([partial(plan.codec.encode, claims, key) for plan, claims in unsigned]))
        return [
            draft if isinstance(draft, MintedToken) else _minted(next(signed), draft[0], key, draft[1])
            for draft in drafts
        ]

    def _mint(self, request: TokenSpec, plan: _Plan, signing_key: SigningKey | None) -> MintedToken:
        key = plan.key or signing_key
        if key is None:
            raise LookupError(f"no key was chosen for {plan.granted.format}")
        claims = self._claims(request, plan)
        return _minted(plan.codec.encode(claims, key), plan, key, claims)

    def _claims(self, request: TokenSpec, plan: _Plan) -> TokenClaims:
        granted, project, traits = plan.granted, plan.tenant.project, plan.traits
        return TokenClaims(
            session_id=request.session_id,
            role=request.role,
            issue_time=granted.issue_time,
            expire_time=granted.expire_time,
            project_id=project.project_id,
            application_id=project.vonage_application_id or "",
            token_id=self._random.draw(16).hex() if traits.has_token_id else "",
            permissions=granted.role.permissions if traits.carries_permissions else (),
            data=request.data,
            initial_layout_class_list=request.initial_layout_class_list,
            subject=request.subject,
            issuer=self._issuer,
            nonce=0 if traits.has_token_id else int.from_bytes(self._random.draw(8)) % _NONCES,
        )


class _TimeSlice:
    """A share of the event loop, of a few milliseconds, after which other tasks run."""

    def __init__(self) -> None:
        self._since = perf_counter()

    async def yield_if_due(self) -> None:
        """Let other tasks run, if the share is used up."""
        if perf_counter() - self._since > _SLICE:
            await asyncio.sleep(0)
            self._since = perf_counter()


def _minted(encoded: Encoded, plan: _Plan, key: TokenKey, claims: TokenClaims) -> MintedToken:
    return MintedToken(
        token=encoded.token, token_id=encoded.token_id, format=plan.granted.format, key_id=key.key_id, claims=claims
    )


def _terms(request: TokenSpec) -> Hashable:
    """Return what `_plan_of_item` reads of a request: requests with equal terms share one plan.

    The length of texts is no part of it: `text_violations` checks that for each request.
    """
    return (
        request.session_id,
        request.role,
        request.format,
        request.ttl,
        request.expire_time,
        request.initial_layout_class_list,
        request.problems,
        not request.subject,
    )


def _as_violations(error: TokenAuthorityError, item: str) -> Sequence[FieldViolation]:
    """Return what an item's error says about its fields; a refusal by the grant ends the whole batch."""
    if isinstance(error, PermissionDeniedError):
        raise error.under(item) from error
    if isinstance(error, InvalidRequestError):
        return error.violations
    field = {Reason.ROLE_NOT_FOUND: "role", Reason.FORMAT_UNAVAILABLE: "format"}.get(error.reason, "session_id")
    return [FieldViolation(field, str(error))]
