"""Raw calls: bytes out, and all that comes back."""

from __future__ import annotations

import json

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeAlias, TypeVar, cast

import attrs
import grpc
import pytest

from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, QuotaFailure, RetryInfo
from google.rpc.status_pb2 import Status

from tests.support.authority import WAIT, RunningAuthority, eventually


V1 = "/tokenauthority.v1."
GENERATE = V1 + "TokenService/GenerateToken"
LIST_PROJECTS = V1 + "ProjectService/ListProjects"

Detail = TypeVar("Detail", BadRequest, ErrorInfo, QuotaFailure, RetryInfo)
Metadata: TypeAlias = Sequence[tuple[str, str | bytes]]


class Pending(Protocol):
    """A call under way or over, as grpc's own types do not name it."""

    def cancel(self) -> bool:
        """Give the call up."""

    def code(self) -> grpc.StatusCode:
        """The status, once it is over."""

    def details(self) -> str | None:
        """The message of the status."""

    def trailing_metadata(self) -> Metadata | None:
        """What came along with the status."""

    def result(self, timeout: float | None = None) -> bytes:
        """The answer."""

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """The error, or None where there is an answer."""


@attrs.frozen(kw_only=True)
class Outcome:
    """How a call ended. `body` is empty unless it ended well."""

    code: str
    message: str
    body: bytes
    trailers: Mapping[str, str | bytes]

    @property
    def status(self) -> Status:
        """The rich status; empty where there is none."""
        packed = self.trailers.get("grpc-status-details-bin", b"")
        assert isinstance(packed, bytes)
        return Status.FromString(packed)

    @property
    def error_info(self) -> ErrorInfo:
        """The ErrorInfo; an empty one where there is none."""
        return self.detail(ErrorInfo)

    @property
    def reason(self) -> str:
        """The ErrorReason."""
        return self.error_info.reason

    @property
    def detail_names(self) -> list[str]:
        """The kinds of all details, in order."""
        return [packed.TypeName().rpartition(".")[2] for packed in self.status.details]

    @property
    def request_id(self) -> str | bytes:
        """The id that the server sent back."""
        return self.trailers.get("x-request-id", "")

    @property
    def bad_fields(self) -> list[str]:
        """The fields of all violations, in order."""
        return [violation.field for violation in self.detail(BadRequest).field_violations]

    def detail(self, kind: type[Detail]) -> Detail:
        """The one detail of *kind*; an empty one where there is none."""
        found = kind()
        any(packed.Unpack(found) for packed in self.status.details)
        return found


@attrs.frozen(kw_only=True)
class Wire:
    """A channel, and the key that its calls bear unless they say otherwise."""

    channel: grpc.Channel
    api_key: str = attrs.field(repr=False)

    def call(
        self,
        method: str,
        request: Message | bytes = b"",
        *,
        metadata: Metadata = (),
        api_key: str | None = None,
        timeout: float | None = WAIT,
    ) -> Outcome:
        """Make a unary call and wait for its end. An empty *api_key* sends none."""
        return outcome(self.start(method, request, metadata=metadata, api_key=api_key, timeout=timeout))

    def start(
        self,
        method: str,
        request: Message | bytes = b"",
        *,
        metadata: Metadata = (),
        api_key: str | None = None,
        timeout: float | None = WAIT,
    ) -> Pending:
        """Make a unary call and do not wait."""
        key = self.api_key if api_key is None else api_key
        bearer = (("authorization", f"Bearer {key}"),) if key else ()
        body = request if isinstance(request, bytes) else request.SerializeToString()
        # Without serializers, gRPC takes and gives bytes, which its types do not know.
        send: grpc.UnaryUnaryMultiCallable[bytes, bytes] = self.channel.unary_unary(method)
        return cast("Pending", send.future(body, timeout=timeout, metadata=(*bearer, *metadata)))


class Connect(Protocol):
    """Opens a wire to an authority, with gRPC's channel *options*; the test's end closes it."""

    def __call__(self, authority: RunningAuthority, **options: str | int) -> Wire:
        """Open one."""


@pytest.fixture
def connect() -> Iterator[Connect]:
    """A factory of wires."""
    channels: list[grpc.Channel] = []

    def opened(authority: RunningAuthority, **options: str | int) -> Wire:
        # A later test's server may get the port of an earlier one, whose connection must not answer.
        every = {"grpc.use_local_subchannel_pool": 1, **options}
        channels.append(grpc.insecure_channel(authority.address, list(every.items())))
        return Wire(channel=channels[-1], api_key=authority.api_key)

    yield opened
    for channel in channels:
        channel.close()


@pytest.fixture
def wire(running_authority: RunningAuthority, connect: Connect) -> Wire:
    """A wire to `running_authority`."""
    return connect(running_authority)


def outcome(pending: Pending) -> Outcome:
    """Wait for the end of a call."""
    failed = pending.exception(WAIT) is not None
    return Outcome(
        code=pending.code().name,
        message=pending.details() or "",
        body=b"" if failed else pending.result(),
        trailers=dict(pending.trailing_metadata() or ()),
    )


def records(path: Path) -> list[dict[str, object]]:
    """The records of RPCs in an audit log, without what chains them."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    chaining = {"seq", "prev", "type", "crc"}
    return [
        {name: value for name, value in line.items() if name not in chaining} for line in lines if line["type"] == "rpc"
    ]


def wait_for_record(authority: RunningAuthority, code: str) -> dict[str, object]:
    """The first record of a call that ended with *code*, once there is one."""

    def found() -> list[dict[str, object]]:
        return [record for record in records(authority.audit_path) if record["code"] == code]

    eventually(lambda: bool(found()), f"no call was recorded as {code}")
    return found()[0]
