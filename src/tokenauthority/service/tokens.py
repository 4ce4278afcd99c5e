"""TokenService: maps to and from the use cases of tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from tokenauthority.context import AuditedToken, audit_record, current_caller
from tokenauthority.domain.errors import FieldViolation, InvalidRequestError, PermissionDeniedError
from tokenauthority.domain.ids import MAX_SESSION_ID
from tokenauthority.domain.revocation import TargetKind
from tokenauthority.domain.token import MAX_BATCH, MAX_SUBJECT
from tokenauthority.service import mapping, revocation_mapping
from tokenauthority.service.context import Context
from tokenauthority.v1 import token_pb2, token_pb2_grpc


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from tokenauthority.authority.generate import Generate
    from tokenauthority.authority.revoke import Revoke
    from tokenauthority.authority.verify import Verify
    from tokenauthority.authority.watch import Watch
    from tokenauthority.domain.caller import Caller
    from tokenauthority.domain.revocation import StoredRevocation
    from tokenauthority.domain.role import Permission
    from tokenauthority.domain.times import Millis
    from tokenauthority.domain.token import MintedToken, TokenSpec


class Meter(Protocol):
    """What holds a caller to its rate and quota."""

    def charge(self, caller: Caller, items: int) -> None:
        """Charge all but the first of *items*, which every RPC has paid before; all or none.

        Raises:
            RateLimitError: the caller may not have them.
        """


class TokenServicer(token_pb2_grpc.TokenServiceServicer):
    """Tokens over gRPC."""

    def __init__(
        self,
        generate: Generate,
        verify: Verify,
        revoke: Revoke,
        watch: Watch,
        *,
        meter: Meter,
        clock: Callable[[], Millis],
    ) -> None:
        self._generate = generate
        self._verify = verify
        self._revoke = revoke
        self._watch = watch
        self._meter = meter
        self._clock = clock

    async def GenerateToken(
        self, request: token_pb2.GenerateTokenRequest, context: Context
    ) -> token_pb2.GenerateTokenResponse:
        """See the contract."""
        try:
            wanted = mapping.token_request(request.request)
            _note_wanted(wanted)
            minted = await self._generate.one(wanted, current_caller().grant, self._clock())
        except (InvalidRequestError, PermissionDeniedError) as error:
            raise error.under("request") from error
        _note_minted(minted)
        return token_pb2.GenerateTokenResponse(token=mapping.token_message(minted))

    async def BatchGenerateTokens(
        self, request: token_pb2.BatchGenerateTokensRequest, context: Context
    ) -> token_pb2.BatchGenerateTokensResponse:
        """See the contract."""
        if len(request.requests) > MAX_BATCH:
            raise InvalidRequestError(
                [FieldViolation("requests", f"must have 1 to {MAX_BATCH} items, has {len(request.requests)}")]
            )
        caller = current_caller()
        self._meter.charge(caller, len(request.requests))
        wanted = [mapping.token_request(message) for message in request.requests]
        _note_batch(wanted)
        minted = await self._generate.batch(wanted, caller.grant, self._clock())
        record = audit_record()
        record.token_ids = tuple(token.token_id for token in minted)
        record.tokens = tuple(map(_audited, minted))
        response = token_pb2.BatchGenerateTokensResponse()
        for token in minted:
            mapping.fill_token(response.tokens.add(), token)
        return response

    async def VerifyToken(
        self, request: token_pb2.VerifyTokenRequest, context: Context
    ) -> token_pb2.VerifyTokenResponse:
        """See the contract."""
        violations = []
        if not request.token:
            violations.append(FieldViolation("token", "is required"))
        if len(request.session_id) > MAX_SESSION_ID:
            violations.append(FieldViolation("session_id", f"must have at most {MAX_SESSION_ID} characters"))
        required: tuple[Permission, ...] = ()
        try:
            required = mapping.permissions(request.required_permissions, "required_permissions")
        except InvalidRequestError as error:
            violations.extend(error.violations)
        if violations:
            raise InvalidRequestError(violations)
        verdict = await self._verify.check(
            request.token,
            current_caller().grant,
            self._clock(),
            session_id=request.session_id,
            required=required,
        )
        record = audit_record()
        record.reason = "" if verdict.reason is None else verdict.reason.value
        if verdict.signed is not None:
            claims = verdict.signed.claims
            record.project_id, record.session_id = verdict.signed.project_id, claims.session_id
            record.role, record.format, record.subject = claims.role, verdict.signed.format, claims.subject
            record.token_ids = (claims.token_id,)
        return mapping.verdict_message(verdict)

    async def RevokeTokens(
        self, request: token_pb2.RevokeTokensRequest, context: Context
    ) -> token_pb2.RevokeTokensResponse:
        """See the contract."""
        record, grant, now = audit_record(), current_caller().grant, self._clock()
        record.ask(project_id=request.project_id, session_id=request.session_id)
        revocation = await self._revoke.revoke(revocation_mapping.revoke_request(request), grant, now)
        record.project_id, record.object_id = revocation.project_id, revocation.revocation_id
        record.comment = request.comment
        _note_target(revocation)
        return token_pb2.RevokeTokensResponse(revocation=revocation_mapping.revocation_message(revocation))

    async def WatchRevocations(
        self, request: token_pb2.WatchRevocationsRequest, context: Context
    ) -> AsyncIterator[token_pb2.WatchRevocationsResponse]:
        """See the contract."""
        projects = self._watch.projects(request.project_ids, current_caller().grant)
        if len(request.project_ids) == 1:
            audit_record().project_id = request.project_ids[0]
        async for news in self._watch.follow(projects, request.resume_token):
            yield revocation_mapping.news_message(news)


def _note_wanted(wanted: TokenSpec) -> None:
    record = audit_record()
    record.ask(session_id=wanted.session_id, role=wanted.role)
    record.format = wanted.format or ""
    record.subject = wanted.subject[:MAX_SUBJECT]
    record.lifetime = wanted.ttl


def _note_batch(wanted: Sequence[TokenSpec]) -> None:
    """What all items agree on; each is recorded for itself once it is made."""
    record = audit_record()
    record.items = len(wanted)
    sessions, roles = {item.session_id for item in wanted}, {item.role for item in wanted}
    record.ask(session_id=sessions.pop() if len(sessions) == 1 else "", role=roles.pop() if len(roles) == 1 else "")


def _note_target(revocation: StoredRevocation) -> None:
    """Whom it hits, and up to when: enough to make it once more after a backup had to be restored."""
    record = audit_record()
    record.changes = (f"issued_before={revocation.issued_before}",)
    match revocation.kind:
        case TargetKind.TOKEN:
            record.token_ids = (revocation.target,)
        case TargetKind.SESSION:
            record.session_id = revocation.target
        case TargetKind.SUBJECT:
            record.subject = revocation.target


def _note_minted(minted: MintedToken) -> None:
    record = audit_record()
    record.project_id = minted.claims.project_id
    record.format = minted.format
    record.lifetime = minted.claims.expire_time - minted.claims.issue_time
    record.token_ids = (minted.token_id,)


def _audited(minted: MintedToken) -> AuditedToken:
    claims = minted.claims
    return AuditedToken(
        minted.token_id,
        claims.project_id,
        claims.session_id,
        claims.role,
        minted.format,
        claims.expire_time - claims.issue_time,
        claims.subject,
    )
