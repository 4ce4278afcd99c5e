"""Projects, roles and sessions close at hand: bounded caches over the store, kept true by its changes.

A read that was under way while a change arrived is answered but not kept: it may be older than the change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs
import structlog

from cachetools import LRUCache

from tokenauthority.domain.change import ChangeKind
from tokenauthority.domain.errors import UnavailableError
from tokenauthority.domain.ids import is_project_id, project_in_session_id
from tokenauthority.domain.role import BUILT_IN_ROLES
from tokenauthority.signing.sealing import SealBrokenError


if TYPE_CHECKING:
    from collections.abc import Mapping

    from tokenauthority.authority.credential_sealer import CredentialSealer
    from tokenauthority.domain.change import Change
    from tokenauthority.domain.project import Project
    from tokenauthority.domain.role import Role
    from tokenauthority.domain.session import StoredSession
    from tokenauthority.signing.project_keys import ProjectKeys
    from tokenauthority.storage import Store


MAX_SESSIONS: Final = 100_000
"""Sessions kept, about 1 KB each."""

MAX_PROJECTS: Final = 10_000
"""Projects and role sets kept, a few KB each."""

_KEPT: Final = frozenset({ChangeKind.PROJECT, ChangeKind.ROLE, ChangeKind.SESSION_END})
"""The changes that make untrue what is kept here."""


@attrs.frozen
class Tenant:
    """A project with its keys at hand."""

    project: Project
    keys: ProjectKeys

    def owns(self, session_id: str) -> bool:
        """Whether the session id names this project, or the Vonage application that it stands for."""
        owner = project_in_session_id(session_id)
        return owner is not None and owner in {self.project.project_id, self.project.vonage_application_id}


class TenantCache:
    """What the use cases read on every call. Every method may raise `UnavailableError`."""

    def __init__(
        self,
        store: Store,
        credentials: CredentialSealer,
        max_sessions: int = MAX_SESSIONS,
        max_projects: int = MAX_PROJECTS,
    ) -> None:
        self._store = store
        self._credentials = credentials
        self._tenants: LRUCache[str, Tenant] = LRUCache(max_projects)
        self._applications: LRUCache[str, str] = LRUCache(max_projects)
        self._roles: LRUCache[str, Mapping[str, Role]] = LRUCache(max_projects)
        self._sessions: LRUCache[str, StoredSession] = LRUCache(max_sessions)
        self._epoch = 0
        self._unopened: LRUCache[str, str] = LRUCache(max_projects)
        self._logger = structlog.stdlib.get_logger(__name__)

    async def tenant(self, project_id: str) -> Tenant | None:
        """The project and its keys, or None."""
        tenant = self._tenants.get(project_id)
        if tenant is None:
            epoch = self._epoch
            project = await self._store.get_project(project_id)
            if project is None:
                return None
            tenant = self._open(project, epoch)
        return tenant

    async def renewed(self, tenant: Tenant) -> Tenant | None:
        """The project with its keys if the store has others for it now; another server may have changed them."""
        epoch = self._epoch
        project = await self._store.get_project(tenant.project.project_id)
        if project is None or project.credentials == tenant.project.credentials:
            return None
        return self._open(project, epoch)

    async def tenant_of(self, owner: str) -> Tenant | None:
        """The project that a session id or token names: by its id, or by its Vonage application id (lower case)."""
        if is_project_id(owner):
            return await self.tenant(owner)
        known = self._applications.get(owner)
        if known is not None:
            return await self.tenant(known)
        epoch = self._epoch
        project = await self._store.find_vonage_project(owner)
        if project is None:
            return None
        # An application never moves to another project, so this needs no epoch.
        self._applications[owner] = project.project_id
        return self._open(project, epoch)

    async def role(self, project_id: str, name: str) -> Role | None:
        """A built-in role, or one of the project's own, or None."""
        built_in = BUILT_IN_ROLES.get(name)
        if built_in is not None:
            return built_in
        role = self._roles.get(project_id, {}).get(name)
        if role is None:
            # Another server may have made it a moment ago: no role is refused for not being at hand.
            epoch = self._epoch
            roles = {found.name: found for found in await self._store.list_roles(project_id)}
            if epoch == self._epoch:
                self._roles[project_id] = roles
            role = roles.get(name)
        return role

    async def session(self, session_id: str) -> StoredSession | None:
        """The session, or None."""
        session = self._sessions.get(session_id)
        if session is None:
            epoch = self._epoch
            session = await self._store.get_session(session_id)
            if session is not None and epoch == self._epoch:
                self._sessions[session_id] = session
        return session

    @property
    def problem(self) -> str:
        """What keeps projects from being used here; empty where nothing does."""
        return f"{len(self._unopened)} cannot be opened, the log says which" if self._unopened else ""

    @property
    def epoch(self) -> int:
        """What `remember` needs, to be read before the store is asked."""
        return self._epoch

    def remember(self, session: StoredSession, epoch: int) -> None:
        """Keep a session that this server just made, unless something has changed since *epoch*."""
        if epoch == self._epoch:
            self._sessions[session.session_id] = session

    def forget(self, kind: ChangeKind, project_id: str, subject: str) -> None:
        """Read an object anew next time: it has changed."""
        if kind not in _KEPT:
            return
        self._epoch += 1
        if kind is ChangeKind.SESSION_END:
            self._sessions.pop(subject, None)
        elif kind is ChangeKind.ROLE:
            self._roles.pop(project_id, None)
        elif kind is ChangeKind.PROJECT:
            self._tenants.pop(project_id, None)
            self._unopened.pop(project_id, None)

    def clear(self) -> None:
        """Read everything anew: the store was put back to an earlier day, or this server was away for too long."""
        self._epoch += 1
        for cache in (self._tenants, self._applications, self._roles, self._sessions, self._unopened):
            cache.clear()

    def apply(self, change: Change) -> None:
        """Take in a change that another server made, or this one."""
        self.forget(change.kind, change.project_id, change.subject)

    def _open(self, project: Project, epoch: int) -> Tenant:
        try:
            tenant = Tenant(project, self._credentials.project_keys(project))
        except SealBrokenError as error:
            self._note(project.project_id, str(error))
            raise UnavailableError.seal_broken(f"the keys of project {project.project_id}") from error
        self._unopened.pop(project.project_id, None)
        if epoch == self._epoch:
            self._tenants[project.project_id] = tenant
        return tenant

    def _note(self, project_id: str, problem: str) -> None:
        # Once: it is met by every call for the project.
        if self._unopened.get(project_id) != problem:
            self._logger.error("project.not_opened", project_id=project_id, problem=problem)
        self._unopened[project_id] = problem
