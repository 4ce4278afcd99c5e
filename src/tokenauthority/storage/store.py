"""The store: what the authority keeps, as an async protocol in domain types.

Every method is one unit of work: it happens whole or not at all, and when it returns it is durable. Ids are
case-sensitive. A method that ends a session, takes tokens back, or makes, changes or forgets a project, role or key
also appends to the `changes` sequence, in the same transaction; creating a session does not (nothing that any cache
holds becomes untrue by it). Text holds no U+0000, which PostgreSQL cannot keep.

Any method raises `UnavailableError` when the database cannot be reached or written, never a driver's own error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from tokenauthority.domain.times import DAY, Millis, in_millis


if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from tokenauthority.domain.change import Change, Cursor
    from tokenauthority.domain.key import StoredKey
    from tokenauthority.domain.project import Credential, Project
    from tokenauthority.domain.revocation import Event, RevokedTarget, StoredRevocation, StoredSessionEnd
    from tokenauthority.domain.role import Role
    from tokenauthority.domain.sealed import SealedBlob, SealedCount, SealedKind
    from tokenauthority.domain.session import IdempotencyKey, SessionState, StoredSession


REPEAT_PERIOD: Final[Millis] = in_millis(DAY)
"""How long a request id makes CreateSession safe to repeat."""

KEPT_CHANGES: Final = 100_000
"""How many changes are told to whoever was away; beyond that a follower has to read everything anew."""


class Store(Protocol):
    """What the authority keeps. The contract suite in `tests/storage` holds every implementation to this text."""

    async def create_project(self, project: Project) -> None:
        """Keep a new project with its credentials.

        Raises:
            AlreadyExistsError: `PROJECT_EXISTS`, the id or the Vonage application id is taken.
        """

    async def get_project(self, project_id: str) -> Project | None:
        """The project with its credentials (oldest first, ties by id), or None."""

    async def find_vonage_project(self, application_id: str) -> Project | None:
        """The project of a Vonage application (a UUID in lower case) with its credentials, or None."""

    async def list_projects(self, *, after: int, limit: int, only: Collection[str] | None) -> Sequence[Project]:
        """At most *limit* projects with an id (as a number) above *after*, in that order; of *only* those, if given."""

    async def update_project(self, project_id: str, change: Callable[[Project], Project]) -> Project:
        """Replace the values of a project by those that *change* makes of it, and answer what was kept.

        Its id, create time, Vonage application and credentials stay. *change* is pure: it runs within the transaction,
        perhaps more than once, on the project as it is then, so that of concurrent changes none is lost. What it raises
        passes, and nothing is written.

        Raises:
            NotFoundError: `PROJECT_NOT_FOUND`.
        """

    async def add_secret(self, project_id: str, credential: Credential) -> None:
        """Give a project that has exactly one live secret a second one.

        Raises:
            NotFoundError: `PROJECT_NOT_FOUND`.
            PreconditionError: `SECRET_COUNT`, the project has another number of them.
        """

    async def remove_secret(self, project_id: str, secret_id: str) -> None:
        """Forget one of a project's two live secrets.

        Raises:
            NotFoundError: `PROJECT_NOT_FOUND` or `SECRET_NOT_FOUND`.
            PreconditionError: `SECRET_COUNT`, it is the only one.
        """

    async def create_role(self, role: Role) -> None:
        """Keep a new role of a project.

        Raises:
            NotFoundError: `PROJECT_NOT_FOUND`.
            AlreadyExistsError: `ROLE_EXISTS`.
            PreconditionError: `ROLE_LIMIT`, the project has 100 already.
        """

    async def list_roles(self, project_id: str) -> Sequence[Role]:
        """The project's own roles by name; empty for a project that does not exist."""

    async def update_role(self, project_id: str, name: str, change: Callable[[Role], Role]) -> Role:
        """Replace the permissions, description and update time of a role by those that *change* makes of it.

        *change* runs as that of `update_project` does. Answers what was kept.

        Raises:
            NotFoundError: `ROLE_NOT_FOUND`.
        """

    async def delete_role(self, project_id: str, name: str) -> None:
        """Forget a role.

        Raises:
            NotFoundError: `ROLE_NOT_FOUND`.
        """

    async def create_session(self, session: StoredSession, repeat: IdempotencyKey | None) -> StoredSession:
        """Keep a new session, or answer the one that *repeat* made within the last 24 hours of `session.create_time`.

        Concurrent calls with one *repeat* key make one session.

        Raises:
            NotFoundError: `PROJECT_NOT_FOUND`.
            AlreadyExistsError: `REQUEST_ID_REUSED`, the key was used with another body.
        """

    async def get_session(self, session_id: str) -> StoredSession | None:
        """The session, or None."""

    async def list_sessions(
        self, project_id: str, *, before: tuple[Millis, str] | None, limit: int, state: SessionState | None
    ) -> Sequence[StoredSession]:
        """At most *limit* sessions, newest first, ties by descending id, that follow *before* (create time and id)."""

    async def end_session(self, session: StoredSession, now: Millis) -> StoredSession:
        """End a session as of *now* and answer it; one that is over already is answered unchanged.

        A *session* that the store has never seen (one that the platform made) is kept as given, ended as of *now*.

        Raises:
            NotFoundError: `PROJECT_NOT_FOUND`.
        """

    async def update_keys(self, change: Callable[[Sequence[StoredKey]], Sequence[StoredKey]]) -> Sequence[StoredKey]:
        """Replace the ring of signing keys (at most one ACTIVE) by what *change* makes of it, and answer what was kept.

        *change* runs as that of `update_project` does, on the keys newest first: of several servers that rotate at
        once, the first does and the others find it done. Each key made, changed or left out is one change.
        """

    async def list_keys(self) -> Sequence[StoredKey]:
        """All signing keys, newest first."""

    async def revoke(self, revocation: StoredRevocation) -> StoredRevocation:
        """Keep a revocation, or, where its target has one that covers as much, answer that; one target has one.

        Raises:
            NotFoundError: `PROJECT_NOT_FOUND`.
        """

    async def list_revocations(
        self, *, project_ids: Collection[str] | None = None, after: str, limit: int, now: Millis
    ) -> Sequence[StoredRevocation]:
        """At most *limit* revocations that can still cover a token, with an id above *after*, in that order.

        Of these projects, or (None) of all.
        """

    async def list_revoked(self, *, after: str, limit: int, now: Millis) -> Sequence[RevokedTarget]:
        """The same as plain tuples without comments, for who reads them all."""

    async def list_session_ends(
        self, *, project_ids: Collection[str] | None = None, since: Millis, after: tuple[Millis, str], limit: int
    ) -> Sequence[StoredSessionEnd]:
        """At most *limit* sessions that ended at *since* or later and follow *after*, by end time and id.

        Of these projects, or (None) of all.
        """

    async def events_of(self, changes: Sequence[Change]) -> Mapping[int, Event]:
        """The revocations and ended sessions among *changes* (at most 1000), by sequence, as they are now."""

    async def last_change(self) -> Cursor:
        """The place after the newest change. Every store has a first one."""

    async def changes_after(self, cursor: Cursor, limit: int) -> Sequence[Change]:
        """At most *limit* changes after *cursor*, in order. None is ever passed over, however writers overlap.

        Raises:
            HistoryLostError: the change before *cursor* is not there any more, or is another one.
        """

    async def count_sealed(self, length: int) -> Sequence[SealedCount]:
        """The different first *length* bytes of all envelopes by kind, each with its signing keys or projects."""

    async def list_sealed(self, kind: SealedKind, *, after: tuple[str, str], limit: int) -> Sequence[SealedBlob]:
        """At most *limit* envelopes of a kind above *after* (owner and id; empty at first), in the order of both."""

    async def replace_sealed(self, changes: Sequence[tuple[SealedBlob, bytes]]) -> int:
        """Put a new envelope in the place of each one that is still there as it was; how many were.

        It holds the same, so no cache becomes untrue by it and no change is appended.
        """

    async def prune(self, now: Millis) -> int:
        """Forget what has no use any more; how many rows went.

        Request ids older than 24 hours, revocations a day after the last token that they cover, all but the newest
        100,000 changes.
        """

    async def close(self) -> None:
        """Let go of files and connections."""
