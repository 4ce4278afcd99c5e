"""Only so many RPCs are answered at once; the others are told when to come back."""

from __future__ import annotations

import asyncio
import contextlib
import threading

from collections.abc import AsyncIterator, Iterator
from typing import cast

import grpc
import pytest

from google.rpc.error_details_pb2 import QuotaFailure, RetryInfo

from tests.support.authority import WAIT, RunningAuthority, StartAuthority, eventually
from tests.support.faulty_store import FaultyStore
from tests.support.wire import LIST_PROJECTS, Connect, Wire, outcome, records, wait_for_record
from tokenauthority.audit.record import AuditRecord
from tokenauthority.domain.errors import OverloadedError
from tokenauthority.interceptors.admission import (
    MAX_PUBLIC_STREAMS,
    MAX_PUBLIC_STREAMS_OF_AN_ORIGIN,
    Admission,
    PlacesInterceptor,
)
from tokenauthority.interceptors.call import Call, Context


HEALTH = "/grpc.health.v1.Health/Check"
WATCH = "/grpc.health.v1.Health/Watch"
WATCH_REVOCATIONS = "/tokenauthority.v1.TokenService/WatchRevocations"
CREATE_SESSION = "/tokenauthority.v1.SessionService/CreateSession"


@pytest.fixture
def store() -> FaultyStore:
    """The store of `one_at_a_time`."""
    return FaultyStore()


@pytest.fixture
def one_at_a_time(start_authority: StartAuthority, store: FaultyStore) -> RunningAuthority:
    """An authority that answers one RPC at once."""
    return start_authority(store=store, settings={"limits": {"max_concurrent_rpcs": 1}})


@pytest.fixture
def wire_of_one(one_at_a_time: RunningAuthority, connect: Connect) -> Wire:
    """A wire to it."""
    return connect(one_at_a_time)


def test_refuses_a_call_above_the_limit(one_at_a_time: RunningAuthority, wire_of_one: Wire, store: FaultyStore) -> None:
    """It is told so in every way that clients understand, and it is recorded; the call inside still ends well."""
    held = store.hold("list_projects")
    inside = wire_of_one.start(LIST_PROJECTS)
    held.wait()
    refused = wire_of_one.call(LIST_PROJECTS)
    held.release()

    assert ("RESOURCE_EXHAUSTED", "CONCURRENCY_LIMIT") == (refused.code, refused.reason)
    assert ["ErrorInfo", "QuotaFailure", "RetryInfo"] == refused.detail_names
    assert ["server"] == [violation.subject for violation in refused.detail(QuotaFailure).violations]
    assert 200 == refused.detail(RetryInfo).retry_delay.ToMilliseconds()
    assert "200" == refused.trailers["grpc-retry-pushback-ms"]
    assert "OK" == outcome(inside).code
    assert ["RESOURCE_EXHAUSTED", "OK"] == [record["code"] for record in records(one_at_a_time.audit_path)]


def test_refuses_before_it_looks_at_the_credential(
    one_at_a_time: RunningAuthority, wire_of_one: Wire, store: FaultyStore
) -> None:
    """Strangers, too, cost a full server next to nothing."""
    held = store.hold("list_projects")
    inside = wire_of_one.start(LIST_PROJECTS)
    held.wait()
    refused = wire_of_one.call(LIST_PROJECTS, api_key="")
    held.release()

    assert ("RESOURCE_EXHAUSTED", "OK") == (refused.code, outcome(inside).code)


def test_answers_health_checks_when_it_is_full(
    one_at_a_time: RunningAuthority, wire_of_one: Wire, store: FaultyStore
) -> None:
    """A busy server is not a sick one."""
    held = store.hold("list_projects")
    inside = wire_of_one.start(LIST_PROJECTS)
    held.wait()
    health = wire_of_one.call(HEALTH, api_key="")
    held.release()

    assert ("OK", b"\x08\x01", "OK") == (health.code, health.body, outcome(inside).code)


@pytest.mark.parametrize("ending", ["answered", "failed", "cancelled"])
def test_gives_the_place_back_however_a_call_ends(
    one_at_a_time: RunningAuthority, wire_of_one: Wire, store: FaultyStore, ending: str
) -> None:
    """There is room again after an answer, after an error and after a client that went away."""
    held = store.hold("list_projects")
    inside = wire_of_one.start(LIST_PROJECTS)
    held.wait()
    if ending == "failed":
        store.fail("list_projects", error=RuntimeError())
    if ending == "cancelled":
        inside.cancel()
        wait_for_record(one_at_a_time, "CANCELLED")
    held.release()
    if ending != "cancelled":
        outcome(inside)
    store.recover()

    assert "OK" == wire_of_one.call(LIST_PROJECTS).code


