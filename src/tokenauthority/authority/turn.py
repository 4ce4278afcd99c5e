"""Create credentials for the TURN servers of the settings."""

from __future__ import annotations

import secrets

import attrs

from tokenauthority.authority.sessions import tenant_and_session
from tokenauthority.authority.tenant_cache import TenantCache
from tokenauthority.domain.caller import Grant
from tokenauthority.domain.errors import PreconditionError, Reason, require_valid
from tokenauthority.domain.policy import turn_expire_time
from tokenauthority.domain.times import Millis, whole_seconds
from tokenauthority.domain.turn import CreatedTurnCredentials, TurnSpec, turn_violations
from tokenauthority.signing.turn import TurnSigner


@attrs.frozen(repr=False)
class TurnServers:
    """The TURN servers, and what makes credentials that they accept."""

    urls: tuple[str, ...]
    signer: TurnSigner


class CreateTurn:
    """The use case CreateTurnCredentials; *servers* is None if the settings name no TURN server."""

    def __init__(self, tenants: TenantCache, servers: TurnServers | None) -> None:
        self._tenants = tenants
        self._servers = servers

    async def create(self, request: TurnSpec, grant: Grant, now: Millis) -> CreatedTurnCredentials:
        """Create credentials; raise what the contract names for CreateTurnCredentials, or UnavailableError."""
        require_valid(turn_violations(request))
        servers = self._servers
        if servers is None:
            raise PreconditionError(Reason.TURN_UNAVAILABLE, "turn", "the server's settings name no TURN server")
        tenant, session = await tenant_and_session(request.session_id, self._tenants, grant)
        expire_time = turn_expire_time(request, project=tenant.project, session=session, grant=grant, now=now)
        project_id = tenant.project.project_id
        # Without a subject nobody is the same person.
        username = servers.signer.username(project_id, request.subject or secrets.token_hex(16), expire_time)
        return CreatedTurnCredentials(
            urls=servers.urls,
            username=username,
            credential=servers.signer.password(username),
            project_id=project_id,
            issue_time=whole_seconds(now),
            expire_time=expire_time,
        )
