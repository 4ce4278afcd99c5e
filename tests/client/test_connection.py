"""How the client reaches an authority: credential, trust, deadline, environment."""

from __future__ import annotations

import threading

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
import grpc
import pytest
import trustme

from google.protobuf.message import Message

from tests.client.conftest import ScriptedServer, giving
from tokenauthority.client import AsyncAuthority, Authority, DeadlineExceeded, Unavailable
from tokenauthority.client.connection import Connection
from tokenauthority.client.environment import ADDRESS, API_KEY, PLAINTEXT, connection_from
from tokenauthority.v1 import key_pb2, session_pb2, token_pb2


KEY = "tak_" + "k" * 43
SESSION = giving(session_pb2.GetSessionResponse(session=session_pb2.Session(session_id="2_abc")))


@pytest.fixture
def certificate_authority() -> trustme.CA:
    """A throw-away certificate authority."""
    return trustme.CA()


@pytest.fixture
def tls_server(certificate_authority: trustme.CA) -> Iterator[ScriptedServer]:
    """A scripted server with a certificate for authority.test."""
    issued = certificate_authority.issue_cert("authority.test")
    pair = (issued.private_key_pem.bytes(), issued.cert_chain_pems[0].bytes())
    script = ScriptedServer([SESSION])
    server = grpc.server(ThreadPoolExecutor(2), handlers=[script])
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
    script.address = f"127.0.0.1:{port}"
    server.start()
    yield script
    server.stop(0).wait(10)


def test_sends_the_key_in_plaintext_only_when_asked(scripted_server: ScriptedServer) -> None:
    """With plaintext the key is ordinary metadata, next to what the call itself sends."""
    scripted_server.answers = [SESSION]
    with Authority(scripted_server.address, api_key=KEY, plaintext=True) as authority:
        request = session_pb2.GetSessionRequest(session_id="2_abc")
        authority.sessions.GetSession(request, metadata=(("x-request-id", "mine"),))

    assert f"Bearer {KEY}" == scripted_server.metadata[0]["authorization"]
    assert "mine" == scripted_server.metadata[0]["x-request-id"]


def test_does_not_send_the_key_to_a_server_without_tls(scripted_server: ScriptedServer) -> None:
    """Plaintext is never a fallback."""
    scripted_server.answers = [SESSION]
    with (
        Authority(scripted_server.address, api_key=KEY, timeout=2) as authority,
        pytest.raises((Unavailable, DeadlineExceeded)),
    ):
        authority.get_session("2_abc")

    assert [] == scripted_server.metadata


def test_sends_the_key_over_tls(tls_server: ScriptedServer, certificate_authority: trustme.CA) -> None:
    """The server must show a certificate of a trusted authority, for the name asked for."""
    with Authority(
        tls_server.address,
        api_key=KEY,
        root_certificates=certificate_authority.cert_pem.bytes(),
        tls_server_name="authority.test",
    ) as authority:
        authority.get_session("2_abc")

    assert f"Bearer {KEY}" == tls_server.metadata[0]["authorization"]


async def test_sends_the_key_over_tls_with_asyncio(
    tls_server: ScriptedServer, certificate_authority: trustme.CA
) -> None:
    """The same for the asyncio client."""
    async with AsyncAuthority(
        tls_server.address,
        api_key=KEY,
        root_certificates=certificate_authority.cert_pem.bytes(),
        tls_server_name="authority.test",
    ) as authority:
        await authority.get_session("2_abc")

    assert f"Bearer {KEY}" == tls_server.metadata[0]["authorization"]


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


def test_a_call_has_a_deadline(scripted_server: ScriptedServer) -> None:
    """A server that does not answer does not hold its caller for ever."""
    release = threading.Event()

    def hang(_: bytes, context: grpc.ServicerContext) -> Message:
        context.add_callback(release.set)
        release.wait(30)
        return key_pb2.GetJsonWebKeySetResponse()

    scripted_server.answers = [hang]
    with (
        Authority(scripted_server.address, api_key=KEY, plaintext=True, timeout=0.2) as authority,
        pytest.raises(DeadlineExceeded),
    ):
        authority.get_session("2_abc")


def test_a_stream_gets_the_key_and_no_deadline(scripted_server: ScriptedServer) -> None:
    """WatchRevocations is meant to stay open longer than any call."""
    left: list[float | None] = []

    def note(_: bytes, context: grpc.ServicerContext) -> Message:
        left.append(context.time_remaining())
        return token_pb2.WatchRevocationsResponse()

    scripted_server.answers = [note]
    with Authority(scripted_server.address, api_key=KEY, plaintext=True, timeout=5) as authority:
        list(authority.tokens.WatchRevocations(token_pb2.WatchRevocationsRequest()))

    assert f"Bearer {KEY}" == scripted_server.metadata[0]["authorization"]
    # grpcio says "no deadline" as a time beyond all calendars, or as None.
    assert left[0] is None or left[0] > 1e6