def test_takes_no_call_while_it_drains(running_authority: RunningAuthority, wire: Wire) -> None:
    """A caller is sent elsewhere by an error that it may retry, and health still answers."""
    running_authority.loop.call_soon_threadsafe(running_authority.app.admission.drain)
    eventually(lambda: "OK" != wire.call(LIST_PROJECTS).code, "the server does not drain")
    refused, health = wire.call(LIST_PROJECTS), wire.call(HEALTH)

    assert ("UNAVAILABLE", "DRAINING", ["ErrorInfo", "RetryInfo"]) == (
        refused.code,
        refused.reason,
        refused.detail_names,
    )
    assert "DRAINING" == records(running_authority.audit_path)[-1]["reason"]
    assert "OK" == health.code


def test_streams_of_strangers_and_of_callers_shut_nobody_out(start_authority: StartAuthority, connect: Connect) -> None:
    """Neither health watches take the place of a caller's stream, nor the streams of callers that of a health watch."""
    running = start_authority(settings={"limits": {"max_streams": 2}})
    wire = connect(running)
    watch: grpc.UnaryStreamMultiCallable[bytes, bytes] = wire.channel.unary_stream(WATCH)
    follow: grpc.UnaryStreamMultiCallable[bytes, bytes] = wire.channel.unary_stream(WATCH_REVOCATIONS)
    key = (("authorization", f"Bearer {wire.api_key}"),)
    streams = [watch(b""), watch(b""), follow(b"", metadata=key), follow(b"", metadata=key), watch(b"")]
    for stream in streams:
        assert next(stream)
    refused = follow(b"", metadata=key)

    assert grpc.StatusCode.RESOURCE_EXHAUSTED == refused.code()


def test_streams_of_one_stranger_are_bounded(running_authority: RunningAuthority, connect: Connect) -> None:
    """Health can be watched without a credential, but not so often that nobody else gets in."""
    wire = connect(running_authority)
    watch: grpc.UnaryStreamMultiCallable[bytes, bytes] = wire.channel.unary_stream(WATCH)
    streams = [watch(b"") for _ in range(MAX_PUBLIC_STREAMS_OF_AN_ORIGIN)]
    for stream in streams:
        next(stream)
    refused = watch(b"")
    with pytest.raises(grpc.RpcError):
        next(refused)
    served = wire.call(LIST_PROJECTS)
    for stream in streams:
        stream.cancel()

    assert (grpc.StatusCode.RESOURCE_EXHAUSTED, "OK") == (refused.code(), served.code)


def _watching(streams: PlacesInterceptor, peer: str, until: asyncio.Event) -> asyncio.Task[object]:
    """A health Watch from *peer* that stays open."""

    async def stay_open(call: Call) -> object:
        await until.wait()
        return None

    call = Call(WATCH, cast("AsyncIterator[object]", None), cast("Context", None), streaming=True)
    call.record = AuditRecord(time="", request_id="r", method=WATCH, peer=peer)
    return asyncio.ensure_future(streams.intercept(call, stay_open))


@pytest.mark.parametrize(
    ("same", "other"),
    [
        ("ipv6:%5B2001:db8::{}%5D:50000", "ipv6:%5B2001:db8:0:1::1%5D:50000"),
        ("ipv4:192.0.2.7:{}", "ipv4:192.0.2.8:1"),
    ],
)
async def test_streams_of_one_ipv6_network_are_those_of_one_stranger(same: str, other: str) -> None:
    """One host has all addresses of a /64, and all ports: with a bound for each, it could hold every public stream."""
    admission, ended = PlacesInterceptor(Admission(10, 10, 1000), public={WATCH}), asyncio.Event()
    numbers = range(1, MAX_PUBLIC_STREAMS_OF_AN_ORIGIN + 1)
    streams = [_watching(admission, same.format(number), ended) for number in numbers]
    await asyncio.sleep(0)
    refused = _watching(admission, same.format(99), ended)
    served = _watching(admission, other, ended)
    await asyncio.sleep(0)
    ended.set()

    assert [None] * len(streams) == await asyncio.gather(*streams)
    assert await served is None
    with pytest.raises(OverloadedError):
        await refused


