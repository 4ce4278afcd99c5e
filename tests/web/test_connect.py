"""The unary RPCs over HTTP with JSON: the same limits, decisions and records as over gRPC."""

from __future__ import annotations

import base64
import json

import attrs
import httpx
import pytest

from google.rpc.error_details_pb2 import BadRequest, RetryInfo

from tests.support.authority import EVERYTHING, NO_TRUST, WAIT, RunningAuthority, StartAuthority, make_caller
from tests.support.wire import GENERATE, LIST_PROJECTS, V1, Wire, records, wait_for_record
from tests.web.posting import post
from tokenauthority.callers.api_keys import new_api_key
from tokenauthority.contract import METHODS
from tokenauthority.domain.caller import Rate
from tokenauthority.v1 import token_pb2
from tokenauthority.web.connect import HTTP_STATUS


CREATE = V1 + "SessionService/CreateSession"
BATCH = V1 + "TokenService/BatchGenerateTokens"
UNARY = [path for path, method in METHODS.items() if not method.descriptor.server_streaming]


def bad_fields(answer: httpx.Response) -> list[str]:
    """The fields of all violations, from the bytes that every client understands."""
    (packed,) = [each["value"] for each in answer.json()["details"] if each["type"] == "google.rpc.BadRequest"]
    details = BadRequest.FromString(base64.b64decode(packed + "=="))
    return [violation.field for violation in details.field_violations]


def test_believes_no_header_about_the_address_of_its_client(
    running_authority: RunningAuthority, start_authority: StartAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither of a client on the same host, which uvicorn believes by itself, nor where the environment says so."""
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")
    for authority in (running_authority, start_authority()):
        post(authority, LIST_PROJECTS, headers={"x-forwarded-for": "192.0.2.1"})

        assert str(records(authority.audit_path)[-1]["peer"]).startswith("ipv4:127.0.0.1:")


@pytest.mark.parametrize("method", UNARY)
def test_reaches_every_unary_rpc(running_authority: RunningAuthority, method: str) -> None:
    """Whatever an empty request means for it, it is that RPC which answers, and which is recorded."""
    answer = post(running_authority, method)

    (record,) = records(running_authority.audit_path)
    assert (method, "connect") == (record["method"], record["transport"])
    assert answer.status_code in {200, 400, 404}
    assert record["request_id"] == answer.headers["x-request-id"]
    assert "no-store" == answer.headers["cache-control"]


def test_makes_a_token_that_it_verifies(running_authority: RunningAuthority) -> None:
    """From a session to a verified token, with the names and forms of proto3's JSON."""
    project = running_authority.project_id
    session = post(running_authority, CREATE, {"projectId": project}).json()["session"]
    request = {"sessionId": session["sessionId"], "role": "publisher", "ttl": "60s", "data": "ü☃"}
    token = post(running_authority, GENERATE, {"request": request}).json()["token"]
    found = post(running_authority, V1 + "TokenService/VerifyToken", {"token": token["token"]}).json()

    assert (True, "INACTIVE_REASON_UNSPECIFIED") == (found["active"], found["reason"])
    assert ("ü☃", project) == (found["claims"]["data"], found["claims"]["projectId"])


def test_a_token_that_is_not_active_is_false_and_not_left_out(running_authority: RunningAuthority) -> None:
    """A shell or PHP that looks for the field finds it."""
    found = post(running_authority, V1 + "TokenService/VerifyToken", {"token": "x"}).json()

    assert False is found["active"]


def test_records_the_same_as_grpc(running_authority: RunningAuthority, wire: Wire) -> None:
    """But for the transport."""
    headers = {"x-request-id": "one"}
    post(running_authority, GENERATE, {"request": {"sessionId": "x", "role": "publisher"}}, headers=headers)
    asked = token_pb2.TokenRequest(session_id="x", role="publisher")
    wire.call(GENERATE, token_pb2.GenerateTokenRequest(request=asked), metadata=[("x-request-id", "one")])
    ours, grpcs = records(running_authority.audit_path)

    assert "connect" == ours.pop("transport")
    varying = {"time", "duration_us", "peer", "user_agent"}
    assert {n: v for n, v in ours.items() if n not in varying} == {n: v for n, v in grpcs.items() if n not in varying}


@pytest.mark.parametrize("api_key", ["", "tak_wrong"])
def test_refuses_without_a_credential(running_authority: RunningAuthority, api_key: str) -> None:
    """With the status that HTTP has for it."""
    answer = post(running_authority, LIST_PROJECTS, api_key=api_key)

    assert (401, "unauthenticated", "Bearer") == (
        answer.status_code,
        answer.json()["code"],
        answer.headers["www-authenticate"],
    )
    assert "connect" == wait_for_record(running_authority, "UNAUTHENTICATED")["transport"]


def test_refuses_what_the_grant_does_not_name(start_authority: StartAuthority) -> None:
    """The detail says which limit."""
    key = new_api_key()
    authority = start_authority(callers={key: make_caller("none", attrs.evolve(EVERYTHING, actions=frozenset()))})
    answer = post(authority, LIST_PROJECTS, api_key=key)

    assert (403, "permission_denied") == (answer.status_code, answer.json()["code"])
    assert {"ACTION_NOT_GRANTED": "actions"} == {
        each["debug"]["reason"]: each["debug"]["metadata"]["limit"] for each in answer.json()["details"]
    }


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (b'{"projectID":"1"}', "projectID"),
        (b'{"projectId":"1","project_id":"2"}', ""),
        (b'{"mediaMode":"ROUTED"}', "media_mode"),
        (b'{"e2ee":"yes"}', "e2ee"),
        (b"[]", ""),
        (b"", ""),
        (b'{"location":"\xff"}', ""),
        (b'{"location":"\\ud800"}', ""),
        (b'{"location":"a', ""),
        (b"{}{}", ""),
        (b"[" * 60_000, ""),
        (b'{"location":[' + b"0," * 30_000 + b"0]}", ""),
    ],
)
def test_names_the_field_that_is_wrong(running_authority: RunningAuthority, request_: bytes, field: str) -> None:
    """Nothing is passed over, and nothing is guessed."""
    answer = post(running_authority, CREATE, request_)

    assert (400, "invalid_argument") == (answer.status_code, answer.json()["code"])
    assert [field] == bad_fields(answer)
    assert "INVALID_FIELD" == wait_for_record(running_authority, "INVALID_ARGUMENT")["reason"]


