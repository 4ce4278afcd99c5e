"""Each method takes messages of its own size, and a message that does not come costs nobody else anything."""

from __future__ import annotations

import contextlib
import resource

from pathlib import Path

import grpc
import pytest

from tests.security import http2
from tests.support.authority import RunningAuthority, StartAuthority, eventually, make_caller
from tests.support.wire import GENERATE, LIST_PROJECTS, V1, Connect, Wire, outcome, records
from tokenauthority.callers.api_keys import new_api_key
from tokenauthority.v1 import token_pb2


CHECK = "/grpc.health.v1.Health/Check"
VERIFY = V1 + "TokenService/VerifyToken"
LARGE = bytes(8 * 1024 * 1024)
WATCH = V1 + "TokenService/WatchRevocations"


@pytest.mark.parametrize(("method", "limit"), [(VERIFY, 65_536), (LIST_PROJECTS, 65_536)])
def test_refuses_a_message_that_is_larger_than_its_method_takes(
    running_authority: RunningAuthority, wire: Wire, method: str, limit: int
) -> None:
    """Before it is decoded: these bytes are no message. The error names both numbers, and the call is recorded."""
    refused = wire.call(method, b"\xff" * (limit + 1))
    (record,) = records(running_authority.audit_path)

    assert ("INVALID_ARGUMENT", "INVALID_FIELD") == (refused.code, refused.reason)
    assert f"the request has {limit + 1} bytes, and {method} takes at most {limit}" in refused.message
    assert ("tester", "INVALID_ARGUMENT") == (record["caller"], record["code"])


def test_takes_the_largest_token_that_is_read(wire: Wire) -> None:
    """The limit of VerifyToken is above that of tokens."""
    answer = wire.call(VERIFY, token_pb2.VerifyTokenRequest(token="x" * 40_960, session_id="x" * 255))

    assert ("OK", True) == (answer.code, bool(answer.body))


@pytest.mark.parametrize(("size", "code"), [(1021, "NOT_FOUND"), (1022, "INVALID_ARGUMENT")])
def test_a_health_check_has_at_most_a_kilobyte(wire: Wire, size: int, code: str) -> None:
    """It is anybody's, so it is small."""
    name = b"\x0a" + bytes([size & 0x7F | 0x80, size >> 7]) + b"x" * size

    assert code == wire.call(CHECK, name, api_key="").code


def test_takes_no_compressed_message(wire: Wire) -> None:
    """It could take a thousand times its bytes: gRPC refuses it by its headers, and the connection serves on."""
    send: grpc.UnaryUnaryMultiCallable[bytes, bytes] = wire.channel.unary_unary(CHECK)
    refused = outcome(send.future(b"\0" * 10_000, compression=grpc.Compression.Gzip))

    assert ("UNIMPLEMENTED", "OK") == (refused.code, wire.call(LIST_PROJECTS).code)


def test_the_request_of_a_stream_is_its_only_message(running_authority: RunningAuthority, wire: Wire) -> None:
    """A stream stays open for hours, and its caller could send all the while."""
    send: grpc.StreamStreamMultiCallable[bytes, bytes] = wire.channel.stream_stream(WATCH)
    stream = send(iter([b"", b""]), metadata=(("authorization", f"Bearer {wire.api_key}"),))
    with pytest.raises(grpc.RpcError):
        next(stream)

    assert grpc.StatusCode.INVALID_ARGUMENT == stream.code()


def test_strangers_who_send_no_message_keep_no_one_out(running_authority: RunningAuthority, connect: Connect) -> None:
    """Neither callers nor other health checks, however many of theirs wait; each waits for seconds only."""
    wire = connect(running_authority)
    block = http2.header_block(CHECK, {})
    with contextlib.ExitStack() as stack:
        # Of more than a thousand that come faster than the server takes them, gRPC itself drops some.
        for _ in range(8):
            connection = stack.enter_context(contextlib.closing(http2.Connection(running_authority.address)))
            connection.send(b"".join(http2.opening(stream, block) for stream in range(1, 200, 2)))
        served, health = wire.call(LIST_PROJECTS), wire.call(CHECK, api_key="")

    assert ("OK", "OK") == (served.code, health.code)


def test_a_caller_who_sends_no_message_keeps_no_other_out(start_authority: StartAuthority, connect: Connect) -> None:
    """It holds no place before its message is there, and what it holds to receive it gives way to others."""
    key = new_api_key()
    authority = start_authority(
        callers={key: make_caller("slow")}, settings={"limits": {"max_concurrent_rpcs": 50, "max_deadline": 300}}
    )
    wire = connect(authority)
    block = http2.header_block(GENERATE, {"authorization": f"Bearer {key}"})
    with contextlib.ExitStack() as stack:
        for _ in range(5):
            connection = stack.enter_context(contextlib.closing(http2.Connection(authority.address)))
            connection.send(b"".join(http2.opening(stream, block) for stream in range(1, 200, 2)))
        eventually(lambda: len(records(authority.audit_path)) > 0, "no call of the slow caller was refused")
        served = [wire.call(LIST_PROJECTS).code for _ in range(5)]

    assert ["OK"] * 5 == served


def test_a_refused_message_is_freed_with_its_call(wire: Wire, without_garbage_collection: None) -> None:
    """Without the garbage collector, which may run minutes later: a few large messages would else fill the memory."""
    sizes = []
    for _ in range(12):
        assert "INVALID_ARGUMENT" == wire.call(VERIFY, LARGE).code
        sizes.append(_resident())

    assert sizes[-1] - sizes[2] < 4 * len(LARGE)


def _resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()
