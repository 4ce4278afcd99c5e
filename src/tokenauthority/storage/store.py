"""State what a store does: one protocol for each subject, and `Store`, which is all of them.

Each method is one unit of work: it happens whole or not at all, and it is durable when it returns. Ids are
case-sensitive. Text has no U+0000. A method that ends a session, revokes tokens, or creates, changes or deletes a
project, role or key appends to the `changes` sequence in the same transaction. Creating a session appends nothing.

Any method raises `UnavailableError` when the database cannot be reached or written, never a driver's own error.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, Protocol

from tokenauthority.domain.change import Change, Cursor
from tokenauthority.domain.key import StoredKey
from tokenauthority.domain.leases import CallerUsage, Lease, LeaseRequest
from tokenauthority.domain.project import Project
from tokenauthority.domain.revocation import Event, RevokedTarget, StoredRevocation, StoredSessionEnd
from tokenauthority.domain.role import Role
from tokenauthority.domain.sealed import SealedBlob, SealedCount
from tokenauthority.domain.session import IdempotencyKey, SessionState, StoredSession
from tokenauthority.domain.times import DAY, Millis, in_millis
from tokenauthority.storage.condition import ObservedStore
from tokenauthority.storage.project_deletion_store import ProjectDeletionStore
from tokenauthority.storage.server_store import ServerStore


IDEMPOTENCY_PERIOD: Final[Millis] = in_millis(DAY)
"""How long a request id makes CreateSession safe to repeat."""

MAX_CHANGES: Final = 100_000
"""How many changes are stored. A follower that is further behind has to read everything anew."""


class ProjectStore(Protocol):
    """Projects and their credentials. A deleted project is found by no method."""

    async def create_project(self, project: Project) -> None:
        """Store a new project with its credentials; `PROJECT_EXISTS` if its id or Vonage application id is taken.

        Those of a deleted project are taken, too: its id until `purge_deleted` has deleted its sessions, and its
        application until `delete_expired` deletes what is left, unless the new project has the same id.
        """

    async def get_project(self, project_id: str) -> Project | None:
        """Return the project with its credentials (oldest first, ties by id), or None."""

    async def find_vonage_project(self, application_id: str, *, only: Collection[str] | None) -> str | None:
        """Return the id of the project of a Vonage application (a UUID in lower case), or None.

        If *only* is given, other projects are not found.
        """

    async def find_secret_project(self, secret_id: str, *, only: Collection[str] | None) -> str | None:
        """Return the id of the project of a live secret, or None; also if two projects have one of that id.

        If *only* is given, other projects are not found.
        """

    async def list_projects(self, *, after: int, limit: int, only: Collection[str] | None) -> Sequence[Project]:
        """Return at most *limit* projects whose id, as a number, is above *after*, in that order.

        If *only* is given, the others are left out.
        """

    async def update_project(self, project_id: str, change: Callable[[Project], Project]) -> Project:
        """Replace the values of a project by those that *change* returns, and return what is stored then.

        Its id, create time, Vonage application and credentials stay.

        Args:
            project_id: The project to change.
            change: A pure function. It runs within the transaction, perhaps more than once, on the project as it is
                then, so that no concurrent change is lost. What it raises is raised here, and nothing is written.

        Raises:
            NotFoundError: `PROJECT_NOT_FOUND`.
        """

    async def update_credentials(self, project_id: str, change: Callable[[Project], Project]) -> Project:
        """Replace the credentials of a project by those that *change* returns; all else stays.

        *change* runs as that of `update_project` does. Return what is stored then.

        Raises:
            NotFoundError: `PROJECT_NOT_FOUND`.
        """


class RoleStore(Protocol):
    """The roles that projects define themselves."""

    async def create_role(self, role: Role, check: Callable[[Sequence[Role]], None] | None = None) -> None:
        """Store a new role of a project.

        *check* runs as the function of `update_project` does, on the project's own roles as they are then.

        Raises:
            NotFoundError: `PROJECT_NOT_FOUND`.
            AlreadyExistsError: `ROLE_EXISTS`.
            PreconditionError: `ROLE_LIMIT`, the project has 100 already.
        """

    async def list_roles(self, project_id: str) -> Sequence[Role]:
        """Return the project's own roles by name; none for a project that does not exist."""

    async def update_role(self, project_id: str, name: str, change: Callable[[Role, Sequence[Role]], Role]) -> Role:
        """Replace a role's permissions, description and update time by those that *change* returns.

        *change* runs as that of `update_project` does, on the role and all of the project's own roles. Return what is
        stored then.

        Raises:
            NotFoundError: `ROLE_NOT_FOUND`.
        """

    async def delete_role(self, project_id: str, name: str) -> None:
        """Delete a role, or raise NotFoundError, `ROLE_NOT_FOUND`."""


