"""Makes tokens: one, or a batch of which all or none are made."""

from __future__ import annotations

import asyncio

from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Final

import attrs

from tokenauthority.authority.randomness import Randomness
from tokenauthority.authority.remote_signing import RemoteSigning
from tokenauthority.authority.sessions import authorized_tenant
from tokenauthority.domain.errors import (
    FieldViolation,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionError,
    Reason,
    TokenAuthorityError,
)
from tokenauthority.domain.policy import Granted, Refused, decide
from tokenauthority.domain.token import (
    MAX_BATCH,
    MintedToken,
    TokenClaims,
    TokenFormat,
    request_violations,
    terms_violations,
    text_violations,
)
from tokenauthority.signing import opentok_jwt, opentok_t1, session_jwt, vonage_jwt


if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from tokenauthority.authority.signing_keys import SigningKeyManager
    from tokenauthority.authority.tenant_cache import Tenant, TenantCache
    from tokenauthority.domain.caller import Grant
    from tokenauthority.domain.times import Millis
    from tokenauthority.domain.token import TokenSpec
    from tokenauthority.signing.codec import Encoded
    from tokenauthority.signing.keys import SigningKey


_TURN: Final = 0.005
"""Seconds that a batch may hold the event loop before it lets others have their turn."""

_NONCES: Final = 2**53
"""What every JSON parser reads exactly. The official SDKs draw less; but the audit log names a token by its signature,
and whoever reads that must not find the nonce that is missing to the token by trying."""


@attrs.frozen
class _Plan:
    """What is decided about a request, and about every other one of a batch on the same terms."""

    tenant: Tenant
    granted: Granted


class Generate:
    """The use cases GenerateToken and BatchGenerateTokens; *issuer* is the `iss` of the native format."""

    def __init__(
        self, catalog: TenantCache, keys: SigningKeyManager, issuer: str, remote: RemoteSigning | None = None
    ) -> None:
        self._catalog = catalog
        self._keys = keys
        self._issuer = issuer
        self._remote = remote or RemoteSigning()
        self._random = Randomness()

    async def one(self, request: TokenSpec, grant: Grant, now: Millis) -> MintedToken:
        """One token.

        Raises:
            InvalidRequestError, PermissionDeniedError, NotFoundError, PreconditionError, UnavailableError.
        """
        violations = request_violations(request, now)
        if violations:
            raise InvalidRequestError(violations)
        plan = await self._plan(request, grant, now)
        key = self._keys.signing(now) if _is_native(plan) else None
        if key is not None and key.remote:
            return (await self._mint_remotely([(request, plan)], key))[0]
        return self._mint(request, plan, key)

    async def batch(self, requests: Sequence[TokenSpec], grant: Grant, now: Millis) -> list[MintedToken]:
        """All tokens in the order asked for, or none.

        Raises:
            PermissionDeniedError: the first item that the grant does not allow.
            InvalidRequestError: every item that is bad for any other cause, as `requests[17].role`.
            UnavailableError: the store cannot be read, or the signing key not reached.
        """
        if not 1 <= len(requests) <= MAX_BATCH:
            raise InvalidRequestError(
                [FieldViolation("requests", f"must have 1 to {MAX_BATCH} items, has {len(requests)}")]
            )
        turn = _Turn()
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
            await turn.taken()
        if violations:
            raise InvalidRequestError(violations)
        key = self._keys.signing(now) if any(_is_native(plan) for _, plan in planned) else None
        if key is not None and key.remote:
            return await self._mint_remotely(planned, key)
        minted = []
        for request, plan in planned:
            minted.append(self._mint(request, plan, key))
            await turn.taken()
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
        tenant = await authorized_tenant(request.session_id, self._catalog, grant)
        project = tenant.project
        session = await self._catalog.session(request.session_id)
        if session is None and not project.external_sessions:
            raise NotFoundError.session(request.session_id)
        role = await self._catalog.role(project.project_id, request.role)
        decision = decide(request, project=project, session=session, role=role, grant=grant, now=now)
        if isinstance(decision, Refused):
            raise decision.error
        _require_key(decision.format, tenant)
        return _Plan(tenant, decision)

    async def _mint_remotely(self, planned: Sequence[tuple[TokenSpec, _Plan]], key: SigningKey) -> list[MintedToken]:
        """As `_mint`, in one thread for all that the remote *key* signs."""
        turn = _Turn()
        drafts: list[TokenClaims | MintedToken] = []
        for request, plan in planned:
            drafts.append(self._claims(request, plan) if _is_native(plan) else self._mint(request, plan, key))
            await turn.taken()
        native = [draft for draft in drafts if isinstance(draft, TokenClaims)]
        signed = iter(await self._remote.run([partial(session_jwt.encode, claims, key) for claims in native]))
        return [
            _minted(next(signed), TokenFormat.SESSION_JWT, key.key_id, draft)
            if isinstance(draft, TokenClaims)
            else draft
            for draft in drafts
        ]

    def _mint(self, request: TokenSpec, plan: _Plan, signing_key: SigningKey | None) -> MintedToken:
        token_format, keys = plan.granted.format, plan.tenant.keys
        claims = self._claims(request, plan)
        if signing_key is not None and token_format is TokenFormat.SESSION_JWT:
            encoded, key_id = session_jwt.encode(claims, signing_key), signing_key.key_id
        elif token_format is TokenFormat.VONAGE_JWT and keys.vonage is not None:
            encoded, key_id = vonage_jwt.encode(claims, keys.vonage), keys.vonage.key_id
        else:
            secret = keys.secrets[0]
            codec = opentok_t1 if token_format is TokenFormat.OPENTOK_T1 else opentok_jwt
            nonce = int.from_bytes(self._random.take(8)) % _NONCES
            encoded, key_id = codec.encode(claims, secret, nonce), secret.secret_id
        return _minted(encoded, token_format, key_id, claims)

    def _claims(self, request: TokenSpec, plan: _Plan) -> TokenClaims:
        granted, project = plan.granted, plan.tenant.project
        native = granted.format is TokenFormat.SESSION_JWT
        has_id = native or granted.format is TokenFormat.VONAGE_JWT
        return TokenClaims(
            session_id=request.session_id,
            role=request.role,
            issue_time=granted.issue_time,
            expire_time=granted.expire_time,
            project_id=project.project_id,
            application_id=project.vonage_application_id or "",
            token_id=self._random.take(16).hex() if has_id else "",
            permissions=granted.role.permissions if native else (),
            data=request.data,
            initial_layout_class_list=request.initial_layout_class_list,
            subject=request.subject,
            issuer=self._issuer,
        )


