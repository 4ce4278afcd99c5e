"""What the authority answers, as frozen values: tokens, what tokens say, verdicts, sessions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tokenauthority.client.enums import to_text
from tokenauthority.client.times import moment
from tokenauthority.v1 import role_pb2, session_pb2, token_pb2


if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token just made. `str(token)` is the token itself; its `repr` does not show it."""

    token: str = field(repr=False)
    token_id: str
    session_id: str
    project_id: str
    role: str
    format: str
    key_id: str
    issue_time: datetime
    expire_time: datetime

    def __str__(self) -> str:
        """The token itself: what the person's client connects with."""
        return self.token


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What a token says. `data` is not in its `repr`, for it may be about a person."""

    token_id: str
    session_id: str
    project_id: str
    role: str
    permissions: tuple[str, ...]
    data: str = field(repr=False)
    initial_layout_class_list: tuple[str, ...]
    subject: str
    format: str
    key_id: str
    issue_time: datetime
    expire_time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """The verdict on a token; true where it is good, so that `if authority.verify_token(token):` is right."""

    active: bool
    reason: str
    """Why it is not good, as the contract's `InactiveReason` has it, such as "EXPIRED"; empty where it is."""

    reason_detail: str
    """The same for a person; not to be parsed."""

    claims: Claims | None
    """What the token says; None where its signature does not hold."""

    def __bool__(self) -> bool:
        """Whether the token is good."""
        return self.active


@dataclass(frozen=True, kw_only=True)
class SessionData:
    """A room that people join."""

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
    end_time: datetime | None


def read_session(message: session_pb2.Session) -> SessionData:
    """Convert a session of the contract."""
    return SessionData(
        session_id=message.session_id,
        project_id=message.project_id,
        media_mode=to_text(session_pb2.MediaMode, message.media_mode),
        archive_mode=to_text(session_pb2.ArchiveMode, message.archive_mode),
        location=message.location,
        e2ee=message.e2ee,
        archive_name=message.archive_name,
        archive_resolution=message.archive_resolution,
        state=to_text(session_pb2.SessionState, message.state),
        create_time=moment(message.create_time),
        end_time=moment(message.end_time) if message.HasField("end_time") else None,
    )


def read_token(message: token_pb2.Token) -> Token:
    """An answered token."""
    return Token(
        token=message.token,
        token_id=message.token_id,
        session_id=message.session_id,
        project_id=message.project_id,
        role=message.role,
        format=to_text(token_pb2.TokenFormat, message.format),
        key_id=message.key_id,
        issue_time=moment(message.issue_time),
        expire_time=moment(message.expire_time),
    )


def read_verification(message: token_pb2.VerifyTokenResponse) -> Verification:
    """An answered verdict."""
    return Verification(
        active=message.active,
        reason=to_text(token_pb2.InactiveReason, message.reason).upper(),
        reason_detail=message.reason_detail,
        claims=_read_claims(message.claims) if message.HasField("claims") else None,
    )


def _read_claims(message: token_pb2.TokenClaims) -> Claims:
    return Claims(
        token_id=message.token_id,
        session_id=message.session_id,
        project_id=message.project_id,
        role=message.role,
        permissions=tuple(to_text(role_pb2.Permission, permission) for permission in message.permissions),
        data=message.data,
        initial_layout_class_list=tuple(message.initial_layout_class_list),
        subject=message.subject,
        format=to_text(token_pb2.TokenFormat, message.format),
        key_id=message.key_id,
        issue_time=moment(message.issue_time),
        expire_time=moment(message.expire_time),
    )
