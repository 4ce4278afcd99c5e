"""The follower: what one server changes, the others of its store know."""

from __future__ import annotations

import asyncio

from collections.abc import Sequence
from unittest import mock

import attrs
import pytest

from tests.authority.world import NOW, World, make_server, make_world
from tests.storage.builders import make_project, make_revocation
from tests.support.authority import EVERYTHING, WAIT
from tests.support.background import supervised
from tests.support.faulty_store import FaultyStore, StoreCall
from tests.support.logs import capture_logs
from tests.support.memory_store import MemoryStore
from tokenauthority.authority import store_follower as follower_module
from tokenauthority.authority.credential_sealer import CredentialSealer
from tokenauthority.authority.event_buffer import BufferedEvent, EventBuffer
from tokenauthority.authority.store_follower import StoreFollower
from tokenauthority.authority.tenant_cache import TenantCache
from tokenauthority.domain.change import Cursor
from tokenauthority.domain.errors import UnavailableError
from tokenauthority.domain.key import Algorithm
from tokenauthority.domain.revocation import TargetKind
from tokenauthority.domain.role import Permission, Role
from tokenauthority.domain.session import SessionState
from tokenauthority.domain.times import Millis, Seconds
from tokenauthority.server.background_tasks import follower_task
from tokenauthority.signing.sealing import MasterKey, SealBrokenError, Sealer


HOST = Role(name="host", permissions=(Permission.PUBLISH,), create_time=NOW, update_time=NOW)


def is_revoked(follower: StoreFollower, token_id: str) -> bool:
    """Whether the server knows that the token was revoked."""
    index = follower._revocations.index
    kind = index.revoked_by("47000000", token_id=token_id, session_id="", subject="", issue_time=Seconds(0))
    return kind is TargetKind.TOKEN


async def second_server(world: World, interval: float = WAIT) -> tuple[TenantCache, StoreFollower]:
    """Another server of the world's store."""
    server = make_server(world.store, world.sealer, interval=interval)
    await server.follower.start()
    return server.tenants, server.follower


async def test_a_session_ended_elsewhere_is_ended_here() -> None:
    """Another server's EndSession reaches this one with its next look."""
    world = await make_world()
    tenants, follower = await second_server(world)
    await tenants.session(world.session.session_id)
    await world.store.end_session(world.session, NOW)
    await follower.catch_up()

    known = await tenants.session(world.session.session_id)

    assert known is not None
    assert SessionState.ENDED is known.state


async def test_a_project_and_a_role_changed_elsewhere_are_changed_here() -> None:
    """So do its projects, secrets and roles."""
    world = await make_world()
    tenants, follower = await second_server(world)
    await tenants.tenant(world.project_id)
    await tenants.role(world.project_id, "host")
    secret = await world.secrets.rotate(world.project_id, "tester", NOW)
    await world.store.create_role(attrs.evolve(HOST, project_id=world.project_id))
    await follower.catch_up()

    tenant = await tenants.tenant(world.project_id)
    role = await tenants.role(world.project_id, "host")

    assert tenant is not None
    assert secret.value.decode() == tenant.keys.secrets[0].value
    assert role is not None


async def test_more_changes_than_one_page_are_all_taken_in() -> None:
    """However far it is behind, one look catches up."""
    world = await make_world()
    _, follower = await second_server(world)
    world.store.execute(
        "WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 2500)"
        "INSERT INTO changes (mark, kind, project_id, subject) SELECT n, 'project', ?, ? FROM number",
        *(world.project_id, world.project_id),
    )

    await follower.catch_up()

    assert await world.store.last_change() == follower._cursor


async def test_it_starts_at_the_newest_change() -> None:
    """What happened before the server started needs no following: nothing was cached then."""
    world = await make_world()

    _, follower = await second_server(world)

    assert await world.store.last_change() == follower._cursor
    assert follower.fresh


async def test_it_says_that_it_is_behind_while_the_store_is_down_and_catches_up_after() -> None:
    """A server that cannot follow says so, and misses nothing."""
    store = FaultyStore()
    world = await make_world(store)
    tenants, follower = await second_server(world)
    await tenants.session(world.session.session_id)
    await store.end_session(world.session, NOW)
    store.fail("changes_after")
    await follower.catch_up()
    behind = follower.fresh
    store.recover()
    await follower.catch_up()
    known = await tenants.session(world.session.session_id)

    assert (False, True) == (behind, follower.fresh)
    assert known is not None
    assert SessionState.ENDED is known.state