class _Turn:
    """Gives the event loop to others once this task has had it for a few milliseconds."""

    def __init__(self) -> None:
        self._since = perf_counter()

    async def taken(self) -> None:
        if perf_counter() - self._since > _TURN:
            await asyncio.sleep(0)
            self._since = perf_counter()


def _is_native(plan: _Plan) -> bool:
    return plan.granted.format is TokenFormat.SESSION_JWT


def _minted(encoded: Encoded, token_format: TokenFormat, key_id: str, claims: TokenClaims) -> MintedToken:
    return MintedToken(
        token=encoded.token, token_id=encoded.token_id, format=token_format, key_id=key_id, claims=claims
    )


def _terms(request: TokenSpec) -> Hashable:
    """Everything that decides about a request, but for the length of its texts."""
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


def _require_key(token_format: TokenFormat, tenant: Tenant) -> None:
    missing = (
        (token_format is TokenFormat.VONAGE_JWT and tenant.keys.vonage is None)
        or (token_format in {TokenFormat.OPENTOK_T1, TokenFormat.OPENTOK_JWT} and not tenant.keys.secrets)
    )  # fmt: skip
    if missing:
        raise PreconditionError(
            Reason.FORMAT_UNAVAILABLE,
            tenant.project.project_id,
            f"the project has no key that signs {token_format}",
        )


def _as_violations(error: TokenAuthorityError, item: str) -> Sequence[FieldViolation]:
    """What an item's error says about its fields; a refusal by the grant ends the whole batch."""
    if isinstance(error, PermissionDeniedError):
        raise error.under(item) from error
    if isinstance(error, InvalidRequestError):
        return error.violations
    field = {Reason.ROLE_NOT_FOUND: "role", Reason.FORMAT_UNAVAILABLE: "format"}.get(error.reason, "session_id")
    return [FieldViolation(field, str(error))]
