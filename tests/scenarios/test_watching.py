"""Who watches revocations misses none: servers that are killed, readers that take nothing, many readers at once."""

from __future__ import annotations

import asyncio
import contextlib

from collections.abc import Iterator

import grpc
import pytest

from tests.scenarios.fleet import Fleet, Loops, Stream
from tests.storage.builders import make_revocation
from tests.support.authority import WAIT, AuthorityProcess, StartAuthority, eventually
from tests.support.memory_store import MemoryStore
from tests.support.wire import Connect, Wire
from tokenauthority.client import Authority
from tokenauthority.domain.revocation import MAX_COMMENT, StoredRevocation
from tokenauthority.interceptors import chain, deliveries
from tokenauthority.v1 import token_pb2, token_pb2_grpc


KILLS = 4
READ = 20
"""Revocations that are read between two kills."""

WATCHERS = 200
REVOCATIONS = 10


def revoke_one(client: Authority, answered: set[str]) -> None:
    """Make a revocation and note that it was answered."""
    number = len(answered)
    request = token_pb2.RevokeTokensRequest(token_id=f"{number}-{id(client)}", project_id=client.project_id)
    answered.add(client.tokens.RevokeTokens(request).revocation.revocation_id)


def read(stream: Stream, told: list[str], count: int, token: str) -> str:
    """Read *count* revocations and note them; the last resume token."""
    for message in stream:
        token = message.resume_token or token
        if message.WhichOneof("event") == "revocation":
            told.append(message.revocation.revocation_id)
            count -= 1
            # Within what was in force there is nothing to resume from yet.
            if count <= 0 and token:
                return token
    raise AssertionError("the stream ended")


def test_misses_nothing_when_servers_are_killed(fleet: Fleet) -> None:
    """Whatever RevokeTokens has answered comes, though the server of the reader is killed in the middle of it.

    The reader resumes at the other server, and at one that was started in the place of the killed one.
    """
    dying, staying = fleet.start_together(2)
    working = fleet.client(staying)
    answered: set[str] = set()
    told: list[str] = []
    token = ""
    with Loops() as loops:
        loops.start(lambda: revoke_one(working, answered))
        for kill in range(KILLS):
            doomed = fleet.client(dying)
            for _ in range(5):
                revoke_one(doomed, answered)
            token = read(fleet.watch(dying, token), told, READ, token)
            fleet.kill(dying)
            if kill % 2:
                token = read(fleet.watch(staying, token), told, READ, token)
            dying = fleet.start()
    for message in fleet.watch(staying, token):
        if message.WhichOneof("event") == "snapshot_end":
            break
        told.append(message.revocation.revocation_id)

    assert set() == answered.difference(told)
    assert len(told) >= len(answered) > READ * KILLS


def test_two_hundred_watchers_get_every_event(fleet: Fleet) -> None:
    """In order and once, each of them."""
    here, there = fleet.start_together(2)
    made = asyncio.run(watched_by_many(fleet, there, here))

    assert [made.pop()] * WATCHERS == made


