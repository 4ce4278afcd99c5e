"""A call that does not come through gRPC is limited, authenticated, recorded and counted as one that does."""

from __future__ import annotations

import asyncio

from collections.abc import Awaitable, Callable

import attrs
import grpc
import pytest

from google.rpc.error_details_pb2 import BadRequest, ErrorInfo

from tests.support.authority import EVERYTHING, RunningAuthority, StartAuthority, eventually, make_caller
from tests.support.faulty_store import FaultyStore
from tests.support.wire import LIST_PROJECTS, V1, Connect, Wire, records, wait_for_record
from tokenauthority.callers.api_keys import new_api_key
from tokenauthority.contract import MAX_REQUEST_BYTES
from tokenauthority.domain.caller import Rate
from tokenauthority.domain.errors import FieldViolation, InvalidRequestError
from tokenauthority.interceptors.direct import ClientLeftError, DirectAnswer, DirectCall, DirectCalls, peer_of
from tokenauthority.v1 import project_pb2, session_pb2


CREATE = V1 + "SessionService/CreateSession"
PLACES = 2
"""Messages that are received at once, in the least memory for them."""


async def nothing() -> bytes:
    """An empty message."""
    return b""


def direct(
    authority: RunningAuthority,
    method: str = LIST_PROJECTS,
    *,
    api_key: str | None = None,
    receive: Callable[[], Awaitable[bytes]] = nothing,
    left: Callable[[], Awaitable[object]] | None = None,
    timeout: float | None = None,
) -> DirectCall:
    """A call with the key of the authority's caller, unless *api_key* says otherwise."""
    key = authority.api_key if api_key is None else api_key
    return DirectCall(
        method=method,
        transport="connect",
        metadata=[("authorization", f"Bearer {key}"), ("x-request-id", "direct-1"), ("user-agent", "test")],
        peer=peer_of("127.0.0.1", 50000),
        receive=receive,
        left=left,
        timeout=timeout,
    )


async def answer(authority: RunningAuthority, call: DirectCall) -> DirectAnswer:
    """How *call* ends."""
    async with DirectCalls.answer(authority.app.direct_calls(authority.app.bearer), call) as found:
        return found


def test_answers_and_records_as_grpc_does(running_authority: RunningAuthority, wire: Wire) -> None:
    """The same bytes, and a record that differs in what differs: when, from where, and by what."""
    over_grpc = wire.call(LIST_PROJECTS, metadata=[("x-request-id", "direct-1")])
    found = running_authority.do(answer(running_authority, direct(running_authority)))
    ours, other = (dict(record) for record in reversed(records(running_authority.audit_path)))

    assert (grpc.StatusCode.OK, over_grpc.body) == (found.code, found.message)
    assert "direct-1" == found.request_id
    assert ("connect", "test", "ipv4:127.0.0.1:50000") == (ours.pop("transport"), ours["user_agent"], ours["peer"])
    varying = {"time", "duration_us", "peer", "user_agent"}
    assert {name: other[name] for name in other if name not in varying} == {
        name: ours[name] for name in ours if name not in varying
    }


def test_refuses_a_stranger_before_the_message_is_received(running_authority: RunningAuthority) -> None:
    """Nothing that a stranger sends is read."""

    async def receive() -> bytes:
        raise AssertionError("the message was received")

    call = direct(running_authority, api_key=new_api_key(), receive=receive)
    found = running_authority.do(answer(running_authority, call))

    assert (grpc.StatusCode.UNAUTHENTICATED, b"") == (found.code, found.message)
    assert found.error is not None
    info = ErrorInfo()
    assert found.error.details[0].Unpack(info)
    assert ("CREDENTIAL_INVALID", "direct-1") == (info.reason, info.metadata["request_id"])
    assert "connect" == wait_for_record(running_authority, "UNAUTHENTICATED")["transport"]


def test_an_error_of_what_receives_is_an_ordinary_recorded_refusal(running_authority: RunningAuthority) -> None:
    """What speaks to the client need not know how errors are recorded."""

    async def receive() -> bytes:
        raise InvalidRequestError([FieldViolation("name", "is bad")])

    found = running_authority.do(answer(running_authority, direct(running_authority, receive=receive)))

    assert found.error is not None
    details = BadRequest()
    assert found.error.details[1].Unpack(details)
    assert ["name"] == [violation.field for violation in details.field_violations]
    assert "INVALID_FIELD" == wait_for_record(running_authority, "INVALID_ARGUMENT")["reason"]


@pytest.mark.parametrize("full", [False, True], ids=["a place", "no place"])
@pytest.mark.parametrize(("timeout", "code"), [(0.05, "DEADLINE_EXCEEDED"), (None, "CANCELLED")])
def test_a_change_whose_message_does_not_come_ends_with_its_client(
    start_authority: StartAuthority, *, timeout: float | None, code: str, full: bool
) -> None:
    """Nothing is begun that has to be finished, and its place is for others."""
    authority = start_authority(settings={"limits": {"max_receive_memory": PLACES * MAX_REQUEST_BYTES}})
    gone = asyncio.Event()

    async def never() -> bytes:
        if timeout is None:
            raise ClientLeftError
        await asyncio.Event().wait()
        return b""

    async def later() -> bytes:
        await gone.wait()
        return b""

    async def call_once() -> None:
        others = [
            asyncio.create_task(answer(authority, direct(authority, receive=later))) for _ in range(PLACES * full)
        ]
        ours = asyncio.create_task(answer(authority, direct(authority, CREATE, receive=never, timeout=timeout)))
        if full:
            await asyncio.wait([ours], timeout=0.1)
        gone.set()
        await asyncio.wait([ours, *others])
        assert code == ("CANCELLED" if isinstance(ours.exception(), ClientLeftError) else ours.result().code.name)

    authority.do(call_once())

    assert [code] == [record["code"] for record in records(authority.audit_path) if record["method"] == CREATE]


