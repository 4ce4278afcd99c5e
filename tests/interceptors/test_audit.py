"""Every RPC leaves one record, with its final status, and no answer leaves before it."""

from __future__ import annotations

import asyncio
import contextlib
import gc

from collections.abc import AsyncIterator, Mapping
from typing import cast

import pytest

from tests.security import http2
from tests.support.authority import WAIT, RunningAuthority, StartAuthority, eventually
from tests.support.faults import break_audit_log
from tests.support.faulty_store import FaultyStore
from tests.support.wire import GENERATE, LIST_PROJECTS, V1, Connect, Wire, outcome, records, wait_for_record
from tokenauthority.audit.record import AuditRecord
from tokenauthority.domain.errors import UnavailableError
from tokenauthority.domain.ids import make_session_id
from tokenauthority.domain.session import SessionSpec, StoredSession
from tokenauthority.interceptors.audit import AuditInterceptor
from tokenauthority.interceptors.call import Call, Context
from tokenauthority.interceptors.status import StatusError
from tokenauthority.v1 import project_pb2, session_pb2, token_pb2


WATCH = V1 + "TokenService/WatchRevocations"
CREATE_SESSION = V1 + "SessionService/CreateSession"


def test_records_what_was_asked_and_what_was_given(running_authority: RunningAuthority, wire: Wire) -> None:
    """Caller, project, session, role, format, lifetime, subject and token id are all there."""
    session = session_pb2.CreateSessionResponse.FromString(
        wire.call(CREATE_SESSION, session_pb2.CreateSessionRequest(project_id=running_authority.project_id)).body
    ).session
    wanted = token_pb2.TokenRequest(
        session_id=session.session_id, role="subscriber", subject="user-7", data="not for the log"
    )
    wanted.ttl.FromSeconds(90)
    token = token_pb2.GenerateTokenResponse.FromString(
        wire.call(GENERATE, token_pb2.GenerateTokenRequest(request=wanted)).body
    ).token
    record = records(running_authority.audit_path)[-1]
    varying = {"time", "request_id", "peer", "user_agent", "duration_us"}

    assert {
        "method": GENERATE,
        "action": "tokens.generate",
        "caller": "tester",
        "caller_kind": "api_key",
        "caller_identity": "sha256:test",
        "project_id": running_authority.project_id,
        "session_id": session.session_id,
        "role": "subscriber",
        "format": "SESSION_JWT",
        "lifetime": 90,
        "subject": "user-7",
        "token_ids": [token.token_id],
        "code": "OK",
    } == {name: value for name, value in record.items() if name not in varying}
    assert varying <= set(record)


def test_records_what_a_refused_caller_asked_for(running_authority: RunningAuthority, wire: Wire) -> None:
    """A failed call names its object and its reason, and no token."""
    wire.call(V1 + "ProjectService/GetProject", project_pb2.GetProjectRequest(project_id="2147483647"))
    record = records(running_authority.audit_path)[-1]

    assert ("NOT_FOUND", "PROJECT_NOT_FOUND", "2147483647") == (record["code"], record["reason"], record["project_id"])


def test_records_malformed_bytes(running_authority: RunningAuthority, wire: Wire) -> None:
    """What is no message is an ordinary, recorded error of a known caller."""
    refused = wire.call(GENERATE, b"\xff\xff\xff")
    record = records(running_authority.audit_path)[-1]

    assert ("INVALID_ARGUMENT", "INVALID_FIELD") == (refused.code, refused.reason)
    assert ("INVALID_ARGUMENT", "tester", "tokens.generate") == (record["code"], record["caller"], record["action"])


def test_records_every_call_before_its_answer(running_authority: RunningAuthority, wire: Wire) -> None:
    """When an answer is here, so is the record: one line for each call, in order."""
    codes = []
    for number in range(1, 21):
        codes.append(wire.call(LIST_PROJECTS, api_key=None if number % 2 else "").code)

        assert codes == [record["code"] for record in records(running_authority.audit_path)]


