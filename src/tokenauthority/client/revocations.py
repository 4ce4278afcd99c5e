"""Convert the answers of WatchRevocations and RevokeTokens to frozen values."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, TypeAlias

import grpc

from google.protobuf.timestamp_pb2 import Timestamp

from tokenauthority.client.errors import AuthorityError, invalid_answer
from tokenauthority.client.values import convert_message
from tokenauthority.v1 import token_pb2


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """A revocation: the tokens of one target that were issued up to a moment are invalid."""

    revocation_id: str
    project_id: str
    token_id: str
    """The target, if it is one token; else empty."""

    session_id: str
    """The target, if it is all tokens of a session; else empty."""

    subject: str
    """The target, if it is all tokens of an end user; else empty."""

    issued_before: datetime
    """Tokens issued in this second or earlier are revoked; later ones are not."""

    comment: str = field(repr=False)
    """The comment of the one who revoked. The repr does not show it, as it may be personal."""

    create_time: datetime
    expire_time: datetime
    """When every token that it covers has expired."""

    whole_project: bool = False
    """Whether the target is all tokens of the project, which was deleted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionEnd:
    """A session has ended: all its tokens are invalid."""

    session_id: str
    project_id: str
    end_time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotEnd:
    """The end of what was in force, or was missed: the reader is complete from here on."""

    time: datetime
    """When the server began to read what is in force, by its clock, in UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """A heartbeat: the reader has every event up to its time."""

    time: datetime
    """When the server began its last look at the store, by its clock, in UTC."""


RevocationEvent: TypeAlias = Revocation | SessionEnd | SnapshotEnd | Heartbeat
"""One message of a watch."""


_TIMES: Final = {
    "revocation": ("issued_before", "create_time", "expire_time"),
    "session_end": ("end_time",),
    "snapshot_end": ("time",),
    "heartbeat": ("time",),
}
_MIN_SECONDS: Final = -62_135_596_800
_MAX_SECONDS: Final = 253_402_300_799
_MAX_NANOS: Final = 999_999_999
"""The years 1 to 9999, which protobuf's Timestamp may hold."""


def require_usable(message: token_pb2.WatchRevocationsResponse) -> None:
    """Raise AuthorityError for an event that `read_event` cannot read: to skip it would miss what it revokes.

    It is one of a newer contract, or has a time outside the years 1 to 9999.
    """
    event = message.WhichOneof("event")
    if event is None or (event == "revocation" and message.revocation.WhichOneof("target") is None):
        raise AuthorityError(
            "the authority sent an event that this version of the client does not know: update it",
            code=grpc.StatusCode.UNIMPLEMENTED,
        )
    for name in _TIMES[event]:
        time: Timestamp = getattr(getattr(message, event), name)
        if not (_MIN_SECONDS <= time.seconds <= _MAX_SECONDS and 0 <= time.nanos <= _MAX_NANOS):
            raise invalid_answer(f"an event with an invalid {name}")


def read_event(message: token_pb2.WatchRevocationsResponse) -> RevocationEvent:
    """Convert one message of the stream that `require_usable` accepts."""
    match message.WhichOneof("event"):
        case "revocation":
            return convert_message(message.revocation, Revocation)
        case "session_end":
            return convert_message(message.session_end, SessionEnd)
        case "snapshot_end":
            return convert_message(message.snapshot_end, SnapshotEnd)
        case _:
            return convert_message(message.heartbeat, Heartbeat)
