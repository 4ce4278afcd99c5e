"""The authority's own keys: one between all servers, sealed, and never guessed."""

from __future__ import annotations

import asyncio

from collections.abc import Callable, Sequence

import pytest

from tests.authority import WAIT
from tests.use_cases.world import NOW, PERIOD, ROTATION, make_world
from tokenauthority.authority import keys as authority_keys
from tokenauthority.authority.keys import Keys
from tokenauthority.authority.vault import Vault
from tokenauthority.domain.key import Algorithm, KeyState, StoredKey
from tokenauthority.domain.times import Millis
from tokenauthority.signing.sealing import MasterKey, SealBrokenError, Sealer
from tokenauthority.storage.memory import MemoryStore


@pytest.mark.parametrize("algorithm", Algorithm)
async def test_the_first_server_makes_a_key_of_the_configured_algorithm(algorithm: Algorithm) -> None:
    """A new store has one key that signs and one at hand after the first load, and the JWKS shows both."""
    keys = Keys(MemoryStore(), Vault(Sealer(MasterKey.generate())), algorithm, ROTATION)
    await keys.load(NOW)

    stored = await keys.stored()

    assert {(KeyState.ACTIVE, algorithm, NOW, NOW), (KeyState.PREPARED, algorithm, NOW, None)} == {
        (key.state, key.algorithm, key.create_time, key.activate_time) for key in stored
    }
    assert 2 == len(stored)
    assert {key.key_id for key in stored} == {jwk["kid"] for jwk in keys.key_set.keys}


async def test_servers_that_start_together_share_one_key() -> None:
    """Whoever comes second uses the first one's."""
    store, vault = MemoryStore(), Vault(Sealer(MasterKey.generate()))
    servers = [Keys(store, vault, Algorithm.ES256, ROTATION) for _ in range(5)]
    await asyncio.gather(*(keys.load(NOW) for keys in servers))

    assert 1 == len({keys.ring.active.key_id for keys in servers})
    assert 2 == len(await servers[0].stored())


async def test_refuses_a_ring_that_another_master_key_sealed() -> None:
    """A wrong master key is an error at once, and not a second key."""
    store = MemoryStore()
    await Keys(store, Vault(Sealer(MasterKey.generate())), Algorithm.ES256, ROTATION).load(NOW)
    other = Keys(store, Vault(Sealer(MasterKey.generate())), Algorithm.ES256, ROTATION)

    with pytest.raises(SealBrokenError):
        await other.load(NOW)

    assert 2 == len(await store.list_keys())


async def test_there_is_no_ring_before_it_is_loaded() -> None:
    """A wiring mistake shows as one."""
    keys = Keys(MemoryStore(), Vault(Sealer(MasterKey.generate())), Algorithm.ES256, ROTATION)

    with pytest.raises(LookupError):
        _ = keys.ring
    with pytest.raises(LookupError):
        _ = keys.key_set


class NoticingStore(MemoryStore):
    """A store that tells when a ring is kept that can sign at `moment`."""

    def __init__(self, moment: Millis) -> None:
        super().__init__()
        self.signs = asyncio.Event()
        self._moment = moment

    async def update_keys(self, change: Callable[[Sequence[StoredKey]], Sequence[StoredKey]]) -> Sequence[StoredKey]:
        """See `Store`."""
        kept = await super().update_keys(change)
        good = any(key.state is KeyState.ACTIVE and (key.sign_until or 0) > self._moment for key in kept)
        (self.signs.set if good else self.signs.clear)()
        return kept


async def test_a_ring_that_was_put_back_is_maintained_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A restored ring may be past its end: who reads it anew looks after it then, and not at the next turn."""
    monkeypatch.setattr(authority_keys, "_LOOK", 10 * WAIT)
    now = Millis(NOW + 2 * PERIOD)
    store = NoticingStore(now)
    keys = (await make_world(store)).keys
    yesterday = await store.list_keys()
    await keys.maintain(now)
    running = asyncio.create_task(keys.run(lambda: now))
    # It has nothing to do now, and waits.
    await asyncio.sleep(0)
    try:
        await store.update_keys(lambda _: yesterday)
        was_put_back = not store.signs.is_set()
        await keys.refresh()
        async with asyncio.timeout(WAIT):
            await store.signs.wait()
    finally:
        running.cancel()

    assert was_put_back
