"""How a client reaches an authority: API key, trusted certificates, address."""

from __future__ import annotations

import contextlib
import socket
import threading

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
import trustme

from tests.client.conftest import SESSION_ANSWER, Client, ScriptedServer, done, entered
from tokenauthority.client import Authority, DeadlineExceeded, Unavailable
from tokenauthority.client.connection import Connection


KEY = "tak_" + "k" * 43


@pytest.fixture
def certificate_authority() -> trustme.CA:
    """A throw-away certificate authority."""
    return trustme.CA()


@pytest.fixture
def tls_server(certificate_authority: trustme.CA) -> Iterator[ScriptedServer]:
    """A scripted server with a certificate for authority.test."""
    issued = certificate_authority.issue_cert("authority.test")
    pair = (issued.private_key_pem.bytes(), issued.cert_chain_pems[0].bytes())
    script = ScriptedServer([SESSION_ANSWER])
    server = grpc.server(ThreadPoolExecutor(2), handlers=[script])
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
    script.address = f"127.0.0.1:{port}"
    server.start()
    yield script
    server.stop(0).wait(10)


def test_does_not_send_the_key_to_a_server_without_tls(scripted_server: ScriptedServer) -> None:
    """Plaintext is never a fallback."""
    scripted_server.answers = [SESSION_ANSWER]
    with (
        Authority(scripted_server.address, api_key=KEY, timeout=2) as authority,
        pytest.raises((Unavailable, DeadlineExceeded)),
    ):
        authority.get_session("2_abc")

    assert [] == scripted_server.metadata


async def test_sends_the_key_over_tls(
    kind: type[Client], tls_server: ScriptedServer, certificate_authority: trustme.CA
) -> None:
    """The server must show a certificate of a trusted authority, for the name asked for."""
    async with entered(
        kind(
            tls_server.address,
            api_key=KEY,
            root_certificates=certificate_authority.cert_pem.bytes(),
            tls_server_name="authority.test",
        )
    ) as client:
        await done(client.get_session("2_abc"))

    assert f"Bearer {KEY}" == tls_server.metadata[0]["authorization"]


async def test_reads_the_certificate_authorities_of_a_file(
    kind: type[Client], tls_server: ScriptedServer, certificate_authority: trustme.CA, tmp_path: Path
) -> None:
    """In place of their bytes. A file without one is named when the client is made."""
    file = tmp_path / "ca.pem"
    file.write_bytes(certificate_authority.cert_pem.bytes())
    async with entered(
        kind(tls_server.address, api_key=KEY, ca_file=str(file), tls_server_name="authority.test")
    ) as client:
        await done(client.get_session("2_abc"))

    file.write_bytes(b"none")
    with pytest.raises(ValueError, match=r"ca_file .*: holds no certificate in PEM"):
        kind(tls_server.address, api_key=KEY, ca_file=str(file))
    assert 1 == len(tls_server.metadata)


def test_refuses_a_certificate_of_an_authority_that_it_does_not_trust(tls_server: ScriptedServer) -> None:
    """The key does not leave."""
    with (
        Authority(
            tls_server.address,
            api_key=KEY,
            root_certificates=trustme.CA().cert_pem.bytes(),
            tls_server_name="authority.test",
            timeout=2,
        ) as authority,
        pytest.raises((Unavailable, DeadlineExceeded)),
    ):
        authority.get_session("2_abc")

    assert [] == tls_server.metadata


@pytest.mark.parametrize("text", [f"{KEY}\n", f" {KEY}", "tak_\u00e9", "tak a"])
def test_refuses_a_key_that_no_header_carries_without_showing_it(text: str) -> None:
    """The message that gRPC has for it would hold the key."""
    with pytest.raises(ValueError, match="api_key must be 1 to 8192 characters of printable ASCII") as caught:
        Authority("localhost:1", api_key=text, plaintext=True)

    assert text.strip() not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"address": ""}, "address is not set"),
        ({"address": "localhost"}, "address must be HOST:PORT, such as localhost:50051$"),
        ({"timeout": 0}, "timeout must be a number of seconds above 0"),
        ({"timeout": float("nan")}, "timeout must be a number of seconds above 0"),
        ({"plaintext": True, "root_certificates": b"x"}, "plaintext does not go with"),
        ({"plaintext": True, "tls_server_name": "x"}, "plaintext does not go with"),
        ({"plaintext": True, "cert_file": "x", "key_file": "y"}, "plaintext does not go with"),
        ({"plaintext": True, "ca_file": "x"}, "plaintext does not go with"),
        ({"ca_file": "x", "root_certificates": b"x"}, "^ca_file and root_certificates are set"),
        ({"root_certificates": b"x"}, "^root_certificates: holds no certificate in PEM"),
        ({"api_key": "tak_" + "k" * 8192}, "^api_key must be 1 to 8192"),
        ({"cert_file": "x"}, "cert_file and key_file go together: set both or neither"),
        ({"key_file": "y"}, "cert_file and key_file go together"),
        ({"token_file": "x"}, "^api_key and token_file are set"),
        ({"api_key": "", "token_file": "x", "credentials": str}, "^token_file and credentials are set"),
    ],
)
def test_refuses_what_cannot_work(changes: dict[str, object], message: str) -> None:
    """At once, not with the first call."""
    values: dict[str, object] = {"address": "localhost:1", "api_key": KEY, **changes}

    with pytest.raises(ValueError, match=message):
        Connection(**values)  # type: ignore[arg-type]  # each case is one field of one type


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """The first bytes of each connection to a proxy, which every variable of the environment names."""
    seen: list[bytes] = []

    def record(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection:
                    seen.append(connection.recv(64))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=record, args=(listener,), daemon=True)
        thread.start()
        where = f"127.0.0.1:{listener.getsockname()[1]}"
        for name in ("no_proxy", "NO_PROXY", "no_grpc_proxy"):
            monkeypatch.delenv(name, raising=False)
        for name in ("http_proxy", "https_proxy", "grpc_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://{where}")
        monkeypatch.setenv("GRPC_ADDRESS_HTTP_PROXY", where)
        monkeypatch.setenv("GRPC_ADDRESS_HTTP_PROXY_ENABLED_ADDRESSES", "127.0.0.0/8")
        yield seen
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(10)


async def test_uses_no_proxy_for_plaintext(
    kind: type[Client], scripted_server: ScriptedServer, proxy: list[bytes]
) -> None:
    """The proxy would read the API key, and cannot reach what is on loopback."""
    scripted_server.answers = [SESSION_ANSWER]
    async with entered(kind(scripted_server.address, api_key=KEY, plaintext=True)) as client:
        assert "2_abc" == (await done(client.get_session("2_abc"))).session_id

    assert [] == proxy


async def test_uses_no_proxy_for_tls(
    kind: type[Client], tls_server: ScriptedServer, certificate_authority: trustme.CA, proxy: list[bytes]
) -> None:
    """One rule for every address: the environment does not decide where a client connects."""
    root = certificate_authority.cert_pem.bytes()
    async with entered(
        kind(tls_server.address, api_key=KEY, root_certificates=root, tls_server_name="authority.test")
    ) as client:
        assert "2_abc" == (await done(client.get_session("2_abc"))).session_id

    assert [] == proxy


def test_tries_to_connect_again_every_five_seconds() -> None:
    """A server that is back after minutes is found within seconds, by blocking and asyncio clients and the verifier."""
    options = dict(Connection(address="127.0.0.1:1", api_key=KEY)._options())

    assert 5_000 == options["grpc.max_reconnect_backoff_ms"]
