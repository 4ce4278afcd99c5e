"""Watching revocations: all in force, a marker, then each as it happens; whoever resumes misses nothing."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import warnings

from collections.abc import AsyncIterator, Sequence
from typing import Final
from unittest import mock

import attrs
import pytest

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.authority.world import NOW, Server, make_server
from tests.storage.builders import make_project, make_revocation, make_session
from tests.support.authority import EVERYTHING, WAIT
from tests.support.background import supervised
from tests.support.faulty_store import FaultyStore, StoreCall
from tests.support.memory_store import MemoryStore
from tokenauthority.authority import watch
from tokenauthority.authority.watch import MAX_PROJECTS, WatchEvent
from tokenauthority.domain.caller import ANY, Grant
from tokenauthority.domain.errors import (
    ExhaustedError,
    InvalidRequestError,
    PermissionDeniedError,
    Reason,
    UnavailableError,
)
from tokenauthority.domain.revocation import RETENTION, StoredRevocation
from tokenauthority.domain.times import DAY, Millis, Seconds, whole_seconds
from tokenauthority.server.background import BackgroundTask
from tokenauthority.server.background_tasks import follower_task
from tokenauthority.signing.sealing import MasterKey, Sealer


HOME: Final = "47000001"
AWAY: Final = "47000002"
ALL: Final = frozenset({ANY})


PAGES: Final = ("list_revocations", "list_session_ends")


def turning_store() -> FaultyStore:
    """Return a store whose reads take turns with everything else."""
    store = FaultyStore()

    async def take_turn(_: StoreCall) -> None:
        await asyncio.sleep(0)

    store.after(*PAGES, "events_of", "changes_after", run=take_turn)
    return store


@attrs.frozen
class Place:
    """A store with two projects, and a server of it that has started."""

    store: FaultyStore
    server: Server

    async def revoke(self, name: str, project_id: str = HOME, moment: int = 0) -> StoredRevocation:
        """Take tokens back, as any server of the store might."""
        return await self.store.create_revocation(
            make_revocation(
                f"rev_{project_id}_{name}",
                project_id=project_id,
                target=name,
                issued_before=Seconds(whole_seconds(NOW) + moment),
            )
        )

    async def end(self, name: str, project_id: str = HOME) -> None:
        """End a session."""
        await self.store.end_session(make_session(f"2_{name}", project_id=project_id), NOW)

    def follow(self, resume_token: str = "", projects: frozenset[str] = ALL) -> AsyncIterator[WatchEvent]:
        """A stream."""
        return self.server.watch.follow(projects, resume_token, "tester")


async def make_place(buffer: int = 100, heartbeat: float = WAIT) -> Place:
    """A place as of NOW, whose server tells signs of life every so many seconds."""
    store = turning_store()
    for project_id in (HOME, AWAY):
        await store.create_project(make_project(project_id, credentials=()))
    server = make_server(store, Sealer(MasterKey.generate()), buffer=buffer, heartbeat=heartbeat)
    await server.follower.start()
    return Place(store, server)


async def take(stream: AsyncIterator[WatchEvent], count: int) -> list[WatchEvent]:
    """The next so many messages."""
    return [await asyncio.wait_for(anext(stream), WAIT) for _ in range(count)]


def told(messages: Sequence[WatchEvent]) -> list[str]:
    """What the messages say, in short."""
    return [_word(message) for message in messages]


def _word(message: WatchEvent) -> str:
    if isinstance(message.event, StoredRevocation):
        return message.event.target
    if message.event is not None:
        return message.event.session_id
    return "MARKER" if message.caught_up else "HEARTBEAT"


async def test_a_new_reader_gets_all_in_force_and_a_marker_and_then_what_happens() -> None:
    """Revocations and ended sessions; only from the marker on can it resume in between."""
    place = await make_place()
    await place.revoke("a")
    await place.end("s")
    await place.server.follower.catch_up()
    stream = place.follow()
    first = await take(stream, 3)
    await place.revoke("b")
    await place.end("t")
    await place.server.follower.catch_up()
    second = await take(stream, 2)

    assert ["a", "2_s", "MARKER", "b", "2_t"] == told(first + second)
    assert [False, False, True, True, True] == [bool(message.resume_token) for message in first + second]


async def test_what_is_out_of_force_is_not_sent() -> None:
    """A day after the last token that it covers; ended sessions alike."""
    place = await make_place()
    await place.revoke("old", moment=-(RETENTION + DAY + 1))
    await place.revoke("kept", moment=-(RETENTION + DAY))
    for name, late in (("old", -1), ("kept", 0)):
        session = make_session(f"2_{name}", project_id=HOME)
        await place.store.end_session(session, Millis(NOW - (RETENTION + DAY) * 1000 + late))
    await place.server.follower.catch_up()

    assert ["kept", "2_kept", "MARKER"] == told(await take(place.follow(), 3))


async def test_more_than_a_page_is_sent_whole() -> None:
    """Of revocations, of ended sessions that ended at once, and of changes."""
    place = await make_place()
    with mock.patch.object(watch, "_PAGE", 2):
        for number in range(5):
            await place.revoke(f"r{number}")
            await place.end(f"s{number}")
        everything = await take(place.follow(), 21)

    # This server has not followed yet, so that the changes tell all of it once more.
    names = {f"r{number}" for number in range(5)} | {f"2_s{number}" for number in range(5)}
    assert names == set(told(everything[:10])) == set(told(everything[10:20]))
    assert "MARKER" == told(everything)[-1]


async def test_a_reader_that_resumes_gets_what_came_after_its_last_message() -> None:
    """And a marker; nothing of what it had."""
    place = await make_place()
    await place.revoke("a")
    stream = place.follow()
    await take(stream, 3)
    for name in ("b", "c", "d"):
        await place.revoke(name)
    await place.server.follower.catch_up()
    [last] = await take(stream, 1)

    assert "b" == _word(last)
    assert ["c", "d", "MARKER"] == told(await take(place.follow(last.resume_token), 3))


async def test_a_token_resumes_at_every_server_of_the_store() -> None:
    """A reader whose server is gone goes on at another one, which may not even have followed yet."""
    place = await make_place()
    [marker] = await take(place.follow(), 1)
    other = make_server(place.store, Sealer(MasterKey.generate()))
    other.event_buffer.begin(await place.store.last_change())
    await place.revoke("a")

    assert ["a", "MARKER"] == told(await take(other.watch.follow(ALL, marker.resume_token, "tester"), 2))


async def test_only_events_of_the_projects_asked_for_are_sent() -> None:
    """Of what is in force, of what was missed and of what happens."""
    place = await make_place()
    await place.revoke("a")
    await place.revoke("x", AWAY)
    await place.server.follower.catch_up()
    stream = place.follow(projects=frozenset({HOME}))
    first = await take(stream, 2)
    await place.revoke("y", AWAY)
    await place.end("y", AWAY)
    await place.end("s")
    await place.server.follower.catch_up()
    second = await take(stream, 1)
    again = await take(place.follow(first[-1].resume_token, frozenset({HOME})), 2)

    assert ["a", "MARKER", "2_s"] == told(first + second)
    assert ["2_s", "MARKER"] == told(again)


@pytest.mark.parametrize(
    "token",
    [
        *("x", "0.1", "-1.1", "1", "1.", ".1", "01.1", "1.01", "1.1 ", "1.1\n", "\N{ARABIC-INDIC DIGIT ONE}.1"),
        *("9223372036854775808.1", "9" * 19 + ".1", "9" * 20 + ".1", "1." + "9" * 20),
    ],
)
async def test_refuses_a_token_that_was_never_given_out(token: str) -> None:
    """By its shape; no number goes to the store that it cannot hold."""
    place = await make_place()

    with pytest.raises(InvalidRequestError) as refused:
        await take(place.follow(token), 1)

    assert ["resume_token"] == [violation.field for violation in refused.value.violations]


@pytest.mark.parametrize("token", ["9223372036854775807.1", "1.1", "2.7"])
async def test_a_token_of_a_history_that_is_lost_starts_anew(token: str) -> None:
    """What came after that place is not known, so all that is in force is told."""
    place = await make_place()
    await place.revoke("a")
    await place.server.follower.catch_up()

    assert ["a", "MARKER"] == told(await take(place.follow(token), 2))


async def test_an_open_stream_ends_when_the_history_is_lost() -> None:
    """Its reader resumes, and is told everything again."""
    place = await make_place()
    stream = place.follow()
    [marker] = await take(stream, 1)
    await place.revoke("a")
    place.store.replace_history()
    await place.server.follower.catch_up()
    with pytest.raises(UnavailableError) as ended:
        await take(stream, 1)

    assert Reason.STORE_UNAVAILABLE is ended.value.reason
    assert ["a", "MARKER"] == told(await take(place.follow(marker.resume_token), 2))


async def test_a_reader_that_falls_behind_the_buffer_is_dropped_and_can_resume() -> None:
    """It is told so rather than sent on with a hole."""
    place = await make_place(buffer=3)
    stream = place.follow()
    [marker] = await take(stream, 1)
    names = ["a", "b", "c", "d"]
    for name in names:
        await place.revoke(name)
    await place.server.follower.catch_up()
    with pytest.raises(ExhaustedError) as dropped:
        await take(stream, 1)

    assert Reason.READER_TOO_SLOW is dropped.value.reason
    assert [*names, "MARKER"] == told(await take(place.follow(marker.resume_token), 5))


async def test_a_full_buffer_is_not_too_much() -> None:
    """As many as it holds are told."""
    place = await make_place(buffer=3)
    stream = place.follow()
    await take(stream, 1)
    for name in ("a", "b", "c"):
        await place.revoke(name)
    await place.server.follower.catch_up()

    assert ["a", "b", "c"] == told(await take(stream, 3))


async def test_what_happens_while_a_message_waits_for_its_reader_is_sent() -> None:
    """However long the reader takes over the one before."""
    place = await make_place()
    stream = place.follow()
    await take(stream, 1)
    await place.revoke("a")
    await place.server.follower.catch_up()
    first = await take(stream, 1)
    await place.revoke("b")
    await place.server.follower.catch_up()

    assert ["a", "b"] == told(first + await take(stream, 1))


async def test_a_beat_without_events_is_a_heartbeat_from_which_to_resume() -> None:
    """It stands behind what was told and what did not concern the reader."""
    place = await make_place()
    stream = place.follow(projects=frozenset({HOME}))
    await take(stream, 1)
    waiting = asyncio.ensure_future(take(stream, 1))
    await asyncio.sleep(0)
    await place.revoke("x", AWAY)
    await place.server.follower.catch_up()
    place.server.event_buffer.beat(NOW)
    [beat] = await waiting

    assert "HEARTBEAT" == _word(beat)
    assert ["MARKER"] == told(await take(place.follow(beat.resume_token, ALL), 1))


async def test_there_is_no_heartbeat_while_the_server_knows_nothing() -> None:
    """A reader must not think that all is well while the store is away."""
    place = await make_place(heartbeat=0)
    stream = place.follow()
    await take(stream, 1)
    waiting = asyncio.ensure_future(take(stream, 1))
    place.store.fail("changes_after")
    for _ in range(5):
        await place.server.follower.catch_up()
        await asyncio.sleep(0)
    silent = not waiting.done()
    place.store.recover()
    await place.server.follower.catch_up()

    assert silent
    assert ["HEARTBEAT"] == told(await waiting)


async def test_there_is_no_heartbeat_while_a_look_hangs() -> None:
    """Nor while the server has not been told yet whether something has happened."""
    place = await make_place(heartbeat=0)
    stream = place.follow()
    await take(stream, 1)
    waiting = asyncio.ensure_future(take(stream, 1))
    held = place.store.hold("changes_after")
    looking = asyncio.ensure_future(place.server.follower.catch_up())
    await place.revoke("a")
    for _ in range(20):
        await asyncio.sleep(0)
    silent = not waiting.done()
    held.release()
    await looking

    assert silent
    assert ["a", "HEARTBEAT"] == told(await waiting + await take(stream, 1))


async def test_no_heartbeat_overtakes_an_event() -> None:
    """What was there before the beat is told before it, though the reader has kept the stream waiting."""
    place = await make_place()
    stream = place.follow()
    await take(stream, 1)
    await place.revoke("a")
    await place.server.follower.catch_up()
    first = await take(stream, 1)
    await place.revoke("b")
    await place.server.follower.catch_up()
    place.server.event_buffer.beat(NOW)

    assert ["a", "b", "HEARTBEAT"] == told(first + await take(stream, 2))


async def test_a_heartbeat_has_the_moment_at_which_the_look_began() -> None:
    """That is how old the reader's knowledge is, whatever the look took."""
    place = await make_place()
    stream = place.follow()
    await take(stream, 1)
    await place.revoke("a")
    await place.server.follower.catch_up()
    await take(stream, 1)
    place.server.event_buffer.beat(Millis(NOW - 5))

    assert [NOW - 5] == [message.time for message in await take(stream, 1)]