async def watched_by_many(fleet: Fleet, watched: AuthorityProcess, asked: AuthorityProcess) -> list[list[str]]:
    """What each watcher was told, and as the last what was revoked."""
    client = fleet.client(asked)
    async with contextlib.AsyncExitStack() as stack:
        channels = [
            await stack.enter_async_context(
                grpc.aio.insecure_channel(watched.address, [("grpc.use_local_subchannel_pool", 1)])
            )
            for _ in range(WATCHERS // 50)
        ]
        ready = [asyncio.Event() for _ in range(WATCHERS)]

        async def follow(number: int) -> list[str]:
            stub = token_pb2_grpc.TokenServiceStub(channels[number % len(channels)])
            stream = stub.WatchRevocations(
                token_pb2.WatchRevocationsRequest(), metadata=(("authorization", f"Bearer {fleet.api_key}"),)
            )
            told: list[str] = []
            async for message in stream:
                if message.WhichOneof("event") == "snapshot_end":
                    ready[number].set()
                if message.WhichOneof("event") == "revocation":
                    told.append(message.revocation.revocation_id)
                    if len(told) == REVOCATIONS:
                        break
            return told

        async with asyncio.timeout(2 * WAIT):
            following = [asyncio.create_task(follow(number)) for number in range(WATCHERS)]
            await asyncio.gather(*(event.wait() for event in ready))
            answered: set[str] = set()
            order: list[str] = []
            for _ in range(REVOCATIONS):
                await asyncio.to_thread(revoke_one, client, answered)
                order += answered.difference(order)
            return [*await asyncio.gather(*following), order]


def test_heartbeats_say_that_the_server_is_up_to_date(start_authority: StartAuthority, connect: Connect) -> None:
    """A snapshot, its end, then signs of life, each of them a place to resume from."""
    authority = start_authority(
        settings={
            "listen": {"grpc": "127.0.0.1:0", "http": "127.0.0.1:0", "ops": "127.0.0.1:0"},
            "limits": {"watch_heartbeat": 0.1},
        }
    )
    wire = connect(authority)
    first = revoke(wire, authority.project_id, "1")
    messages = [next(stream) for stream in [watch(wire)] for _ in range(4)]

    assert ["revocation", "snapshot_end", "heartbeat", "heartbeat"] == [m.WhichOneof("event") for m in messages]
    assert first == messages[0].revocation.revocation_id
    assert ["", True, True, True] == [m.resume_token and True for m in messages]


def test_a_reader_that_falls_behind_gets_an_error_and_resumes(
    start_authority: StartAuthority, connect: Connect
) -> None:
    """More at once than `limits.watch_buffer` holds: RESOURCE_EXHAUSTED, and everything from the last resume token."""
    store = MemoryStore()
    authority = start_authority(
        store=store,
        settings={
            "listen": {"grpc": "127.0.0.1:0", "http": "127.0.0.1:0", "ops": "127.0.0.1:0"},
            "limits": {"watch_buffer": 3},
        },
    )
    stream = watch(connect(authority))
    marker = next(stream)

    async def burst() -> list[StoredRevocation]:
        return [await store.create_revocation(made(authority.project_id, number)) for number in range(10)]

    kept = authority.do(burst())
    with pytest.raises(grpc.RpcError) as caught:
        next(stream)
    again = watch(connect(authority), marker.resume_token)
    told = [next(again).revocation.revocation_id for _ in kept]

    assert grpc.StatusCode.RESOURCE_EXHAUSTED is caught.value.code()
    assert [revocation.revocation_id for revocation in kept] == told


@pytest.mark.timeout(300)
def test_a_reader_that_takes_nothing_holds_no_memory_of_the_server(
    start_authority: StartAuthority, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its stream ends though it takes not even the status; what it finds when it reads on is RESOURCE_EXHAUSTED."""
    monkeypatch.setattr(chain, "_SEND_TIMEOUT", 0.3)
    monkeypatch.setattr(deliveries, "_CALLERS_PATIENCE", 0.3)
    store = MemoryStore()
    authority = start_authority(store=store)
    for number in range(2000):
        authority.do(store.create_revocation(made(authority.project_id, number, comment="x" * MAX_COMMENT)))
    # Without probing, a reader's window stays at the 64 KiB of HTTP/2.
    stream = watch(connect(authority, **{"grpc.http2.bdp_probe": 0}))
    first = next(stream)
    eventually(lambda: "READER_TOO_SLOW" in authority.audit_path.read_text(), "the stream is not ended")
    eventually(lambda: "_handle_exceptions" not in tasks(authority.loop), "the stream waits for its reader")
    with pytest.raises(grpc.RpcError) as caught:
        list(stream)

    assert "" == first.resume_token
    assert grpc.StatusCode.RESOURCE_EXHAUSTED is caught.value.code()
    assert 2000 == sum(1 for _ in until_marker(watch(connect(authority))))


def tasks(loop: asyncio.AbstractEventLoop) -> list[str]:
    """What runs on the loop of a server; `_handle_exceptions` is how gRPC runs a handler of ours."""

    async def names() -> list[str]:
        return [getattr(task.get_coro(), "__name__", "") for task in asyncio.all_tasks()]

    return asyncio.run_coroutine_threadsafe(names(), loop).result(WAIT)


def until_marker(stream: Stream) -> Iterator[token_pb2.WatchRevocationsResponse]:
    """The snapshot."""
    for message in stream:
        if message.WhichOneof("event") == "snapshot_end":
            return
        yield message


def made(project_id: str, number: int, comment: str = "") -> StoredRevocation:
    """A revocation of a token of *project_id*."""
    return make_revocation(
        f"rev_{number:05}", project_id=project_id, target=str(number), comment=comment, issued_before=2_000_000_000
    )


def revoke(wire: Wire, project_id: str, token_id: str) -> str:
    """Revoke a token; the id of the revocation."""
    request = token_pb2.RevokeTokensRequest(project_id=project_id, token_id=token_id)
    answer = wire.call("/tokenauthority.v1.TokenService/RevokeTokens", request)
    return token_pb2.RevokeTokensResponse.FromString(answer.body).revocation.revocation_id


def watch(wire: Wire, resume_token: str = "") -> Stream:
    """A stream of revocations."""
    return token_pb2_grpc.TokenServiceStub(wire.channel).WatchRevocations(
        token_pb2.WatchRevocationsRequest(resume_token=resume_token),
        metadata=(("authorization", f"Bearer {wire.api_key}"),),
        timeout=4 * WAIT,
    )