class SessionStore(Protocol):
    """Sessions, and the request ids that make it safe to repeat their creation.

    A session is deleted with its project alone.
    """

    async def create_session(self, session: StoredSession, idempotency_key: IdempotencyKey | None) -> StoredSession:
        """Store a new session, or return the one that the same key made in the 24 hours before its create time.

        Concurrent calls with one key make one session.

        Raises:
            NotFoundError: `PROJECT_NOT_FOUND`.
            AlreadyExistsError: `REQUEST_ID_REUSED`, the key was used with another body; or `SESSION_EXISTS`, another
                session has the name, which it loses `NAME_PERIOD` after its end if one wants it.
            UnavailableError: `PLATFORM_UNAVAILABLE`, the session's id is stored already.
        """

    async def find_repeated_session(self, idempotency_key: IdempotencyKey, now: Millis) -> StoredSession | None:
        """Return the session that the key made in the last 24 hours, or None; errors as `create_session`."""

    async def get_session(self, session_id: str) -> StoredSession | None:
        """Return the session that *session_id* names, or None.

        It may be stored under the other spelling of its id (`domain.ids`). If both are stored, an ended one is returned
        first, then that of *session_id*.
        """

    async def find_session(self, project_id: str, name: str) -> StoredSession | None:
        """Return the session of the project that has *name*, or None."""

    async def list_sessions(
        self, project_id: str, *, before: tuple[Millis, str] | None, limit: int, state: SessionState | None
    ) -> Sequence[StoredSession]:
        """Return at most *limit* sessions, newest first, ties by descending id.

        The page begins right after *before*, the create time and id of a session.
        """

    async def end_session(self, session: StoredSession, now: Millis) -> StoredSession:
        """End a session, found as `get_session` does, as of *now* and return it; return one that has ended unchanged.

        A *session* that is not in the store (one that the platform made) is stored as given, ended as of *now*.

        Raises:
            NotFoundError: `PROJECT_NOT_FOUND`.
        """


class SigningKeyStore(Protocol):
    """The ring of the authority's signing keys, of which at most one is ACTIVE."""

    async def list_keys(self) -> Sequence[StoredKey]:
        """Return all signing keys, newest first."""

    async def update_keys(self, change: Callable[[Sequence[StoredKey]], Sequence[StoredKey]]) -> Sequence[StoredKey]:
        """Replace the ring by what *change* returns, and return what is stored then.

        *change* runs as that of `update_project` does, on the keys newest first. So of several servers that rotate at
        once, the first one rotates and the others find it done. Each key that is made, changed or left out is one
        change.
        """


class RevocationStore(Protocol):
    """What makes tokens invalid before they expire: revocations, and the ends of sessions."""

    async def create_revocation(self, revocation: StoredRevocation) -> StoredRevocation:
        """Store a revocation and return it, or return the stored one of the same target if that covers as much.

        A target has one revocation: a later moment replaces an earlier one under the same id.

        Raises:
            NotFoundError: `PROJECT_NOT_FOUND`.
        """

    async def list_revocations(
        self, *, project_ids: Collection[str] | None = None, after: str, limit: int, now: Millis
    ) -> Sequence[StoredRevocation]:
        """Return at most *limit* revocations that can still cover a token, with an id above *after*, in that order.

        They are those of *project_ids*, or (None) of all projects.
        """

    async def list_revoked(self, *, after: str, limit: int, now: Millis) -> Sequence[RevokedTarget]:
        """Return the page of `list_revocations` as plain tuples without comments, for whoever reads them all."""

    async def list_session_ends(
        self, *, project_ids: Collection[str] | None = None, since: Millis, after: tuple[Millis, str], limit: int
    ) -> Sequence[StoredSessionEnd]:
        """Return at most *limit* sessions that ended at *since* or later, by end time and id, right after *after*.

        They are those of *project_ids*, or (None) of all projects.
        """

    async def events_of(self, changes: Sequence[Change]) -> Mapping[int, Event]:
        """Return the revocations and ended sessions among *changes* (at most 1000), by sequence, as they are now."""


class ChangeStore(Protocol):
    """The sequence that every server follows, so that its caches stay true."""

    async def last_change(self) -> Cursor:
        """Return the position after the newest change. Every store has a first one."""

    async def changes_after(self, cursor: Cursor, limit: int) -> Sequence[Change]:
        """Return at most *limit* changes after *cursor*, in order. None is ever skipped, however writers overlap.

        Raises:
            HistoryLostError: The change before *cursor* is not there any more, or is another one; or a change is of an
                unknown kind.
        """

    async def listen(self, heard: Callable[[], None]) -> None:
        """Run until cancelled, and call *heard* soon after each commit of changes by any server, where that is known.

        A call may be missing, for as long as the database cannot be reached or always, and one may come for nothing.
        It raises nothing.
        """


class UsageStore(Protocol):
    """What callers have used of their rates and daily quotas, at all servers of the store together."""

    async def lease(self, requests: Sequence[LeaseRequest], now: Millis) -> Sequence[Lease]:
        """Answer each of *requests* (at most 500, one for a caller) by `domain.leases.lease_items`, in one transaction.

        The time is that of the database. One that has no clock of its own, as it runs in the server, takes *now*.
        """

    async def list_usage(self) -> Sequence[CallerUsage]:
        """Return the usage of each caller, by name."""


class SealedStore(Protocol):
    """What is stored sealed, apart from what it is, so that the master key can be changed."""

    async def count_sealed(self, length: int) -> Sequence[SealedCount]:
        """Count the owners of envelopes for each kind and each different prefix of *length* bytes."""

    async def replace_sealed(self, changes: Sequence[tuple[SealedBlob, bytes]]) -> int:
        """Replace each envelope that is still as given by a new one, and return how many were replaced.

        The new one holds the same, so no cache becomes stale and no change is appended.
        """


class Store(
    ProjectStore,
    ProjectDeletionStore,
    ServerStore,
    RoleStore,
    SessionStore,
    SigningKeyStore,
    RevocationStore,
    ChangeStore,
    UsageStore,
    SealedStore,
    ObservedStore,
    Protocol,
):
    """All that the authority stores. The contract suite in `tests/storage` holds every implementation to this text."""

    async def delete_expired(self, now: Millis) -> int:
        """Delete what has no use any more, and return the number of rows.

        These are request ids older than 24 hours, revocations a day after the last token that they cover, the usage of
        callers without calls for 31 days, all but the newest 100,000 changes, and old deleted projects.
        """

    async def close(self) -> None:
        """Close files and connections."""