def test_does_not_record_health_checks(running_authority: RunningAuthority, wire: Wire) -> None:
    """A probe each second would bury the rest."""
    assert "OK" == wire.call("/grpc.health.v1.Health/Check").code

    assert [] == records(running_authority.audit_path)


def test_gives_nothing_out_that_it_cannot_record(start_authority: StartAuthority, connect: Connect) -> None:
    """Where the audit log cannot be written, no token and no session leaves, and an error says why."""
    authority = start_authority()
    wire = connect(authority)
    break_audit_log(authority.audit_path)
    session = authority.do(_any_session(authority))
    answers = [
        wire.call(GENERATE, token_pb2.GenerateTokenRequest(request=token_pb2.TokenRequest(session_id=session))),
        wire.call(CREATE_SESSION, session_pb2.CreateSessionRequest(project_id=authority.project_id)),
        wire.call(V1 + "KeyService/GetJsonWebKeySet"),
        wire.call(LIST_PROJECTS, api_key=""),
        wire.call("/a/B"),
    ]

    assert [("UNAVAILABLE", "AUDIT_UNAVAILABLE", ["ErrorInfo", "RetryInfo"], b"")] * 5 == [
        (answer.code, answer.reason, answer.detail_names, answer.body) for answer in answers
    ]


def test_records_a_call_that_its_client_cancelled(start_authority: StartAuthority, connect: Connect) -> None:
    """A client that goes away leaves a record all the same, with what was known of it."""
    store = FaultyStore()
    authority = start_authority(store=store)
    held = store.hold("list_projects")
    pending = connect(authority).start(LIST_PROJECTS)
    held.wait()
    pending.cancel()
    record = wait_for_record(authority, "CANCELLED")

    assert (LIST_PROJECTS, "tester", "projects.read") == (record["method"], record["caller"], record["action"])


def test_records_a_deadline_that_passed(start_authority: StartAuthority, connect: Connect) -> None:
    """The code of the record is the one that the client sees."""
    store = FaultyStore()
    authority = start_authority(store=store, settings={"limits": {"max_deadline": 0.05}})
    store.hold("list_projects")
    pending = connect(authority).start(LIST_PROJECTS)

    assert "DEADLINE_EXCEEDED" == outcome(pending).code
    assert ["DEADLINE_EXCEEDED"] == [record["code"] for record in records(authority.audit_path)]


