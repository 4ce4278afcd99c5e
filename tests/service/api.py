"""Calls of the generated stubs over a real channel, and what their errors say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import attrs
import grpc
import pytest

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, PreconditionFailure, ResourceInfo, RetryInfo
from grpc_status import rpc_status

from tests.support.authority import WAIT, RunningAuthority
from tokenauthority.client.interceptors import StreamDefaults, UnaryDefaults
from tokenauthority.v1 import (
    key_pb2_grpc,
    project_pb2_grpc,
    role_pb2,
    role_pb2_grpc,
    session_pb2,
    session_pb2_grpc,
    token_pb2,
    token_pb2_grpc,
)


D = TypeVar("D", bound=Message)

_OPTIONS = (
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
    # A test that starts a second server must not be answered by the first one's connection.
    ("grpc.use_local_subchannel_pool", 1),
)

SUBSCRIBE = role_pb2.PERMISSION_SUBSCRIBE
PUBLISH = role_pb2.PERMISSION_PUBLISH
SIGNAL = role_pb2.PERMISSION_SIGNAL
FORCE_MUTE = role_pb2.PERMISSION_FORCE_MUTE


@attrs.frozen(kw_only=True)
class Failure:
    """How an RPC failed: its status and every detail that came with it."""

    code: grpc.StatusCode
    message: str
    reason: str
    domain: str
    facts: dict[str, str]
    violations: list[tuple[str, str]] = attrs.Factory(list)
    resource: tuple[str, str] | None = None
    precondition: tuple[str, str] | None = None
    retry_after: float | None = None

    @property
    def fields(self) -> list[str]:
        """The bad fields, in order."""
        return [field for field, _ in self.violations]

    @property
    def outcome(self) -> tuple[grpc.StatusCode, str]:
        """Code and reason."""
        return self.code, self.reason


def failure(call: Callable[[], object]) -> Failure:
    """Make a call that must fail."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    call_ = caught.value
    assert isinstance(call_, grpc.Call)
    status = rpc_status.from_call(call_)
    assert status is not None, caught.value
    info, bad, resource, precondition, retry = (
        _detail(status.details, kind) for kind in (ErrorInfo, BadRequest, ResourceInfo, PreconditionFailure, RetryInfo)
    )
    assert isinstance(info, ErrorInfo)
    return Failure(
        code=call_.code(),
        message=status.message,
        reason=info.reason,
        domain=info.domain,
        facts=dict(info.metadata),
        violations=[(v.field, v.description) for v in bad.field_violations] if isinstance(bad, BadRequest) else [],
        resource=(resource.resource_type, resource.resource_name) if isinstance(resource, ResourceInfo) else None,
        precondition=(precondition.violations[0].type, precondition.violations[0].subject)
        if isinstance(precondition, PreconditionFailure)
        else None,
        retry_after=retry.retry_delay.ToTimedelta().total_seconds() if isinstance(retry, RetryInfo) else None,
    )


class Api:
    """The stubs of one caller, and short forms of what tests do all the time."""

    def __init__(self, authority: RunningAuthority, api_key: str) -> None:
        self.authority = authority
        channel = grpc.insecure_channel(authority.address, _OPTIONS)
        self.channel = channel
        called = grpc.intercept_channel(
            channel, UnaryDefaults(WAIT, lambda: api_key), StreamDefaults(None, lambda: api_key)
        )
        self.sessions = session_pb2_grpc.SessionServiceStub(called)
        self.tokens = token_pb2_grpc.TokenServiceStub(called)
        self.roles = role_pb2_grpc.RoleServiceStub(called)
        self.projects = project_pb2_grpc.ProjectServiceStub(called)
        self.keys = key_pb2_grpc.KeyServiceStub(called)

    def close(self) -> None:
        """Close the connection."""
        self.channel.close()

    def new_session(self, project_id: str, **fields: Any) -> session_pb2.Session:
        """A session just made."""
        request = session_pb2.CreateSessionRequest(project_id=project_id, **fields)
        return self.sessions.CreateSession(request).session

    def generate(self, session_id: str, **fields: Any) -> token_pb2.Token:
        """A token just made."""
        request = token_pb2.GenerateTokenRequest(request=wanted(session_id, **fields))
        return self.tokens.GenerateToken(request).token

    def batch(self, requests: Sequence[token_pb2.TokenRequest]) -> list[token_pb2.Token]:
        """Tokens just made."""
        return list(self.tokens.BatchGenerateTokens(token_pb2.BatchGenerateTokensRequest(requests=requests)).tokens)

    def verify(
        self, token: str, *, session_id: str = "", required: Sequence[role_pb2.Permission.ValueType] = ()
    ) -> token_pb2.VerifyTokenResponse:
        """The verdict about a token."""
        request = token_pb2.VerifyTokenRequest(token=token, session_id=session_id, required_permissions=required)
        return self.tokens.VerifyToken(request)

    def end(self, session_id: str) -> session_pb2.Session:
        """A session, ended."""
        return self.sessions.EndSession(session_pb2.EndSessionRequest(session_id=session_id)).session


class Connect(Protocol):
    """Opens the stubs of a caller: by name at the shared authority, or by key at one of the test's own."""

    def __call__(self, name: str = "tester", *, authority: RunningAuthority | None = None, api_key: str = "") -> Api:
        """Open them; the end of the test closes them."""


def wanted(session_id: str, **fields: Any) -> token_pb2.TokenRequest:
    """One wanted token; `ttl` and `expire_time` may be whole seconds."""
    if isinstance(fields.get("ttl"), int):
        fields["ttl"] = Duration(seconds=fields["ttl"])
    if isinstance(fields.get("expire_time"), int):
        fields["expire_time"] = Timestamp(seconds=fields["expire_time"])
    return token_pb2.TokenRequest(session_id=session_id, **fields)


def reason_of(verdict: token_pb2.VerifyTokenResponse) -> str:
    """Why a token is not good, or ACTIVE."""
    if verdict.active:
        return "ACTIVE"
    return token_pb2.InactiveReason.Name(verdict.reason).removeprefix("INACTIVE_REASON_")


def lifetime(token: token_pb2.Token) -> int:
    """Seconds from issue to expiry."""
    return token.expire_time.seconds - token.issue_time.seconds


def _detail(details: Sequence[AnyMessage], kind: type[D]) -> D | None:
    for packed in details:
        message = kind()
        if packed.Unpack(message):
            return message
    return None
