"""What WatchRevocations has told so far: everything in force, kept true message by message, and where to resume."""

from __future__ import annotations

import secrets

from typing import TYPE_CHECKING, Final

from tokenauthority.domain.revocation import StoredRevocation, StoredSessionEnd, TargetKind
from tokenauthority.domain.revoked import RevokedIndex
from tokenauthority.domain.times import Millis, Seconds


if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

    from tokenauthority.domain.revocation import Event
    from tokenauthority.v1 import token_pb2


_KEY_BYTES: Final = 16


class ReplicaError(Exception):
    """A message cannot be taken in, so that nothing after it may be trusted; the message says what to do."""


class RevocationReplica:
    """Belongs to the thread that reads the stream. *limit* bounds how many events are kept.

    `index` is what decisions use: None until everything in force was read once. Where the authority has lost the place
    to resume at, it sends everything anew; `index` stays the old one until the new one is complete.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._building: RevokedIndex | None = None
        self._caught_up = False
        self.index: RevokedIndex | None = None
        self.resume_token = ""

    def begin(self) -> None:
        """A new stream is asked for, with `resume_token`."""
        self._caught_up = False
        self._building = None if self.resume_token else _empty()

    def take(self, message: token_pb2.WatchRevocationsResponse) -> Millis | None:
        """Take in a message: the moment, by the authority's clock, up to which nothing is missing after it, if known.

        An event says nothing of that: others may wait behind it.

        Raises:
            ReplicaError: it says something that this version does not know, or too much.
        """
        complete_to: Timestamp | None = None
        match message.WhichOneof("event"):
            case "revocation":
                self._add(_revocation(message.revocation), message.resume_token)
            case "session_end":
                self._add(_session_end(message.session_end), message.resume_token)
            case "snapshot_end":
                if self._building is not None:
                    self.index, self._building = self._building, None
                self._caught_up = True
                complete_to = message.snapshot_end.time
            case "heartbeat":
                complete_to = message.heartbeat.time if self._caught_up else None
            case _:
                raise ReplicaError("the authority tells something that this version does not know: update it")
        # Within what was in force a place to resume at is worth nothing: the rest of it would be missed.
        if self._building is None and message.resume_token:
            self.resume_token = message.resume_token
        return None if complete_to is None else Millis(complete_to.ToMilliseconds())

    @property
    def is_full(self) -> bool:
        """Whether it has as many events as it may, some of which may be over."""
        return self.index is not None and len(self.index) >= self._limit

    def prune(self, now: Millis) -> int:
        """Forget what can cover no token any more; how many went."""
        return 0 if self.index is None else self.index.prune(now)

    def _add(self, event: Event, resume_token: str) -> None:
        if self._building is None and not resume_token:
            self._building = _empty()
        index = self.index if self._building is None else self._building
        if index is None:
            raise ReplicaError("the authority resumed a stream that never began")
        index.add(event)
        if len(index) > self._limit:
            raise ReplicaError(f"more than {self._limit} revocations are in force: raise max_revocations")


def _empty() -> RevokedIndex:
    return RevokedIndex(secrets.token_bytes(_KEY_BYTES))


def _revocation(message: token_pb2.Revocation) -> StoredRevocation:
    match message.WhichOneof("target"):
        case "token_id":
            kind, target = TargetKind.TOKEN, message.token_id
        case "session_id":
            kind, target = TargetKind.SESSION, message.session_id
        case "subject":
            kind, target = TargetKind.SUBJECT, message.subject
        case _:
            raise ReplicaError("the authority takes back something that this version does not know: update it")
    return StoredRevocation(
        revocation_id=message.revocation_id,
        project_id=message.project_id,
        kind=kind,
        target=target,
        issued_before=Seconds(message.issued_before.seconds),
        comment="",
        create_time=Millis(message.create_time.ToMilliseconds()),
    )


def _session_end(message: token_pb2.SessionEnd) -> StoredSessionEnd:
    return StoredSessionEnd(
        session_id=message.session_id,
        project_id=message.project_id,
        end_time=Millis(message.end_time.ToMilliseconds()),
    )
