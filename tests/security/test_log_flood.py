"""Whatever a stranger does, and however his call ends, the operational log grows by a bounded number of lines."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import struct

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from grpc_health.v1 import health_pb2

from tests.support.authority import WAIT, eventually
from tests.support.production import Production, Server
from tests.support.wire import LIST_PROJECTS, V1, Pending, Wire
from tokenauthority.v1 import project_pb2


MANY, SOME = 110, 25
"""Of noise that leaves a line each: more than the log takes of one kind. And of noise that must leave none."""

SESSIONS = V1 + "SessionService/CreateSession"


def send(address: str, data: bytes, tls: ssl.SSLContext | None, *, abort: bool) -> None:
    """Connect, send *data* and hang up, with a reset where *abort*."""
    host, _, port = address.rpartition(":")
    with contextlib.suppress(OSError), socket.create_connection((host, int(port)), WAIT) as opened:
        if abort:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with opened if tls is None else tls.wrap_socket(opened, server_hostname="localhost") as line:
            line.sendall(data)
            if not abort:
                line.recv(4096)


def noise(server: Server) -> None:
    """What strangers send to both ports."""
    plain, tls = server.address, server.trust
    ws = b"GET /livez HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
    unfinished = b"GET /livez HTTP/1.1\r\nhost: a\r\n"
    jobs = [
        (MANY, server.http_address, b"\x00\r\n\r\n", tls, False),
        (MANY, server.http_address, ws, tls, False),
        (SOME, server.http_address, b"no TLS at all\r\n\r\n", None, False),
        (SOME, server.http_address, b"\x16\x03\x01", None, True),
        (SOME, server.http_address, unfinished, tls, True),
        (SOME, server.http_address, unfinished + b"content-length: 9\r\n\r\n", tls, True),
        (SOME, plain, b"GET / HTTP/1.1\r\n\r\n", None, False),
        (SOME, plain, b"\x16\x03\x01", None, True),
        (SOME, plain, unfinished, tls, True),
    ]
    with ThreadPoolExecutor(8) as pool:
        for times, address, data, context, abort in jobs:
            for _ in range(times):
                pool.submit(send, address, data, context, abort=abort)


def calls(wire: Wire) -> None:
    """Calls that end in every way: malformed, left, cancelled, late, unknown; with and without a credential."""
    create = project_pb2.CreateProjectRequest(project_id="no id")
    pending: list[Pending] = []
    for _ in range(SOME):
        for method, body, api_key in (
            ("/grpc.health.v1.Health/Check", health_pb2.HealthCheckRequest(service="x"), ""),
            ("/grpc.health.v1.Health/Check", b"\xff", ""),
            ("/no.such/Method", b"", ""),
            (LIST_PROJECTS, b"\xff", None),
            (LIST_PROJECTS, b"", "tak_x"),
            (SESSIONS, b"\xff", None),
            (V1 + "ProjectService/CreateProject", create, None),
        ):
            pending += [
                wire.start(method, body, api_key=api_key),
                wire.start(method, body, api_key=api_key, timeout=0.001),
                wire.start(method, body, api_key=api_key),
            ]
            pending.pop().cancel()
    for call in pending:
        call.exception(WAIT)


@pytest.mark.timeout(240)
def test_a_stranger_writes_no_more_than_the_limit(production: Production, tmp_path: Path) -> None:
    """Hundreds of broken connections and calls, at the most talkative level: lines of one form, and few of a kind."""
    server = production.start(LIMITS__FAILED_AUTH_BURST="100000")
    before = len(server.log().splitlines())
    noise(server)
    options = [("grpc.enable_http_proxy", 0), ("grpc.enable_retries", 0)]
    trust = grpc.ssl_channel_credentials(production.root_certificates)
    port = server.address.rpartition(":")[2]
    with grpc.secure_channel(f"localhost:{port}", trust, options) as channel:
        calls(Wire(channel=channel, api_key=production.api_key))
    assert 0 == server.stop()
    eventually(lambda: bool(server.events("server.stopped")), "it has not stopped in order")
    lines = server.log().splitlines()[before:]
    kinds = Counter(json.loads(line)["event"][:50] for line in lines)

    assert max(kinds.values()) <= 110, kinds
    assert len(lines) < 1000, kinds
    assert "Traceback" not in server.log(), kinds
    assert {"log.dropped"} <= kinds.keys()
