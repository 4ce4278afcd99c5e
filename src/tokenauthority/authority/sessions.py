"""Create, get, list and end sessions."""

from __future__ import annotations

import hashlib
import secrets

from collections.abc import Callable, Sequence
from typing import Final

import attrs
import msgspec

from tokenauthority.authority.tenant_cache import Tenant, TenantCache
from tokenauthority.authority.waiting import Waiting
from tokenauthority.domain.caller import Caller, Grant
from tokenauthority.domain.change import ChangeKind
from tokenauthority.domain.errors import FieldViolation, InvalidRequestError, NotFoundError, require_valid
from tokenauthority.domain.ids import SESSION_RANDOM_BYTES, make_session_id, project_in_session_id
from tokenauthority.domain.project import disabled_error
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
from tokenauthority.platforms.sessions import PlatformSessions
from tokenauthority.storage.store import SessionStore


_PATIENT: Final = Waiting()
NO_SESSION_ID: Final = FieldViolation("session_id", "is not a session id")
OTHER_SPELLING: Final = FieldViolation("session_id", "is another spelling of a session's id: 1_ for 2_, or 2_ for 1_")


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
    tenant = await tenants.granted_tenant(owner, grant)
    if tenant is None:
        # No grant names a Vonage application among its projects: one that is not there is outside all but `*`.
        grant.require_project(owner, "session_id")
        raise NotFoundError.project(owner)
    return tenant


async def stored_session(session_id: str, tenants: TenantCache) -> StoredSession | None:
    """Return the session, or None; raise InvalidRequestError if it is stored under the other spelling of its id."""
    session = await tenants.session(session_id)
    require_spelling(session_id, session)
    return session


async def tenant_and_session(
    session_id: str, tenants: TenantCache, grant: Grant
) -> tuple[Tenant, StoredSession | None]:
    """Return the project and the session; None is a session that the authority did not make and the project accepts.

    Raises:
        InvalidRequestError: it is not a session id, or the session is stored under the other spelling.
        PermissionDeniedError: its project is outside the grant, whether it exists or not.
        NotFoundError: the project or the session does not exist.
    """
    tenant = await authorized_tenant(session_id, tenants, grant)
    session = await stored_session(session_id, tenants)
    if session is None and not tenant.project.external_sessions:
        raise NotFoundError.session(session_id)
    return tenant, session


def require_spelling(session_id: str, session: StoredSession | None) -> None:
    """Raise InvalidRequestError if *session* is stored under another spelling of its id than *session_id*."""
    if session is not None and session.session_id != session_id:
        raise InvalidRequestError([OTHER_SPELLING])


class Sessions:
    """The use cases of SessionService. They call *wake* after a change that watchers should see soon.

    They raise what the contract names for the RPC, and UnavailableError.
    """

    def __init__(
        self, store: SessionStore, tenants: TenantCache, platforms: PlatformSessions, wake: Callable[[], None]
    ) -> None:
        self._store = store
        self._tenants = tenants
        self._platforms = platforms
        self._wake = wake

    async def create(
        self,
        project_id: str,
        spec: SessionSpec,
        request_id: str,
        caller: Caller,
        now: Millis,
        *,
        waiting: Waiting = _PATIENT,
        report_platform: Callable[[str], None] = lambda _: None,
    ) -> StoredSession:
        """Create a session, or return the one that the same *request_id* created.

        *report_platform* gets the URL of the platform that is to create the session, if the project has one.
        """
        project_id = _valid_project(project_id, spec, request_id, caller)
        if spec.archive_mode is ArchiveMode.ALWAYS and not spec.archive_resolution:
            spec = attrs.evolve(spec, archive_resolution=DEFAULT_RESOLUTION)
        repeat = _idempotency_key(project_id, spec, request_id, caller) if request_id else None
        tenant = await self._tenants.require_tenant(project_id)
        if (disabled := disabled_error(tenant.project)) is not None:
            raise disabled
        if tenant.project.platform_url:
            report_platform(tenant.project.platform_url)
            # Asked first: a repeated call must find its session also while the platform is away.
            known = None if repeat is None else await self._store.find_repeated_session(repeat, now)
            if known is not None:
                return known
            async with waiting.aside():
                session_id = await self._platforms.create(
                    tenant.project, tenant.keys, spec, caller=caller.name, now=now, deadline=waiting.deadline
                )
        else:
            session_id = _new_session_id(project_id, spec, now)
        session = StoredSession(session_id=session_id, project_id=project_id, spec=spec, create_time=now)
        epoch = self._tenants.epoch
        session = await self._store.create_session(session, repeat)
        self._tenants.cache_session(session, epoch)
        return session

    async def get(self, session_id: str, grant: Grant) -> StoredSession:
        """Return the session."""
        await authorized_tenant(session_id, self._tenants, grant)
        session = await stored_session(session_id, self._tenants)
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
        require_spelling(session_id, session)
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


def _valid_project(project_id: str, spec: SessionSpec, request_id: str, caller: Caller) -> str:
    """Return the project that a request means; raise InvalidRequestError for that and all else that is wrong."""
    violations = spec_violations(spec, request_id)
    try:
        project_id = caller.grant.chosen_project(project_id)
    except InvalidRequestError as error:
        violations = [*error.violations, *violations]
    require_valid(violations)
    return project_id


def _idempotency_key(project_id: str, spec: SessionSpec, request_id: str, caller: Caller) -> IdempotencyKey:
    # A request without a name has the digest that earlier versions gave it.
    asked = attrs.asdict(spec, filter=lambda field, value: field.name != "name" or value != "")
    body = hashlib.sha256(msgspec.json.encode([project_id, asked])).hexdigest()
    return IdempotencyKey(caller=caller.name, request_id=request_id.lower(), body_digest=body)


def _new_session_id(project_id: str, spec: SessionSpec, now: Millis) -> str:
    relayed, random = spec.media_mode is MediaMode.RELAYED, secrets.token_bytes(SESSION_RANDOM_BYTES)
    return make_session_id(project_id, spec.location, relayed=relayed, now=now, random=random)
