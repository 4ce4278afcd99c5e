"""Behind a real Envoy a caller is whose certificate Envoy saw, whatever it sends along itself."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import attrs
import pytest

from cryptography import x509

from tests.conformance.envoy import running_envoy
from tests.support.peers import ROOM_SERVICE, ROOM_SERVICE_ID, ask_once, last_caller, write_callers
from tests.support.production import Production, Server
from tests.support.spiffe import Issued, SpiffeCa


FORGED = ("x-forwarded-client-cert", f"By=spiffe://prod.example/authority;Hash=ab;URI={ROOM_SERVICE_ID}")


@attrs.frozen
class Mesh:
    """An authority whose side-car is Envoy."""

    server: Server
    address: str
    ca: SpiffeCa

    def ask(self, client: Issued | None, *metadata: tuple[str, str]) -> str:
        """List projects through Envoy on a new connection; the status."""
        return ask_once(self.address, self.ca.bundle, client, *metadata)


@pytest.fixture
def mesh(request: pytest.FixtureRequest, production: Production, tmp_path: Path) -> Iterator[Mesh]:
    """Envoy with SANITIZE_SET and required certificates, or as the test's parameters say."""
    ca = SpiffeCa()
    write_callers(production)
    server = production.start(LISTEN__SIDECAR=f"unix:{tmp_path}/sidecar.sock", LISTEN__GRPC="off")
    options = getattr(request, "param", {})
    shown = ca.workload("/authority", x509.DNSName("localhost"))
    with running_envoy(tmp_path, f"{tmp_path}/sidecar.sock", shown, ca.bundle, **options) as address:
        yield Mesh(server, address, ca)


def test_a_caller_is_whose_certificate_envoy_saw(mesh: Mesh) -> None:
    """Found by the forwarded id, whatever else the certificate says and whatever header the caller sends."""
    known = mesh.ca.workload(ROOM_SERVICE, x509.DNSName("a.prod.example"), x509.DNSName("b.prod.example"))

    assert "OK" == mesh.ask(known)
    assert ("room-service", "spiffe", ROOM_SERVICE_ID) == last_caller(mesh.server)
    assert "OK" == mesh.ask(known, ("x-forwarded-client-cert", "URI=spiffe://prod.example/other"))
    assert "OK" == mesh.ask(known, ("x-forwarded-client-cert", 'odd;;"'))
    assert "room-service" == last_caller(mesh.server)[0]


def test_a_header_of_the_callers_own_never_helps(mesh: Mesh) -> None:
    """Envoy puts its own in its place: a certificate of no caller proves no caller."""
    uri = x509.UniformResourceIdentifier
    nobodies = [
        mesh.ca.workload("/unknown"),
        mesh.ca.issue(x509.DNSName("localhost")),
        mesh.ca.issue(uri(ROOM_SERVICE_ID), uri("spiffe://prod.example/unknown")),
        mesh.ca.issue(uri("spiffe://prod.example/unknown"), uri(ROOM_SERVICE_ID)),
        mesh.ca.issue(x509.DNSName(ROOM_SERVICE_ID)),
    ]

    assert ["UNAUTHENTICATED"] * 10 == [mesh.ask(it, *metadata) for it in nobodies for metadata in ((), (FORGED,))]
    assert ["UNAVAILABLE"] * 3 == [
        mesh.ask(stranger, FORGED)
        for stranger in (
            None,
            SpiffeCa().workload(ROOM_SERVICE),
            mesh.ca.workload(ROOM_SERVICE, lifetime=timedelta(seconds=-1)),
        )
    ]


@pytest.mark.parametrize("mesh", [{"require": False}, {"require": False, "forward": "APPEND_FORWARD"}], indirect=True)
def test_a_header_without_a_certificate_never_helps(mesh: Mesh) -> None:
    """Where Envoy lets callers pass that show none, it takes their header away."""
    assert ["UNAUTHENTICATED"] * 2 == [mesh.ask(None), mesh.ask(None, FORGED)]
    assert "OK" == mesh.ask(mesh.ca.workload(ROOM_SERVICE))


@pytest.mark.parametrize("mesh", [{"forward": "APPEND_FORWARD"}], indirect=True)
def test_the_last_hop_counts_where_envoy_appends(mesh: Mesh) -> None:
    """As Istio has it: what the caller says of hops before itself is read, and is not who it is."""
    unknown, known = mesh.ca.workload("/unknown"), mesh.ca.workload(ROOM_SERVICE)

    assert "UNAUTHENTICATED" == mesh.ask(unknown, FORGED)
    assert "OK" == mesh.ask(known, ("x-forwarded-client-cert", "Hash=ab;URI=spiffe://prod.example/gateway"))
    assert "room-service" == last_caller(mesh.server)[0]
    assert "UNAUTHENTICATED" == mesh.ask(known, ("x-forwarded-client-cert", 'Subject="'))