@pytest.mark.parametrize("chunked", [False, True])
def test_refuses_a_request_that_is_too_large(running_authority: RunningAuthority, chunked: bool) -> None:  # noqa: FBT001 - pytest passes it by name
    """The limits are those of gRPC, in bytes of the JSON."""
    answer = post(running_authority, CREATE, iter([b" " * 35_000] * 2) if chunked else b" " * 70_000)

    assert (400, True) == (answer.status_code, "at most 65536" in answer.json()["message"])


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"content-type": "application/proto"}, 415, "unknown"),
        ({"content-type": "application/x-www-form-urlencoded"}, 415, "unknown"),
        ({"content-encoding": "gzip"}, 501, "unimplemented"),
        ({"connect-protocol-version": "2"}, 400, "invalid_argument"),
        ({"connect-timeout-ms": "1.5"}, 400, "invalid_argument"),
        ({"content-type": "application/json; charset=utf-8", "connect-protocol-version": "1"}, 200, None),
        ({"connect-timeout-ms": "10000"}, 200, None),
    ],
)
def test_follows_the_headers_of_the_protocol(
    running_authority: RunningAuthority, headers: dict[str, str], status: int, code: str | None
) -> None:
    """Or says that it does not."""
    answer = post(running_authority, LIST_PROJECTS, headers=headers)

    assert (status, code) == (answer.status_code, answer.json().get("code"))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("connect-timeout-ms", ["10000", "20000"]),
        ("connect-timeout-ms", ["10000", "10000"]),
        ("connect-protocol-version", ["1", "2"]),
        ("content-encoding", ["identity", "gzip"]),
        ("content-type", ["application/json", "application/proto"]),
        ("content-type", ["application/proto", "application/json"]),
    ],
)
def test_refuses_a_header_that_is_there_twice(
    running_authority: RunningAuthority, name: str, values: list[str]
) -> None:
    """Something before this server may have decided by the other one."""
    once = {"content-type": "application/json", "authorization": f"Bearer {running_authority.api_key}"}
    headers = [
        *((other, value) for other, value in once.items() if other != name),
        *((name, value) for value in values),
    ]
    url = running_authority.api_url + LIST_PROJECTS
    answer = httpx.post(url, content=b"{}", headers=headers, timeout=WAIT, verify=NO_TRUST)

    assert (400, "invalid_argument", [name]) == (answer.status_code, answer.json()["code"], bad_fields(answer))
    assert "INVALID_ARGUMENT" == records(running_authority.audit_path)[0]["code"]


