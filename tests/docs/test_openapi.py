"""The OpenAPI document is valid, and requests and answers of a real server are as it says."""

from __future__ import annotations

import json

from typing import Any

import httpx
import pytest

from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import validate

from scripts.docs.openapi import openapi_document
from tests.support.authority import NO_TRUST, RunningAuthority
from tokenauthority.contract import METHODS


DOCUMENT: dict[str, Any] = json.loads(openapi_document())
CHECKS = {"/check": "get", "/check/mediamtx": "post"}
UNARY = {path for path, method in METHODS.items() if not method.descriptor.server_streaming}


def problems(content: dict[str, Any], value: object) -> list[str]:
    """What is wrong with a request or an answer."""
    schema = content["content"]["application/json"]["schema"]
    validator = OAS31Validator({**schema, "components": DOCUMENT["components"]})
    return [error.message for error in validator.iter_errors(value)]


def operation(service: str, method: str) -> dict[str, Any]:
    """What the document says of a call."""
    found: dict[str, Any] = DOCUMENT["paths"][f"/tokenauthority.v1.{service}Service/{method}"]["post"]
    return found


def call(authority: RunningAuthority, service: str, method: str, request: object) -> Any:
    """Make a call whose request and whose answer are as the document says, and return the answer."""
    described = operation(service, method)
    assert [] == problems(described["requestBody"], request)
    headers = {"authorization": f"Bearer {authority.api_key}"}
    url = f"{authority.api_url}/tokenauthority.v1.{service}Service/{method}"
    answer = httpx.post(url, json=request, headers=headers, verify=NO_TRUST)
    responses = {**described["responses"], "default": DOCUMENT["components"]["responses"]["Error"]}
    assert [] == problems(responses.get(str(answer.status_code), responses["default"]), answer.json())
    return answer.json()


def test_is_valid_and_has_every_unary_rpc() -> None:
    """By the rules of OpenAPI 3.1; with a meaning for each call."""
    validate(DOCUMENT)

    assert UNARY | CHECKS.keys() == DOCUMENT["paths"].keys()
    assert all(len(DOCUMENT["paths"][path]["post"]["description"].splitlines()) > 1 for path in UNARY)


def test_every_schema_and_field_has_a_meaning() -> None:
    """From the comments of the contract."""
    schemas = DOCUMENT["components"]["schemas"]
    fields = [
        f"{name}.{field}"
        for name, schema in schemas.items()
        for field, meaning in schema.get("properties", {}).items()
        if name != "Error" and not meaning.get("description") and "$ref" not in meaning
    ]

    assert [] == fields


@pytest.mark.parametrize("path", sorted(UNARY))
def test_the_server_answers_an_empty_request_as_the_document_says(
    running_authority: RunningAuthority, path: str
) -> None:
    """Each RPC, whether that is a valid request of it or not."""
    service, method = path.removeprefix("/tokenauthority.v1.").split("/")

    assert call(running_authority, service.removesuffix("Service"), method, {})


def test_a_token_from_its_session_to_its_end_is_as_the_document_says(running_authority: RunningAuthority) -> None:
    """The calls that back ends make."""
    options = {"projectId": running_authority.project_id, "mediaMode": "MEDIA_MODE_ROUTED"}
    session = call(running_authority, "Session", "CreateSession", options)["session"]
    asked = {"sessionId": session["sessionId"], "role": "publisher", "ttl": "60s", "subject": "alice"}
    token = call(running_authority, "Token", "GenerateToken", {"request": asked})["token"]
    batch = call(running_authority, "Token", "BatchGenerateTokens", {"requests": [asked, asked]})["tokens"]
    found = call(running_authority, "Token", "VerifyToken", {"token": token["token"]})
    call(running_authority, "Token", "RevokeTokens", {"token": token["token"]})
    revoked = call(running_authority, "Token", "VerifyToken", {"token": token["token"]})
    ended = call(running_authority, "Session", "EndSession", {"sessionId": session["sessionId"]})

    assert (2, True, False) == (len(batch), found["active"], revoked["active"])
    assert ended["session"]["state"] != session["state"]


def test_what_a_proxy_gets_is_as_the_document_says(running_authority: RunningAuthority) -> None:
    """For a valid token, one that is not, another permission, and an asker that is no caller."""
    session = call(running_authority, "Session", "CreateSession", {"projectId": running_authority.project_id})[
        "session"
    ]
    asked = {"sessionId": session["sessionId"], "role": "subscriber"}
    token = call(running_authority, "Token", "GenerateToken", {"request": asked})["token"]["token"]
    query = {"session_id": session["sessionId"], "permission": "subscribe"}
    hook = {"action": "read", "path": session["sessionId"], "token": token, "id": None, "userAgent": "x"}
    assert [] == problems(DOCUMENT["paths"]["/check/mediamtx"]["post"]["requestBody"], hook)
    statuses = []
    for path, changes in (
        ("/check", {}),
        ("/check", {"authorization": "Bearer x"}),
        ("/check", {"permission": "publish"}),
        ("/check", {"x-api-key": "x"}),
        ("/check/mediamtx", {}),
        ("/check/mediamtx", {"x-api-key": "x"}),
    ):
        headers = (
            {"x-api-key": running_authority.api_key, "authorization": f"Bearer {token}"} if path == "/check" else {}
        )
        headers = {"x-api-key": running_authority.api_key, **headers, **changes}
        parameters = {**query, **changes} if path == "/check" else {}
        answer = httpx.request(
            CHECKS[path],
            running_authority.api_url + path,
            params={name: value for name, value in parameters.items() if name in query},
            headers={name: value for name, value in headers.items() if name not in query},
            json=hook if path != "/check" else None,
            verify=NO_TRUST,
        )
        described = DOCUMENT["paths"][path][CHECKS[path]]["responses"][str(answer.status_code)]
        statuses.append(answer.status_code)
        assert ("content" in described) == bool(answer.content)
        assert [] == (problems(described, answer.json()) if answer.content else [])

    assert [204, 401, 403, 400, 204, 400] == statuses


@pytest.mark.parametrize("request_", [{"mediamode": "MEDIA_MODE_ROUTED"}, {"mediaMode": "ROUTED"}, {"e2ee": "true"}])
def test_the_document_refuses_what_the_server_refuses(request_: object) -> None:
    """A misspelt field, and a value of another kind; see `test_names_the_field_that_is_wrong`."""
    assert problems(operation("Session", "CreateSession")["requestBody"], request_)
