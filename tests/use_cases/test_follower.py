"""The follower: what one server changes, the others of its store know."""

from __future__ import annotations

import asyncio
import contextlib

from collections.abc import Sequence

import attrs

from tests.authority import WAIT
from tests.use_cases.world import NOW, World, make_server, make_world
from tokenauthority.authority.catalog import Catalog
from tokenauthority.authority.follower import Follower
from tokenauthority.authority.vault import Vault
from tokenauthority.domain.change import Change, Cursor
from tokenauthority.domain.errors import UnavailableError
from tokenauthority.domain.key import Algorithm, KeyState, StoredKey
from tokenauthority.domain.role import Permission, Role
from tokenauthority.domain.session import SessionState
from tokenauthority.signing.keys import SigningKey
from tokenauthority.signing.sealing import MasterKey, Sealer
from tokenauthority.storage.memory import MemoryStore


HOST = Role(name="host", permissions=(Permission.PUBLISH,), create_time=NOW, update_time=NOW)


class ChangingStore(MemoryStore):
    """A store whose changes cannot be read while it is down."""

    def __init__(self) -> None:
        super().__init__()
        self.down = False
        self.asked = asyncio.Event()

    async def changes_after(self, cursor: Cursor, limit: int) -> Sequence[Change]:
        """Changes, or an error while the store is down."""
        self.asked.set()
        if self.down:
            raise UnavailableError.store()
        return await super().changes_after(cursor, limit)


async def second_server(world: World, interval: float = WAIT) -> tuple[Catalog, Follower]:
    """Another server of the world's store."""
    server = make_server(world.store, world.sealer, interval=interval)
    await server.follower.start()
    return server.catalog, server.follower


async def test_a_session_ended_elsewhere_is_ended_here() -> None:
    """Another server's EndSession reaches this one with its next look."""
    world = await make_world()
    catalog, follower = await second_server(world)
    await catalog.session(world.session.session_id)
    await world.store.end_session(world.session, NOW)
    await follower.catch_up()

    known = await catalog.session(world.session.session_id)

    assert known is not None
    assert SessionState.ENDED is known.state


async def test_a_project_and_a_role_changed_elsewhere_are_changed_here() -> None:
    """So do its projects, secrets and roles."""
    world = await make_world()
    catalog, follower = await second_server(world)
    await catalog.tenant(world.project_id)
    await catalog.role(world.project_id, "host")
    secret = await world.projects.rotate_secret(world.project_id, NOW)
    await world.store.create_role(attrs.evolve(HOST, project_id=world.project_id))
    await follower.catch_up()

    tenant = await catalog.tenant(world.project_id)
    role = await catalog.role(world.project_id, "host")

    assert tenant is not None
    assert secret.value == tenant.keys.secrets[0].value
    assert role is not None


async def test_more_changes_than_one_page_are_all_taken_in() -> None:
    """However far it is behind, one look catches up."""
    world = await make_world()
    _, follower = await second_server(world)
    for number in range(2500):
        await world.projects.update(world.project_id, {"display_name": str(number)})

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
    store = ChangingStore()
    world = await make_world(store)
    catalog, follower = await second_server(world)
    await catalog.session(world.session.session_id)
    await store.end_session(world.session, NOW)
    store.down = True
    await follower.catch_up()
    behind = follower.fresh
    store.down = False
    await follower.catch_up()
    known = await catalog.session(world.session.session_id)

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
    """A server under another master key is not fresh, and goes on asking."""
    store = MemoryStore()
    ours = make_server(store, Sealer(MasterKey.generate()))
    await ours.follower.start()
    signing = ours.keys.ring.active
    foreign = StoredKey(
        key_id="x" * 43,
        algorithm=Algorithm.ES256,
        state=KeyState.PREPARED,
        create_time=NOW,
        sealed=Vault(Sealer(MasterKey.generate())).seal_signing_key(SigningKey.generate(Algorithm.ES256)),
    )
    await store.update_keys(lambda ring: [*ring, foreign])

    await ours.follower.catch_up()

    assert not ours.follower.fresh
    assert signing is ours.keys.ring.active


async def test_it_goes_on_asking_while_the_store_is_down() -> None:
    """The background task outlives errors of the store."""
    store = ChangingStore()
    world = await make_world(store)
    _, follower = await second_server(world, interval=0.001)
    store.down = True
    running = asyncio.create_task(follower.run())
    for _ in range(3):
        store.asked.clear()
        await asyncio.wait_for(store.asked.wait(), WAIT)
    alive = not running.done()
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running

    assert alive
