"""Decide whom a revocation removes from a real-time server, and for how long, and count what is still to be done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import attrs
import msgspec

from tokenauthority.client.revocations import Revocation, SessionEnd
from tokenauthority.domain.ids import is_project_id, other_spelling, project_in_session_id
from tokenauthority.domain.times import Millis


LEEWAY: Final = 60_000
"""Milliseconds for which a server takes a token after it has expired; LiveKit has the longest of all."""

REFRESHED: Final = 600_000
"""Milliseconds that a token lives with which LiveKit refreshes the one of a person who is inside."""

LEAST: Final = 60_000
"""Milliseconds for which people are removed at least, however old the revocation is."""


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """What is still to be done on one server because of one revocation or end of a session.

    A msgspec struct, because the state file has thousands of them.

    Attributes:
        server: The name of the server in the settings.
        cause: The id of the revocation, or of the session that has ended.
        subject: The end user to remove from every room: a subject, or the id of a token without one. Or empty.
        rooms: The rooms to empty: the ids of a session, and its name.
        everybody: Whether everybody is to be removed from every room: the project was deleted.
        since: When tokens were revoked, by the clock of the authority.
        until: When no token is left with which anybody returns. Until then whoever returns is removed again.
        swept: Whether all who were inside have been removed once.
    """

    server: str
    cause: str
    subject: str = ""
    rooms: tuple[str, ...] = ()
    everybody: bool = False
    since: Millis
    until: Millis
    swept: bool = False

    def is_over(self, now: Millis) -> bool:
        """Return whether nothing is left to do."""
        return self.swept and now >= self.until


@attrs.frozen(kw_only=True)
class Rules:
    """How long people return to a server, in milliseconds.

    Attributes:
        server: The name of the server.
        project_id: The project whose tokens it takes.
        lifetime: The longest lifetime of these tokens.
        refreshed: How long the tokens live that the server makes itself for people who are inside; 0 if it makes none.
    """

    server: str
    project_id: str
    lifetime: int
    refreshed: int = 0

    def until(self, since: Millis, now: Millis) -> Millis:
        """Return when no token is left that was issued before *since*, or by the server before *now*."""
        own = self.refreshed + LEEWAY if self.refreshed else LEAST
        return Millis(max(since + self.lifetime + LEEWAY, now + own))

    def pending(self, event: Revocation | SessionEnd, now: Millis, name: str = "") -> Pending | None:
        """Return what *event* asks of the server; None if the server takes no tokens of the project.

        *name* is that of the session, or empty.
        """
        if event.project_id != self.project_id:
            return None
        everybody = False
        match event:
            case Revocation():
                everybody = event.whole_project
                # Where a token has no subject, the server knows its bearer by the id of the token.
                cause, time, subject = event.revocation_id, event.create_time, event.subject or event.token_id
            case SessionEnd():
                cause, time, subject = event.session_id, event.end_time, ""
        since = Millis(int(time.timestamp() * 1000))
        session_id = event.session_id
        return Pending(
            server=self.server,
            cause=cause,
            subject=subject,
            rooms=tuple(filter(None, (session_id, other_spelling(session_id), name))) if session_id else (),
            everybody=everybody,
            since=since,
            until=self.until(since, now),
        )


@attrs.frozen
class Wanted:
    """Whom to remove from one server of the project *project_id* now, and why: by room, by subject, or everybody."""

    project_id: str
    rooms: Mapping[str, Pending]
    subjects: Mapping[str, Pending]
    everybody: Pending | None = None

    @property
    def causes(self) -> list[Pending]:
        """Return all that is pending on the server."""
        return [*self.rooms.values(), *self.subjects.values(), *([self.everybody] if self.everybody else [])]

    @classmethod
    def of(cls, project_id: str, pending: Iterable[Pending]) -> Wanted:
        """Return what all of *pending* want together."""
        rooms: dict[str, Pending] = {}
        subjects: dict[str, Pending] = {}
        everybody = None
        for each in pending:
            everybody = each if each.everybody else everybody
            rooms |= dict.fromkeys(each.rooms, each)
            if each.subject:
                subjects[each.subject] = each
        return cls(project_id, rooms, subjects, everybody)

    def cause(self, room: str, subject: str) -> Pending | None:
        """Return why the person *subject* must leave *room*; None if they need not."""
        return self.room_cause(room) or (self.subjects.get(subject) if self.may_own(room) else None)

    def room_cause(self, room: str) -> Pending | None:
        """Return why everybody must leave *room*; None if they need not."""
        return self.rooms.get(room) or (self.everybody if self.may_own(room) else None)

    def may_own(self, room: str) -> bool:
        """Return whether *room* may be of the project: it is no session id of another one."""
        owner = project_in_session_id(room)
        return owner is None or owner == self.project_id or not is_project_id(owner)


class PendingRemovals:
    """Everything that is pending, at most *limit*, and the place in the stream that it stands for."""

    def __init__(self, limit: int, pending: Iterable[Pending] = (), resume_token: str = "") -> None:
        self._limit = limit
        self._by_key = {_key(each): each for each in pending}
        self.resume_token = resume_token
        """Where to resume: everything before it is done, or pending here."""
        self._wanted: dict[str, Wanted] = {}

    def __len__(self) -> int:
        return len(self._by_key)

    def __iter__(self) -> Iterator[Pending]:
        return iter(tuple(self._by_key.values()))

    @property
    def is_full(self) -> bool:
        """Whether no more may be added."""
        return len(self._by_key) >= self._limit

    def add(self, pending: Pending) -> None:
        """Add what an event asks; the same event again begins anew."""
        self._by_key[_key(pending)] = pending
        self._wanted.pop(pending.server, None)

    def wanted(self, rules: Rules) -> Wanted:
        """Return whom to remove from the server of *rules*."""
        # Each person who joins asks for it.
        found = self._wanted.get(rules.server)
        if found is None:
            pending = (each for each in self._by_key.values() if each.server == rules.server)
            found = self._wanted[rules.server] = Wanted.of(rules.project_id, pending)
        return found

    def sweep(self, done: Iterable[Pending]) -> None:
        """Note that all who were inside because of *done* were removed."""
        for each in done:
            current = self._by_key.get(_key(each))
            # Meanwhile the name of its session may have become known, or somebody else may have been removed.
            if current is not None and current.rooms == each.rooms and not current.swept:
                self.add(msgspec.structs.replace(current, swept=True))

    def extend(self, pending: Pending, until: Millis) -> None:
        """Go on until *until* at least: somebody was removed whose token the server had refreshed until now."""
        current = self._by_key.get(_key(pending))
        if current is not None and current.until < until:
            self._by_key[_key(pending)] = msgspec.structs.replace(current, until=until)

    def resume(self, rules: Mapping[str, Rules], now: Millis) -> None:
        """Go on after a start with the servers of *rules*, and delete what is pending on others.

        After the last save, people may have been removed who can return with a refreshed token.
        """
        self._by_key = {key: each for key, each in self._by_key.items() if each.server in rules}
        for each in self:
            self.extend(each, rules[each.server].until(each.since, now))

    def drop_over(self, server: str, begun: Millis) -> None:
        """Delete what was over on *server* when a turn began that has succeeded.

        Earlier is too early: somebody may have returned while the server or the enforcer was away.
        """
        for key, each in tuple(self._by_key.items()):
            if each.server == server and each.is_over(begun):
                del self._by_key[key]
                self._wanted.pop(server, None)

    def counts(self) -> Counter[str]:
        """Return how much is pending, by server."""
        return Counter(each.server for each in self._by_key.values())


def _key(pending: Pending) -> tuple[str, str]:
    return pending.server, pending.cause