async def test_a_watcher_of_some_projects_reads_theirs_alone() -> None:
    """However much is in force in others, and however many they are: at once, and not one by one."""
    place = await make_place()
    await place.revoke("a")
    await place.revoke("x", AWAY)
    await place.end("e")
    await place.end("y", AWAY)
    await place.server.follower.catch_up()
    pages = place.store.observe(*PAGES)
    projects = frozenset({HOME, *map(str, range(1, 1000))})
    messages = await take(place.follow(projects=projects), 3)

    assert ["a", "2_e", "MARKER"] == told(messages)
    assert [projects, projects] == pages.arguments("project_ids")


async def test_the_end_of_what_is_in_force_has_the_moment_at_which_it_was_begun_to_be_read() -> None:
    """What happens meanwhile may have escaped it, however long it took."""
    place = await make_place()
    await place.revoke("a")

    def clock() -> Millis:
        return Millis(NOW + 1000 * place.store.count(*PAGES))

    server = make_server(place.store, Sealer(MasterKey.generate()), clock=clock)
    server.event_buffer.begin(await place.store.last_change())
    began = clock()
    messages = await take(server.watch.follow(ALL, "", "tester"), 2)

    assert ["a", "MARKER"] == told(messages)
    assert began == messages[-1].time
    assert began < clock()