@pytest.mark.parametrize("method", [V1 + "TokenService/WatchRevocations", "/a.B/C"])
def test_refuses_what_has_no_unary_answer(running_authority: RunningAuthority, method: str) -> None:
    """A stream and an unknown method are UNIMPLEMENTED, and recorded so."""
    found = running_authority.do(answer(running_authority, direct(running_authority, method)))

    assert grpc.StatusCode.UNIMPLEMENTED == found.code
    assert method == wait_for_record(running_authority, "UNIMPLEMENTED")["method"]


def test_says_when_to_try_again(start_authority: StartAuthority) -> None:
    """A rate that is used up tells how long it takes to refill."""
    key = new_api_key()
    slow = make_caller("slow", attrs.evolve(EVERYTHING, rate=Rate(0.5, 1)))
    authority = start_authority(callers={key: slow})
    authority.do(answer(authority, direct(authority, api_key=key)))
    found = authority.do(answer(authority, direct(authority, api_key=key)))

    assert grpc.StatusCode.RESOURCE_EXHAUSTED == found.code
    assert found.retry_after is not None
    assert 0 < found.retry_after <= 2


def test_a_call_holds_its_place_until_its_answer_is_written(start_authority: StartAuthority, connect: Connect) -> None:
    """A client that reads slowly is one of its caller's calls in progress, whichever way the other calls come."""
    authority = start_authority(settings={"limits": {"max_concurrent_rpcs_per_caller": 1}})
    wire = connect(authority)

    async def while_written() -> str:
        async with authority.app.direct_calls(authority.app.bearer).answer(direct(authority)):
            return (await asyncio.to_thread(wire.call, LIST_PROJECTS)).code

    assert "RESOURCE_EXHAUSTED" == authority.do(while_written())
    eventually(lambda: wire.call(LIST_PROJECTS).code == "OK", "the place is not free again")


def test_ends_a_call_whose_client_has_left(start_authority: StartAuthority) -> None:
    """The work ends, and the record says so."""
    store = FaultyStore()
    authority = start_authority(store=store)
    held = store.hold("list_projects")

    async def left() -> None:
        await asyncio.to_thread(held.wait)

    with pytest.raises(ClientLeftError):
        authority.do(answer(authority, direct(authority, left=left)))
    held.release()

    assert "CANCELLED" == wait_for_record(authority, "CANCELLED")["code"]


def test_finishes_a_change_whose_client_has_left(start_authority: StartAuthority) -> None:
    """What is begun in the store is done, and recorded."""
    store = FaultyStore()
    authority = start_authority(store=store)
    held = store.hold("create_session")

    async def receive() -> bytes:
        return session_pb2.CreateSessionRequest(project_id=authority.project_id).SerializeToString()

    async def left() -> None:
        await asyncio.to_thread(held.wait)
        asyncio.get_running_loop().call_later(0.05, held.release)

    with pytest.raises(ClientLeftError):
        authority.do(answer(authority, direct(authority, CREATE, receive=receive, left=left)))

    # At once: nothing of the call goes on any more.
    (record,) = records(authority.audit_path)
    assert ("NOT_DELIVERED", CREATE) == (record["reason"], record["method"])
    assert record["session_id"]


@pytest.mark.parametrize(("method", "operation"), [(LIST_PROJECTS, "list_projects"), (CREATE, "create_session")])
def test_answers_once_the_deadline_has_passed(start_authority: StartAuthority, method: str, operation: str) -> None:
    """The client learns it at its deadline, also where the change goes on."""
    store = FaultyStore()
    authority = start_authority(store=store)
    held = store.hold(operation)

    async def receive() -> bytes:
        if method == CREATE:
            return session_pb2.CreateSessionRequest(project_id=authority.project_id).SerializeToString()
        return b""

    async def then_release() -> DirectAnswer:
        calls = authority.app.direct_calls(authority.app.bearer)
        async with calls.answer(direct(authority, method, receive=receive, timeout=0.2)) as found:
            held.release()
            return found

    found = authority.do(then_release())

    assert (grpc.StatusCode.DEADLINE_EXCEEDED, "direct-1") == (found.code, found.request_id)
    code, reason = ("OK", "NOT_DELIVERED") if method == CREATE else ("DEADLINE_EXCEEDED", None)
    assert reason == wait_for_record(authority, code).get("reason")


def test_decodes_and_encodes_by_the_coding_of_the_call(running_authority: RunningAuthority) -> None:
    """What is counted, recorded and answered is the same; only the bytes differ."""

    class Reversed:
        async def decode(self, message: bytes) -> bytes:
            return message[::-1]

        async def encode(self, message: bytes) -> bytes:
            return message[::-1]

    async def receive() -> bytes:
        return project_pb2.GetProjectRequest(project_id=running_authority.project_id).SerializeToString()[::-1]

    call = direct(running_authority, V1 + "ProjectService/GetProject", receive=receive)
    coded = DirectCall(
        method=call.method,
        transport="connect",
        metadata=call.metadata,
        peer=call.peer,
        receive=receive,
        coding=Reversed(),
    )
    found = running_authority.do(answer(running_authority, coded))

    project = project_pb2.GetProjectResponse.FromString(bytes(found.message)[::-1])
    assert running_authority.project_id == project.project.project_id


def test_a_peer_has_the_form_of_grpc() -> None:
    """So that limits by address are one for both."""
    assert "ipv4:192.0.2.1:5" == peer_of("192.0.2.1", 5)
    assert "ipv6:%5B2001:db8::1%5D:5" == peer_of("2001:db8::1", 5)
