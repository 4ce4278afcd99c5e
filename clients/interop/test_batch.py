"""Many tokens in one call, in each language: in order, all or none, as large as the contract allows."""

from __future__ import annotations

from clients.interop.client import Client
from clients.interop.rpcs import new_session


MOST = 1000


def test_a_batch_of_1000_is_in_order(client: Client) -> None:
    """Each token has the data of its request. Four megabytes go and six come: more than gRPC receives by default."""
    driver, session_id = client.driver(), new_session(client).session_id
    requests = [{"session_id": session_id, "data": f"{number:04}" + "😀" * 996} for number in range(MOST)]

    tokens = driver.ok("generate_tokens", requests=requests)["tokens"]

    assert MOST == len(set(tokens))
    for number in (0, 1, 499, 998, 999):
        assert requests[number]["data"] == driver.ok("verify_token", token=tokens[number])["data"]


def test_a_batch_has_the_options_of_each_item(client: Client) -> None:
    """Of several sessions, roles and formats."""
    driver, sessions = client.driver(), [new_session(client).session_id for _ in range(2)]
    roles, formats = ("subscriber", "moderator", "publisher"), ("session_jwt", "opentok_t1", "opentok_jwt")
    requests = [
        {"session_id": sessions[number % 2], "role": role, "format": token_format, "ttl": 60 + number}
        for number, (role, token_format) in enumerate(zip(roles, formats, strict=True))
    ]

    tokens = driver.ok("generate_tokens", requests=requests)["tokens"]

    for token, request in zip(tokens, requests, strict=True):
        found = driver.ok("verify_token", token=token, session_id=request["session_id"])
        assert (True, request["role"]) == (found["active"], found["role"])


def test_an_invalid_item_is_named(client: Client) -> None:
    """Then no token is made."""
    driver, session_id = client.driver(), new_session(client).session_id
    requests = [{"session_id": session_id, "role": "publisher"} for _ in range(20)]
    requests[17]["role"] = "Not a role"

    failure = driver.failure("generate_tokens", requests=requests)

    assert ("INVALID_ARGUMENT", "INVALID_FIELD") == (failure.code, failure.reason)
    assert ["requests[17].role"] == [found.field for found in failure.violations]


def test_refuses_a_batch_above_the_limit(client: Client) -> None:
    """By the client or by the authority; the error names the limit."""
    session_id = new_session(client).session_id

    failure = client.driver().failure("generate_tokens", requests=[{"session_id": session_id}] * (MOST + 1))

    assert failure.code in {"INVALID_ARGUMENT", "RESOURCE_EXHAUSTED", "CLIENT"}
    assert str(MOST) in failure.message