async def test_one_beat_is_one_heartbeat() -> None:
    """What happens after it has none of its own."""
    place = await make_place(heartbeat=10 * WAIT)
    stream = place.follow()
    await take(stream, 1)
    waiting = asyncio.ensure_future(take(stream, 1))
    for _ in range(5):
        await asyncio.sleep(0)
    place.server.event_buffer.beat(NOW)
    messages = await waiting
    for name in ("a", "b"):
        await place.revoke(name)
        await place.server.follower.catch_up()
        messages += await take(stream, 1)

    assert ["HEARTBEAT", "a", "b"] == told(messages)


async def test_a_heartbeat_is_a_place_behind_all_that_has_changed() -> None:
    """Also behind what nobody watches, as projects: else a quiet reader would resume ever further back."""
    place = await make_place()
    stream = place.follow()
    await take(stream, 1)
    waiting = asyncio.ensure_future(take(stream, 1))
    await asyncio.sleep(0)
    await place.server.projects.update(HOME, {"display_name": "x"})
    await place.server.follower.catch_up()
    place.server.event_buffer.beat(NOW)
    [beat] = await waiting

    last = await place.store.last_change()
    assert f"{last.sequence}.{last.mark}" == beat.resume_token


async def test_however_many_begin_to_watch_a_few_pages_are_read_at_once() -> None:
    """All who come back together must not keep the store from those who make and verify tokens."""
    store, reading, most = turning_store(), 0, 0

    async def begin(_: StoreCall) -> None:
        nonlocal reading, most
        reading += 1
        most = max(most, reading)

    async def end(_: StoreCall) -> None:
        nonlocal reading
        reading -= 1

    server = make_server(store, Sealer(MasterKey.generate()))
    await server.follower.start()
    store.before("list_revocations", run=begin)
    store.after("list_revocations", run=end)
    messages = await asyncio.gather(
        *(take(server.watch.follow(ALL, "", f"caller {number}"), 1) for number in range(20))
    )

    assert [["MARKER"]] * 20 == [told(each) for each in messages]
    assert watch._READING == most