async def test_a_key_made_elsewhere_is_loaded() -> None:
    """A server that finds a new signing key can verify with it."""
    store, sealer = MemoryStore(), Sealer(MasterKey.generate())
    ours, theirs = make_server(store, sealer), make_server(store, sealer)
    await ours.follower.start()
    made = await theirs.keys.prepare(Algorithm.EDDSA, NOW)
    await ours.follower.catch_up()

    assert ours.keys.ring.verifying(made.key_id) is not None


async def test_a_key_that_cannot_be_opened_is_noticed_and_does_not_stop_it() -> None:
    """It is one key's: the server says so, follows on, and judges no token of that key."""
    store = MemoryStore()
    ours = make_server(store, Sealer(MasterKey.generate()))
    await ours.follower.start()
    signing = ours.keys.ring.active
    foreign = CredentialSealer(Sealer(MasterKey.generate())).make_signing_key(Algorithm.ES256, NOW)
    odd = attrs.evolve(foreign, key_id="x" * 43, sealed=b"\x09" + foreign.sealed[1:])
    await store.update_keys(lambda ring: [*ring, foreign, odd])
    with capture_logs() as logs:
        for _ in range(3):
            await ours.follower.catch_up()

    assert ours.follower.fresh
    assert signing is ours.keys.ring.active
    assert "2 cannot be opened, the log says which" == ours.keys.problem(NOW)
    [line] = logs
    assert "keys.not_opened" == line["event"]
    assert all(key.key_id in line["problem"] for key in (foreign, odd))
    with pytest.raises(UnavailableError, match=f"cannot open signing key {foreign.key_id}"):
        ours.keys.believed.require_opened(foreign.key_id)
    for known in (odd.key_id, signing.key_id, "never stored"):
        ours.keys.believed.require_opened(known)


async def test_it_goes_on_asking_while_the_store_is_down() -> None:
    """The background task outlives errors of the store, and its data is fresh again with the first answer."""
    store = FaultyStore()
    world = await make_world(store)
    _, follower = await second_server(world, interval=0.001)
    store.fail("changes_after")
    asked = store.observe("changes_after")
    async with supervised(follower_task(follower)):
        for _ in range(3):
            asked.clear()
            await asked.reached()
    fresh_before = follower.fresh
    store.recover()
    await follower.catch_up()

    assert (False, True) == (fresh_before, follower.fresh)


async def test_what_happens_while_it_starts_is_taken_in_with_the_first_look() -> None:
    """A token that is revoked right after the revocations were read does not stay valid."""
    shared = MemoryStore()
    store = FaultyStore(shared)

    async def revoke_late(_: StoreCall) -> None:
        await shared.create_revocation(make_revocation("rev_late", target="late"))

    store.after("list_revoked", run=revoke_late)
    await store.create_project(make_project("47000000"))
    server = make_server(store, Sealer(MasterKey.generate()))
    await server.follower.start()
    await server.follower.catch_up()

    assert is_revoked(server.follower, "late")


async def test_a_store_that_was_put_back_is_read_anew() -> None:
    """Sessions, revocations and ring are those of the store as it is now, and who watches has to begin anew."""
    store = FaultyStore()
    await store.create_project(make_project("47000000"))
    world = await make_world(store)
    follower, generation = world.server.follower, world.server.event_buffer.generation
    backup = store.backup()
    await world.server.sessions.end(world.session.session_id, EVERYTHING, NOW)
    await store.create_revocation(make_revocation("rev_1", target="a"))
    await world.keys.prepare(None, NOW)
    await follower.catch_up()
    await world.tenants.session(world.session.session_id)
    lost = is_revoked(follower, "a"), len(world.keys.ring.entries)
    store.restore(backup)
    await store.create_revocation(make_revocation("rev_2", target="b"))
    for _ in range(10):
        await world.projects.update(world.project_id, {"display_name": "x"})
    with capture_logs() as events:
        await follower.catch_up()
    known = await world.tenants.session(world.session.session_id)

    assert (True, 3) == lost
    assert known is not None
    assert SessionState.ACTIVE is known.state
    assert [False, True] == [is_revoked(follower, token_id) for token_id in ("a", "b")]
    assert 2 == len(world.keys.ring.entries)
    assert generation + 1 == world.server.event_buffer.generation
    assert await store.last_change() == world.server.event_buffer.cursor
    assert ["follower.history_lost"] == [event["event"] for event in events]
    assert follower.fresh


