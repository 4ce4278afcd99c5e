"""Watching revocations: what is told, and that nothing is missed when the stream breaks off."""

from __future__ import annotations

import asyncio
import itertools
import threading

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import grpc
import pytest

from google.protobuf.message import Message

from tests.client.conftest import ScriptedServer, failing, giving
from tests.support.authority import WAIT, RunningAuthority, StartAuthority
from tests.support.production import Production
from tokenauthority.client import (
    AsyncAuthority,
    AsyncRevocationWatch,
    Authority,
    AuthorityError,
    Heartbeat,
    InvalidArgument,
    PermissionDenied,
    Revocation,
    RevocationEvent,
    RevocationWatch,
    SessionEnd,
    SnapshotEnd,
)
from tokenauthority.v1 import project_pb2, token_pb2


@pytest.fixture
async def async_authority(running_authority: RunningAuthority) -> AsyncIterator[AsyncAuthority]:
    """A client of a real authority, whose key may do everything."""
    async with AsyncAuthority.from_environment(running_authority.environment) as client:
        yield client


@pytest.fixture
async def async_scripted(scripted_server: ScriptedServer) -> AsyncIterator[AsyncAuthority]:
    """A client of the scripted server."""
    async with AsyncAuthority(scripted_server.address, api_key="tak_scripted", plaintext=True) as client:
        yield client


def named(events: Iterable[RevocationEvent], count: int) -> list[str]:
    """The first *count* events, heartbeats apart, each by what it is about."""
    return list(itertools.islice(map(name_of, (e for e in events if not isinstance(e, Heartbeat))), count))


async def async_named(watch: AsyncRevocationWatch, count: int) -> list[str]:
    """The same of an awaited one."""
    found: list[str] = []
    while len(found) < count:
        event = await asyncio.wait_for(anext(watch), WAIT)
        if not isinstance(event, Heartbeat):
            found.append(name_of(event))
    return found


def name_of(event: RevocationEvent) -> str:
    """What an event is about."""
    match event:
        case Revocation():
            return event.token_id or event.session_id or event.subject
        case SessionEnd():
            return f"end of {event.session_id}"
        case SnapshotEnd():
            return "snapshot"
    return "heartbeat"


def told(resume_token: str, subject: str) -> Callable[[bytes, grpc.ServicerContext], Message]:
    """A scripted stream that tells of one revocation and ends."""
    revocation = token_pb2.Revocation(subject=subject)
    return giving(token_pb2.WatchRevocationsResponse(resume_token=resume_token, revocation=revocation))


def resumed(server: ScriptedServer) -> list[str]:
    """The resume tokens that the scripted server was sent."""
    return [token_pb2.WatchRevocationsRequest.FromString(request).resume_token for request in server.requests]


def test_tells_what_is_in_force_and_then_what_happens(authority: Authority) -> None:
    """With a mark between the two."""
    session = authority.create_session()
    first = authority.revoke_tokens(subject="bob", comment="why")
    with authority.watch_revocations() as watch:
        before = [next(watch), next(watch)]
        token = session.generate_token()
        authority.revoke_tokens(token=token)
        session.end()
        after = named(watch, 2)

    mark = before[1]
    assert first == before[0]
    assert isinstance(mark, SnapshotEnd)
    # When it began to read what is in force, which was after that was made, to the milliseconds that it tells.
    assert first.create_time <= mark.time
    assert [token.token_id, f"end of {session.session_id}"] == after


def test_goes_on_after_the_event_whose_token_is_kept(authority: Authority) -> None:
    """In another process, another day."""
    with authority.watch_revocations() as watch:
        assert ["snapshot"] == named(watch, 1)
        authority.revoke_tokens(subject="seen")
        assert ["seen"] == named(watch, 1)
        kept = watch.resume_token
    authority.revoke_tokens(subject="missed")

    with authority.watch_revocations(resume_token=kept) as watch:
        assert ["missed", "snapshot"] == named(watch, 2)


def test_heartbeats_have_the_servers_time(start_authority: StartAuthority) -> None:
    """So that a reader knows how old its knowledge is."""
    running = start_authority(settings={"limits": {"watch_heartbeat": 0.1}})
    with Authority.from_environment(running.environment) as authority, authority.watch_revocations() as watch:
        made = authority.create_session().create_time
        beat = next(event for event in watch if isinstance(event, Heartbeat))

    assert made - timedelta(minutes=1) < beat.time


