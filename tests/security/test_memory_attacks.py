"""Attacks on the memory of a server that may take 512 MiB: it goes on, and a known caller is served."""

from __future__ import annotations

import contextlib
import threading

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import grpc
import pytest

from tests.security import http2
from tests.support.authority import WAIT, AuthorityProcess
from tests.support.memory_limit import MemoryLimit, memory_limit
from tests.support.wire import LIST_PROJECTS, V1, Wire
from tokenauthority.client import Authority
from tokenauthority.v1 import token_pb2


LIMIT = 512 << 20
CHECK = "/grpc.health.v1.Health/Check"
BATCH = V1 + "TokenService/BatchGenerateTokens"
VERIFY = V1 + "TokenService/VerifyToken"
LARGE = b"\0" * (10 * 1024 * 1024 - 16)
"""The body of a message that is one byte larger, so that it never ends."""


def bearer(authority: AuthorityProcess) -> dict[str, str]:
    """The header of a known caller."""
    return {"authorization": f"Bearer {authority.api_key}"}


def push(connection: http2.Connection, left: dict[int, memoryview]) -> None:
    """Send bodies for as long as the server takes more of any."""
    pause, idle = threading.Event(), 0
    while left and idle < 25:
        before = sum(map(len, left.values()))
        left = {stream: rest for stream, body in left.items() if (rest := connection.send_body(stream, body))}
        idle = idle + 1 if sum(map(len, left.values())) == before else 0
        pause.wait(0.02 if idle else 0)


def stalled(authority: AuthorityProcess, method: str, more: dict[str, str]) -> None:
    """Send most of a large message in many calls at once, and withhold its end."""
    block = http2.header_block(method, more)
    with contextlib.ExitStack() as stack:
        for _ in range(2):
            connection = stack.enter_context(contextlib.closing(http2.Connection(authority.address)))
            left = dict.fromkeys(range(1, 100, 2), memoryview(http2.message(len(LARGE) + 1) + LARGE))
            connection.send(b"".join(http2.opening(stream, block) for stream in left))
            push(connection, left)


def strangers_withhold(authority: AuthorityProcess) -> None:
    """Health checks of a stranger."""
    stalled(authority, CHECK, {})


def caller_withholds(authority: AuthorityProcess) -> None:
    """Verifications of a caller."""
    stalled(authority, VERIFY, bearer(authority))


def bombs(authority: AuthorityProcess) -> None:
    """Batches of millions of items, plain and compressed."""
    with grpc.insecure_channel(authority.address) as channel:
        send: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(BATCH)
        calls = [
            send.future(
                b"\x0a\x00" * (5 * 1024 * 1024 - 16), metadata=tuple(bearer(authority).items()), compression=how
            )
            for how in (grpc.Compression.NoCompression, grpc.Compression.Gzip) * 3
        ]
        assert {"INVALID_ARGUMENT", "UNIMPLEMENTED", "RESOURCE_EXHAUSTED"} >= {_code(call) for call in calls}


def unread(authority: AuthorityProcess, session_id: str) -> None:
    """Batches with large answers, none of which is read."""
    item = token_pb2.TokenRequest(
        session_id=session_id, format=token_pb2.TOKEN_FORMAT_OPENTOK_T1, data="\U0001f600" * 1000
    )
    body = token_pb2.BatchGenerateTokensRequest(requests=[item] * 300).SerializeToString()
    block = http2.header_block(BATCH, bearer(authority))
    with contextlib.closing(http2.Connection(authority.address, window=0)) as connection:
        for stream in range(1, 80, 2):
            connection.send(http2.opening(stream, block))
            push(connection, {stream: memoryview(http2.message(len(body)) + body)})


@pytest.fixture
def limit() -> Iterator[MemoryLimit]:
    """The limit, which is there until the server has ended."""
    with memory_limit(LIMIT) as made:
        yield made


def test_a_server_with_512_mib_survives_attacks_on_its_memory(
    limit: MemoryLimit, authority_process: AuthorityProcess
) -> None:
    """All at once. Beyond that the kernel would end it; the same process serves a known caller afterwards."""
    pid = authority_process.process.pid
    if limit.file:
        limit.limit_process(pid)
    attacks = (strangers_withhold, caller_withholds, bombs, partial(unread, session_id=new_session(authority_process)))
    with ThreadPoolExecutor(len(attacks)) as pool:
        ends = [pool.submit(attack, authority_process) for attack in attacks]
    problems = [end.exception() for end in ends if end.exception()]
    status = authority_process.process.poll()

    assert (None, [], "OK") == (status, problems, status or served(authority_process))
    peak = peak_of(pid)
    assert peak < LIMIT
    if not limit.file:
        pytest.skip(f"took {peak >> 20} MiB, but NOT in a limited process: only root can make a cgroup")


def new_session(authority: AuthorityProcess) -> str:
    """A session of the one project."""
    with Authority(
        authority.address, api_key=authority.api_key, project_id=authority.project_id, plaintext=True
    ) as client:
        return client.create_session().session_id


def served(authority: AuthorityProcess) -> str:
    """How a call of the known caller ends."""
    with grpc.insecure_channel(authority.address) as channel:
        return Wire(channel=channel, api_key=authority.api_key).call(LIST_PROJECTS, timeout=WAIT).code


def peak_of(pid: int) -> int:
    """The most bytes of memory that the process had, as the kernel counts them."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) << 10


def _code(call: grpc.Future[bytes]) -> str:
    call.exception(WAIT)
    assert isinstance(call, grpc.Call)
    return str(call.code().name)
