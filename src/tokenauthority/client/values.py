"""Convert the authority's answers to frozen values: tokens, claims, verifications, sessions."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeVar, cast

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from tokenauthority.client import arguments
from tokenauthority.client.conversions import to_text
from tokenauthority.client.errors import invalid_answer
from tokenauthority.v1 import token_pb2


if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Value = TypeVar("Value", bound="DataclassInstance")


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A generated token. `str(token)` is the token itself; its `repr` does not show it."""

    token: str = field(repr=False)
    """The token with which a person's client connects. A secret of that person: never log it."""

    token_id: str
    """Names the token in the audit log and for `revoke_tokens`."""

    session_id: str
    project_id: str
    role: str
    format: str
    """Such as "session_jwt"; see `TokenOptions`."""

    key_id: str
    """The `kid` of the signing key, or the id of the project's secret or key."""

    issue_time: datetime
    """In UTC, to the second."""

    expire_time: datetime
    """In UTC, to the second; the token is invalid from then on."""

    def __str__(self) -> str:
        """Return the token itself."""
        return self.token


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnCredentials:
    """Credentials for TURN servers; `urls`, `username` and `credential` are those of an RTCIceServer."""

    urls: tuple[str, ...]
    """Such as "turn:turn.example.com:3478?transport=udp"."""

    username: str
    """Of the form "EXPIRY:ID", which names the credentials in the audit log and at the TURN servers."""

    credential: str = field(repr=False)
    """The password. A secret of the person it is for: never log it."""

    expire_time: datetime
    """In UTC, to the second; TURN servers refuse the credentials from then on."""


def token_text(token: object) -> str:
    """Return the text of a `str` or a `Token`, whatever the text is; TypeError for anything else, such as bytes."""
    return token.token if isinstance(token, Token) else arguments.instance("token", token, str, wanted="str or Token")


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What a token says; see `Token` and `TokenOptions`. Its `repr` does not show `data`, which may be personal."""

    token_id: str
    session_id: str
    project_id: str
    role: str
    permissions: tuple[str, ...]
    """Such as "publish"."""

    data: str = field(repr=False)
    initial_layout_class_list: tuple[str, ...]
    subject: str
    format: str
    key_id: str
    issue_time: datetime
    expire_time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """Whether a token is valid. It is true if the token is valid, so `if authority.verify_token(token):` is correct."""

    active: bool
    """Whether the token is valid now."""

    reason: str
    """Why the token is invalid: an `InactiveReason` of the contract, such as "EXPIRED"; empty if it is valid."""

    reason_detail: str
    """The reason in words for a person; not to be parsed."""

    claims: Claims | None
    """What the token says; None if its signature does not verify."""

    def __bool__(self) -> bool:
        """Return `active`."""
        return self.active


@dataclass(frozen=True, kw_only=True)
class SessionData:
    """A room that people join; see `SessionOptions`."""

    session_id: str
    project_id: str
    media_mode: str
    archive_mode: str
    location: str
    e2ee: bool
    archive_name: str
    archive_resolution: str
    state: str
    """ "active" or "ended"."""

    create_time: datetime
    """In UTC, to the millisecond."""

    end_time: datetime | None
    """In UTC, to the millisecond; None while the session is active."""

    name: str
    """The room on real-time servers; empty if the session id is the room."""


@dataclass(frozen=True, kw_only=True)
class RoleData:
    """A named set of permissions: built in, or defined by a project."""

    name: str
    project_id: str
    """The project that defines it; empty for a built-in role."""

    permissions: tuple[str, ...]
    """Such as "publish"."""

    description: str
    built_in: bool
    create_time: datetime | None
    update_time: datetime | None
    """In UTC, to the millisecond; None for a built-in role, as `create_time`."""


@dataclass(frozen=True, kw_only=True)
class DeletedProject:
    """How much was deleted with a project, or would be."""

    sessions: int
    secrets: int
    roles: int
    revocations: int


def read_verification(message: token_pb2.VerifyTokenResponse) -> Verification:
    """Convert the answer of VerifyToken."""
    return Verification(
        active=message.active,
        reason=to_text(token_pb2.InactiveReason.DESCRIPTOR, message.reason).upper(),
        reason_detail=message.reason_detail,
        claims=convert_message(message.claims, Claims) if message.HasField("claims") else None,
    )


def read_timestamp(name: str, value: Timestamp) -> datetime:
    """Convert the moment in the field *name*; AuthorityError if it is outside the years 1 to 9999."""
    try:
        return value.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise invalid_answer(f"an invalid {name}") from None


def read_duration(name: str, value: Duration) -> timedelta:
    """Convert the lifetime in the field *name*; AuthorityError if it is out of protobuf's range."""
    try:
        return value.ToTimedelta()
    except (ValueError, OverflowError):
        raise invalid_answer(f"an invalid {name}") from None


def convert_message(message: Message, kind: type[Value]) -> Value:
    """Convert a message to the dataclass *kind*, whose fields have the names of the message's fields."""
    names = [field.name for field in fields(kind)]
    return kind(**{name: _convert_field(message, name) for name in names})


def _convert_field(message: Message, name: str) -> object:
    field = cast("FieldDescriptor", message.DESCRIPTOR.fields_by_name[name])
    value = getattr(message, name)
    if field.enum_type is not None:
        if field.is_repeated:
            return tuple(to_text(field.enum_type, number) for number in value)
        return to_text(field.enum_type, value)
    if field.message_type is not None:
        return read_timestamp(name, value) if message.HasField(name) else None
    return tuple(value) if field.is_repeated else value
