"""Both clients' watches: which events they give, and that none is missed when the stream breaks off."""

from __future__ import annotations

from datetime import timedelta

import grpc
import pytest

from tests.client.conftest import Client, ScriptedServer, done, entered, failing
from tests.client.watching import name_of, named, next_event, resumed, revoked
from tests.support.authority import WAIT, StartAuthority
from tests.support.production import Production
from tokenauthority.client import (
    Authority,
    AuthorityError,
    Heartbeat,
    InvalidArgument,
    PermissionDenied,
    SnapshotEnd,
)
from tokenauthority.client.backoff import Backoff
from tokenauthority.v1 import project_pb2, token_pb2


async def test_gives_what_is_in_force_and_then_what_happens(client: Client) -> None:
    """With a mark between the two."""
    session = await done(client.create_session())
    first = await done(client.revoke_tokens(subject="bob", comment="why"))
    async with entered(client.watch_revocations()) as watch:
        before = [await next_event(watch), await next_event(watch)]
        token = await done(session.generate_token())
        await done(client.revoke_tokens(token=token))
        await done(session.end())
        after = await named(watch, 2)

    mark = before[1]
    assert first == before[0]
    assert isinstance(mark, SnapshotEnd)
    # When it began to read what is in force, which was after that was made, to the milliseconds that it sends.
    assert first.create_time <= mark.time
    assert [token.token_id, f"end of {session.session_id}"] == after


async def test_resumes_after_the_event_whose_token_is_stored(client: Client) -> None:
    """In another process, another day."""
    async with entered(client.watch_revocations()) as watch:
        assert ["snapshot"] == await named(watch, 1)
        await done(client.revoke_tokens(subject="seen"))
        assert ["seen"] == await named(watch, 1)
        stored = watch.resume_token
    await done(client.revoke_tokens(subject="missed"))

    async with entered(client.watch_revocations(resume_token=stored)) as watch:
        assert ["missed", "snapshot"] == await named(watch, 2)


def test_heartbeats_have_the_servers_time(start_authority: StartAuthority) -> None:
    """So that a reader knows how current it is."""
    running = start_authority(settings={"limits": {"watch_heartbeat": 0.1}})
    with Authority.from_environment(running.environment) as authority, authority.watch_revocations() as watch:
        made = authority.create_session().create_time
        beat = next(event for event in watch if isinstance(event, Heartbeat))

    assert made - timedelta(minutes=1) < beat.time


async def test_watches_the_clients_project_others_or_all(client: Client) -> None:
    """As the list says; without one, as all other calls of the client do."""
    created = await done(client.projects.CreateProject(project_pb2.CreateProjectRequest()))
    other = created.project.project_id
    await done(client.revoke_tokens(subject="mine"))
    await done(client.revoke_tokens(subject="theirs", project_id=other))
    wanted: list[list[str] | None] = [None, [other], []]

    seen = []
    for project_ids in wanted:
        names = set()
        async with entered(client.watch_revocations(project_ids=project_ids)) as watch:
            while "snapshot" not in names:
                names.add(name_of(await next_event(watch)))
        seen.append(names - {"snapshot", "heartbeat"})

    assert [{"mine"}, {"theirs"}, {"mine", "theirs"}] == seen


async def test_what_the_authority_refuses_ends_the_watch(client: Client) -> None:
    """It would be refused again."""
    async with entered(client.watch_revocations(resume_token="x")) as watch:
        with pytest.raises(InvalidArgument, match="resume_token"):
            await next_event(watch)


def test_nothing_is_missed_when_the_server_is_killed(production: Production) -> None:
    """SIGKILL, and another one at the same place: what was revoked meanwhile comes, in order."""
    first = production.start()
    with production.client(first.address) as authority:
        project = authority.projects.CreateProject(project_pb2.CreateProjectRequest()).project.project_id
    losses: list[AuthorityError] = []

    with production.client(first.address, project) as authority:
        watch = authority.watch_revocations(on_lost=lambda error, _: losses.append(error))
        events = (name_of(event) for event in watch if not isinstance(event, Heartbeat))
        authority.revoke_tokens(subject="before")
        assert ["before", "snapshot"] == [next(events), next(events)]
        first.process.kill()
        first.process.wait(WAIT)
        second = production.start(LISTEN__GRPC=first.address)
        with production.client(second.address, project) as other:
            for subject in ("one", "two", "three"):
                other.revoke_tokens(subject=subject)
        after = [name for name in (next(events) for _ in range(4)) if name != "snapshot"]
        watch.close()

    assert ["one", "two", "three"] == after
    assert losses


