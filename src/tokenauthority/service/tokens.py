"""TokenService: map its requests to the use cases of tokens and TURN credentials, and results to its answers."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import partial

import attrs

from tokenauthority.audit.record import AuditedToken, AuditRecord
from tokenauthority.authority.generate import Generate
from tokenauthority.authority.revoke import Revoke
from tokenauthority.authority.time_slice import TimeSlice
from tokenauthority.authority.turn import CreateTurn
from tokenauthority.authority.verify import VerificationResult, Verify
from tokenauthority.authority.watch import Watch
from tokenauthority.domain.caller import Caller
from tokenauthority.domain.errors import InvalidRequestError, PermissionDeniedError
from tokenauthority.domain.ids import MAX_SESSION_ID
from tokenauthority.domain.token import MAX_SUBJECT, GeneratedToken
from tokenauthority.service import mapping, token_mapping
from tokenauthority.service.items import EncodedItems
from tokenauthority.service.problems import Problems
from tokenauthority.service.rpc import Rpc
from tokenauthority.service.token_answers import BatchAnswers, encode_token
from tokenauthority.v1 import token_pb2 as pb


@attrs.frozen(eq=False, repr=False)
class TokenServicer:
    """The RPCs of TokenService. *charge* charges a caller for all but the first of so many items, or for none."""

    _generate: Generate
    _verify: Verify
    _revoke: Revoke
    _watch: Watch
    _turn: CreateTurn
    _charge: Callable[[Caller, int], Awaitable[None]]
    _answers: BatchAnswers = attrs.field(factory=BatchAnswers, init=False)

    async def generate_token(self, request: pb.GenerateTokenRequest, rpc: Rpc) -> bytes:
        """Answer GenerateToken."""
        try:
            spec = token_mapping.token_request(request.request)
            record, subject = rpc.record, spec.subject[:MAX_SUBJECT]
            record.ask(session_id=spec.session_id, role=spec.role)
            record.format, record.subject, record.lifetime = spec.format or "", subject, spec.ttl
            generated = await self._generate.one(spec, rpc.grant, rpc.now)
        except (InvalidRequestError, PermissionDeniedError) as error:
            raise error.under("request") from error
        record.give_token(_audited(generated))
        return encode_token(generated)

    async def batch_generate_tokens(self, items: EncodedItems[pb.TokenRequest], rpc: Rpc) -> bytes:
        """Answer BatchGenerateTokens. The items are charged before they are decoded."""
        await self._charge(rpc.caller, len(items))
        time_slice = TimeSlice()
        specs = [token_mapping.token_request(message) async for some in items.decoded(time_slice) for message in some]
        record = rpc.record
        asked = {(item.session_id, item.role) for item in specs}
        sessions, roles = ({each[part] for each in asked} for part in range(2))
        record.ask(session_id=_common(sessions), role=_common(roles), items=len(specs))
        generated = await self._generate.batch(specs, rpc.grant, rpc.now, time_slice)
        # Those that were made on the same terms share one object, so that equal ones need no comparison.
        if len({(id(token.terms), token.subject) for token in generated}) == 1:
            record.give_equal_tokens(_audited(generated[0]), tuple([token.token_id for token in generated]))
        else:
            record.give_tokens(tuple(map(_audited, generated)))
        return await self._answers.encode(generated, time_slice)

    async def verify_token(self, request: pb.VerifyTokenRequest, rpc: Rpc) -> pb.VerifyTokenResponse:
        """Answer VerifyToken."""
        problems = Problems()
        if not request.token:
            problems.add("token", "is required")
        if len(request.session_id) > MAX_SESSION_ID:
            problems.add("session_id", f"must have at most {MAX_SESSION_ID} characters")
        read = partial(mapping.permissions, request.required_permissions, "required_permissions")
        required = problems.value_or(read, ())
        problems.raise_if_any()
        result = await self._verify.check(
            request.token, rpc.grant, rpc.now, session_id=request.session_id, required=required
        )
        _record_verdict(rpc.record, result)
        return token_mapping.verification_message(result)

    async def revoke_tokens(self, request: pb.RevokeTokensRequest, rpc: Rpc) -> pb.RevokeTokensResponse:
        """Answer RevokeTokens."""
        revocation = await self._revoke.revoke(token_mapping.revoke_request(request), rpc.grant, rpc.now)
        return pb.RevokeTokensResponse(revocation=token_mapping.revocation_message(revocation))

    async def create_turn_credentials(
        self, request: pb.CreateTurnCredentialsRequest, rpc: Rpc
    ) -> pb.CreateTurnCredentialsResponse:
        """Answer CreateTurnCredentials."""
        spec, record = token_mapping.turn_request(request), rpc.record
        record.subject, record.lifetime = spec.subject[:MAX_SUBJECT], spec.ttl
        created = await self._turn.create(spec, rpc.grant, rpc.now)
        record.project_id, record.object_id = created.project_id, created.username
        record.lifetime = created.expire_time - created.issue_time
        return pb.CreateTurnCredentialsResponse(credentials=token_mapping.turn_message(created))

    async def watch_revocations(
        self, request: pb.WatchRevocationsRequest, rpc: Rpc
    ) -> AsyncGenerator[pb.WatchRevocationsResponse]:
        """Answer WatchRevocations."""
        projects = self._watch.projects(request.project_ids, rpc.grant)
        if len(request.project_ids) == 1:
            rpc.record.project_id = request.project_ids[0]
        async for event in self._watch.follow(projects, request.resume_token, rpc.caller.name):
            yield token_mapping.watch_message(event)


def _common(names: set[str]) -> str:
    """Return what all items of a batch name, else nothing; each token is recorded once it is made."""
    return next(iter(names)) if len(names) == 1 else ""


def _record_verdict(record: AuditRecord, result: VerificationResult) -> None:
    record.reason = result.reason or ""
    if result.signed is not None:
        signed, claims = result.signed, result.signed.claims
        record.project_id, record.session_id, record.role = signed.project_id, claims.session_id, claims.role
        record.format, record.subject, record.token_ids = signed.format, claims.subject, (claims.token_id,)


def _audited(generated: GeneratedToken) -> AuditedToken:
    terms = generated.terms
    return AuditedToken(
        generated.token_id,
        terms.project_id,
        terms.session_id,
        terms.role,
        terms.format,
        terms.expire_time - terms.issue_time,
        generated.subject,
    )
