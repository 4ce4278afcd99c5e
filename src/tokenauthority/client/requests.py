"""Define the options of calls, and build the contract's requests from them.

An option of the wrong type is a TypeError that names it, before anything is sent.
"""

from __future__ import annotations

import uuid

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypedDict

from tokenauthority.client.arguments import instance, text, texts, wrong_type
from tokenauthority.client.conversions import Lifetime, Moment, duration, timestamp, to_value
from tokenauthority.client.values import Token, token_text
from tokenauthority.v1 import role_pb2, session_pb2, token_pb2


MAX_PAGE: Final = 1000
"""Items of one page; the authority sends no more, whatever is asked for."""


class SessionOptions(TypedDict, total=False):
    """The options of a session; an option that is left out has the authority's default."""

    media_mode: str
    """ "relayed" (default) or "routed"."""

    archive_mode: str
    """ "manual" (default) or "always", which needs a routed session."""

    location: str
    """An IPv4 address: a hint where the first person connects from."""

    e2ee: bool
    """Whether media is encrypted end to end, default False; needs a routed session and manual archiving."""

    archive_name: str
    """The name of the archive, 1 to 80 characters; needs archive_mode "always"."""

    archive_resolution: str
    """Such as "1280x720", default "640x480"; needs archive_mode "always"."""

    name: str
    """The room on real-time servers: 1 to 64 of a-z, 0-9, "-" and "_". Default: the session id."""

    request_id: str | None
    """A UUID that makes the call safe to repeat for 24 hours; default: a fresh one."""


class TokenOptions(TypedDict, total=False):
    """The options of a token; an option that is left out has the authority's default."""

    role: str
    """ "publisher" (default), "subscriber", "publisheronly", "moderator" or one of the project's own."""

    data: str
    """Connection data, at most 1000 characters. Everyone in the session can read it: no personal data."""

    expire_time: Moment | None
    """When the token expires: seconds since 1970 or an aware datetime, within 30 days. Default: in 24 hours, unless the
    project or the API key sets another lifetime."""

    ttl: Lifetime | None
    """The lifetime in place of `expire_time`: seconds or a timedelta, 1 second to 30 days."""

    format: str
    """The name of a `TokenFormat` of the contract, such as "session_jwt"; default: the project's."""

    initial_layout_class_list: Sequence[str]
    """The layout classes that the person's streams start with: without white space, "&" or "=", at most 1000 characters
    in all."""

    subject: str
    """The end user's id, at most 255 characters, by which tokens can be revoked; not for OpenTok and Vonage."""


class RevokeOptions(TypedDict, total=False):
    """Which tokens to revoke: exactly one of the first four options, which is not empty, and what goes with it.

    None is as left out.
    """

    token: str | Token | None
    """This token."""

    token_id: str | None
    """The token with this id, in the project below."""

    session_id: str | None
    """All tokens of this session. The session stays open, and new tokens are valid."""

    subject: str | None
    """All tokens of this end user, in the project below."""

    project_id: str
    """The project of `token_id` and `subject`; default: the client's."""

    issued_before: Moment | None
    """Only tokens issued in this second or earlier; not in the future. Default: now; for one token, any moment."""

    comment: str
    """A text for the audit log and for watchers, at most 256 characters."""


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """One token of a batch; the fields are those of `TokenOptions`."""

    session_id: str
    role: str = ""
    data: str = field(default="", repr=False)
    expire_time: Moment | None = None
    ttl: Lifetime | None = None
    format: str = ""
    initial_layout_class_list: Sequence[str] = ()
    subject: str = ""

    def message(self) -> token_pb2.TokenRequest:
        """Convert it to the contract's message.

        Raises:
            ValueError: both lifetimes are given, a moment has no time zone, or the format is unknown.
            TypeError: an option has the wrong type; the message names it.
        """
        if self.expire_time is not None and self.ttl is not None:
            raise ValueError("give expire_time or ttl, not both")
        return token_pb2.TokenRequest(
            session_id=text("session_id", self.session_id),
            role=text("role", self.role),
            data=text("data", self.data),
            expire_time=None if self.expire_time is None else timestamp("expire_time", self.expire_time),
            ttl=None if self.ttl is None else duration("ttl", self.ttl),
            format=to_value(token_pb2.TokenFormat, "format", self.format),
            initial_layout_class_list=texts("initial_layout_class_list", self.initial_layout_class_list),
            subject=text("subject", self.subject),
        )