async def test_after_a_change_of_an_unknown_kind_everything_is_read_anew() -> None:
    """Once: whatever it has changed is then known, and the follower goes on from there."""
    world = await make_world()
    follower = world.server.follower
    await follower.catch_up()
    await world.store.end_session(world.session, NOW)
    world.store.execute("UPDATE changes SET kind = 'none' WHERE sequence = (SELECT max(sequence) FROM changes)")
    with capture_logs() as events:
        for _ in range(3):
            await follower.catch_up()
    known = await world.tenants.session(world.session.session_id)

    assert ["follower.history_lost"] == [event["event"] for event in events]
    assert follower.fresh
    assert known is not None
    assert SessionState.ENDED is known.state


async def test_a_store_that_cannot_be_read_anew_is_asked_again() -> None:
    """Until then what is known stays in force, and the server says that it is behind."""
    store = FaultyStore()
    await store.create_project(make_project("47000000"))
    await store.create_revocation(make_revocation("rev_1", target="a"))
    world = await make_world(store)
    follower = world.server.follower
    store.replace_history()
    store.fail("list_revoked")
    await follower.catch_up()
    behind, still = follower.fresh, is_revoked(follower, "a")
    store.recover()
    await follower.catch_up()

    assert (False, True) == (behind, still)
    assert follower.fresh
    assert is_revoked(follower, "a")
    assert await store.last_change() == world.server.event_buffer.cursor


