"""On listen.mtls a caller is the one SPIFFE id of its certificate, proved in the handshake, and nothing else."""

from __future__ import annotations

import socket
import ssl

from collections.abc import Iterator
from datetime import timedelta

import attrs
import pytest
import trustme

from cryptography import x509

from tests.support.authority import WAIT, eventually
from tests.support.peers import (
    ROOM_SERVICE,
    ROOM_SERVICE_ID,
    ask,
    ask_once,
    channel,
    last_caller,
    mtls_settings,
    write_callers,
)
from tests.support.production import Production, Server, production_in
from tests.support.spiffe import Issued, SpiffeCa


@attrs.frozen
class World:
    """A server with both TLS listeners, and who signs for whom."""

    production: Production
    server: Server
    servers_ca: SpiffeCa
    ca: SpiffeCa

    @property
    def mtls(self) -> str:
        """Where client certificates are asked for."""
        return self.server.address_of("mtls")

    def ask(self, client: Issued | None, *metadata: tuple[str, str]) -> str:
        """List projects on a new connection; the status."""
        return ask_once(self.mtls, self.servers_ca.bundle, client, *metadata)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, authority_of_certificates: trustme.CA) -> Iterator[World]:
    """One server for all tests here: none changes it."""
    with production_in(tmp_path_factory.mktemp("mtls"), authority_of_certificates) as production:
        servers_ca, ca = SpiffeCa(), SpiffeCa()
        write_callers(production)
        shown = servers_ca.issue(x509.DNSName("localhost"))
        server = production.start(**mtls_settings(production, shown, ca))
        yield World(production, server, servers_ca, ca)


def test_a_caller_is_its_spiffe_id(world: World) -> None:
    """With its own grant: what that does not name is denied. The audit record says who it was."""
    with channel(world.mtls, world.servers_ca.bundle, world.ca.workload(ROOM_SERVICE)) as opened:
        answers = [ask(opened), ask(opened, create=True)]

    assert ["OK", "PERMISSION_DENIED"] == answers
    assert ("room-service", "spiffe", ROOM_SERVICE_ID) == last_caller(world.server)


@pytest.mark.parametrize(
    "names",
    [
        [x509.DNSName("room-service.prod.example")],
        [x509.DNSName("localhost"), x509.RFC822Name("a@prod.example")],
    ],
)
def test_other_names_beside_the_one_uri_do_not_matter(world: World, names: list[x509.GeneralName]) -> None:
    """SPIFFE allows a DNS name beside the id."""
    assert "OK" == world.ask(world.ca.workload(ROOM_SERVICE, *names))


def _uri(text: str) -> x509.UniformResourceIdentifier:
    return x509.UniformResourceIdentifier(text)


@pytest.mark.parametrize(
    "names",
    [
        [],
        [_uri("spiffe://prod.example/ns/video/sa/nobody")],
        [_uri("spiffe://other.example" + ROOM_SERVICE)],
        [_uri(ROOM_SERVICE_ID), _uri("spiffe://prod.example/other")],
        [_uri("spiffe://prod.example/other"), _uri(ROOM_SERVICE_ID)],
        [_uri(ROOM_SERVICE_ID), _uri(ROOM_SERVICE_ID)],
        [_uri(ROOM_SERVICE_ID), _uri("https://prod.example")],
        [x509.DNSName(ROOM_SERVICE_ID)],
        [_uri("spiffe://prod.example/other"), x509.DNSName(ROOM_SERVICE_ID)],
        [x509.RFC822Name(ROOM_SERVICE_ID)],
        [_uri("spiffe://prod.example")],
        [_uri(ROOM_SERVICE_ID + "/")],
        [_uri(ROOM_SERVICE_ID.replace("spiffe", "SPIFFE"))],
        [_uri(ROOM_SERVICE_ID.replace("prod", "PROD"))],
        [_uri(ROOM_SERVICE_ID + "?x=y")],
    ],
    ids=lambda names: ",".join(str(name.value) for name in names) or "no names",
)
def test_a_valid_certificate_of_nobody_is_nobody(world: World, names: list[x509.GeneralName]) -> None:
    """No id, an unknown one, several, or one that only other kinds of names spell: all the same answer."""
    assert "UNAUTHENTICATED" == world.ask(world.ca.issue(*names))


