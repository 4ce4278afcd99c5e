"""What failed calls raise, and what these errors tell."""

from __future__ import annotations

import base64
import traceback

import attrs
import grpc
import pytest

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from tests.client.conftest import Client, ScriptedServer, collected, done, failing, giving
from tests.support.authority import EVERYTHING, RunningAuthority, StartAuthority, make_caller
from tokenauthority.callers.api_keys import new_api_key
from tokenauthority.client import (
    AlreadyExists,
    Authority,
    AuthorityError,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
    Violation,
)
from tokenauthority.v1 import session_pb2


CLASSES = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidArgument,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDenied,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.ALREADY_EXISTS: AlreadyExists,
    grpc.StatusCode.FAILED_PRECONDITION: FailedPrecondition,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ResourceExhausted,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.INTERNAL: AuthorityError,
    grpc.StatusCode.UNKNOWN: AuthorityError,
    grpc.StatusCode.UNIMPLEMENTED: AuthorityError,
}


@pytest.mark.parametrize("code", CLASSES, ids=lambda code: code.name)
def test_each_status_has_its_class(scripted_server: ScriptedServer, scripted: Authority, code: grpc.StatusCode) -> None:
    """A caller can catch one status or all of them."""
    scripted_server.answers = [failing(code)]

    with pytest.raises(AuthorityError) as caught:
        scripted.get_session("2_abc")

    assert CLASSES[code] is type(caught.value)
    assert code is caught.value.code
    assert f"it is {code.name}" == str(caught.value)
    assert "" == caught.value.reason


def test_tells_all_that_the_details_say(scripted_server: ScriptedServer, scripted: Authority) -> None:
    """Reason, facts, violations, the time to wait and the request id."""
    status = Status(code=8, message="it is RESOURCE_EXHAUSTED")
    for detail in (
        ErrorInfo(reason="RATE_LIMIT", domain="tokenauthority", metadata={"limit": "rate"}),
        BadRequest(field_violations=[BadRequest.FieldViolation(field="data", description="is long")]),
        RetryInfo(retry_delay=Duration(seconds=1, nanos=500_000_000)),
    ):
        status.details.add().Pack(detail)
    trailers = (("grpc-status-details-bin", status.SerializeToString()), ("x-request-id", "r-1"))
    scripted_server.answers = [failing(grpc.StatusCode.RESOURCE_EXHAUSTED, *trailers)]

    with pytest.raises(ResourceExhausted) as caught:
        scripted.get_session("2_abc")

    assert "RATE_LIMIT" == caught.value.reason
    assert {"limit": "rate"} == dict(caught.value.metadata)
    assert (Violation("data", "is long"),) == caught.value.violations
    assert 1.5 == caught.value.retry_after
    assert "r-1" == caught.value.request_id


@pytest.mark.parametrize(
    "garbage",
    [
        b"\xff\xff",
        Status(
            details=[AnyMessage(type_url="type.googleapis.com/google.rpc.ErrorInfo", value=b"\xff")]
        ).SerializeToString(),
    ],
    ids=["status", "detail"],
)
def test_survives_garbled_details(scripted_server: ScriptedServer, scripted: Authority, garbage: bytes) -> None:
    """A proxy that mangles the details leaves at least the status."""
    scripted_server.answers = [failing(grpc.StatusCode.NOT_FOUND, ("grpc-status-details-bin", garbage))]

    with pytest.raises(NotFound) as caught:
        scripted.get_session("2_abc")

    assert "" == caught.value.reason


def test_names_every_invalid_field_of_a_real_refusal(authority: Authority) -> None:
    """All at once, by their paths."""
    session = authority.create_session()

    with pytest.raises(InvalidArgument) as caught:
        session.generate_token(data="x" * 1001, ttl=31 * 86_400)

    assert {"request.data", "request.ttl"} == {violation.field for violation in caught.value.violations}
    assert "INVALID_FIELD" == caught.value.reason
    assert caught.value.request_id


