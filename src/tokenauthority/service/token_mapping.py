"""Map what is about tokens, revocations and TURN credentials: protobuf messages to values of the domain and back."""

from __future__ import annotations

from typing import Final, NamedTuple

from google.protobuf.timestamp_pb2 import Timestamp

from tokenauthority.authority.revoke import RevokeRequest
from tokenauthority.authority.verify import Signed, VerificationResult
from tokenauthority.authority.watch import WatchEvent
from tokenauthority.domain.revocation import StoredRevocation, TargetKind
from tokenauthority.domain.role import DEFAULT_ROLE
from tokenauthority.domain.times import Seconds
from tokenauthority.domain.token import MAX_LAYOUT, GeneratedToken, InactiveReason, TokenSpec
from tokenauthority.domain.token_format import TokenFormat
from tokenauthority.domain.turn import CreatedTurnCredentials, TurnSpec
from tokenauthority.service import mapping
from tokenauthority.v1 import token_pb2 as pb


_REASONS_OUT: Final = mapping.wire_values(pb.InactiveReason.Value, "INACTIVE_REASON", InactiveReason)

_MAX_CLASSES: Final = MAX_LAYOUT + 2


def token_request(message: pb.TokenRequest) -> TokenSpec:
    """Return what one request asks for; an unknown format is one of its `problems`, so that all are named at once."""
    lifetime = message.WhichOneof("lifetime")
    known = message.format in mapping.FORMATS
    return TokenSpec(
        session_id=message.session_id,
        role=message.role or DEFAULT_ROLE,
        data=message.data,
        expire_time=Seconds(message.expire_time.seconds) if lifetime == "expire_time" else None,
        ttl=Seconds(message.ttl.seconds) if lifetime == "ttl" else None,
        format=mapping.FORMATS[message.format] if known else None,
        # One more than can be valid is enough to refuse them.
        initial_layout_class_list=tuple(classes[:_MAX_CLASSES])
        if (classes := message.initial_layout_class_list)
        else (),
        subject=message.subject,
        problems=() if known else (mapping.unknown_value("format", message.format),),
    )


def token_message(generated: GeneratedToken) -> pb.Token:
    """Return a new token as an answer has it."""
    message = pb.Token(token=generated.token, token_id=generated.token_id)
    fill_terms(message, terms(generated))
    return message


class Terms(NamedTuple):
    """What an answer says of a token beside itself and its id: tokens of a batch often have the same."""

    session_id: str
    project_id: str
    role: str
    format: TokenFormat
    key_id: str
    issue_time: Seconds
    expire_time: Seconds


def terms(generated: GeneratedToken) -> Terms:
    """Return the terms of a token."""
    claims = generated.claims
    return Terms(
        claims.session_id,
        claims.project_id,
        claims.role,
        generated.format,
        generated.key_id,
        claims.issue_time,
        claims.expire_time,
    )


def fill_terms(message: pb.Token, terms_of_token: Terms) -> None:
    """Write the terms of a token into *message*."""
    message.session_id = terms_of_token.session_id
    message.project_id = terms_of_token.project_id
    message.role = terms_of_token.role
    message.format = mapping.FORMATS_OUT[terms_of_token.format]
    message.key_id = terms_of_token.key_id
    message.issue_time.seconds = terms_of_token.issue_time
    message.expire_time.seconds = terms_of_token.expire_time


def verification_message(result: VerificationResult) -> pb.VerifyTokenResponse:
    """Return the result of a verification as an answer has it."""
    if result.reason is None and result.signed is not None:
        return pb.VerifyTokenResponse(active=True, claims=_claims_message(result.signed))
    return pb.VerifyTokenResponse(
        reason=_REASONS_OUT[result.reason or InactiveReason.MALFORMED],
        reason_detail=result.detail,
        claims=None if result.signed is None else _claims_message(result.signed),
    )


def _claims_message(signed: Signed) -> pb.TokenClaims:
    claims = signed.claims
    return pb.TokenClaims(
        token_id=claims.token_id,
        session_id=claims.session_id,
        project_id=signed.project_id,
        role=claims.role,
        permissions=[mapping.PERMISSIONS_OUT[permission] for permission in signed.permissions],
        data=claims.data,
        initial_layout_class_list=claims.initial_layout_class_list,
        subject=claims.subject,
        format=mapping.FORMATS_OUT[signed.format],
        key_id=signed.key_id,
        issue_time=Timestamp(seconds=claims.issue_time),
        expire_time=Timestamp(seconds=claims.valid_until()),
    )


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