def test_refuses_two_credentials(running_authority: RunningAuthority) -> None:
    """Whoever calls is not known then, also where both are valid."""
    headers = [("content-type", "application/json")] + [("authorization", f"Bearer {running_authority.api_key}")] * 2
    url = running_authority.api_url + LIST_PROJECTS
    answer = httpx.post(url, content=b"{}", headers=headers, timeout=WAIT, verify=NO_TRUST)

    assert (401, "unauthenticated") == (answer.status_code, answer.json()["code"])


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
def test_answers_post_alone(running_authority: RunningAuthority, method: str) -> None:
    """No answer tells a browser that its page may call: an API key must not be in one."""
    answer = httpx.request(
        method, running_authority.api_url + LIST_PROJECTS, headers={"origin": "https://a.example"}, verify=NO_TRUST
    )

    assert (405, "POST") == (answer.status_code, answer.headers["allow"])
    assert [] == [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    "path",
    ["/", "/a/b", LIST_PROJECTS + "/", "/" + LIST_PROJECTS, "/grpc.health.v1.Health/Check", LIST_PROJECTS[:-1] + "%73"],
)
def test_has_no_other_path(running_authority: RunningAuthority, path: str) -> None:
    """Not even one that a server of gRPC has, and nothing of it is recorded."""
    answer = post(running_authority, path)

    assert 404 == answer.status_code
    assert [] == records(running_authority.audit_path)


def test_says_that_a_stream_needs_grpc(running_authority: RunningAuthority) -> None:
    """And not that there is no such method."""
    answer = post(running_authority, V1 + "TokenService/WatchRevocations")

    assert (501, "unimplemented") == (answer.status_code, answer.json()["code"])
    assert "outside of gRPC" in answer.json()["message"]


@pytest.mark.parametrize(("api_key", "code"), [(None, "unimplemented"), ("", "unauthenticated")])
def test_says_so_at_the_end_of_a_stream_where_a_client_expects_one(
    running_authority: RunningAuthority, api_key: str | None, code: str
) -> None:
    """Clients of Connect read no other errors of such a method."""
    headers = {"content-type": "application/connect+json"}
    asked = b"\x00\x00\x00\x00\x02{}"
    answer = post(running_authority, V1 + "TokenService/WatchRevocations", asked, api_key=api_key, headers=headers)

    assert (200, "application/connect+json") == (answer.status_code, answer.headers["content-type"])
    flag, length, text = answer.content[0], int.from_bytes(answer.content[1:5], "big"), answer.content[5:]
    assert (2, len(text), code) == (flag, length, json.loads(text)["error"]["code"])
    assert 415 == post(running_authority, LIST_PROJECTS, asked, headers=headers).status_code


def test_says_when_to_try_again(start_authority: StartAuthority) -> None:
    """In the header of HTTP and in the detail of gRPC."""
    key = new_api_key()
    authority = start_authority(callers={key: make_caller("slow", attrs.evolve(EVERYTHING, rate=Rate(0.5, 1)))})
    post(authority, LIST_PROJECTS, api_key=key)
    answer = post(authority, LIST_PROJECTS, api_key=key)

    assert (429, "2") == (answer.status_code, answer.headers["retry-after"])
    (packed,) = [each["value"] for each in answer.json()["details"] if each["type"] == "google.rpc.RetryInfo"]
    assert 0 < RetryInfo.FromString(base64.b64decode(packed + "==")).retry_delay.ToMilliseconds() <= 2000


def test_a_batch_is_read_and_written_item_by_item(running_authority: RunningAuthority) -> None:
    """The largest one passes, and one item more does not."""
    session = post(running_authority, CREATE, {"projectId": running_authority.project_id}).json()["session"]
    item = {"sessionId": session["sessionId"], "role": "publisher", "data": "d" * 900}
    answer = post(running_authority, BATCH, {"requests": [item] * 1000})
    more = post(running_authority, BATCH, {"requests": [item] * 1001})
    wrong = post(running_authority, BATCH, {"requests": [item, {**item, "rolle": "x"}]})

    assert (200, 1000) == (answer.status_code, len({each["token"] for each in answer.json()["tokens"]}))
    assert ["requests"] == bad_fields(more)
    assert ["requests[1].rolle"] == bad_fields(wrong)


def test_every_code_has_a_status_of_http() -> None:
    """As the protocol says; 200 is for success alone."""
    assert [200] == [status for status in HTTP_STATUS.values() if status < 400]