@pytest.mark.parametrize("text", [f"{KEY}\n", f" {KEY}", "tak_\u00e9", "tak a"])
def test_refuses_a_key_that_no_header_carries_without_showing_it(text: str) -> None:
    """The message that gRPC has for it would hold the key."""
    with pytest.raises(ValueError, match="api_key has characters that no API key has") as caught:
        Authority("localhost:1", api_key=text, plaintext=True)

    assert text.strip() not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"address": ""}, "address is required"),
        ({"address": "localhost"}, "address is HOST:PORT, such as localhost:50051$"),
        ({"timeout": 0}, "timeout must be more than 0"),
        ({"timeout": float("nan")}, "timeout must be more than 0"),
        ({"plaintext": True, "root_certificates": b"x"}, "plaintext does not go with"),
        ({"plaintext": True, "tls_server_name": "x"}, "plaintext does not go with"),
    ],
)
def test_refuses_what_cannot_work(changes: dict[str, object], message: str) -> None:
    """At once, not with the first call."""
    values: dict[str, object] = {"address": "localhost:1", "api_key": KEY, **changes}

    with pytest.raises(ValueError, match=message):
        Connection(**values)  # type: ignore[arg-type]  # each case is one field of one type


def test_a_client_needs_a_key() -> None:
    """Only the health check goes without."""
    with pytest.raises(ValueError, match="api_key is required"):
        Authority("localhost:1", api_key="")


def test_shows_itself_without_the_key() -> None:
    """A repr ends in logs."""
    with Authority("localhost:1", api_key=KEY, project_id="47", plaintext=True) as authority:
        assert "Authority('localhost:1', project_id='47')" == repr(authority)
        assert KEY not in repr(authority._connection)


def test_reads_the_environment(tmp_path: Path) -> None:
    """All five variables count."""
    ca_file = tmp_path / "ca.pem"
    ca_file.write_bytes(trustme.CA().cert_pem.bytes())
    with Authority.from_environment(
        {
            "TOKENAUTHORITY_ADDRESS": "localhost:1",
            "TOKENAUTHORITY_API_KEY": KEY,
            "TOKENAUTHORITY_CA_FILE": str(ca_file),
            "TOKENAUTHORITY_PLAINTEXT": "0",
            "TOKENAUTHORITY_PROJECT_ID": "47",
        }
    ) as authority:
        expected = Connection(
            address="localhost:1", api_key=KEY, project_id="47", root_certificates=ca_file.read_bytes()
        )

        assert expected == authority._connection


@pytest.mark.parametrize("value", ["1", "true", "yes", "on", "t", "y", "TRUE", "0", "false", "no", "off", "f", "n"])
def test_takes_what_the_command_line_takes_for_plaintext(value: str) -> None:
    """One environment serves both."""
    environ = {ADDRESS: "localhost:1", API_KEY: KEY, PLAINTEXT: value}

    assert click.BOOL.convert(value, None, None) == connection_from(environ).plaintext


def test_the_environment_names_files_and_a_timeout(tmp_path: Path) -> None:
    """The key may be in a file, as the command line takes it."""
    file = tmp_path / "key"
    file.write_text(KEY + "\n")
    with Authority.from_environment(
        {
            "TOKENAUTHORITY_ADDRESS": "dns:///localhost:1",
            "TOKENAUTHORITY_API_KEY_FILE": str(file),
            "TOKENAUTHORITY_TIMEOUT": "2.5",
        }
    ) as authority:
        assert Connection(address="dns:///localhost:1", api_key=KEY, timeout=2.5) == authority._connection


@pytest.mark.parametrize("content", [b"", b" \n", b"\xff\xfe"])
def test_a_file_without_a_key_is_named(tmp_path: Path, content: bytes) -> None:
    """By its variable."""
    file = tmp_path / "key"
    file.write_bytes(content)
    environ = {"TOKENAUTHORITY_ADDRESS": "localhost:1", "TOKENAUTHORITY_API_KEY_FILE": str(file)}

    with pytest.raises(ValueError, match="TOKENAUTHORITY_API_KEY_FILE: the file"):
        Authority.from_environment(environ)


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"TOKENAUTHORITY_API_KEY": KEY}, "TOKENAUTHORITY_ADDRESS is not set"),
        (
            {"TOKENAUTHORITY_ADDRESS": "localhost:1"},
            "no API key: set TOKENAUTHORITY_API_KEY or TOKENAUTHORITY_API_KEY_FILE",
        ),
        (
            {
                "TOKENAUTHORITY_ADDRESS": "localhost:1",
                "TOKENAUTHORITY_API_KEY": KEY,
                "TOKENAUTHORITY_API_KEY_FILE": "key",
            },
            "are both set",
        ),
        (
            {"TOKENAUTHORITY_ADDRESS": "localhost:1", "TOKENAUTHORITY_API_KEY": KEY, "TOKENAUTHORITY_TIMEOUT": "soon"},
            "TOKENAUTHORITY_TIMEOUT must be a number",
        ),
        ({"TOKENAUTHORITY_ADDRESS": "http://localhost:1", "TOKENAUTHORITY_API_KEY": KEY}, "without http://"),
        (
            {
                "TOKENAUTHORITY_ADDRESS": "localhost:1",
                "TOKENAUTHORITY_API_KEY": KEY,
                "TOKENAUTHORITY_PLAINTEXT": "maybe",
            },
            "TOKENAUTHORITY_PLAINTEXT must be one of 1, true, yes, on, 0, false, no, off",
        ),
    ],
)
def test_says_which_variable_is_wrong(environ: dict[str, str], message: str) -> None:
    """By its name, without the key."""
    with pytest.raises(ValueError, match=message) as caught:
        Authority.from_environment(environ)

    assert KEY not in str(caught.value)