class _Memory:
    """An audit log that stores records, or fails."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure
        self.codes: list[str] = []
        self.waits: list[bool] = []

    async def append(self, record: AuditRecord, *, more: bool = False) -> None:
        """See `AuditLog`."""
        await asyncio.sleep(0)
        if self.failure is not None:
            raise self.failure
        self.codes.append(record.code)
        self.waits.append(more)

    async def note(self, kind: str, fields: Mapping[str, object]) -> None:
        """See `AuditLog`."""
        raise NotImplementedError


def _call(deadline: float) -> Call:
    call = Call("/a/B", cast("AsyncIterator[object]", None), cast("Context", None), streaming=False)
    call.deadline = deadline
    call.record = AuditRecord(time="", request_id="r", method="/a/B", peer="p")
    return call


@pytest.mark.parametrize(("seconds", "code"), [(60.0, "CANCELLED"), (-0.001, "DEADLINE_EXCEEDED")])
async def test_distinguishes_a_passed_deadline_from_a_client_that_left(seconds: float, code: str) -> None:
    """The handler is cancelled in both cases; the clock shows which it was, and the record is written to its end."""
    log = _Memory()

    async def cancelled(call: Call) -> object:
        raise asyncio.CancelledError

    audit = AuditInterceptor(log, unrecorded=(), finishing=())
    with pytest.raises(asyncio.CancelledError):
        await audit.intercept(_call(asyncio.get_running_loop().time() + seconds), cancelled)

    assert [code] == log.codes


class _Reader:
    """Whoever reads a stream, with so many seconds left."""

    def __init__(self, remaining: float | None) -> None:
        self._remaining = remaining

    def time_remaining(self) -> float | None:
        """See grpc.aio."""
        return self._remaining


@pytest.mark.parametrize(("remaining", "code"), [(None, "CANCELLED"), (5.0, "CANCELLED"), (0.0, "DEADLINE_EXCEEDED")])
async def test_a_stream_has_no_deadline_but_its_callers(remaining: float | None, code: str) -> None:
    """A reader that leaves after hours has left; how long a unary call may take says nothing about it."""
    log = _Memory()
    call = Call("/a/B", cast("AsyncIterator[object]", None), cast("Context", _Reader(remaining)), streaming=True)
    call.record = AuditRecord(time="", request_id="r", method="/a/B", peer="p")
    call.deadline = asyncio.get_running_loop().time() - 60

    async def cancelled(call: Call) -> object:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await AuditInterceptor(log, unrecorded=(), finishing=()).intercept(call, cancelled)

    assert [code] == log.codes


@pytest.mark.parametrize("failure", [UnavailableError.audit(), ValueError("write to closed file"), TypeError("canary")])
async def test_drops_the_answer_however_the_log_fails(failure: Exception) -> None:
    """Also a log that fails in a way that nobody foresaw withholds the answer, and says nothing of itself."""

    async def answered(call: Call) -> object:
        return b"token"

    with pytest.raises(StatusError) as caught:
        await AuditInterceptor(_Memory(failure), unrecorded=(), finishing=()).intercept(_call(0.0), answered)

    assert ("UNAVAILABLE", "AUDIT_UNAVAILABLE") == (caught.value.code.name, caught.value.reason)
    assert "canary" not in str(caught.value.status.details)


async def _any_session(authority: RunningAuthority) -> str:
    """A session that no RPC made."""
    now = authority.clock()
    session_id = make_session_id(authority.project_id, "", relayed=True, now=now, random=bytes(18))
    session = StoredSession(session_id=session_id, project_id=authority.project_id, spec=SessionSpec(), create_time=now)
    await authority.app.store.create_session(session, None)
    return session_id


async def test_a_call_that_changes_something_is_recorded_as_done_though_its_caller_has_left() -> None:
    """What is begun in the store is done: a record that says CANCELLED would be false."""
    log, begun, go_on = _Memory(), asyncio.Event(), asyncio.Event()

    async def change(call: Call) -> object:
        begun.set()
        await go_on.wait()
        call.record.object_id = "sec_0123456789abcdef"
        return b"secret"

    call = _call(0.0)
    audit = AuditInterceptor(log, unrecorded=(), finishing={"/a/B"})
    rpc = asyncio.ensure_future(audit.intercept(call, change))
    await begun.wait()
    rpc.cancel()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await rpc

    assert ["OK"] == log.codes
    assert ("NOT_DELIVERED", "sec_0123456789abcdef") == (call.record.reason, call.record.object_id)


async def test_a_stop_waits_for_changes_that_are_under_way() -> None:
    """What is done in the store after its caller was cut off is recorded before the log is closed."""
    log, begun, go_on = _Memory(), asyncio.Event(), asyncio.Event()

    async def change(call: Call) -> object:
        begun.set()
        await go_on.wait()
        return b""

    audit = AuditInterceptor(log, unrecorded=(), finishing={"/a/B"})
    rpc = asyncio.ensure_future(audit.intercept(_call(0.0), change))
    await begun.wait()
    rpc.cancel()
    rpc.cancel()
    finished = asyncio.ensure_future(audit.finish(WAIT))
    go_on.set()
    await finished

    assert ["OK"] == log.codes


def _calls() -> set[Call]:
    """The calls in memory."""
    return {each for each in gc.get_objects() if isinstance(each, Call)}


def test_a_call_is_freed_when_it_ends(
    start_authority: StartAuthority, connect: Connect, without_garbage_collection: None
) -> None:
    """However it ends. A server freezes what lives for long: calls in a cycle would then be there for ever."""
    former = _calls()
    store = FaultyStore()
    authority = start_authority(store=store)
    wire = connect(authority)
    codes = [wire.call(method, b"\xff\xff").code for method in (CREATE_SESSION, LIST_PROJECTS)]
    codes.append(wire.call(CREATE_SESSION, api_key="unknown").code)
    store.fail("create_session", "list_projects")
    request = session_pb2.CreateSessionRequest(project_id=authority.project_id)
    codes += [wire.call(CREATE_SESSION, request).code, wire.call(LIST_PROJECTS).code]
    store.recover()
    hold = store.hold("create_session")
    left = wire.start(CREATE_SESSION, request)
    hold.wait()
    left.cancel()
    hold.release()
    with contextlib.closing(http2.Connection(authority.address)) as connection:
        block = http2.header_block(LIST_PROJECTS, {"authorization": f"Bearer {wire.api_key}"})
        connection.send(http2.opening(1, block))
        eventually(lambda: bool(_calls() - former), "the call without a message does not begin")
    codes.append(wire.call(WATCH, b"\xff\xff").code)
    break_audit_log(authority.audit_path)
    codes.append(wire.call(LIST_PROJECTS).code)

    eventually(lambda: _calls() <= former, "a call is not freed")
    assert [
        *["INVALID_ARGUMENT"] * 2,
        "UNAUTHENTICATED",
        *["UNAVAILABLE"] * 2,
        "INVALID_ARGUMENT",
        "UNAVAILABLE",
    ] == codes


async def test_a_record_waits_for_those_of_other_calls_in_progress() -> None:
    """So they share a commit. The last one waits for nobody, and a stream, which may stay open, is not waited for."""
    log, done = _Memory(), [asyncio.Event() for _ in range(3)]
    audit = AuditInterceptor(log, unrecorded=(), finishing=())
    stream = Call("/a/B", cast("AsyncIterator[object]", None), cast("Context", _Reader(None)), streaming=True)
    stream.record = AuditRecord(time="", request_id="r", method="/a/B", peer="p")

    async def held(_: Call) -> object:
        await asyncio.Event().wait()
        return b""

    async def answer(number: int) -> None:
        async def answered(_: Call) -> object:
            await done[number].wait()
            return b""

        await audit.intercept(_call(0.0), answered)

    watching = asyncio.ensure_future(audit.intercept(stream, held))
    calls = [asyncio.ensure_future(answer(number)) for number in range(3)]
    await asyncio.sleep(0)
    for event, call in zip(done, calls, strict=True):
        event.set()
        await call
    watching.cancel()

    assert [True, True, False] == log.waits


async def test_no_record_waits_for_a_call_that_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may wait for its message or for the store; a younger call that is not slow is waited for nevertheless."""
    log, elapsed = _Memory(), [0.0]
    monkeypatch.setattr("tokenauthority.interceptors.audit.perf_counter", lambda: elapsed[0])
    audit = AuditInterceptor(log, unrecorded=(), finishing=())

    async def held(_: Call) -> object:
        await asyncio.Event().wait()
        return b""

    async def answered(_: Call) -> object:
        return b""

    slow = asyncio.ensure_future(audit.intercept(_call(0.0), held))
    await asyncio.sleep(0)
    await audit.intercept(_call(0.0), answered)
    elapsed[0] = WAIT
    await audit.intercept(_call(0.0), answered)
    young = asyncio.ensure_future(audit.intercept(_call(0.0), held))
    await asyncio.sleep(0)
    await audit.intercept(_call(0.0), answered)
    slow.cancel()
    young.cancel()

    assert [True, False, True] == log.waits


async def test_a_call_that_fails_is_not_waited_for() -> None:
    """However it fails: no later record waits for one that has come."""
    log = _Memory()
    audit = AuditInterceptor(log, unrecorded=(), finishing=())

    async def failing(_: Call) -> object:
        raise ValueError("a bug")

    async def answered(_: Call) -> object:
        return b""

    with pytest.raises(ValueError, match="a bug"):
        await audit.intercept(_call(0.0), failing)
    await audit.intercept(_call(0.0), answered)

    assert [False] == log.waits