def test_watches_the_clients_project_others_or_all(authority: Authority) -> None:
    """As the list says; without one, as all other calls of the client do."""
    other = authority.projects.CreateProject(project_pb2.CreateProjectRequest()).project.project_id
    authority.revoke_tokens(subject="mine")
    authority.revoke_tokens(subject="theirs", project_id=other)
    wanted: list[list[str] | None] = [None, [other], []]

    seen = []
    for project_ids in wanted:
        with authority.watch_revocations(project_ids=project_ids) as watch:
            seen.append(set(itertools.takewhile(lambda name: name != "snapshot", map(name_of, watch))))

    assert [{"mine"}, {"theirs"}, {"mine", "theirs"}] == seen


def test_what_the_authority_refuses_ends_the_watch(authority: Authority) -> None:
    """It would be refused again."""
    with authority.watch_revocations(resume_token="x") as watch, pytest.raises(InvalidArgument, match="resume_token"):
        next(watch)


def test_nothing_is_missed_when_the_server_is_killed(production: Production) -> None:
    """SIGKILL, and another one at the same place: what was taken back meanwhile comes, in order."""
    first = production.start()
    with production.client(first.address) as authority:
        project = authority.projects.CreateProject(project_pb2.CreateProjectRequest()).project.project_id
    losses: list[AuthorityError] = []

    with production.client(first.address, project) as authority:
        watch = authority.watch_revocations(on_lost=lambda error, _: losses.append(error))
        authority.revoke_tokens(subject="before")
        assert ["before", "snapshot"] == named(watch, 2)
        first.process.kill()
        first.process.wait(WAIT)
        second = production.start(LISTEN__GRPC=first.address)
        with production.client(second.address, project) as other:
            for subject in ("one", "two", "three"):
                other.revoke_tokens(subject=subject)
        told_after = [name for name in named(watch, 4) if name != "snapshot"]
        watch.close()

    assert ["one", "two", "three"] == told_after
    assert losses


@pytest.mark.parametrize(
    "code", [grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED]
)
def test_resumes_from_its_last_token(
    scripted_server: ScriptedServer, scripted: Authority, code: grpc.StatusCode
) -> None:
    """Whether the stream is closed or fails; each event is told once."""
    scripted_server.answers = [told("1.1", "bob"), failing(code), told("2.2", "eve")]

    with scripted.watch_revocations() as watch:
        names = named(watch, 2)

    assert ["bob", "eve"] == names
    assert "2.2" == watch.resume_token
    assert ["", "1.1", "1.1"] == resumed(scripted_server)[:3]


