"""A store in memory, which passes the same contract suite as the SQL stores (`tests/storage`)."""

from __future__ import annotations

import secrets

from typing import TYPE_CHECKING

import attrs
import msgspec

from tokenauthority.domain.change import Change, ChangeKind, Cursor, HistoryLostError
from tokenauthority.domain.credential import Credential
from tokenauthority.domain.errors import NotFoundError
from tokenauthority.domain.project import Project
from tokenauthority.domain.revocation import StoredRevocation, StoredSessionEnd
from tokenauthority.domain.revocation_index import oldest_stored
from tokenauthority.domain.role import MAX_ROLES, Role
from tokenauthority.domain.sealed import SealedBlob, SealedCount, SealedKind
from tokenauthority.storage import errors
from tokenauthority.storage.store import IDEMPOTENCY_PERIOD, MAX_CHANGES


if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, MutableMapping, Sequence

    from tokenauthority.domain.key import StoredKey
    from tokenauthority.domain.revocation import Event, RevokedTarget
    from tokenauthority.domain.session import IdempotencyKey, SessionState, StoredSession
    from tokenauthority.domain.times import Millis


class MemoryStore:
    """Dictionaries. No method awaits anything, so each is one unit of work on its event loop."""

    def __init__(self) -> None:
        self._projects: dict[str, Project] = {}
        self._roles: dict[tuple[str, str], Role] = {}
        self._sessions: dict[str, StoredSession] = {}
        self._requests: dict[tuple[str, str], tuple[str, str, Millis]] = {}
        self._keys: dict[str, StoredKey] = {}
        self._revocations: dict[str, StoredRevocation] = {}
        self._changes: list[Change] = []
        self._append(ChangeKind.STORE_CREATED, "", "")

    async def create_project(self, project: Project) -> None:
        """See `Store`."""
        if project.project_id in self._projects:
            raise errors.project_exists(project, by_id=True)
        application = project.vonage_application_id
        if application is not None and await self.find_vonage_project(application) is not None:
            raise errors.project_exists(project, by_id=False)
        self._put_project(project)

    async def get_project(self, project_id: str) -> Project | None:
        """See `Store`."""
        return self._projects.get(project_id)

    async def find_vonage_project(self, application_id: str) -> Project | None:
        """See `Store`."""
        return next((p for p in self._projects.values() if p.vonage_application_id == application_id), None)

    async def list_projects(self, *, after: int, limit: int, only: Collection[str] | None) -> Sequence[Project]:
        """See `Store`."""
        chosen = (p for p in self._projects.values() if only is None or p.project_id in only)
        ordered = sorted(chosen, key=lambda p: int(p.project_id))
        return [p for p in ordered if int(p.project_id) > after][:limit]

    async def update_project(self, project_id: str, change: Callable[[Project], Project]) -> Project:
        """See `Store`."""
        present = self._project(project_id)
        stored = present.with_values_of(change(present))
        self._put_project(stored)
        return stored

    async def add_secret(self, project_id: str, credential: Credential) -> None:
        """See `Store`."""
        project = self._project(project_id)
        if len(project.secrets) != 1:
            raise errors.not_one_secret(project_id, len(project.secrets))
        self._put_project(attrs.evolve(project, credentials=(*project.credentials, credential)))

    async def remove_secret(self, project_id: str, secret_id: str) -> None:
        """See `Store`."""
        project = self._project(project_id)
        if all(secret.credential_id != secret_id for secret in project.secrets):
            raise NotFoundError.secret(secret_id)
        if len(project.secrets) == 1:
            raise errors.only_secret(project_id)
        stored = tuple(c for c in project.credentials if c.credential_id != secret_id)
        self._put_project(attrs.evolve(project, credentials=stored))

    async def create_role(self, role: Role) -> None:
        """See `Store`."""
        self._project(role.project_id)
        if (role.project_id, role.name) in self._roles:
            raise errors.role_exists(role)
        if len(await self.list_roles(role.project_id)) >= MAX_ROLES:
            raise errors.role_limit(role.project_id)
        self._put_role(role)

    async def list_roles(self, project_id: str) -> Sequence[Role]:
        """See `Store`."""
        return sorted((r for r in self._roles.values() if r.project_id == project_id), key=lambda r: r.name)

    async def update_role(self, project_id: str, name: str, change: Callable[[Role], Role]) -> Role:
        """See `Store`."""
        present = self._role(project_id, name)
        stored = present.with_values_of(change(present))
        self._put_role(stored)
        return stored

    async def delete_role(self, project_id: str, name: str) -> None:
        """See `Store`."""
        self._role(project_id, name)
        del self._roles[project_id, name]
        self._append(ChangeKind.ROLE, project_id, name)

    async def create_session(self, session: StoredSession, idempotency_key: IdempotencyKey | None) -> StoredSession:
        """See `Store`."""
        self._project(session.project_id)
        if idempotency_key is not None:
            key = (idempotency_key.caller, idempotency_key.request_id)
            known = self._requests.get(key)
            if known is not None and known[2] >= session.create_time - IDEMPOTENCY_PERIOD:
                if known[0] != idempotency_key.body_digest:
                    raise errors.request_id_reused(idempotency_key.request_id)
                return self._sessions[known[1]]
            self._requests[key] = (idempotency_key.body_digest, session.session_id, session.create_time)
        self._sessions[session.session_id] = session
        return session

    async def get_session(self, session_id: str) -> StoredSession | None:
        """See `Store`."""
        return self._sessions.get(session_id)

    async def list_sessions(
        self, project_id: str, *, before: tuple[Millis, str] | None, limit: int, state: SessionState | None
    ) -> Sequence[StoredSession]:
        """See `Store`."""
        chosen = (
            s for s in self._sessions.values() if s.project_id == project_id and (state is None or s.state is state)
        )
        ordered = sorted(chosen, key=lambda s: (s.create_time, s.session_id), reverse=True)
        return [s for s in ordered if before is None or (s.create_time, s.session_id) < before][:limit]

    async def end_session(self, session: StoredSession, now: Millis) -> StoredSession:
        """See `Store`."""
        self._project(session.project_id)
        known = self._sessions.get(session.session_id)
        ended = (known or session).ended(now)
        if ended is not known:
            self._sessions[ended.session_id] = ended
            self._append(ChangeKind.SESSION_END, ended.project_id, ended.session_id)
        return ended

    async def update_keys(self, change: Callable[[Sequence[StoredKey]], Sequence[StoredKey]]) -> Sequence[StoredKey]:
        """See `Store`."""
        present = self._keys
        self._keys = {key.key_id: key for key in change(await self.list_keys())}
        for key_id in dict.fromkeys((*present, *self._keys)):
            if present.get(key_id) != self._keys.get(key_id):
                self._append(ChangeKind.KEY, "", key_id)
        return await self.list_keys()

    async def list_keys(self) -> Sequence[StoredKey]:
        """See `Store`."""
        return sorted(self._keys.values(), key=lambda k: (k.create_time, k.key_id), reverse=True)

    async def create_revocation(self, revocation: StoredRevocation) -> StoredRevocation:
        """See `Store`."""
        self._project(revocation.project_id)
        target = (revocation.project_id, revocation.kind, revocation.target)
        for known in self._revocations.values():
            if (known.project_id, known.kind, known.target) == target:
                if known.issued_before >= revocation.issued_before:
                    return known
                revocation = msgspec.structs.replace(revocation, revocation_id=known.revocation_id)
                break
        self._revocations[revocation.revocation_id] = revocation
        self._append(ChangeKind.REVOCATION, revocation.project_id, revocation.revocation_id)
        return revocation

    async def list_revocations(
        self, *, project_ids: Collection[str] | None = None, after: str, limit: int, now: Millis
    ) -> Sequence[StoredRevocation]:
        """See `Store`."""
        chosen = (r for r in self._revocations.values() if project_ids is None or r.project_id in project_ids)
        live = (r for r in chosen if not _is_over(r, now) and r.revocation_id > after)
        return sorted(live, key=lambda r: r.revocation_id)[:limit]

    async def list_revoked(self, *, after: str, limit: int, now: Millis) -> Sequence[RevokedTarget]:
        """See `Store`."""
        page = await self.list_revocations(after=after, limit=limit, now=now)
        return [(r.revocation_id, r.project_id, r.kind.value, r.target, r.issued_before) for r in page]

    async def list_session_ends(
        self, *, project_ids: Collection[str] | None = None, since: Millis, after: tuple[Millis, str], limit: int
    ) -> Sequence[StoredSessionEnd]:
        """See `Store`."""
        chosen = (s for s in self._sessions.values() if project_ids is None or s.project_id in project_ids)
        ends = [_end_of(s) for s in chosen if s.end_time is not None and s.end_time >= since]
        ordered = sorted(ends, key=lambda e: (e.end_time, e.session_id))
        return [e for e in ordered if (e.end_time, e.session_id) > after][:limit]

    async def events_of(self, changes: Sequence[Change]) -> Mapping[int, Event]:
        """See `Store`."""
        found: dict[int, Event] = {}
        for change in changes:
            if change.kind is ChangeKind.SESSION_END:
                found[change.sequence] = _end_of(self._sessions[change.subject])
            elif change.subject in self._revocations:
                found[change.sequence] = self._revocations[change.subject]
        return found

    async def last_change(self) -> Cursor:
        """See `Store`."""
        return self._changes[-1].cursor

    async def changes_after(self, cursor: Cursor, limit: int) -> Sequence[Change]:
        """See `Store`."""
        if cursor != Cursor() and cursor not in (change.cursor for change in self._changes):
            raise HistoryLostError
        return [change for change in self._changes if change.sequence > cursor.sequence][:limit]

    async def count_sealed(self, length: int) -> Sequence[SealedCount]:
        """See `Store`."""
        return _count_owners(_sealed_in(self._keys, self._projects, SealedKind), length)

    async def list_sealed(self, kind: SealedKind, *, after: tuple[str, str], limit: int) -> Sequence[SealedBlob]:
        """See `Store`."""
        found = _sealed_in(self._keys, self._projects, (kind,))
        return [blob for blob in found if (blob.owner, blob.object_id) > after][:limit]

    async def replace_sealed(self, changes: Sequence[tuple[SealedBlob, bytes]]) -> int:
        """See `Store`."""
        return sum(_replace_envelope(self._keys, self._projects, blob, new) for blob, new in changes)

    async def delete_expired(self, now: Millis) -> int:
        """See `Store`."""
        old = [key for key, (_, _, made) in self._requests.items() if made < now - IDEMPOTENCY_PERIOD]
        for key in old:
            del self._requests[key]
        over = [revocation for revocation in self._revocations.values() if _is_over(revocation, now)]
        for revocation in over:
            del self._revocations[revocation.revocation_id]
        appended = self._changes[:-MAX_CHANGES]
        del self._changes[:-MAX_CHANGES]
        return len(old) + len(over) + len(appended)

    async def close(self) -> None:
        """See `Store`."""

    def backup(self) -> Mapping[str, object]:
        """Return everything in the store as it is now."""
        return {name: value.copy() for name, value in vars(self).items()}

    def restore(self, backup: Mapping[str, object]) -> None:
        """Put the store back to *backup*."""
        vars(self).update(backup)

    def replace_history(self) -> None:
        """Give each change another mark: the same numbers, and other changes, as after a restore."""
        self._changes = [attrs.evolve(change, mark=change.mark ^ 1) for change in self._changes]

    def _project(self, project_id: str) -> Project:
        project = self._projects.get(project_id)
        if project is None:
            raise NotFoundError.project(project_id)
        return project

    def _role(self, project_id: str, name: str) -> Role:
        role = self._roles.get((project_id, name))
        if role is None:
            raise NotFoundError.role(name)
        return role

    def _put_project(self, project: Project) -> None:
        ordered = sorted(project.credentials, key=lambda c: (c.create_time, c.credential_id))
        self._projects[project.project_id] = attrs.evolve(project, credentials=tuple(ordered))
        self._append(ChangeKind.PROJECT, project.project_id, project.project_id)

    def _put_role(self, role: Role) -> None:
        self._roles[role.project_id, role.name] = role
        self._append(ChangeKind.ROLE, role.project_id, role.name)

    def _append(self, kind: ChangeKind, project_id: str, subject: str) -> None:
        sequence = self._changes[-1].sequence + 1 if self._changes else 1
        change = Change(sequence=sequence, mark=secrets.randbits(63), kind=kind, project_id=project_id, subject=subject)
        self._changes.append(change)