def test_names_the_limit_of_the_grant(start_authority: StartAuthority) -> None:
    """PermissionDenied says which entry of the grant is too small."""
    key = new_api_key()
    grant = attrs.evolve(EVERYTHING, roles=frozenset({"subscriber"}))
    running = start_authority(callers={key: make_caller("small", grant)})
    environment = {**running.environment, "TOKENAUTHORITY_API_KEY": key}

    with Authority.from_environment(environment) as authority:
        session = authority.create_session()
        with pytest.raises(PermissionDenied) as caught:
            session.generate_token(role="moderator")

    assert "ROLE_NOT_GRANTED" == caught.value.reason
    assert "roles" == caught.value.metadata["limit"]


def test_a_session_that_has_ended_is_a_failed_precondition(authority: Authority) -> None:
    """The reason says which."""
    session = authority.create_session()
    authority.end_session(session.session_id)

    with pytest.raises(FailedPrecondition) as caught:
        session.generate_token()

    assert "SESSION_ENDED" == caught.value.reason


def test_an_unreachable_authority_is_unavailable() -> None:
    """Nothing answers at port 1; the retries end within the deadline."""
    with (
        Authority("127.0.0.1:1", api_key="tak_x", plaintext=True, timeout=10) as authority,
        pytest.raises(Unavailable) as caught,
    ):
        authority.create_session()

    assert "" == caught.value.reason
    assert "" == caught.value.request_id


def test_no_error_holds_the_key_or_the_token(running_authority: RunningAuthority) -> None:
    """Errors end in logs, with their traceback and their causes."""
    key = new_api_key()
    token = base64.urlsafe_b64encode(b"a token that nobody may read in a log").decode()
    environment = {**running_authority.environment, "TOKENAUTHORITY_API_KEY": key}
    with Authority.from_environment(environment) as authority, pytest.raises(Unauthenticated) as caught:
        authority.verify_token(token)

    text = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + repr(vars(caught.value))

    assert key not in text
    assert token not in text


@pytest.mark.parametrize(
    ("delay", "expected"),
    [(Duration(seconds=-(10**12)), 0.0), (Duration(nanos=-1), 0.0), (Duration(seconds=2**62), float(2**62))],
)
def test_any_time_to_wait_is_read(
    scripted_server: ScriptedServer, scripted: Authority, delay: Duration, expected: float
) -> None:
    """What a broken server asks for is neither another exception nor a wait of less than nothing."""
    status = Status(code=8)
    status.details.add().Pack(RetryInfo(retry_delay=delay))
    scripted_server.answers = [
        failing(grpc.StatusCode.RESOURCE_EXHAUSTED, ("grpc-status-details-bin", status.SerializeToString()))
    ]

    with pytest.raises(ResourceExhausted) as caught:
        scripted.get_session("2_abc")

    assert expected == caught.value.retry_after


async def test_a_list_without_an_end_is_an_error(scripted_server: ScriptedServer, scripted_client: Client) -> None:
    """A server that gives the same page for ever does not hold its client for ever."""
    page = session_pb2.ListSessionsResponse(sessions=[session_pb2.Session(session_id="2_abc")], next_page_token="again")
    scripted_server.answers = [giving(page)]

    with pytest.raises(AuthorityError, match="a list without an end: the same page_token twice"):
        await collected(scripted_client.list_sessions())

    assert 2 == len(scripted_server.requests)


async def test_empty_pages_without_an_end_are_an_error(
    scripted_server: ScriptedServer, scripted_client: Client
) -> None:
    """Their reader would get nothing that it could stop at."""
    scripted_server.answers = [giving(session_pb2.ListSessionsResponse(next_page_token=str(n))) for n in range(9)]

    with pytest.raises(AuthorityError, match="a list without an end: an empty page that is not the last one"):
        await collected(scripted_client.list_sessions())

    assert 1 == len(scripted_server.requests)


async def test_an_answer_with_an_invalid_time_names_it(
    scripted_server: ScriptedServer, scripted_client: Client
) -> None:
    """As an AuthorityError, which every caller expects."""
    session = session_pb2.Session(session_id="2_abc", create_time=Timestamp(seconds=10**12))
    scripted_server.answers = [giving(session_pb2.GetSessionResponse(session=session))]

    with pytest.raises(AuthorityError, match="the authority sent an invalid create_time") as caught:
        await done(scripted_client.get_session("2_abc"))

    assert grpc.StatusCode.DATA_LOSS is caught.value.code