def test_a_stream_that_falls_silent_is_opened_again(
    scripted_server: ScriptedServer, scripted: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that is there and says nothing knows nothing."""
    monkeypatch.setattr("tokenauthority.client.blocking.watch.SILENCE", 0.2)
    release = threading.Event()
    losses: list[AuthorityError] = []
    scripted_server.answers = [hanging(release), told("1.1", "bob")]

    with scripted.watch_revocations(on_lost=lambda error, _: losses.append(error)) as watch:
        names = named(watch, 1)
    release.set()

    assert ["bob"] == names
    assert "no message for" in str(losses[0])


def test_who_is_told_of_a_loss_can_end_the_watch(scripted_server: ScriptedServer, scripted: Authority) -> None:
    """By raising what it likes."""
    scripted_server.answers = [failing(grpc.StatusCode.RESOURCE_EXHAUSTED)]

    def give_up(error: AuthorityError, pause: float) -> None:
        raise LookupError(f"{error} {pause <= 0.25}")

    with scripted.watch_revocations(on_lost=give_up) as watch, pytest.raises(LookupError, match="EXHAUSTED True"):
        next(watch)


def test_another_thread_can_end_a_watch(authority: Authority) -> None:
    """Also one that waits for an event."""
    ready = threading.Event()

    def read(watch: RevocationWatch) -> Iterator[str]:
        for event in watch:
            ready.set()
            yield name_of(event)

    watch = authority.watch_revocations()
    with ThreadPoolExecutor(1) as pool:
        seen = pool.submit(lambda: list(read(watch)))
        assert ready.wait(WAIT)
        watch.close()

        assert "snapshot" == seen.result(WAIT)[0]
    assert [] == list(watch)


NEWER = {
    "event": token_pb2.WatchRevocationsResponse(resume_token="7.7"),
    "target": token_pb2.WatchRevocationsResponse(
        resume_token="7.7", revocation=token_pb2.Revocation(revocation_id="rev_1", project_id="47000000")
    ),
}


@pytest.mark.parametrize("message", NEWER.values(), ids=NEWER)
def test_what_a_newer_contract_takes_back_is_not_passed_over(
    scripted_server: ScriptedServer, scripted: Authority, message: token_pb2.WatchRevocationsResponse
) -> None:
    """It would be missed for good: each attempt fails, and the token to go on with stays the one before."""
    scripted_server.answers = [told("6.6", "bob"), giving(message), giving(message)]
    with scripted.watch_revocations() as watch:
        first = named(watch, 1)
        errors = []
        for _ in range(2):
            with pytest.raises(AuthorityError, match="does not know: update it") as caught:
                next(watch)
            errors.append((caught.value.code, watch.resume_token))

    assert ["bob"] == first
    assert [(grpc.StatusCode.UNIMPLEMENTED, "6.6")] * 2 == errors
    assert ["", "6.6", "6.6"] == resumed(scripted_server)


@pytest.mark.parametrize("message", NEWER.values(), ids=NEWER)
async def test_nor_by_the_asyncio_watch(
    scripted_server: ScriptedServer, async_scripted: AsyncAuthority, message: token_pb2.WatchRevocationsResponse
) -> None:
    """The same."""
    scripted_server.answers = [told("6.6", "bob"), giving(message)]
    async with async_scripted.watch_revocations() as watch:
        first = await async_named(watch, 1)
        with pytest.raises(AuthorityError, match="does not know: update it"):
            await anext(watch)

    assert (["bob"], "6.6") == (first, watch.resume_token)


async def test_the_asyncio_watch_tells_the_same(async_authority: AsyncAuthority) -> None:
    """What is in force, the mark, what happens; and it goes on from its token."""
    session = await async_authority.create_session()
    await async_authority.revoke_tokens(subject="bob")
    async with async_authority.watch_revocations() as watch:
        before = await async_named(watch, 2)
        await session.end()
        after = await async_named(watch, 1)
        kept = watch.resume_token
    await async_authority.revoke_tokens(subject="missed")
    async with async_authority.watch_revocations(resume_token=kept) as watch:
        missed = await async_named(watch, 2)

    assert ["bob", "snapshot"] == before
    assert [f"end of {session.session_id}"] == after
    assert ["missed", "snapshot"] == missed


@pytest.mark.parametrize(
    "code", [grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED]
)
async def test_the_asyncio_watch_resumes_from_its_last_token(
    scripted_server: ScriptedServer, async_scripted: AsyncAuthority, code: grpc.StatusCode
) -> None:
    """Whether the stream is closed or fails."""
    scripted_server.answers = [told("1.1", "bob"), failing(code), told("2.2", "eve")]

    async with async_scripted.watch_revocations() as watch:
        names = await async_named(watch, 2)

    assert ["bob", "eve"] == names
    assert ["", "1.1", "1.1"] == resumed(scripted_server)[:3]


async def test_the_asyncio_watch_opens_a_silent_stream_again(
    scripted_server: ScriptedServer, async_scripted: AsyncAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that is there and says nothing knows nothing."""
    monkeypatch.setattr("tokenauthority.client.aio.watch.SILENCE", 0.2)
    release = threading.Event()
    losses: list[AuthorityError] = []
    scripted_server.answers = [hanging(release), told("1.1", "bob")]

    async with async_scripted.watch_revocations(on_lost=lambda error, _: losses.append(error)) as watch:
        names = await async_named(watch, 1)
    release.set()

    assert ["bob"] == names
    assert "no message for" in str(losses[0])


async def test_the_asyncio_watch_ends_with_what_the_authority_refuses(
    scripted_server: ScriptedServer, async_scripted: AsyncAuthority
) -> None:
    """It would be refused again."""
    scripted_server.answers = [failing(grpc.StatusCode.PERMISSION_DENIED)]

    async with async_scripted.watch_revocations() as watch:
        with pytest.raises(PermissionDenied):
            await anext(watch)


async def test_another_task_can_end_an_asyncio_watch(async_authority: AsyncAuthority) -> None:
    """The reader's loop ends; a reader that is cancelled itself is cancelled, as always."""
    watch, other = async_authority.watch_revocations(), async_authority.watch_revocations()
    ready = asyncio.Event()

    async def read(watch: AsyncRevocationWatch) -> list[str]:
        names = []
        async for event in watch:
            names.append(name_of(event))
            ready.set()
        return names

    reading = asyncio.create_task(read(watch))
    await asyncio.wait_for(ready.wait(), WAIT)
    await watch.close()
    cancelled = asyncio.create_task(read(other))
    ready.clear()
    await asyncio.wait_for(ready.wait(), WAIT)
    cancelled.cancel()

    assert "snapshot" == (await asyncio.wait_for(reading, WAIT))[0]
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    await other.close()


def hanging(release: threading.Event) -> Callable[[bytes, grpc.ServicerContext], Message]:
    """A stream that says nothing until its reader has gone."""

    def hang(_: bytes, context: grpc.ServicerContext) -> Message:
        context.add_callback(release.set)
        release.wait(WAIT)
        return token_pb2.WatchRevocationsResponse()

    return hang
