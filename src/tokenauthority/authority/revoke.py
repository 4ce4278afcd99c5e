"""Revoke one token, or the tokens of a session or subject; durable before the answer."""

from __future__ import annotations

import secrets

from collections.abc import Callable
from typing import Final

import attrs

from tokenauthority.authority.revocations import Revocations
from tokenauthority.authority.sessions import NO_SESSION_ID, authorized_tenant, stored_session
from tokenauthority.authority.tenant_cache import TenantCache
from tokenauthority.authority.verify import Verify
from tokenauthority.domain.caller import Grant
from tokenauthority.domain.errors import FieldViolation, InvalidRequestError, require_valid
from tokenauthority.domain.ids import REVOCATION_RANDOM_BYTES, make_revocation_id, project_in_session_id
from tokenauthority.domain.revocation import StoredRevocation, TargetKind, moment_violations, revocation_violations
from tokenauthority.domain.times import MAX_LEEWAY, MAX_TTL, Millis, Seconds, whole_seconds
from tokenauthority.domain.token import TokenRejectedError
from tokenauthority.storage.store import RevocationStore


_UNKNOWN: Final = Seconds(0)


@attrs.frozen(kw_only=True)
class RevokeRequest:
    """The request of RevokeTokens. At most one target is set; an empty one is not set."""

    token: str = attrs.field(default="", repr=False)
    token_id: str = ""
    session_id: str = ""
    subject: str = ""
    project_id: str = ""
    issued_before: Seconds | None = None
    comment: str = ""


@attrs.frozen(eq=False, repr=False)
class Revoke:
    """The use case RevokeTokens. It calls *wake* after a change that watchers should see soon."""

    _store: RevocationStore
    _tenants: TenantCache
    _verify: Verify
    _revocations: Revocations
    _wake: Callable[[], None]

    async def revoke(self, request: RevokeRequest, grant: Grant, now: Millis) -> StoredRevocation:
        """Store a revocation and return it; raise what the contract names for RevokeTokens, or UnavailableError."""
        violations = revocation_violations(request.token_id, request.subject, request.comment)
        if request.issued_before is not None:
            violations += moment_violations(request.issued_before, now)
        kind, target, project_id, issued = await self._target(request, grant, violations, now)
        require_valid(violations)
        moment = request.issued_before
        if moment is None:
            # The clock of the server that made a single token may have been ahead of this one's, and it is meant.
            second = whole_seconds(now)
            moment = Seconds(second + MAX_LEEWAY) if kind is TargetKind.TOKEN else second
            # The clock may have been behind for hours, too: the token must stay invalid once it is right again.
            moment = max(moment, issued)
        requested = StoredRevocation(
            revocation_id=make_revocation_id(now, secrets.token_bytes(REVOCATION_RANDOM_BYTES)),
            project_id=project_id,
            kind=kind,
            target=target,
            issued_before=moment,
            comment=request.comment,
            create_time=now,
        )
        self._revocations.require_room(requested)
        revocation = await self._store.create_revocation(requested)
        self._revocations.apply([revocation])
        self._wake()
        return revocation

    async def _target(
        self, request: RevokeRequest, grant: Grant, violations: list[FieldViolation], now: Millis
    ) -> tuple[TargetKind, str, str, Seconds]:
        """Return kind, target and project, and the issue time of a token (0 for other targets).

        The violations of the target are raised together with *violations*.
        """
        if request.token_id or request.subject:
            kind = TargetKind.TOKEN if request.token_id else TargetKind.SUBJECT
            project_id = await self._chosen(request.project_id, grant, violations)
            return kind, request.token_id or request.subject, project_id, _UNKNOWN
        if request.project_id:
            violations.append(FieldViolation("project_id", "must not be set: the session or token names its project"))
        if request.session_id:
            project_id = await self._project_of(request.session_id, grant, violations)
            return TargetKind.SESSION, request.session_id, project_id, _UNKNOWN
        if request.token:
            try:
                signed = await self._verify.require_signed(request.token, grant)
            except TokenRejectedError as rejected:
                problem = f"is not a token that the caller may revoke: {rejected.detail}"
                require_valid([FieldViolation("token", problem), *violations])
                raise
            issued = signed.claims.issue_time
            if issued > whole_seconds(now) + MAX_TTL:
                # Its revocation would have to be stored for years.
                problem = "was issued more than 30 days in the future: end its session, or change the project's secret"
                require_valid([FieldViolation("token", problem), *violations])
            return TargetKind.TOKEN, signed.claims.token_id, signed.project_id, issued
        problem = "is required: one of token, token_id, session_id and subject"
        raise InvalidRequestError([FieldViolation("target", problem), *violations])

    async def _chosen(self, project_id: str, grant: Grant, violations: list[FieldViolation]) -> str:
        try:
            project_id = grant.chosen_project(project_id)
        except InvalidRequestError as error:
            violations.extend(error.violations)
        require_valid(violations)
        return (await self._tenants.require_tenant(project_id)).project.project_id

    async def _project_of(self, session_id: str, grant: Grant, violations: list[FieldViolation]) -> str:
        if project_in_session_id(session_id) is None:
            violations.append(NO_SESSION_ID)
        require_valid(violations)
        tenant = await authorized_tenant(session_id, self._tenants, grant)
        # The session need not exist: tokens outlive a session that a restored store has lost.
        await stored_session(session_id, self._tenants)
        return tenant.project.project_id