@pytest.mark.parametrize(
    "code", [grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED]
)
async def test_resumes_from_its_last_token(
    scripted_server: ScriptedServer, scripted_client: Client, code: grpc.StatusCode
) -> None:
    """Whether the stream is closed or fails; each event comes once."""
    scripted_server.answers = [revoked("1.1", "bob"), failing(code), revoked("2.2", "eve")]

    async with entered(scripted_client.watch_revocations()) as watch:
        names = await named(watch, 2)

    assert ["bob", "eve"] == names
    assert "2.2" == watch.resume_token
    assert ["", "1.1", "1.1"] == resumed(scripted_server)[:3]


async def test_on_lost_can_end_the_watch(scripted_server: ScriptedServer, scripted_client: Client) -> None:
    """By raising what it likes."""
    scripted_server.answers = [failing(grpc.StatusCode.RESOURCE_EXHAUSTED)]

    def give_up(error: AuthorityError, pause: float) -> None:
        raise LookupError(f"{error} {pause <= 0.25}")

    async with entered(scripted_client.watch_revocations(on_lost=give_up)) as watch:
        with pytest.raises(LookupError, match="EXHAUSTED True"):
            await next_event(watch)


@pytest.mark.parametrize(
    ("sent", "resets"),
    [
        (["snapshot_end", "heartbeat", "revocation"], 1),
        (["heartbeat", "revocation"], 0),
        (["snapshot_end", "revocation"], 0),
        (["revocation", "revocation"], 0),
    ],
    ids=["heartbeat", "heartbeat-within", "snapshot", "event"],
)
async def test_only_a_heartbeat_of_a_complete_stream_makes_pauses_short_again(
    scripted_server: ScriptedServer, scripted_client: Client, sent: list[str], resets: int
) -> None:
    """Else an authority that breaks off right after what is in force would be asked for it without a pause."""

    class CountingBackoff(Backoff):
        resets = 0

        def reset(self) -> None:
            self.resets += 1

    messages = {
        "snapshot_end": token_pb2.WatchRevocationsResponse(snapshot_end=token_pb2.SnapshotEnd()),
        "heartbeat": token_pb2.WatchRevocationsResponse(heartbeat=token_pb2.Heartbeat()),
        "revocation": token_pb2.WatchRevocationsResponse(revocation=token_pb2.Revocation(subject="bob")),
    }
    scripted_server.streamed = [messages[name] for name in sent]
    async with entered(scripted_client.watch_revocations()) as watch:
        watch._backoff = backoff = CountingBackoff()
        for _ in sent:
            await next_event(watch)

    assert resets == backoff.resets


async def test_a_reopened_watch_resumes_by_a_new_stream(
    scripted_server: ScriptedServer, scripted_client: Client
) -> None:
    """For a reader that cannot use what it was sent."""
    scripted_server.answers = [revoked("1.1", "bob"), revoked("2.2", "eve")]
    async with entered(scripted_client.watch_revocations()) as watch:
        first = await named(watch, 1)
        await done(watch.reopen())
        second = await named(watch, 1)

    assert (["bob"], ["eve"]) == (first, second)
    assert ["", "1.1"] == resumed(scripted_server)


async def test_a_grant_without_the_action_ends_the_watch(
    scripted_server: ScriptedServer, scripted_client: Client
) -> None:
    """It would be refused again."""
    scripted_server.answers = [failing(grpc.StatusCode.PERMISSION_DENIED)]

    async with entered(scripted_client.watch_revocations()) as watch:
        with pytest.raises(PermissionDenied):
            await next_event(watch)
