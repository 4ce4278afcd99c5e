"""What WatchRevocations and RevokeTokens answer, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import grpc

from tokenauthority.client.errors import AuthorityError
from tokenauthority.client.times import moment


if TYPE_CHECKING:
    from datetime import datetime

    from tokenauthority.v1 import token_pb2


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """Tokens of a project that are no longer good: those issued up to a moment that one of three names picks."""

    revocation_id: str
    project_id: str
    token_id: str
    """The one token; empty where it is not about one."""

    session_id: str
    """Every token of this session, if set."""

    subject: str
    """Every token of this end user, if set."""

    issued_before: datetime
    """Tokens issued in this second or earlier; later ones are good."""

    comment: str = field(repr=False)
    """What the one who revoked wrote; not in the repr, for it may be about a person."""

    create_time: datetime
    expire_time: datetime
    """From when on nothing that it covers can still be good."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionEnd:
    """A session was ended: none of its tokens is good."""

    session_id: str
    project_id: str
    end_time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotEnd:
    """All that was in force, or that was missed, has been told: from here on the reader knows everything."""

    time: datetime
    """When the server began to read that, by its clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """Nothing was missed up to its time."""

    time: datetime
    """When the server began its last look at the store, by its clock."""


RevocationEvent: TypeAlias = Revocation | SessionEnd | SnapshotEnd | Heartbeat
"""One message of a watch."""


def read_revocation(message: token_pb2.Revocation) -> Revocation:
    """An answered revocation."""
    return Revocation(
        revocation_id=message.revocation_id,
        project_id=message.project_id,
        token_id=message.token_id,
        session_id=message.session_id,
        subject=message.subject,
        issued_before=moment(message.issued_before),
        comment=message.comment,
        create_time=moment(message.create_time),
        expire_time=moment(message.expire_time),
    )


def require_known(message: token_pb2.WatchRevocationsResponse) -> None:
    """Refuse a message of a newer contract: passed over, what it takes back would be missed for good.

    Raises:
        AuthorityError: UNIMPLEMENTED.
    """
    event = message.WhichOneof("event")
    if event is None or (event == "revocation" and message.revocation.WhichOneof("target") is None):
        raise AuthorityError(
            "the authority tells something that this version of the client does not know: update it",
            code=grpc.StatusCode.UNIMPLEMENTED,
        )


def read_event(message: token_pb2.WatchRevocationsResponse) -> RevocationEvent:
    """One message of the stream, of those that `require_known` lets pass."""
    match message.WhichOneof("event"):
        case "revocation":
            return read_revocation(message.revocation)
        case "session_end":
            end = message.session_end
            return SessionEnd(session_id=end.session_id, project_id=end.project_id, end_time=moment(end.end_time))
        case "snapshot_end":
            return SnapshotEnd(time=moment(message.snapshot_end.time))
        case _:
            return Heartbeat(time=moment(message.heartbeat.time))
