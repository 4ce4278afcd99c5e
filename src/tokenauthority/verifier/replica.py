"""Replicate the revocations in force, message by message, and remember where to resume the stream."""

from __future__ import annotations

import secrets

from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from tokenauthority.domain.revocation import Event, StoredRevocation, StoredSessionEnd, TargetKind
from tokenauthority.domain.revocation_index import RevocationIndex
from tokenauthority.domain.times import Millis, Seconds
from tokenauthority.v1 import token_pb2


_KEY_BYTES: Final = 16
_KINDS: Final = {
    "token_id": TargetKind.TOKEN,
    "session_id": TargetKind.SESSION,
    "subject": TargetKind.SUBJECT,
    "whole_project": TargetKind.PROJECT,
}


class ReplicaError(Exception):
    """A message cannot be applied, so nothing after it may be trusted; the text says what to do."""


class RevocationReplica:
    """The revocations and ended sessions in force, at most *limit*; for the thread that reads the stream.

    `index` is what checks use; it is None until everything in force was read once. If the authority cannot resume, it
    sends everything anew, and `index` stays the old one until the new one is complete.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._building: RevocationIndex | None = None
        self._caught_up = False
        self.index: RevocationIndex | None = None
        self.resume_token = ""

    def begin_stream(self) -> None:
        """Expect the messages of a new stream, which resumes after `resume_token`."""
        self._caught_up = False
        self._building = None if self.resume_token else _new_index()

    def apply_message(self, message: token_pb2.WatchRevocationsResponse) -> Millis | None:
        """Apply a message.

        Returns:
            The moment, by the authority's clock, up to which the replica is complete after it; None if unknown. A
            revocation says nothing of that: others may wait behind it.

        Raises:
            ReplicaError: the event is unknown, or the replica is full.
        """
        complete_to: Timestamp | None = None
        match message.WhichOneof("event"):
            case "revocation":
                self._add_event(_to_revocation(message.revocation), message.resume_token)
            case "session_end":
                self._add_event(_to_session_end(message.session_end), message.resume_token)
            case "snapshot_end":
                if self._building is not None:
                    self.index, self._building = self._building, None
                self._caught_up = True
                complete_to = message.snapshot_end.time
            case "heartbeat":
                complete_to = message.heartbeat.time if self._caught_up else None
            case unknown:
                raise ReplicaError(f"the authority sent an unknown event ({unknown}): update this version")
        # A resume token within what is in force is not used: the rest of that would be missed.
        if self._building is None and message.resume_token:
            self.resume_token = message.resume_token
        return None if complete_to is None else Millis(complete_to.ToMilliseconds())

    @property
    def is_full(self) -> bool:
        """Whether it holds as many events as it may, expired ones included."""
        return self.index is not None and len(self.index) >= self._limit

    def delete_expired(self, now: Millis) -> None:
        """Delete the events that cover no valid token any more."""
        if self.index is not None:
            self.index.remove_expired(now)

    def _add_event(self, event: Event, resume_token: str) -> None:
        if self._building is None and not resume_token:
            self._building = _new_index()
        index = self.index if self._building is None else self._building
        if index is None:
            raise ReplicaError("the authority resumed a stream that never began")
        index.add(event)
        if len(index) > self._limit:
            raise ReplicaError(f"more than {self._limit} revocations are in force: raise max_revocations")


def _new_index() -> RevocationIndex:
    return RevocationIndex(secrets.token_bytes(_KEY_BYTES))


def _to_revocation(message: token_pb2.Revocation) -> StoredRevocation:
    target = message.WhichOneof("target") or ""
    return StoredRevocation(
        revocation_id=message.revocation_id,
        project_id=message.project_id,
        kind=_KINDS[target],
        target="" if target == "whole_project" else getattr(message, target),
        issued_before=Seconds(message.issued_before.seconds),
        comment="",
        create_time=Millis(message.create_time.ToMilliseconds()),
    )


def _to_session_end(message: token_pb2.SessionEnd) -> StoredSessionEnd:
    return StoredSessionEnd(
        session_id=message.session_id, project_id=message.project_id, end_time=Millis(message.end_time.ToMilliseconds())
    )