def test_a_ca_is_no_caller(world: World) -> None:
    """X509-SVID, section 5.2. TLS takes its certificate, and the record alone says why it is refused."""
    assert "UNAUTHENTICATED" == world.ask(world.ca.issue(_uri(ROOM_SERVICE_ID), ca=True))
    assert "the certificate is that of a CA (basicConstraints)" == world.server.audited()[-1]["credential_problem"]


def test_nobody_connects_without_a_certificate_of_the_bundle(world: World) -> None:
    """None, one of another CA (that of the server's own certificate included), or one that has ended."""
    strangers = [
        None,
        SpiffeCa().workload(ROOM_SERVICE),
        world.servers_ca.workload(ROOM_SERVICE),
        world.ca.workload(ROOM_SERVICE, lifetime=timedelta(seconds=-60)),
    ]

    assert ["UNAVAILABLE"] * 4 == [world.ask(stranger) for stranger in strangers]


def test_strangers_cannot_fill_the_log(world: World) -> None:
    """A handshake that fails leaves no line: what is there is ours, one JSON object each."""
    # The last lines of the start: a look at the files of the settings, four of which others may read here.
    eventually(lambda: len(world.server.events("file.exposed")) == 4, "the server has not looked at its files")
    before = world.server.log()
    world.ask(None)

    assert before == world.server.log()
    assert all(line.startswith("{") for line in before.splitlines())


def test_metadata_says_nothing_here(world: World) -> None:
    """An API key does not help a certificate of nobody, nor does a forwarded certificate; neither changes a caller."""
    known, unknown = world.ca.workload(ROOM_SERVICE), world.ca.workload("/unknown")
    api_key = ("authorization", f"Bearer {world.production.api_key}")
    forwarded = ("x-forwarded-client-cert", f"URI={ROOM_SERVICE_ID}")

    assert "UNAUTHENTICATED" == world.ask(unknown, api_key)
    assert "UNAUTHENTICATED" == world.ask(unknown, forwarded)
    assert "UNAUTHENTICATED" == world.ask(unknown, api_key, forwarded)
    assert "OK" == world.ask(known, api_key, ("x-forwarded-client-cert", "URI=spiffe://prod.example/unknown"))
    assert "room-service" == last_caller(world.server)[0]


def test_a_forwarded_certificate_says_nothing_to_the_other_listener(world: World) -> None:
    """Where API keys are taken, `x-forwarded-client-cert` makes nobody a caller and no caller another one."""
    address, roots = world.server.address, world.production.root_certificates
    forwarded = ("x-forwarded-client-cert", f"URI={ROOM_SERVICE_ID}")
    api_key = ("authorization", f"Bearer {world.production.api_key}")

    assert "UNAUTHENTICATED" == ask_once(address, roots, None, forwarded)
    assert "OK" == ask_once(address, roots, None, forwarded, api_key)
    assert "backend" == last_caller(world.server)[0]


def test_a_certificate_says_nothing_to_the_other_listener(world: World) -> None:
    """Where API keys are taken, no certificate is asked for, and one that is shown is not looked at."""
    known = world.ca.workload(ROOM_SERVICE)

    assert "UNAUTHENTICATED" == ask_once(world.server.address, world.production.root_certificates, known)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1:DeprecationWarning")
@pytest.mark.parametrize(
    ("version", "spoken"),
    [
        (ssl.TLSVersion.TLSv1_1, False),
        (ssl.TLSVersion.TLSv1_2, True),
        (ssl.TLSVersion.TLSv1_3, True),
    ],
)
def test_takes_no_old_tls(world: World, version: ssl.TLSVersion, *, spoken: bool) -> None:
    """Nothing below TLS 1.2, with a valid certificate too."""
    client = world.ca.workload(ROOM_SERVICE)
    path = world.production.directory / "tls-client.pem"
    path.write_bytes(client.chain + client.key)
    context = ssl.create_default_context(cadata=world.servers_ca.bundle.decode())
    context.load_cert_chain(path)
    context.set_alpn_protocols(["h2"])
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    host, _, port = world.mtls.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=WAIT) as raw:
        try:
            with context.wrap_socket(raw, server_hostname="localhost") as connection:
                worked = connection.version() is not None
        except (ssl.SSLError, ConnectionError):
            worked = False

    assert spoken == worked