async def test_what_is_sent_to_those_who_watch_is_in_force_here_already(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that asks this server about what it has just read must not hear that the token is valid."""
    store = MemoryStore()
    await store.create_project(make_project("47000000"))
    server = make_server(store, Sealer(MasterKey.generate()))
    await server.follower.start()
    in_force: list[bool] = []
    publish = EventBuffer.publish

    def spying(event_buffer: EventBuffer, entries: Sequence[BufferedEvent], cursor: Cursor) -> None:
        in_force.extend(is_revoked(server.follower, "a") for _ in entries)
        publish(event_buffer, entries, cursor)

    monkeypatch.setattr(EventBuffer, "publish", spying)
    await store.create_revocation(make_revocation("rev_1", target="a"))
    await server.follower.catch_up()

    assert [True] == in_force


async def test_verdicts_end_when_the_store_has_been_away_for_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """What another server revokes meanwhile is not known here, so nothing is called valid."""
    moments = [1000.0]
    monkeypatch.setattr(follower_module, "monotonic", lambda: moments[-1])
    store = FaultyStore()
    world = await make_world(store)
    longest = world.verify._max_staleness
    store.fail("changes_after")
    verdicts = []
    for seconds in (longest, longest + 0.1):
        moments.append(moments[0] + seconds)
        await world.server.follower.catch_up()
        try:
            verdicts.append((await world.verify.check("x", EVERYTHING, NOW)).reason is not None)
        except UnavailableError:
            verdicts.append(False)
    store.recover()
    await world.server.follower.catch_up()
    await world.verify.check("x", EVERYTHING, NOW)

    assert [True, False] == verdicts
    assert 0 == world.server.follower.age()


async def test_what_cannot_be_opened_is_the_problem_that_is_shown() -> None:
    """Not the store, while that is well."""
    store = FaultyStore()
    server = make_server(store, Sealer(MasterKey.generate()))
    await server.follower.start()
    foreign = CredentialSealer(Sealer(MasterKey.generate())).make_signing_key(Algorithm.ES256, NOW)
    await store.update_keys(lambda _: [foreign])
    with pytest.raises(SealBrokenError):
        await server.follower.catch_up()
    sealed = server.follower.problem
    store.fail("changes_after")
    await server.follower.catch_up()

    assert "no signing key can be opened, the log says why" == sealed
    assert "cannot be read" == server.follower.problem
    assert [foreign] == list(await store.list_keys())


async def test_a_bug_is_not_shown_as_an_outage_of_the_store() -> None:
    """An operator would else look for a store that works."""
    store = FaultyStore()
    server = make_server(store, Sealer(MasterKey.generate()))
    await server.follower.start()
    store.fail("changes_after", error=LookupError())
    with pytest.raises(LookupError):
        await server.follower.catch_up()

    assert "changes could not be applied, the log says why" == server.follower.problem


async def test_a_heartbeat_comes_with_each_look_where_looks_are_as_rare() -> None:
    """Else every second one would come too late."""
    server = make_server(MemoryStore(), Sealer(MasterKey.generate()), interval=WAIT, heartbeat=WAIT)
    await server.follower.start()
    counts = []
    for _ in range(3):
        await server.follower.catch_up()
        counts.append(server.event_buffer.beats)

    assert [1, 2, 3] == counts


async def test_what_is_known_is_as_old_as_the_look_that_found_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here and for those who watch: what happens while a look goes on may have escaped it."""
    passed = [0]
    monkeypatch.setattr(follower_module, "monotonic", lambda: 1000.0 + passed[-1])
    store = FaultyStore()

    async def take_seconds(_: StoreCall) -> None:
        passed.append(passed[-1] + 7)

    store.after("changes_after", "list_revoked", run=take_seconds)
    server = make_server(
        store, Sealer(MasterKey.generate()), heartbeat=0, clock=lambda: Millis(NOW + passed[-1] * 1000)
    )
    await server.follower.start()
    at_first = server.follower.age()
    began = passed[-1]
    await server.follower.catch_up()

    assert 0 < at_first == began
    assert 0 < server.follower.age() == passed[-1] - began
    assert NOW + began * 1000 == server.event_buffer.beat_time


async def test_signs_of_life_are_as_rare_as_they_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """However often it looks: each goes to everyone who watches."""
    seconds = [0.0]
    monkeypatch.setattr(follower_module, "monotonic", lambda: seconds[-1])
    server = make_server(MemoryStore(), Sealer(MasterKey.generate()), interval=1, heartbeat=10)
    await server.follower.start()
    for second in range(1, 31):
        seconds.append(float(second))
        await server.follower.catch_up()

    assert 3 == server.event_buffer.beats


async def test_a_key_that_was_revoked_elsewhere_stays_revoked_though_the_ring_could_not_be_read() -> None:
    """The change was read and is not told again, so that the ring is read with the next look."""
    store, sealer = MemoryStore(), Sealer(MasterKey.generate())
    ours, theirs = make_server(store, sealer), make_server(store, sealer)
    for server in (ours, theirs):
        await server.follower.start()
    revoked = await theirs.keys.revoke(theirs.keys.ring.active.key_id, NOW)
    with mock.patch.object(store, "list_keys", side_effect=UnavailableError.store()):
        await ours.follower.catch_up()
    behind = ours.follower.fresh
    await ours.follower.catch_up()

    assert (False, True) == (behind, ours.follower.fresh)
    assert ours.keys.ring.is_revoked(revoked.key_id)


async def test_a_session_that_ends_is_looked_for_at_once() -> None:
    """Those who watch are told then, and not with the next look."""
    world = await make_world()
    world.server.follower.woken.clear()
    await world.server.sessions.end(world.session.session_id, EVERYTHING, NOW)

    assert world.server.follower.woken.is_set()


async def test_what_it_fails_of_is_logged_once_each_time_that_it_begins() -> None:
    """It looks every second; but a failure that comes back is a new one."""
    store = MemoryStore()
    server = make_server(store, Sealer(MasterKey.generate()), interval=0.001)
    await server.follower.start()
    # From here on a look asks once.
    await server.follower.catch_up()
    looked, script = asyncio.Semaphore(0), iter([True, True, False, True])
    changes_after = store.changes_after

    async def changes(cursor: Cursor, limit: int) -> Sequence[object]:
        looked.release()
        if next(script, False):
            raise ZeroDivisionError("x")
        return await changes_after(cursor, limit)

    with capture_logs() as logs, mock.patch.object(store, "changes_after", changes):
        async with supervised(follower_task(server.follower)):
            for _ in range(6):
                await asyncio.wait_for(looked.acquire(), WAIT)

    assert ["follower.failed", "background.recovered"] * 2 == [line["event"] for line in logs]


async def test_a_call_waits_for_no_read_but_one_that_begins_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a sleep of the process a read that began before the sleep says nothing; a slow one after it is enough."""
    moments = [1000.0]
    monkeypatch.setattr(follower_module, "monotonic", lambda: moments[-1])
    store = FaultyStore()
    follower = (await make_world(store)).server.follower
    await asyncio.wait_for(follower.wait_for_read(), WAIT)

    async def read(sleeping: float) -> None:
        held = store.hold("changes_after", times=1)
        reading = asyncio.ensure_future(follower.catch_up())
        await held.reached()
        moments.append(moments[-1] + sleeping)
        calls.append(asyncio.ensure_future(follower.wait_for_read()))
        await asyncio.sleep(0)
        # The read takes so long that this alone looks like a sleep.
        moments.append(moments[-1] + WAIT + 3)
        held.release()
        await reading
        await asyncio.wait(calls, timeout=0)

    calls: list[asyncio.Future[None]] = []
    await read(sleeping=WAIT + 3)
    first = [call.done() for call in calls]
    await read(sleeping=WAIT + 3)
    second = [call.done() for call in calls]
    for call in calls:
        call.cancel()

    assert [False] == first
    assert [True, False] == second