def create_session_request(
    project_id: str,
    *,
    media_mode: str = "",
    archive_mode: str = "",
    location: str = "",
    e2ee: bool = False,
    archive_name: str = "",
    archive_resolution: str = "",
    name: str = "",
    request_id: str | None = None,
) -> session_pb2.CreateSessionRequest:
    """Build a CreateSessionRequest, with a fresh request id unless one is given, so that a retry is safe."""
    return session_pb2.CreateSessionRequest(
        project_id=text("project_id", project_id),
        media_mode=to_value(session_pb2.MediaMode, "media_mode", media_mode),
        archive_mode=to_value(session_pb2.ArchiveMode, "archive_mode", archive_mode),
        location=text("location", location),
        e2ee=instance("e2ee", e2ee, bool),
        archive_name=text("archive_name", archive_name),
        archive_resolution=text("archive_resolution", archive_resolution),
        name=text("name", name),
        request_id=_optional_text("request_id", request_id) or str(uuid.uuid4()),
    )


def list_sessions_request(
    project_id: str, state: str, page_size: int, page_token: str
) -> session_pb2.ListSessionsRequest:
    """Build a ListSessionsRequest for one page."""
    return session_pb2.ListSessionsRequest(
        project_id=text("project_id", project_id),
        state=to_value(session_pb2.SessionState, "state", state),
        page_size=_page_size(page_size),
        page_token=text("page_token", page_token),
    )


def generate_token_request(request: TokenRequest) -> token_pb2.GenerateTokenRequest:
    """Build a GenerateTokenRequest."""
    return token_pb2.GenerateTokenRequest(request=request.message())


def verify_token_request(
    token: str | Token, session_id: str = "", required_permissions: Iterable[str] = ()
) -> token_pb2.VerifyTokenRequest:
    """Build a VerifyTokenRequest.

    A token that UTF-8 cannot encode is sent with `?` in place of the wrong characters, which no token has: whoever
    presents a token must get an answer, and must not cause an error.
    """
    return token_pb2.VerifyTokenRequest(
        token=token_text(token).encode(errors="replace").decode(),
        session_id=text("session_id", session_id),
        required_permissions=permissions("required_permissions", required_permissions),
    )


def create_turn_credentials_request(
    session_id: str, subject: str, ttl: Lifetime | None
) -> token_pb2.CreateTurnCredentialsRequest:
    """Build a CreateTurnCredentialsRequest."""
    return token_pb2.CreateTurnCredentialsRequest(
        session_id=text("session_id", session_id),
        subject=text("subject", subject),
        ttl=None if ttl is None else duration("ttl", ttl),
    )


def permissions(field: str, names: Iterable[str]) -> list[role_pb2.Permission.ValueType]:
    """Convert names such as "publish"; raise ValueError, which names *field*, for an unknown one."""
    return [to_value(role_pb2.Permission, field, name) for name in texts(field, names)]


def revoke_tokens_request(
    default_project: str,
    *,
    token: str | Token | None = None,
    token_id: str | None = None,
    session_id: str | None = None,
    subject: str | None = None,
    project_id: str = "",
    issued_before: Moment | None = None,
    comment: str = "",
) -> token_pb2.RevokeTokensRequest:
    """Build a RevokeTokensRequest; *default_project* is the project of a `token_id` or `subject` without one.

    Raises:
        ValueError: not exactly one target is given, it is empty, or *issued_before* has no time zone.
    """
    targets = {
        "token": None if token is None else text("token", token_text(token)),
        "token_id": _optional_text("token_id", token_id),
        "session_id": _optional_text("session_id", session_id),
        "subject": _optional_text("subject", subject),
    }
    given = {name: target for name, target in targets.items() if target is not None}
    request = token_pb2.RevokeTokensRequest(
        project_id=text("project_id", project_id) or (default_project if token_id or subject else ""),
        issued_before=None if issued_before is None else timestamp("issued_before", issued_before),
        comment=text("comment", comment),
        **given,
    )
    if len(given) != 1:
        raise ValueError("give exactly one of token, token_id, session_id and subject")
    if "" in given.values():
        raise ValueError(f"{next(iter(given))} must not be empty")
    return request


def batch_request(wanted: object) -> token_pb2.BatchGenerateTokensRequest:
    """Build a BatchGenerateTokensRequest.

    Raises:
        ValueError: a request is invalid; see `TokenRequest.message`.
        TypeError: *wanted* is no list of TokenRequests, or an option of one has the wrong type.
    """
    if isinstance(wanted, str | bytes) or not isinstance(wanted, Iterable):
        raise wrong_type("wanted", wanted, "a list of TokenRequests")
    return token_pb2.BatchGenerateTokensRequest(
        requests=[instance(f"wanted[{index}]", each, TokenRequest).message() for index, each in enumerate(wanted)]
    )


def _optional_text(name: str, value: object) -> str | None:
    return None if value is None else text(name, value, wanted="str or None")


def _page_size(value: object) -> int:
    size = instance("page_size", value, int)
    if size < 0:
        raise ValueError("page_size must not be negative")
    return min(size, MAX_PAGE)
