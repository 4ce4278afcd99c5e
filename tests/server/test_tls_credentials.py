"""Certificates change under a serving server: new connections get the new ones, open ones lose nothing."""

from __future__ import annotations

import re

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import attrs
import grpc
import pytest

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from grpc_health.v1 import health_pb2

from tests.support.authority import WAIT, eventually
from tests.support.peers import (
    ROOM_SERVICE,
    ask,
    ask_once,
    channel,
    last_call,
    mtls_settings,
    put,
    shown,
    write_callers,
)
from tests.support.production import Production, Server
from tests.support.spiffe import Issued, SpiffeCa


MINUTE = timedelta(minutes=1)


@pytest.fixture
def servers_ca() -> SpiffeCa:
    """Who signs for the server."""
    return SpiffeCa()


@pytest.fixture
def ca() -> SpiffeCa:
    """Who signs for callers."""
    return SpiffeCa()


def localhost(ca: SpiffeCa) -> Issued:
    """A server's certificate."""
    return ca.issue(x509.DNSName("localhost"))


def der(issued: Issued) -> bytes:
    """Its certificate as TLS shows it."""
    return issued.certificate.public_bytes(Encoding.DER)


def loads(server: Server, listener: str, outcome: str) -> float:
    """How often certificates were `loaded` or `refused`."""
    pattern = rf'^tokenauthority_certificate_loads_total{{listener="{listener}",outcome="{outcome}"}} ([0-9.]+)$'
    found = re.search(pattern, server.get("/metrics").text, re.MULTILINE)
    return float(found[1]) if found else 0.0


@attrs.frozen
class Watched:
    """A server, and a client that has a connection open."""

    server: Server
    directory: Path
    roots: bytes
    client: Issued
    opened: grpc.Channel

    def ask_anew(self, client: Issued) -> str:
        """List projects on a new connection; the status."""
        return ask_once(self.server.address_of("mtls"), self.roots, client)

    def shown(self) -> bytes:
        """What a new connection is shown."""
        return shown(self.server.address_of("mtls"), self.directory, self.client)

    def put(self, name: str, content: bytes) -> bytes:
        """Replace a file of listen.mtls; what it held."""
        path = self.directory / f"mtls-{name}.pem"
        before = path.read_bytes()
        put(path, content)
        return before


@pytest.fixture
def watched(production: Production, servers_ca: SpiffeCa, ca: SpiffeCa) -> Iterator[Watched]:
    """The open connection has a stream in flight, and both must live to the end of the test."""
    write_callers(production)
    server = production.start(**mtls_settings(production, localhost(servers_ca), ca))
    client = ca.workload(ROOM_SERVICE)
    with channel(server.address_of("mtls"), servers_ca.bundle, client) as opened:
        watch = opened.unary_stream(
            "/grpc.health.v1.Health/Watch",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        stream = watch(health_pb2.HealthCheckRequest(), timeout=4 * WAIT)
        serving = next(stream).status
        assert "OK" == ask(opened)
        before = last_call(server)["peer"]

        yield Watched(server, production.directory, servers_ca.bundle, client, opened)

        assert (True, health_pb2.HealthCheckResponse.SERVING) == (stream.is_active(), serving)
        assert "OK" == ask(opened)
        assert before == last_call(server)["peer"]
        stream.cancel()


def test_a_new_certificate_is_shown_to_new_connections(watched: Watched, servers_ca: SpiffeCa) -> None:
    """With no restart, while a connection with the old one and its stream live on."""
    old, new = watched.shown(), localhost(servers_ca)
    watched.put("key_file", new.key)
    watched.put("cert_file", new.chain)

    assert der(new) == watched.shown() != old
    assert "OK" == watched.ask_anew(watched.client)


def test_a_new_bundle_counts_for_new_connections(watched: Watched) -> None:
    """A CA that is distrusted lets nobody connect any more; one that is trusted now does."""
    successor = SpiffeCa()
    watched.put("bundle_file", successor.bundle)

    assert "UNAVAILABLE" == watched.ask_anew(watched.client)
    assert "OK" == watched.ask_anew(successor.workload(ROOM_SERVICE))
    assert "OK" == ask(watched.opened)


def test_both_cas_count_while_one_follows_the_other(watched: Watched, ca: SpiffeCa) -> None:
    """A bundle of two CAs takes certificates of either."""
    successor = SpiffeCa()
    watched.put("bundle_file", ca.bundle + successor.bundle)

    assert "OK" == watched.ask_anew(successor.workload(ROOM_SERVICE))
    assert "OK" == watched.ask_anew(watched.client)


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("key_file", SpiffeCa().issue().key, "is not the private key of the certificate"),
        ("bundle_file", b"canary-4b", "holds no certificates in PEM"),
    ],
)
def test_a_broken_file_changes_nothing(watched: Watched, name: str, content: bytes, problem: str) -> None:
    """The old certificates stay, one line and a counter say so, and good files are taken again."""
    server, good = watched.server, watched.put(name, content)

    assert ["OK"] * 3 == [watched.ask_anew(watched.client) for _ in range(3)]
    eventually(lambda: bool(server.events("certificate.refused")), "nothing was logged")
    assert [("mtls", True)] == [
        (event["listener"], problem in str(event["problem"])) for event in server.events("certificate.refused")
    ]
    assert "canary-4b" not in server.log()
    assert (1.0, 1.0) == (loads(server, "mtls", "loaded"), loads(server, "mtls", "refused"))
    watched.put(name, good)
    assert "OK" == watched.ask_anew(watched.client)
    assert (2.0, 1.0) == (loads(server, "mtls", "loaded"), loads(server, "mtls", "refused"))


def test_an_expired_certificate_is_not_taken(production: Production, servers_ca: SpiffeCa, ca: SpiffeCa) -> None:
    """At start it is named; later the old one stays."""
    write_callers(production)
    settings = mtls_settings(production, localhost(servers_ca), ca)
    server = production.start(**settings)
    over = servers_ca.issue(x509.DNSName("localhost"), lifetime=-MINUTE)
    put(production.directory / "mtls-key_file.pem", over.key)
    put(production.directory / "mtls-cert_file.pem", over.chain)

    assert "OK" == ask_once(server.address_of("mtls"), servers_ca.bundle, ca.workload(ROOM_SERVICE))
    status, log = production.fail(**settings)
    assert 2 == status
    assert "the certificate in mtls-cert_file.pem ended at " in log
    assert "Traceback" not in log


def test_the_other_listener_takes_a_new_certificate_too(production: Production, servers_ca: SpiffeCa) -> None:
    """listen.grpc shows the new one to new connections; the open one is not touched."""
    server = production.start()
    roots = production.root_certificates
    api_key = ("authorization", f"Bearer {production.api_key}")
    with channel(server.address, roots) as opened:
        assert "OK" == ask(opened, api_key)
        before = last_call(server)["peer"]
        new = localhost(servers_ca)
        # The operators' listener has the same certificate, and may show the new one first.
        server.trust.load_verify_locations(cadata=servers_ca.bundle.decode())
        put(production.directory / "server.key", new.key)
        put(production.directory / "server.pem", new.chain)

        assert der(new) == shown(server.address, production.directory)
        assert "OK" == ask_once(server.address, servers_ca.bundle, None, api_key)
        assert "OK" == ask(opened, api_key)
        assert before == last_call(server)["peer"]
    assert 2.0 == loads(server, "grpc", "loaded")