async def test_who_leaves_before_its_turn_leaves_nothing_behind() -> None:
    """Neither a place in the queue nor a read that was never begun, of which Python would warn."""
    place = await make_place()
    held = contextlib.AsyncExitStack()
    for number in range(watch._READING):
        await held.enter_async_context(place.server.watch._reading.hold(f"caller {number}"))
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        waiting = asyncio.ensure_future(take(place.follow(), 1))
        for _ in range(5):
            await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        gc.collect()
    await held.aclose()

    assert [] == [str(warning.message) for warning in warned]
    assert ["MARKER"] == told(await take(place.follow(), 1))


async def test_a_server_that_has_not_read_the_store_sends_nothing() -> None:
    """Unavailable, and not an empty list."""
    server = make_server(MemoryStore(), Sealer(MasterKey.generate()))

    with pytest.raises(UnavailableError):
        await take(server.watch.follow(ALL, "", "tester"), 1)


async def test_watches_the_projects_asked_for_or_all_of_the_grant() -> None:
    """None means all that the caller may see."""
    watched = (await make_place()).server.watch
    grant = Grant(projects=frozenset({HOME, AWAY}), actions=frozenset(), roles=frozenset())

    assert frozenset({HOME}) == watched.projects([HOME, HOME], grant)
    assert frozenset({HOME, AWAY}) == watched.projects([], grant)
    assert ALL == watched.projects([], EVERYTHING)


