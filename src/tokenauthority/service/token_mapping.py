"""Map what is about tokens, revocations and TURN credentials: protobuf messages to values of the domain and back."""

from __future__ import annotations

from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from tokenauthority.authority.revoke import RevokeRequest
from tokenauthority.authority.verify import Signed, VerificationResult
from tokenauthority.authority.watch import WatchEvent
from tokenauthority.domain.revocation import StoredRevocation, TargetKind
from tokenauthority.domain.role import DEFAULT_ROLE
from tokenauthority.domain.times import Seconds
from tokenauthority.domain.token import MAX_LAYOUT, InactiveReason, TokenSpec
from tokenauthority.domain.turn import CreatedTurnCredentials, TurnSpec
from tokenauthority.service import mapping
from tokenauthority.v1 import token_pb2 as pb


_REASONS_OUT: Final = mapping.wire_values(pb.InactiveReason.Value, "INACTIVE_REASON", InactiveReason)

_FORMATS: Final = mapping.FORMATS
_MAX_CLASSES: Final = MAX_LAYOUT + 2


def token_request(message: pb.TokenRequest) -> TokenSpec:
    """Return what one request asks for; an unknown format is one of its `problems`, so that all are named at once."""
    lifetime = message.WhichOneof("lifetime")
    number = message.format
    known = number in _FORMATS
    return TokenSpec(
        session_id=message.session_id,
        role=message.role or DEFAULT_ROLE,
        data=message.data,
        expire_time=Seconds(message.expire_time.seconds) if lifetime == "expire_time" else None,
        ttl=Seconds(message.ttl.seconds) if lifetime == "ttl" else None,
        format=_FORMATS[number] if known else None,
        # One more than can be valid is enough to refuse them.
        initial_layout_class_list=tuple(classes[:_MAX_CLASSES])
        if (classes := message.initial_layout_class_list)
        else (),
        subject=message.subject,
        problems=() if known else (mapping.unknown_value("format", number),),
    )


def verification_message(result: VerificationResult) -> pb.VerifyTokenResponse:
    """Return the result of a verification as an answer has it."""
    message = pb.VerifyTokenResponse(reason_detail=result.detail)
    if result.reason is None and result.signed is not None:
        message.active = True
    else:
        message.reason = _REASONS_OUT[result.reason or InactiveReason.MALFORMED]
    if result.signed is not None:
        _fill_claims(message.claims, result.signed)
    return message


def _fill_claims(message: pb.TokenClaims, signed: Signed) -> None:
    """Write what *signed* says into *message*: to make a message and copy it would take twice as long."""
    claims = signed.claims
    message.token_id = claims.token_id
    message.session_id = claims.session_id
    message.project_id = signed.project_id
    message.role = claims.role
    message.permissions.extend([mapping.PERMISSIONS_OUT[permission] for permission in signed.permissions])
    message.data = claims.data
    message.initial_layout_class_list.extend(claims.initial_layout_class_list)
    message.subject = claims.subject
    message.format = mapping.FORMATS_OUT[signed.format]
    message.key_id = signed.key_id
    message.issue_time.seconds = claims.issue_time
    message.expire_time.seconds = claims.valid_until()


def revoke_request(message: pb.RevokeTokensRequest) -> RevokeRequest:
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


def revocation_message(revocation: StoredRevocation) -> pb.Revocation:
    """Return a revocation as an answer has it."""
    message = pb.Revocation(
        revocation_id=revocation.revocation_id,
        project_id=revocation.project_id,
        issued_before=Timestamp(seconds=revocation.issued_before),
        comment=revocation.comment,
        create_time=mapping.timestamp(revocation.create_time),
        expire_time=mapping.timestamp(revocation.expire_time),
    )
    match revocation.kind:
        case TargetKind.TOKEN:
            message.token_id = revocation.target
        case TargetKind.SESSION:
            message.session_id = revocation.target
        case TargetKind.SUBJECT:
            message.subject = revocation.target
        case TargetKind.PROJECT:
            message.whole_project = True
    return message


def turn_request(message: pb.CreateTurnCredentialsRequest) -> TurnSpec:
    """Return what a CreateTurnCredentials request asks for."""
    return TurnSpec(
        session_id=message.session_id,
        subject=message.subject,
        ttl=Seconds(message.ttl.seconds) if message.HasField("ttl") else None,
    )


def turn_message(created: CreatedTurnCredentials) -> pb.TurnCredentials:
    """Return new TURN credentials as an answer has them."""
    return pb.TurnCredentials(
        urls=created.urls,
        username=created.username,
        credential=created.credential,
        expire_time=Timestamp(seconds=created.expire_time),
    )


def watch_message(watched: WatchEvent) -> pb.WatchRevocationsResponse:
    """Return one message of WatchRevocations."""
    message = pb.WatchRevocationsResponse(resume_token=watched.resume_token)
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
