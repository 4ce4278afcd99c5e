"""With the SPIFFE Workload API the server has its certificates and its CAs from the agent, and follows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from prometheus_client import CollectorRegistry
from spiffe import WorkloadApiClient
from spiffe._proto import workload_pb2 as pb
from spiffe.errors import PySpiffeError

from tests.server.workload_api import WorkloadApiServer
from tests.support.authority import eventually
from tests.support.logs import capture_logs
from tests.support.peers import (
    ROOM_SERVICE,
    ROOM_SERVICE_ID,
    ask,
    ask_once,
    channel,
    last_call,
    last_caller,
    shown,
    write_callers,
)
from tests.support.production import Production, Server
from tests.support.spiffe import Issued, SpiffeCa
from tokenauthority.server.tls import CertificateError
from tokenauthority.server.tls_credentials import CertificateMetrics, RotatingCredentials
from tokenauthority.server.workload_api import WorkloadApi


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkloadApiServer]:
    """An agent that knows no workload yet, where SPIFFE's variable says."""
    with WorkloadApiServer(tmp_path) as started:
        monkeypatch.setenv("SPIFFE_ENDPOINT_SOCKET", started.endpoint)
        yield started


@pytest.fixture
def ca() -> SpiffeCa:
    """The trust domain's CA."""
    return SpiffeCa()


def authority(ca: SpiffeCa) -> Issued:
    """The server's SVID, with a DNS name for clients that check one."""
    return ca.workload("/authority", x509.DNSName("localhost"))


def started(production: Production) -> Server:
    """A server whose settings name no files: the variable alone says where the certificates are."""
    write_callers(production)
    return production.start(LISTEN__MTLS="127.0.0.1:0")


def shows(production: Production, server: Server, client: Issued, expected: Issued) -> None:
    """Wait until new connections are shown *expected*."""
    der = expected.certificate.public_bytes(Encoding.DER)
    address = server.address_of("mtls")
    eventually(lambda: der == shown(address, production.directory, client), "the new one is not shown")


def test_follows_the_agent_without_dropping_a_connection(
    production: Production, agent: WorkloadApiServer, ca: SpiffeCa
) -> None:
    """A new SVID is shown, a new CA trusted in place of the old one; the open connection goes on."""
    agent.serve(authority(ca), ca)
    server = started(production)
    address, client = server.address_of("mtls"), ca.workload(ROOM_SERVICE)
    with channel(address, ca.bundle, client) as opened:
        assert "OK" == ask(opened)
        assert ("room-service", "spiffe", ROOM_SERVICE_ID) == last_caller(server)
        before = last_call(server)["peer"]

        second = authority(ca)
        agent.serve(second, ca)
        shows(production, server, client, second)
        successor = SpiffeCa()
        third = authority(successor)
        agent.serve(third, successor)
        shows(production, server, successor.workload(ROOM_SERVICE), third)

        assert "OK" == ask_once(address, successor.bundle, successor.workload(ROOM_SERVICE))
        assert "UNAVAILABLE" == ask_once(address, successor.bundle, client)
        assert "OK" == ask(opened)
        assert before == last_call(server)["peer"]
    assert 0 == server.stop()


def test_trusts_no_federated_trust_domain(production: Production, agent: WorkloadApiServer, ca: SpiffeCa) -> None:
    """Its CA could otherwise sign ids of ours; nor are ids of another trust domain taken that ours signed."""
    other = SpiffeCa("other.example")
    agent.serve(authority(ca), ca, federated={"other.example": other})
    address = started(production).address_of("mtls")
    forged = other.issue(x509.UniformResourceIdentifier(ROOM_SERVICE_ID))
    foreign = ca.issue(x509.UniformResourceIdentifier("spiffe://other.example" + ROOM_SERVICE))

    assert "UNAVAILABLE" == ask_once(address, ca.bundle, forged)
    assert "UNAUTHENTICATED" == ask_once(address, ca.bundle, foreign)
    assert "OK" == ask_once(address, ca.bundle, ca.workload(ROOM_SERVICE))


BROKEN: list[pb.X509SVIDResponse | grpc.StatusCode] = [
    pb.X509SVIDResponse(),
    pb.X509SVIDResponse(svids=[pb.X509SVID(x509_svid=b"x", x509_svid_key=b"canary-5e", bundle=b"x")]),
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.UNAVAILABLE,
]