def _is_over(revocation: StoredRevocation, now: Millis) -> bool:
    return revocation.issued_before < oldest_stored(now)


def _end_of(session: StoredSession) -> StoredSessionEnd:
    end_time = session.create_time if session.end_time is None else session.end_time
    return StoredSessionEnd(session_id=session.session_id, project_id=session.project_id, end_time=end_time)


def _sealed_in(
    keys: Mapping[str, StoredKey], projects: Mapping[str, Project], kinds: Iterable[SealedKind]
) -> Sequence[SealedBlob]:
    """Return the envelopes of these kinds, by owner and id."""
    found = []
    for kind in kinds:
        if kind is SealedKind.SIGNING_KEY:
            found += [SealedBlob(kind=kind, owner=k.key_id, object_id=k.key_id, sealed=k.sealed) for k in keys.values()]
        else:
            found += [
                SealedBlob(kind=kind, owner=project.project_id, object_id=c.credential_id, sealed=c.sealed)
                for project in projects.values()
                for c in project.credentials
            ]
    return sorted(found, key=lambda blob: (blob.owner, blob.object_id))


def _count_owners(blobs: Iterable[SealedBlob], length: int) -> Sequence[SealedCount]:
    """Count the owners of envelopes for each prefix."""
    owners: dict[tuple[SealedKind, bytes], set[str]] = {}
    for blob in blobs:
        owners.setdefault((blob.kind, blob.sealed[:length]), set()).add(blob.owner)
    return [
        SealedCount(kind=kind, prefix=prefix, owners=len(found), first=min(found))
        for (kind, prefix), found in sorted(owners.items())
    ]


def _replace_envelope(
    keys: MutableMapping[str, StoredKey], projects: MutableMapping[str, Project], blob: SealedBlob, envelope: bytes
) -> bool:
    """Replace the envelope of *blob* if it is still as given, and return whether it was."""
    if blob not in _sealed_in(keys, projects, (blob.kind,)):
        return False
    if blob.kind is SealedKind.SIGNING_KEY:
        keys[blob.owner] = attrs.evolve(keys[blob.owner], sealed=envelope)
        return True
    project = projects[blob.owner]
    stored = [attrs.evolve(c, sealed=envelope) if c.credential_id == blob.object_id else c for c in project.credentials]
    projects[blob.owner] = attrs.evolve(project, credentials=tuple(stored))
    return True
