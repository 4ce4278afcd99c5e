"""Map revocations, and what is sent to watchers, from protobuf to the domain and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf.timestamp_pb2 import Timestamp

from tokenauthority.authority.revoke import RevokeRequest
from tokenauthority.domain.revocation import StoredRevocation, TargetKind
from tokenauthority.domain.times import Seconds
from tokenauthority.service.mapping import moment
from tokenauthority.v1 import token_pb2


if TYPE_CHECKING:
    from tokenauthority.authority.watch import WatchEvent


def revoke_request(message: token_pb2.RevokeTokensRequest) -> RevokeRequest:
    """Return what a RevokeTokens request asks for."""
    return RevokeRequest(
        token=message.token,
        token_id=message.token_id,
        session_id=message.session_id,
        subject=message.subject,
        project_id=message.project_id,
        issued_before=Seconds(message.issued_before.seconds) if message.HasField("issued_before") else None,
        comment=message.comment,
    )


def revocation_message(revocation: StoredRevocation) -> token_pb2.Revocation:
    """Return a revocation as an answer has it."""
    message = token_pb2.Revocation(
        revocation_id=revocation.revocation_id,
        project_id=revocation.project_id,
        issued_before=Timestamp(seconds=revocation.issued_before),
        comment=revocation.comment,
        create_time=moment(revocation.create_time),
        expire_time=moment(revocation.expire_time),
    )
    match revocation.kind:
        case TargetKind.TOKEN:
            message.token_id = revocation.target
        case TargetKind.SESSION:
            message.session_id = revocation.target
        case TargetKind.SUBJECT:
            message.subject = revocation.target
    return message


def watch_message(watched: WatchEvent) -> token_pb2.WatchRevocationsResponse:
    """Return one message of WatchRevocations."""
    message = token_pb2.WatchRevocationsResponse(resume_token=watched.resume_token)
    if isinstance(watched.event, StoredRevocation):
        message.revocation.CopyFrom(revocation_message(watched.event))
    elif watched.event is not None:
        end = watched.event
        message.session_end.session_id, message.session_end.project_id = end.session_id, end.project_id
        message.session_end.end_time.FromMilliseconds(end.end_time)
    elif watched.caught_up:
        message.snapshot_end.time.FromMilliseconds(watched.time)
    else:
        message.heartbeat.time.FromMilliseconds(watched.time)
    return message