async def test_refuses_projects_that_are_none_or_too_many() -> None:
    """Each is named, and the limit."""
    watched = (await make_place()).server.watch
    with pytest.raises(InvalidRequestError) as bad:
        watched.projects([HOME, "x", "0"], EVERYTHING)
    with pytest.raises(InvalidRequestError, match="at most 1000") as many:
        watched.projects([HOME] * (MAX_PROJECTS + 1), EVERYTHING)

    assert ["project_ids[1]", "project_ids[2]"] == [violation.field for violation in bad.value.violations]
    assert ["project_ids"] == [violation.field for violation in many.value.violations]
    assert frozenset({HOME}) == watched.projects([HOME] * MAX_PROJECTS, EVERYTHING)


async def test_refuses_a_project_outside_the_grant_whether_it_exists_or_not() -> None:
    """With one and the same error."""
    watched = (await make_place()).server.watch
    grant = Grant(projects=frozenset({HOME}), actions=frozenset(), roles=frozenset())
    refusals = []
    for project_id in (AWAY, "47000003"):
        with pytest.raises(PermissionDeniedError) as refused:
            watched.projects([HOME, project_id], grant)
        refusals.append((refused.value.reason, refused.value.field, str(refused.value).replace(project_id, "P")))

    assert refusals[0] == refusals[1]
    assert (Reason.PROJECT_NOT_GRANTED, "project_ids[1]") == refusals[0][:2]


class Reader:
    """Reads one message for each permit, and resumes where it was, whatever becomes of its stream."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._token = ""
        self.permits = asyncio.Semaphore(0)
        self.seen: dict[str, int] = {}

    async def run(self) -> None:
        """Read until cancelled."""
        while True:
            with contextlib.suppress(ExhaustedError, UnavailableError):
                async for message in self._place.follow(self._token):
                    await self.permits.acquire()
                    self._token = message.resume_token
                    if message.event is not None:
                        moment = message.event.issued_before if isinstance(message.event, StoredRevocation) else 0
                        self.seen[_word(message)] = max(moment, self.seen.get(_word(message), 0))
            await asyncio.sleep(0)


steps = st.lists(
    st.sampled_from(
        ("revoke", "revoke", "end", "renew", "look", "look", "read", "read", "turn", "turn", "beat", "lose")
    ),
    min_size=40,
    max_size=80,
)


@given(steps=steps, buffer=st.integers(1, 5))
@settings(max_examples=80, deadline=None)
def test_a_reader_misses_nothing_however_all_that_happens_interleaves(steps: list[str], buffer: int) -> None:
    """Slow or fast, dropped or not, on a history that may be lost: in the end it knows what the store knows."""
    with mock.patch.object(watch, "_PAGE", 2):
        known, seen = asyncio.run(_interleaved(steps, buffer))

    assert known == seen


async def _interleaved(  # noqa: C901 - one branch for each kind of step
    steps: list[str], buffer: int
) -> tuple[dict[str, int], dict[str, int]]:
    place = await make_place(buffer)
    reader = Reader(place)
    known: dict[str, int] = {}
    async with supervised(follower_task(place.server.follower), BackgroundTask(name="reader", work=reader.run)):
        for number, step in enumerate(steps):
            match step:
                case "revoke" | "renew":
                    name = f"r{number if step == 'revoke' else 0}"
                    known[name] = (await place.revoke(name, moment=number - 1000)).issued_before
                case "end":
                    await place.end(f"s{number}")
                    known[f"2_s{number}"] = 0
                case "look":
                    place.server.follower.wake()
                case "read":
                    reader.permits.release()
                case "beat":
                    place.server.event_buffer.beat(NOW)
                case "lose":
                    place.store.replace_history()
            for _ in range(5 if step == "turn" else 1):
                await asyncio.sleep(0)
        for _ in range(1000):
            if known == reader.seen:
                break
            reader.permits.release()
            place.server.follower.wake()
            await asyncio.sleep(0)
    return known, reader.seen