async def test_the_origin_with_most_public_streams_gives_way() -> None:
    """Strangers of a few addresses hold every public stream: a client of another address gets in all the same."""
    admission, ended = PlacesInterceptor(Admission(10, 10, 1000), public={WATCH}), asyncio.Event()
    peers = [f"ipv4:192.0.2.{number % 8}:{number}" for number in range(MAX_PUBLIC_STREAMS)]
    streams = [_watching(admission, peer, ended) for peer in peers]
    await asyncio.sleep(0)
    served = _watching(admission, "ipv4:198.51.100.1:1", ended)
    _, still_open = await asyncio.wait(streams, timeout=0.1, return_when=asyncio.FIRST_COMPLETED)
    (oldest,) = set(streams) - still_open
    ended.set()

    assert streams[0] is oldest
    assert isinstance(oldest.exception(), OverloadedError)
    assert await served is None
    assert [None] * (MAX_PUBLIC_STREAMS - 1) == await asyncio.gather(*still_open)


def test_a_stranger_has_nothing_to_show_again(running_authority: RunningAuthority, connect: Connect) -> None:
    """Its stream stays open though who may call has changed: a balancer that watches health is no caller."""
    wire, admission = connect(running_authority), running_authority.app.admission
    watch: grpc.UnaryStreamMultiCallable[bytes, bytes] = wire.channel.unary_stream(WATCH)
    stream = watch(b"")
    next(stream)

    async def renew() -> list[int]:
        admission.renew_streams()
        return [each.cancelling() for each in admission._public]

    cancelled = asyncio.run_coroutine_threadsafe(renew(), running_authority.loop).result(WAIT)
    stream.cancel()

    assert [0] == cancelled


def test_nothing_is_kept_of_a_stranger_that_has_left(running_authority: RunningAuthority, connect: Connect) -> None:
    """However often strangers come, the server does not grow."""
    wire, admission = connect(running_authority), running_authority.app.admission
    watch: grpc.UnaryStreamMultiCallable[bytes, bytes] = wire.channel.unary_stream(WATCH)
    stream = watch(b"")
    next(stream)
    during = len(list(admission._public))
    stream.cancel()
    eventually(lambda: not list(admission._public), "the stream does not end")

    assert (1, set()) == (during, admission._public._ended)


def test_a_call_without_a_message_waits_for_nothing(running_authority: RunningAuthority, wire: Wire) -> None:
    """A stranger who only sends headers is refused by them, and holds nothing."""
    with silent_call(wire) as call:
        assert grpc.StatusCode.UNAUTHENTICATED == call.code()

    assert "UNAUTHENTICATED" == records(running_authority.audit_path)[-1]["code"]


def test_a_caller_without_a_message_is_held_to_the_deadline(start_authority: StartAuthority, connect: Connect) -> None:
    """The server's own bound holds from the headers on."""
    authority = start_authority(settings={"limits": {"max_deadline": 0.2}})
    with silent_call(connect(authority), ("authorization", f"Bearer {authority.api_key}")) as call:
        assert grpc.StatusCode.DEADLINE_EXCEEDED == call.code()


def test_a_change_without_a_message_is_not_waited_for(start_authority: StartAuthority, connect: Connect) -> None:
    """A call that is not held to a deadline as a whole still holds its place no longer than one."""
    authority = start_authority(settings={"limits": {"max_deadline": 0.2}})
    metadata = ("authorization", f"Bearer {authority.api_key}")
    with silent_call(connect(authority), metadata, method=CREATE_SESSION) as call:
        assert grpc.StatusCode.INVALID_ARGUMENT == call.code()


@contextlib.contextmanager
def silent_call(wire: Wire, *metadata: tuple[str, str], method: str = LIST_PROJECTS) -> Iterator[grpc.Call]:
    """A call whose headers are sent and whose message never is."""
    silent = threading.Event()

    def nothing() -> Iterator[bytes]:
        silent.wait(WAIT)
        yield from ()

    send: grpc.StreamUnaryMultiCallable[bytes, bytes] = wire.channel.stream_unary(method)
    try:
        yield send.future(nothing(), metadata=metadata, timeout=WAIT)
    finally:
        silent.set()
