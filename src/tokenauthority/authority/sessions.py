"""Create, get, list and end sessions."""

from __future__ import annotations

import hashlib
import secrets

from collections.abc import Callable, Sequence
from typing import Final

import attrs
import msgspec

from tokenauthority.authority.tenant_cache import Tenant, TenantCache
from tokenauthority.domain.caller import Caller, Grant
from tokenauthority.domain.change import ChangeKind
from tokenauthority.domain.errors import FieldViolation, InvalidRequestError, NotFoundError, require_valid
from tokenauthority.domain.ids import SESSION_RANDOM_BYTES, is_project_id, make_session_id, project_in_session_id
from tokenauthority.domain.session import (
    DEFAULT_RESOLUTION,
    ArchiveMode,
    IdempotencyKey,
    MediaMode,
    SessionSpec,
    SessionState,
    StoredSession,
    spec_violations,
)
from tokenauthority.domain.times import Millis
from tokenauthority.storage.store import SessionStore


NO_SESSION_ID: Final = FieldViolation("session_id", "is not a session id")


async def authorized_tenant(session_id: str, tenants: TenantCache, grant: Grant) -> Tenant:
    """Return the project that a session id names, if the grant allows it.

    Raises:
        InvalidRequestError: it is not a session id.
        PermissionDeniedError: its project is outside the grant, whether it exists or not.
        NotFoundError: the project does not exist.
    """
    owner = project_in_session_id(session_id)
    if owner is None:
        raise InvalidRequestError([NO_SESSION_ID])
    if is_project_id(owner):
        # Before any read, so that not even the time of the answer shows whether the project exists.
        grant.require_project(owner, "session_id")
    tenant = await tenants.tenant_of(owner)
    # An unknown Vonage application has no project id that a grant could name, so its own id is checked.
    grant.require_project(owner if tenant is None else tenant.project.project_id, "session_id")
    if tenant is None:
        raise NotFoundError.project(owner)
    return tenant


class Sessions:
    """The use cases of SessionService. They call *wake* after a change that watchers should see soon.

    They raise what the contract names for the RPC, and UnavailableError.
    """

    def __init__(self, store: SessionStore, tenants: TenantCache, wake: Callable[[], None]) -> None:
        self._store = store
        self._tenants = tenants
        self._wake = wake

    async def create(
        self, project_id: str, spec: SessionSpec, request_id: str, caller: Caller, now: Millis
    ) -> StoredSession:
        """Create a session, or return the one that the same *request_id* created."""
        violations = spec_violations(spec, request_id)
        try:
            project_id = caller.grant.chosen_project(project_id)
        except InvalidRequestError as error:
            violations = [*error.violations, *violations]
        require_valid(violations)
        if spec.archive_mode is ArchiveMode.ALWAYS and not spec.archive_resolution:
            spec = attrs.evolve(spec, archive_resolution=DEFAULT_RESOLUTION)
        relayed = spec.media_mode is MediaMode.RELAYED
        random = secrets.token_bytes(SESSION_RANDOM_BYTES)
        session = StoredSession(
            session_id=make_session_id(project_id, spec.location, relayed=relayed, now=now, random=random),
            project_id=project_id,
            spec=spec,
            create_time=now,
        )
        repeat = None
        if request_id:
            body = hashlib.sha256(msgspec.json.encode([project_id, attrs.asdict(spec)])).hexdigest()
            repeat = IdempotencyKey(caller=caller.name, request_id=request_id.lower(), body_digest=body)
        epoch = self._tenants.epoch
        session = await self._store.create_session(session, repeat)
        self._tenants.cache_session(session, epoch)
        return session

    async def get(self, session_id: str, grant: Grant) -> StoredSession:
        """Return the session."""
        await authorized_tenant(session_id, self._tenants, grant)
        session = await self._tenants.session(session_id)
        if session is None:
            raise NotFoundError.session(session_id)
        return session

    async def list_page(
        self, project_id: str, *, before: tuple[Millis, str] | None, limit: int, state: SessionState | None
    ) -> Sequence[StoredSession]:
        """Return at most *limit* sessions of the project, newest first. The grant has been checked."""
        await self._tenants.require_tenant(project_id)
        return await self._store.list_sessions(project_id, before=before, limit=limit, state=state)

    async def end(self, session_id: str, grant: Grant, now: Millis) -> StoredSession:
        """End the session durably, and return it."""
        tenant = await authorized_tenant(session_id, self._tenants, grant)
        session = await self._store.get_session(session_id)
        if session is None:
            if not tenant.project.external_sessions:
                raise NotFoundError.session(session_id)
            session = StoredSession(
                session_id=session_id, project_id=tenant.project.project_id, spec=SessionSpec(), create_time=now
            )
        session = await self._store.end_session(session, now)
        self._tenants.invalidate(ChangeKind.SESSION_END, session.project_id, session_id)
        self._wake()
        return session
