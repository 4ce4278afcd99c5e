"""Bounded caches of projects, roles and sessions, which the store's changes invalidate.

A read that is in progress when a change arrives is answered but not cached: it may be older than the change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import attrs
import structlog

from cachetools import LRUCache, TTLCache

from tokenauthority.authority.credential_sealer import CredentialSealer
from tokenauthority.clocks import monotonic
from tokenauthority.domain.caller import ANY, Grant
from tokenauthority.domain.change import ChangeKind
from tokenauthority.domain.errors import NotFoundError, UnavailableError
from tokenauthority.domain.ids import is_project_id, is_uuid, other_spelling, project_in_session_id
from tokenauthority.domain.project import Project
from tokenauthority.domain.role import BUILT_IN_ROLES, Role
from tokenauthority.domain.session import SessionState, StoredSession
from tokenauthority.signing.project_keys import ProjectKeys
from tokenauthority.signing.sealing import SealBrokenError
from tokenauthority.storage.store import Store


MAX_SESSIONS: Final = 100_000
"""Cached sessions, about 1 KB each."""

MAX_PROJECTS: Final = 10_000
"""Cached projects and role sets, a few KB each."""

ABSENCE: Final = 1.0
"""Seconds for which an application or secret that was not found is not looked for again, unless a project changes."""

_INVALIDATING: Final = frozenset(
    {ChangeKind.PROJECT, ChangeKind.PROJECT_DELETION, ChangeKind.ROLE, ChangeKind.SESSION_END}
)
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
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._store = store
        self._credentials = credentials
        self._tenants: LRUCache[str, Tenant] = LRUCache(max_projects)
        self._owners: LRUCache[tuple[frozenset[str], str], str] = LRUCache(max_projects)
        self._absent: TTLCache[tuple[frozenset[str], str], None] = TTLCache(max_projects, ABSENCE, timer=clock)
        self._roles: LRUCache[str, Mapping[str, Role]] = LRUCache(max_projects)
        self._sessions: LRUCache[str, StoredSession] = LRUCache(max_sessions)
        self._named: LRUCache[tuple[str, str], str] = LRUCache(max_sessions)
        self.epoch = 0
        self._unopened: LRUCache[str, str] = LRUCache(max_projects)
        self._unreadable: LRUCache[tuple[str, str], None] = LRUCache(max_projects)
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
        present = self._open(project, epoch)
        return None if present.project.credentials == tenant.project.credentials else present

    async def granted_tenant(self, owner: str, grant: Grant) -> Tenant | None:
        """Return the project of *grant* that *owner* names, or None.

        *owner* is the id of the project, of its Vonage application in lower case, or of one of its secrets.

        Nothing outside the grant is found: neither the answer nor its time shows whether it exists.
        """
        if is_project_id(owner):
            return await self.tenant(owner) if grant.allows_project(owner) else None
        project_id = await self._project_of(owner, grant.projects)
        return None if project_id is None else await self.tenant(project_id)

    async def role(self, project_id: str, name: str) -> Role | None:
        """Return a built-in role or one that the project defines, or None; UnavailableError if it is unreadable."""
        built_in = BUILT_IN_ROLES.get(name)
        if built_in is not None:
            return built_in
        role = self._roles.get(project_id, {}).get(name)
        if role is None:
            # Another server may have created it a moment ago, so a role that is not cached may exist.
            epoch = self.epoch
            roles = {found.name: found for found in await self._store.list_roles(project_id)}
            self._report_unreadable(roles.values())
            if epoch == self.epoch:
                self._roles[project_id] = roles
            role = roles.get(name)
        if role is not None and role.unreadable:
            raise UnavailableError.seal_broken(f"the role {name}: {role.unreadable}")
        return role

    def role_names(self, project_id: str) -> Sequence[str]:
        """Return the names of the built-in roles, and of those of the project that are cached: after `role`, all."""
        return [*BUILT_IN_ROLES, *self._roles.get(project_id, {})]

    async def session(self, session_id: str) -> StoredSession | None:
        """Return the session that *session_id* names, perhaps by its other spelling; or None."""
        session = self._sessions.get(session_id)
        if session is None:
            epoch = self.epoch
            session = await self._store.get_session(session_id)
            if session is not None and epoch == self.epoch:
                self._sessions[session_id] = session
        return session

    async def named_session(self, project_id: str, name: str) -> StoredSession | None:
        """Return the session of the project that has *name*, or None."""
        key = (project_id, name)
        session_id = self._named.get(key)
        session = None if session_id is None else await self.session(session_id)
        # The name of an ended session may be that of another one now.
        if session is None or session.state is SessionState.ENDED:
            epoch = self.epoch
            session = await self._store.find_session(project_id, name)
            if session is not None and epoch == self.epoch:
                self._named[key] = session.session_id
                self._sessions[session.session_id] = session
        return session

    @property
    def problem(self) -> str:
        """Why some projects cannot be used on this server; empty if all can."""
        return f"{self.unopened} cannot be opened, the log says which" if self._unopened else ""

    @property
    def unopened(self) -> int:
        """The number of projects that did not open when they were last read, or had credentials that did not."""
        return len(self._unopened)

    @property
    def sizes(self) -> Mapping[str, int]:
        """How many objects are cached, by their kind."""
        return {"session": len(self._sessions), "project": len(self._tenants), "role_set": len(self._roles)}

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
            for spelling in (subject, other_spelling(subject)):
                self._sessions.pop(spelling, None)
        elif kind is ChangeKind.ROLE:
            self._roles.pop(project_id, None)
        else:
            if kind is ChangeKind.PROJECT_DELETION:
                self._roles.pop(project_id, None)
                # Those of other projects are read again.
                self._sessions.clear()
                self._named.clear()
            self._tenants.pop(project_id, None)
            self._unopened.pop(project_id, None)
            self._absent.clear()
            for key in [key for key, owner in self._owners.items() if owner == project_id]:
                del self._owners[key]

    def clear(self) -> None:
        """Remove everything: the store was restored from a backup, or this server missed changes."""
        self.epoch += 1
        sessions = (self._sessions, self._named)
        caches = (self._tenants, self._owners, self._absent, self._roles, *sessions, self._unopened)
        for cache in caches:
            cache.clear()

    async def _project_of(self, owner: str, granted: frozenset[str]) -> str | None:
        # By grant: else its time would show that callers of other projects use the application or secret.
        key = (granted, owner)
        if key in self._absent:
            return None
        # An imported key that was retired can be imported into another project.
        project_id = self._owners.get(key)
        if project_id is None:
            epoch = self.epoch
            only = None if ANY in granted else granted
            find = self._store.find_vonage_project if is_uuid(owner) else self._store.find_secret_project
            project_id = await find(owner, only=only)
            if epoch != self.epoch:
                return project_id
            if project_id is not None:
                self._owners[key] = project_id
            else:
                self._absent[key] = None
        return project_id

    def _report_unreadable(self, roles: Iterable[Role]) -> None:
        for role in roles:
            key = (role.project_id, role.name)
            if role.unreadable and key not in self._unreadable:
                self._logger.error(
                    "role.unreadable", project_id=role.project_id, role=role.name, problem=role.unreadable
                )
                self._unreadable[key] = None
            elif not role.unreadable:
                self._unreadable.pop(key, None)

    def _open(self, project: Project, epoch: int) -> Tenant:
        try:
            genuine = self._credentials.genuine(project)
            tenant = Tenant(genuine, self._credentials.project_keys(genuine))
        except SealBrokenError as error:
            # Once: every call for the project meets it.
            if self._unopened.get(project.project_id) != str(error):
                self._logger.error("project.not_opened", project_id=project.project_id, problem=str(error))  # noqa: TRY400 - a damaged row is an expected error: the message names the damage, and the traceback is the same for every row
            self._unopened[project.project_id] = str(error)
            raise UnavailableError.seal_broken(f"the keys of project {project.project_id}") from error
        strays = ", ".join(stray.credential_id for stray in project.without(genuine.credentials))
        if not strays:
            self._unopened.pop(project.project_id, None)
        elif self._unopened.get(project.project_id) != strays:
            self._logger.error("project.credentials_ignored", project_id=project.project_id, credential_ids=strays)
            self._unopened[project.project_id] = strays
        if epoch == self.epoch:
            self._tenants[project.project_id] = tenant
        return tenant