def test_serves_the_last_certificate_when_the_agent_sends_no_valid_one(
    production: Production, agent: WorkloadApiServer, ca: SpiffeCa
) -> None:
    """Nothing, rubbish, a key of another certificate, or errors: each is survived, and the next valid one is taken."""
    agent.serve(authority(ca), ca)
    server = started(production)
    address, client = server.address_of("mtls"), ca.workload(ROOM_SERVICE)
    mixed = Issued(authority(ca).certificate, ca.issue().private_key)
    for broken in [*BROKEN, mixed]:
        again = agent.streams + 1
        if isinstance(broken, Issued):
            agent.serve(broken, ca)
        else:
            agent.send(broken)
        eventually(partial(agent.has_streamed, again), f"the stream did not begin again after {broken}")
        assert "OK" == ask_once(address, ca.bundle, client)
        good = authority(ca)
        agent.serve(good, ca)
        shows(production, server, client, good)

    refused = [str(event["problem"]) for event in server.events("certificate.refused")]
    assert any("is not the private key of the certificate" in problem for problem in refused)
    assert all(problem.startswith("the Workload API: ") for problem in refused)
    assert "canary-5e" not in server.log()


def test_finds_an_agent_again_that_was_away(
    production: Production, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ca: SpiffeCa
) -> None:
    """While the agent is restarted the server serves with what it has."""
    client = ca.workload(ROOM_SERVICE)
    with WorkloadApiServer(tmp_path) as first:
        monkeypatch.setenv("SPIFFE_ENDPOINT_SOCKET", first.endpoint)
        first.serve(authority(ca), ca)
        server = started(production)
    address = server.address_of("mtls")
    assert "OK" == ask_once(address, ca.bundle, client)
    with WorkloadApiServer(tmp_path) as second:
        new = authority(ca)
        second.serve(new, ca)
        shows(production, server, client, new)

        assert "OK" == ask_once(address, ca.bundle, client)


def test_streams_again_after_an_error_of_the_library_itself(
    agent: WorkloadApiServer, ca: SpiffeCa, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread does not end in silence, before the first certificate or after it: a line, a count, a new stream."""
    bugs, stream = [RuntimeError("no stream")], WorkloadApiClient.stream_x509_contexts

    def stream_or_raise(client: WorkloadApiClient, *callbacks: Any) -> object:
        if bugs:
            raise bugs.pop()
        return stream(client, *callbacks)

    monkeypatch.setattr(WorkloadApiClient, "stream_x509_contexts", stream_or_raise)
    agent.serve(authority(ca), ca)
    source, registry = WorkloadApi(agent.endpoint), CollectorRegistry()
    source.send_to(RotatingCredentials("mtls", source.first, CertificateMetrics(registry)))
    labels, again = {"listener": "mtls", "outcome": "refused"}, agent.streams + 1
    with capture_logs() as events:
        bugs.append(RuntimeError("no stream"))
        agent.send(grpc.StatusCode.INVALID_ARGUMENT)
        eventually(partial(agent.has_streamed, again), "the stream did not begin again")
    source.close()

    assert 2.0 <= (registry.get_sample_value("tokenauthority_certificate_loads_total", labels) or 0)
    assert "the Workload API: no stream" in [event["problem"] for event in events]


def test_says_that_the_agent_sends_nothing(agent: WorkloadApiServer) -> None:
    """A workload without an entry gets an error after a bounded time, and the agent's own error where there was one."""
    with pytest.raises(CertificateError, match="has this workload an entry"):
        WorkloadApi(agent.endpoint, first_answer=0.5)
    agent.send(grpc.StatusCode.INVALID_ARGUMENT)
    with pytest.raises(CertificateError, match="INVALID_ARGUMENT"):
        WorkloadApi(agent.endpoint, first_answer=5)


def test_a_text_of_the_agent_is_one_line_of_bounded_length(
    agent: WorkloadApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes into the log and into `details` of `/readyz`."""

    def fail(_: object, __: object, failed: Callable[[Exception], None]) -> SimpleNamespace:
        failed(PySpiffeError("denied\nINFO " * 10_000))
        return SimpleNamespace(cancel=lambda: None)

    monkeypatch.setattr(WorkloadApiClient, "stream_x509_contexts", fail)
    with pytest.raises(CertificateError, match="denied") as caught:
        WorkloadApi(agent.endpoint, first_answer=0.2)

    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000


def test_needs_a_socket(production: Production, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A variable that leads nowhere is named at start, with all else that is missing."""
    monkeypatch.setenv("SPIFFE_ENDPOINT_SOCKET", f"unix://{tmp_path}/none.sock")
    (production.directory / "callers.toml").unlink()
    status, log = production.fail(LISTEN__MTLS="127.0.0.1:0")

    assert 2 == status
    assert "SPIFFE_ENDPOINT_SOCKET: unix://" in log
    assert "TOKENAUTHORITY_CALLERS__FILE: callers.toml is not a file" in log
