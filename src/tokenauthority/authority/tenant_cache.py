"""Bounded caches of projects, roles and sessions, which the store's changes invalidate.

A read that is in progress when a change arrives is answered but not cached: it may be older than the change.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs
import structlog

from cachetools import LRUCache

from tokenauthority.authority.credential_sealer import CredentialSealer
from tokenauthority.domain.change import ChangeKind
from tokenauthority.domain.errors import NotFoundError, UnavailableError
from tokenauthority.domain.ids import is_project_id, project_in_session_id
from tokenauthority.domain.project import Project
from tokenauthority.domain.role import BUILT_IN_ROLES, Role
from tokenauthority.domain.session import StoredSession
from tokenauthority.signing.project_keys import ProjectKeys
from tokenauthority.signing.sealing import SealBrokenError
from tokenauthority.storage.store import Store


MAX_SESSIONS: Final = 100_000
"""Cached sessions, about 1 KB each."""

MAX_PROJECTS: Final = 10_000
"""Cached projects and role sets, a few KB each."""

_INVALIDATING: Final = frozenset({ChangeKind.PROJECT, ChangeKind.ROLE, ChangeKind.SESSION_END})
"""The kinds of changes that make a cached object outdated."""


@attrs.frozen
class Tenant:
    """A project with its keys, opened."""

    project: Project
    keys: ProjectKeys

    def owns(self, session_id: str) -> bool:
        """Return whether the session id names this project or its Vonage application."""
        owner = project_in_session_id(session_id)
        return owner is not None and owner in {self.project.project_id, self.project.vonage_application_id}


class TenantCache:
    """The objects that use cases read on every call. Every read may raise `UnavailableError`.

    `epoch` changes with each change: read it before the store, for `cache_session`.
    """

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
        self.epoch = 0
        self._unopened: LRUCache[str, str] = LRUCache(max_projects)
        self._logger = structlog.stdlib.get_logger(__name__)

    async def tenant(self, project_id: str) -> Tenant | None:
        """Return the project and its keys, or None."""
        tenant = self._tenants.get(project_id)
        if tenant is None:
            epoch = self.epoch
            project = await self._store.get_project(project_id)
            if project is None:
                return None
            tenant = self._open(project, epoch)
        return tenant

    async def require_tenant(self, project_id: str) -> Tenant:
        """Return the project and its keys; raise NotFoundError if there is none."""
        tenant = await self.tenant(project_id)
        if tenant is None:
            raise NotFoundError.project(project_id)
        return tenant

    async def renewed(self, tenant: Tenant) -> Tenant | None:
        """Return the project with the keys that the store has now, or None if *tenant* has the same ones."""
        epoch = self.epoch
        project = await self._store.get_project(tenant.project.project_id)
        if project is None or project.credentials == tenant.project.credentials:
            return None
        return self._open(project, epoch)

    async def tenant_of(self, owner: str) -> Tenant | None:
        """Return the project whose id, or whose Vonage application id in lower case, is *owner*; or None."""
        if is_project_id(owner):
            return await self.tenant(owner)
        known = self._applications.get(owner)
        if known is not None:
            return await self.tenant(known)
        epoch = self.epoch
        project = await self._store.find_vonage_project(owner)
        if project is None:
            return None
        # An application never moves to another project, so this needs no epoch.
        self._applications[owner] = project.project_id
        return self._open(project, epoch)

    async def role(self, project_id: str, name: str) -> Role | None:
        """Return a built-in role or one that the project defines, or None."""
        built_in = BUILT_IN_ROLES.get(name)
        if built_in is not None:
            return built_in
        role = self._roles.get(project_id, {}).get(name)
        if role is None:
            # Another server may have created it a moment ago, so a role that is not cached may exist.
            epoch = self.epoch
            roles = {found.name: found for found in await self._store.list_roles(project_id)}
            if epoch == self.epoch:
                self._roles[project_id] = roles
            role = roles.get(name)
        return role

    async def session(self, session_id: str) -> StoredSession | None:
        """Return the session, or None."""
        session = self._sessions.get(session_id)
        if session is None:
            epoch = self.epoch
            session = await self._store.get_session(session_id)
            if session is not None and epoch == self.epoch:
                self._sessions[session_id] = session
        return session

    @property
    def problem(self) -> str:
        """Why some projects cannot be used on this server; empty if all can."""
        return f"{len(self._unopened)} cannot be opened, the log says which" if self._unopened else ""

    def cache_session(self, session: StoredSession, epoch: int) -> None:
        """Cache a session that this server just created, unless something has changed since *epoch*."""
        if epoch == self.epoch:
            self._sessions[session.session_id] = session

    def invalidate(self, kind: ChangeKind, project_id: str, subject: str) -> None:
        """Remove an object that this server or another one has changed."""
        if kind not in _INVALIDATING:
            return
        self.epoch += 1
        if kind is ChangeKind.SESSION_END:
            self._sessions.pop(subject, None)
        elif kind is ChangeKind.ROLE:
            self._roles.pop(project_id, None)
        elif kind is ChangeKind.PROJECT:
            self._tenants.pop(project_id, None)
            self._unopened.pop(project_id, None)

    def clear(self) -> None:
        """Remove everything: the store was restored from a backup, or this server missed changes."""
        self.epoch += 1
        for cache in (self._tenants, self._applications, self._roles, self._sessions, self._unopened):
            cache.clear()

    def _open(self, project: Project, epoch: int) -> Tenant:
        try:
            tenant = Tenant(project, self._credentials.project_keys(project))
        except SealBrokenError as error:
            # Once: every call for the project meets it.
            if self._unopened.get(project.project_id) != str(error):
                self._logger.error("project.not_opened", project_id=project.project_id, problem=str(error))  # noqa: TRY400 - damaged data, no bug: a traceback would say no more
            self._unopened[project.project_id] = str(error)
            raise UnavailableError.seal_broken(f"the keys of project {project.project_id}") from error
        self._unopened.pop(project.project_id, None)
        if epoch == self.epoch:
            self._tenants[project.project_id] = tenant
        return tenant
