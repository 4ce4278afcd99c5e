"""Generate tokens: one, or a batch of which all or none are generated."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import partial
from time import perf_counter

import msgspec

from tokenauthority.authority.randomness import Randomness
from tokenauthority.authority.remote_signing import RemoteSigning
from tokenauthority.authority.sessions import tenant_and_session
from tokenauthority.authority.signing_keys import SigningKeyManager
from tokenauthority.authority.tenant_cache import Tenant, TenantCache
from tokenauthority.authority.time_slice import TimeSlice
from tokenauthority.domain.caller import Grant
from tokenauthority.domain.errors import (
    FieldViolation,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionError,
    Reason,
    TokenAuthorityError,
    UnavailableError,
    require_valid,
)
from tokenauthority.domain.policy import Granted, Refused, decide
from tokenauthority.domain.times import Millis
from tokenauthority.domain.token import (
    MAX_BATCH,
    GeneratedToken,
    TokenSpec,
    TokenTerms,
    request_violations,
    terms_violations,
    text_violations,
)
from tokenauthority.domain.token_format import TokenFormat
from tokenauthority.signing.formats.codec import Codec
from tokenauthority.signing.formats.registry import codec_of
from tokenauthority.signing.project_keys import ProjectSecret, VonageKey
from tokenauthority.signing.signing_key import SigningKey


class _Plan(msgspec.Struct, frozen=True, eq=False):
    """What is decided about a request, and about every other one of a batch on the same terms.

    `room` is that of the session; `key` is the project's key that signs, None where the authority's own does.
    """

    tenant: Tenant
    room: str
    granted: Granted
    codec: Codec
    key: ProjectSecret | VonageKey | None


class _Making(msgspec.Struct, frozen=True, eq=False):
    """How to make a token of one plan, with what a request says beside the terms.

    Where it is `remote` it blocks, so it must not be called on the event loop.
    """

    make: Callable[[TokenSpec], GeneratedToken]
    remote: bool


class Generate:
    """The use cases GenerateToken and BatchGenerateTokens; *issuer* is the `iss` of the tokens that it signs itself."""

    def __init__(
        self,
        tenants: TenantCache,
        keys: SigningKeyManager,
        issuer: str,
        *,
        remote: RemoteSigning | None = None,
        codec_of: Callable[[TokenFormat], Codec] = codec_of,
    ) -> None:
        self._tenants = tenants
        self._keys = keys
        self._issuer = issuer
        self._remote = remote or RemoteSigning()
        self._codec_of = codec_of
        self._random = Randomness()
        self._probe_failed = False

    async def one(self, request: TokenSpec, grant: Grant, now: Millis) -> GeneratedToken:
        """Generate one token; raise what the contract names for GenerateToken, or UnavailableError."""
        require_valid(request_violations(request, now))
        plan = await self._plan(request, grant, now)
        making = self._making(request, plan, now)
        if making.remote:
            return (await self._remote.run([partial(making.make, request)]))[0]
        return making.make(request)

    @property
    def signing_problem(self) -> str:
        """Why the last signature of a remote key, such as one in an HSM, failed; empty if it did not."""
        return self._remote.problem

    @property
    def cannot_sign(self) -> str:
        """Why the probe and all calls after it got no signature; empty if one did. One call may ask for too many."""
        return self._remote.problem if self._probe_failed else ""

    async def probe_signing(self, now: Millis) -> None:
        """Sign something with the key that signs, if it is remote, to learn of its loss and of its return."""
        try:
            key = self._keys.signing(now)
            if key.remote:
                await self._remote.run([lambda: key.signer.sign(b"{}")])
            else:
                self._remote.recover()
        except UnavailableError:
            self._probe_failed = True
        else:
            self._probe_failed = False

    async def batch(
        self, requests: Sequence[TokenSpec], grant: Grant, now: Millis, time_slice: TimeSlice
    ) -> list[GeneratedToken]:
        """Generate all tokens in the order of *requests*, or none; *time_slice* is what the call has of the event loop.

        Raises:
            PermissionDeniedError: the first item that the grant does not allow.
            InvalidRequestError: every item that is invalid for any other cause, as `requests[17].role`.
            UnavailableError: the store cannot be read, or the signing key not reached.
        """
        if not 1 <= len(requests) <= MAX_BATCH:
            raise InvalidRequestError(
                [FieldViolation("requests", f"must have 1 to {MAX_BATCH} items, has {len(requests)}")]
            )
        plans: dict[Hashable, _Plan | Sequence[FieldViolation]] = {}
        planned: list[_Plan] = []
        violations: list[FieldViolation] = []
        for index, request in enumerate(requests):
            terms = _terms(request)
            plan = plans.get(terms)
            if plan is None:
                plan = plans[terms] = await self._plan_of_item(request, grant, now, f"requests[{index}]")
            found = text_violations(request)
            if isinstance(plan, _Plan):
                planned.append(plan)
            else:
                found = [*plan, *found]
            if found:
                violations.extend(v.under(f"requests[{index}]") for v in found)
            # Also where the plan is known: to hash and compare many layout classes takes microseconds.
            if perf_counter() > time_slice.end:
                await time_slice.next()
        require_valid(violations)
        return await self._make_all(requests, planned, now, time_slice)

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
        tenant, session = await tenant_and_session(request.session_id, self._tenants, grant)
        project = tenant.project
        # The time of a refusal must not show which other roles there are.
        granted = grant.allows_role(request.role)
        role = await self._tenants.role(project.project_id, request.role) if granted else None
        roles = self._tenants.role_names(project.project_id) if role is None else ()
        decision = decide(request, project=project, session=session, role=role, grant=grant, now=now, roles=roles)
        if isinstance(decision, Refused):
            raise decision.error
        traits = decision.format.traits
        key = None if traits.signed_by is None else tenant.keys.current(traits.signed_by)
        if key is None and not traits.signed_by_authority:
            raise PreconditionError(
                Reason.FORMAT_UNAVAILABLE, project.project_id, f"the project has no key that signs {decision.format}"
            )
        room = request.session_id if session is None else session.room
        return _Plan(tenant, room, decision, self._codec_of(decision.format), key)

    async def _make_all(
        self, requests: Sequence[TokenSpec], plans: Sequence[_Plan], now: Millis, time_slice: TimeSlice
    ) -> list[GeneratedToken]:
        """Return a token for each of *requests* by its plan. Those that a remote key signs are made in one thread."""
        makings: dict[_Plan, _Making] = {}
        made: list[GeneratedToken | None] = []
        remote: list[Callable[[], GeneratedToken]] = []
        for request, plan in zip(requests, plans, strict=True):
            making = makings.get(plan)
            if making is None:
                making = makings[plan] = self._making(request, plan, now)
            if making.remote:
                remote.append(partial(making.make, request))
                made.append(None)
            else:
                made.append(making.make(request))
            if perf_counter() > time_slice.end:
                await time_slice.next()
        signed = iter(await self._remote.run(remote) if remote else ())
        return [next(signed) if token is None else token for token in made]

    def _making(self, request: TokenSpec, plan: _Plan, now: Millis) -> _Making:
        key = plan.key or self._keys.signing(now)
        granted, project = plan.granted, plan.tenant.project
        traits = granted.format.traits
        terms = TokenTerms(
            format=granted.format,
            key_id=key.key_id,
            session_id=request.session_id,
            role=request.role,
            issue_time=granted.issue_time,
            expire_time=granted.expire_time,
            project_id=project.project_id,
            application_id=project.vonage_application_id or "",
            permissions=granted.role.permissions if traits.carries_permissions else (),
            initial_layout_class_list=request.initial_layout_class_list,
            issuer=self._issuer,
            room=plan.room,
            claims_for=project.claims_for,
        )
        encode = plan.codec.prepare(terms, key)
        draw = self._random.identifier if traits.has_token_id else self._random.nonce

        def make(spec: TokenSpec) -> GeneratedToken:
            return encode(spec.data, spec.subject, draw())

        def make_with_subject(spec: TokenSpec) -> GeneratedToken:
            unique = draw()
            return encode(spec.data, spec.subject or unique, unique)

        needs_subject = project.needs_subject(granted.format)
        return _Making(make_with_subject if needs_subject else make, isinstance(key, SigningKey) and key.remote)


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
