"""What proves a client, in each language: API keys and JWTs in files, client certificates. And its project."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme

from clients.interop.client import Client
from clients.interop.rpcs import new_session
from tests.support.peers import put
from tests.support.postgres import free_port


def test_a_token_file_is_read_for_each_call(client: Client) -> None:
    """As Kubernetes renews it: the process goes on."""
    path = client.world.new_token_file()
    genuine = path.read_bytes()
    with client.started(client.world.environment("jwt", TOKEN_FILE=str(path), PROJECT_ID=client.project_id)) as driver:
        driver.ok("create_session", options={})
        put(path, b"x" + genuine)
        refused = driver.failure("create_session", options={})
        put(path, client.world.new_jwt().encode() + b"\n")

        assert ("UNAUTHENTICATED", "CREDENTIAL_INVALID") == (refused.code, refused.reason)
        assert driver.ok("create_session", options={})["session_id"]


@pytest.mark.parametrize("content", [b"", b"a b", b"x" * 9000], ids=["empty", "two words", "too long"])
def test_a_token_file_without_a_token_sends_nothing(client: Client, content: bytes) -> None:
    """The call fails by itself, and the error does not quote the file."""
    path = client.world.new_token_file()
    put(path, content)
    # Nobody listens there: only a client that asks before it looks would say UNAVAILABLE.
    variables = client.world.environment("jwt", f"localhost:{free_port()}", TOKEN_FILE=str(path))
    with client.started(variables) as driver:
        failure = driver.failure("create_session", options={})

    assert failure.code in {"UNAUTHENTICATED", "CLIENT"}
    assert content[:3].decode() not in failure.message or not content


def test_an_api_key_may_be_in_a_file(client: Client, tmp_path: Path) -> None:
    """With a line break at its end."""
    path = tmp_path / "key"
    path.write_text(client.world.keys["backend"] + "\n")
    variables = client.world.environment(API_KEY="", API_KEY_FILE=str(path), PROJECT_ID=client.project_id)
    with client.started(variables) as driver:
        assert driver.ok("create_session", options={})["session_id"]


def test_a_client_certificate_proves_the_client(client: Client) -> None:
    """On the listener that asks for one; without one there is no call."""
    session_id = new_session(client).session_id
    token = client.driver("certificate").ok("generate_token", session_id=session_id, via="session", options={})
    address = client.world.environment("certificate")["TOKENAUTHORITY_ADDRESS"]
    with client.started(client.world.environment(address=address)) as driver:
        refused = driver.failure("create_session", options={})

    assert client.driver().ok("verify_token", token=token["token"])["active"]
    assert refused.code in {"UNAVAILABLE", "UNAUTHENTICATED"}


def test_refuses_a_server_that_another_authority_vouches_for(client: Client, tmp_path: Path) -> None:
    """The API key is not sent to it."""
    path = tmp_path / "other.pem"
    path.write_bytes(trustme.CA().cert_pem.bytes())
    with client.started(client.world.environment(CA_FILE=str(path))) as driver:
        failure = driver.failure("create_session", options={})

    assert "UNAVAILABLE" == failure.code


def test_refuses_a_server_of_another_name(client: Client) -> None:
    """Though the same authority vouches for it."""
    with client.world.impostor() as address, client.started(client.world.environment(address=address)) as driver:
        assert "UNAVAILABLE" == driver.failure("create_session", options={}).code


def test_the_project_is_that_of_the_environment(client: Client) -> None:
    """Without one the authority asks for it, because the caller may use several."""
    with client.started(client.world.environment()) as driver:
        failure = driver.failure("create_session", options={})
        revoking = driver.failure("revoke_tokens", subject="bob")
        session_id = client.driver().ok("create_session", options={})["session_id"]
        with client.world.authority() as authority:
            session = authority.get_session(session_id)

    assert client.project_id == session.project_id
    for refused in (failure, revoking):
        assert "INVALID_ARGUMENT" == refused.code
        assert ["project_id"] == [found.field for found in refused.violations]
