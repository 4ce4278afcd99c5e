"""Connections of a stranger keep no known caller out, stop no call, and leave audit log and store their files."""

from __future__ import annotations

import contextlib
import socket
import ssl

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.authority import WAIT, eventually
from tests.support.production import Production, Server
from tokenauthority.client import Authority
from tokenauthority.v1 import project_pb2


STRANGER, PROJECT = "127.0.0.3", "47000000"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""The begin of a connection of HTTP/2, with empty SETTINGS."""


def connect(address: str, stack: contextlib.ExitStack, tls: ssl.SSLContext | None) -> socket.socket | None:
    """A connection of the stranger, or None if the server does not take it."""
    host, _, port = address.rpartition(":")
    with contextlib.suppress(OSError):
        line = stack.enter_context(socket.create_connection((host, int(port)), WAIT, source_address=(STRANGER, 0)))
        if tls is None:
            return line
        opened = stack.enter_context(tls.wrap_socket(line, server_hostname="localhost"))
        opened.sendall(PREFACE)
        return opened
    return None


def flood(address: str, stack: contextlib.ExitStack, tls: ssl.SSLContext | None, count: int) -> list[socket.socket]:
    """So many connections of the stranger, or fewer where the server takes no more.

    Several at once: one that the server does not take now waits for a second or more until it tries again.
    """
    with ThreadPoolExecutor(64) as pool:
        lines = pool.map(lambda _: connect(address, stack, tls), range(count))
    return [line for line in lines if line is not None]


@contextlib.contextmanager
def known_caller(production: Production, server: Server) -> Iterator[Authority]:
    """A connection of its own, from another address."""
    with production.client(server.address, PROJECT) as client:
        yield client


def serves_all(production: Production, server: Server, opened: Authority) -> None:
    """A call on an open connection and on a new one succeed, are recorded, and both HTTP listeners answer."""
    before = len(server.audited())
    opened.create_session()
    with known_caller(production, server) as new:
        new.create_session()
    assert before + 2 == len(server.audited())
    assert 200 == server.get("/readyz").status_code
    assert 200 == server.get("/.well-known/jwks.json").status_code


@pytest.mark.timeout(240)
@pytest.mark.parametrize("files", [256, 1024])
def test_a_flood_of_connections_stops_no_known_caller(production: Production, files: int) -> None:
    """More than the process may open, to each listener, while the audit log opens a file each second."""
    production.open_files = (files, files)
    server = production.start(AUDIT__CHECKPOINT_INTERVAL="1")
    (planned,) = server.events("server.connection_limits")
    tls = ssl.create_default_context(cadata=production.root_certificates.decode())
    tls.set_alpn_protocols(["h2"])
    with contextlib.ExitStack() as stack, known_caller(production, server) as opened:
        opened.projects.CreateProject(project_pb2.CreateProjectRequest(project_id=PROJECT))
        held = flood(server.address, stack, tls, files)
        held += flood(server.address, stack, None, files)
        serves_all(production, server, opened)
        for address in (server.http_address, server.ops_address):
            held += flood(address, stack, None, files)
        eventually(lambda: bool(server.events("connections.closed")), "no connection was closed")
        checkpoints = len(server.events("audit.checkpoint"))
        serves_all(production, server, opened)
        eventually(lambda: len(server.events("audit.checkpoint")) > checkpoints, "no checkpoint was written")

    assert planned["open_files"] == files < len(held)
    assert [] == server.events("audit.unavailable") + server.events("store.unavailable")
    assert {STRANGER} == {event["origin"] for event in server.events("connections.closed")}


def test_the_soft_limit_is_raised(production: Production) -> None:
    """To the hard one: systems give services 1024 files and let them take more."""
    production.open_files = (256, 700)
    (planned,) = production.start().events("server.connection_limits")

    assert (256, 700) == (planned["before"], planned["open_files"])


def test_a_limit_that_does_not_fit_is_refused_at_the_start(production: Production) -> None:
    """It names the setting and the numbers; and so does a process with too few files for any server."""
    production.open_files = (256, 256)
    status, printed = production.fail(LIMITS__MAX_CONNECTIONS="4096")
    production.open_files = (140, 140)
    status_of_few, printed_of_few = production.fail()

    assert (2, 2) == (status, status_of_few)
    assert "TOKENAUTHORITY_LIMITS__MAX_CONNECTIONS: 4096 is too many" in printed
    assert "this process may open 140 files" in printed_of_few


def test_an_old_configuration_explains_itself(production: Production) -> None:
    """A server whose public port other machines reach says that the probes have moved, until somebody sets where to."""
    settings = production.directory / "authority.toml"
    settings.write_text(
        settings.read_text().replace('http = "127.0.0.1:0"\n        ops = "127.0.0.1:0"', 'http = "0.0.0.0:0"')
    )
    server = production.launch()
    eventually(lambda: bool(server.events("server.ops_on_loopback")) or server.process.poll() is not None, "it hangs")

    assert ["127.0.0.1:8081"] == [event["ops"] for event in server.events("server.ops_on_loopback")]
