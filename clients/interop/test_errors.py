"""Each error that a caller can cause, as each language shows it: status, reason, violations, when to try again."""

from __future__ import annotations

import socket

import pytest

from clients.interop.client import Client
from clients.interop.refusals import CAUSES, OF_THE_CLIENT, OF_THE_SERVER
from clients.interop.rpcs import new_session
from tests.support.postgres import free_port
from tokenauthority.v1 import error_pb2, token_pb2


WITH_TESTS_OF_THEIR_OWN = {"INVALID_FIELD", "RATE_LIMIT"}


@pytest.mark.parametrize(("code", "reason"), CAUSES, ids=[reason for _, reason in CAUSES])
def test_an_error_has_its_status_and_its_reason(client: Client, code: str, reason: str) -> None:
    """And a message for a person. Nothing says to try again."""
    failure = CAUSES[code, reason](client)

    assert (code, reason) == (failure.code, failure.reason)
    assert failure.message
    assert ([], None) == (failure.violations, failure.retry_after)


def test_each_reason_has_a_cause() -> None:
    """Or a table says why no caller can cause it."""
    reasons = {name.removeprefix("ERROR_REASON_") for name, _ in error_pb2.ErrorReason.items()} - {"UNSPECIFIED"}
    caused = {reason for _, reason in CAUSES}

    assert reasons == caused | OF_THE_SERVER | OF_THE_CLIENT | WITH_TESTS_OF_THEIR_OWN


def test_a_wrong_key_names_what_to_check(client: Client) -> None:
    """Whoever has set the variables of the client need not know in which header a key travels."""
    failure = CAUSES["UNAUTHENTICATED", "CREDENTIAL_INVALID"](client)

    assert "TOKENAUTHORITY_API_KEY" in failure.message


def test_violations_name_each_invalid_field(client: Client) -> None:
    """With its path and what is wrong, in the order of the server."""
    request = token_pb2.TokenRequest(
        session_id=new_session(client).session_id, role="Not a role", data="a" * 1001, subject="s" * 256
    )

    failure = client.refusal("TokenService/GenerateToken", token_pb2.GenerateTokenRequest(request=request))

    assert ("INVALID_ARGUMENT", "INVALID_FIELD", None) == (failure.code, failure.reason, failure.retry_after)
    assert {"request.role", "request.data", "request.subject"} == {found.field for found in failure.violations}
    assert any("1000 characters" in found.problem for found in failure.violations)


@pytest.mark.parametrize(("options", "field"), [({"ttl": 0}, "ttl"), ({"expire_time": 1}, "expire_time")])
def test_a_lifetime_that_is_refused_is_not_taken_for_the_default(
    client: Client, options: dict[str, int], field: str
) -> None:
    """0 and the past are values, which no client may drop."""
    session_id = new_session(client).session_id

    failure = client.driver().failure("generate_token", session_id=session_id, via="authority", options=options)

    assert "INVALID_ARGUMENT" == failure.code
    assert [f"request.{field}"] == [found.field for found in failure.violations]


def test_refuses_two_lifetimes(client: Client) -> None:
    """The client does: the contract has a place for one."""
    options = {"ttl": 60, "expire_time": 4_000_000_000}

    failure = client.driver().failure("generate_token", session_id="any", via="authority", options=options)

    assert "CLIENT" == failure.code


def test_a_limit_says_when_to_try_again(client: Client) -> None:
    """The client shows it, and does not wait for an hour by itself."""
    session_id, driver = new_session(client).session_id, client.driver("slow")
    driver.reply("generate_token", session_id=session_id, via="authority", options={})

    failure = driver.failure("generate_token", session_id=session_id, via="authority", options={})

    assert ("RESOURCE_EXHAUSTED", "RATE_LIMIT") == (failure.code, failure.reason)
    assert failure.retry_after is not None
    assert 0 < failure.retry_after <= 7200


def test_a_server_that_does_not_answer_is_a_deadline(client: Client) -> None:
    """After TOKENAUTHORITY_TIMEOUT, in spite of retries."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"localhost:{silent.getsockname()[1]}"
        with client.started(client.world.environment(address=address, TIMEOUT="0.5")) as driver:
            failure = driver.failure("create_session", options={})

    assert ("DEADLINE_EXCEEDED", "") == (failure.code, failure.reason)


def test_no_server_is_unavailable(client: Client) -> None:
    """After the last retry, with no reason of an authority."""
    with client.started(client.world.environment(address=f"localhost:{free_port()}")) as driver:
        failure = driver.failure("create_session", options={})

    assert ("UNAVAILABLE", "") == (failure.code, failure.reason)
