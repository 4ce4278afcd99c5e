"""The authority's own keys: one between all servers, sealed, never guessed, and replaced in time."""

from __future__ import annotations

import asyncio
import threading

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from unittest import mock

import attrs
import pytest

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.authority.world import NOW, PERIOD, PUBLICATION, ROTATION, make_server, make_world
from tests.support.authority import WAIT, eventually
from tests.support.background import supervised
from tests.support.faulty_store import FaultyStore, StoreCall
from tests.support.logs import capture_logs
from tests.support.memory_store import MemoryStore
from tokenauthority.authority import signing_keys as authority_keys
from tokenauthority.authority.credential_sealer import CredentialSealer
from tokenauthority.authority.sealed_ring import SealedRing
from tokenauthority.authority.signing_keys import SigningKeyManager
from tokenauthority.domain.errors import NotFoundError, PreconditionError, Reason, UnavailableError
from tokenauthority.domain.key import Algorithm, KeyState, StoredKey
from tokenauthority.domain.rotation import next_step
from tokenauthority.domain.times import MAX_TTL, Millis
from tokenauthority.server.background_tasks import signing_keys_task
from tokenauthority.signing.key_provider import KeyProviderError
from tokenauthority.signing.sealing import MasterKey, SealBrokenError, Sealer
from tokenauthority.signing.signing_key import SigningKey


END = Millis(NOW + PERIOD + PERIOD // 4)
"""When the key that signs at NOW has its end."""

RING = ("update_keys", "list_keys")
"""What the background task asks of the store."""


def make_keys(store: MemoryStore, credentials: CredentialSealer | None = None) -> SigningKeyManager:
    """The keys of one server."""
    return SigningKeyManager(
        store, credentials or CredentialSealer(Sealer(MasterKey.generate())), Algorithm.ES256, ROTATION
    )


def make_foreign() -> StoredKey:
    """A PREPARED key that another master key has sealed."""
    return CredentialSealer(Sealer(MasterKey.generate())).make_signing_key(Algorithm.ES256, NOW)


def states(ring: Sequence[StoredKey]) -> list[str]:
    """The states of all keys, in order of the alphabet."""
    return sorted(key.state.value for key in ring)


def running(keys: SigningKeyManager, clock: Callable[[], Millis]) -> AbstractAsyncContextManager[None]:
    """Maintain the ring while the block runs."""
    return supervised(signing_keys_task(keys, clock))


@pytest.mark.parametrize("algorithm", Algorithm)
async def test_the_first_server_makes_a_key_of_the_configured_algorithm(algorithm: Algorithm) -> None:
    """A new store has an active and a prepared key after the first load, and the JWKS shows both."""
    keys = SigningKeyManager(MemoryStore(), CredentialSealer(Sealer(MasterKey.generate())), algorithm, ROTATION)
    await keys.load(NOW)

    stored = await keys.stored()

    assert {(KeyState.ACTIVE, algorithm, NOW, NOW), (KeyState.PREPARED, algorithm, NOW, None)} == {
        (key.state, key.algorithm, key.create_time, key.activate_time) for key in stored
    }
    assert 2 == len(stored)
    assert {key.key_id for key in stored} == {jwk["kid"] for jwk in keys.key_set.keys}


async def test_servers_that_start_together_share_one_key() -> None:
    """Whoever comes second uses the first one's."""
    store, credentials = MemoryStore(), CredentialSealer(Sealer(MasterKey.generate()))
    servers = [SigningKeyManager(store, credentials, Algorithm.ES256, ROTATION) for _ in range(5)]
    await asyncio.gather(*(keys.load(NOW) for keys in servers))

    assert 1 == len({keys.ring.active.key_id for keys in servers})
    assert 2 == len(await servers[0].stored())


async def test_refuses_a_ring_that_another_master_key_sealed() -> None:
    """A wrong master key is an error at once, and not a second key."""
    store = MemoryStore()
    await SigningKeyManager(store, CredentialSealer(Sealer(MasterKey.generate())), Algorithm.ES256, ROTATION).load(NOW)
    other = SigningKeyManager(store, CredentialSealer(Sealer(MasterKey.generate())), Algorithm.ES256, ROTATION)

    with pytest.raises(SealBrokenError):
        await other.load(NOW)

    assert 2 == len(await store.list_keys())


async def test_there_is_no_ring_before_it_is_loaded() -> None:
    """A wiring mistake shows as one."""
    keys = SigningKeyManager(MemoryStore(), CredentialSealer(Sealer(MasterKey.generate())), Algorithm.ES256, ROTATION)

    with pytest.raises(LookupError):
        _ = keys.ring
    with pytest.raises(LookupError):
        _ = keys.key_set


async def test_servers_rotate_once_between_them() -> None:
    """Whoever comes second finds it done, and signs with the first one's key."""
    store, credentials = MemoryStore(), CredentialSealer(Sealer(MasterKey.generate()))
    servers = [make_keys(store, credentials) for _ in range(3)]
    for keys in servers:
        await keys.load(NOW)
    before = servers[0].ring.active.key_id
    later = Millis(NOW + PERIOD)
    await asyncio.gather(*(keys.maintain(later) for keys in servers))

    assert ["active", "prepared", "retired"] == states(await store.list_keys())
    assert 1 == len({keys.ring.active.key_id for keys in servers})
    assert before != servers[0].ring.active.key_id


async def test_a_server_that_loses_the_race_has_made_nothing() -> None:
    """Its own key is not in the ring, and it takes the other one's."""
    store, credentials = MemoryStore(), CredentialSealer(Sealer(MasterKey.generate()))
    ours, theirs = make_keys(store, credentials), make_keys(store, credentials)
    await theirs.load(NOW)
    ours.believed = SealedRing()
    with mock.patch.object(credentials, "make_signing_key", side_effect=AssertionError("a key was made in vain")):
        await ours.maintain(NOW)

    assert ours.ring.active.key_id == theirs.ring.active.key_id
    assert ["active", "prepared"] == states(await store.list_keys())


async def test_it_rotates_by_itself() -> None:
    """The background task does what is due as soon as it begins."""
    store = FaultyStore()
    keys = make_keys(store)
    await keys.load(NOW)
    first = keys.ring.active.key_id
    updates = store.observe("update_keys", answers=True)
    async with running(keys, lambda: Millis(NOW + PERIOD)):
        await updates.reached()
        while "prepared" not in states(keys.believed.keys):
            updates.clear()
            await updates.reached()

    assert first != keys.ring.active.key_id
    assert ["active", "prepared", "retired"] == states(await store.list_keys())


async def test_the_prepared_key_takes_over_at_once_when_the_active_one_is_revoked() -> None:
    """The background task is woken: the next rotation must not have to wait for it."""
    store, looks, looked = FaultyStore(), iter(range(1)), asyncio.Event()

    def clock() -> Millis:
        # It looks at the clock for what is due, and for how long to wait.
        if next(looks, None) is None:
            looked.set()
        return NOW

    keys = make_keys(store)
    await keys.load(NOW)
    [prepared] = [key.key_id for key in await keys.stored() if key.state is KeyState.PREPARED]
    updates = store.observe("update_keys", answers=True)
    async with running(keys, clock):
        await asyncio.wait_for(looked.wait(), WAIT)
        await keys.revoke(prepared, NOW)
        while "prepared" not in states(keys.believed.keys):
            updates.clear()
            # It would look by itself after half a minute.
            await asyncio.wait_for(updates.reached(), WAIT / 2)

    assert ["active", "prepared", "revoked"] == states(await store.list_keys())


async def test_without_the_store_it_signs_until_the_end_of_its_key_and_never_after() -> None:
    """A server that could not learn of the next key must not sign with this one for ever."""
    store = FaultyStore()
    keys = make_keys(store)
    await keys.load(NOW)
    key = keys.ring.active
    store.fail(*RING)
    with pytest.raises(UnavailableError):
        await keys.maintain(Millis(NOW + PERIOD))

    assert key is keys.signing(Millis(END - 1))
    for moment in (END, Millis(END + 1)):
        with pytest.raises(UnavailableError) as ended:
            keys.signing(moment)
        assert Reason.SIGNING_KEY_ENDED is ended.value.reason

    store.recover()
    await keys.maintain(END)
    assert key is not keys.signing(END)


async def test_it_goes_on_looking_while_the_store_is_away_and_says_so_once() -> None:
    """And it does what was due when the store is back."""
    store = FaultyStore()
    keys = make_keys(store)
    await keys.load(NOW)
    store.fail(*RING)
    asked, updates = store.observe(*RING), store.observe("update_keys", answers=True)
    with capture_logs() as events:
        async with running(keys, lambda: Millis(NOW + PERIOD)):
            for _ in range(3):
                asked.clear()
                keys.woken.set()
                await asked.reached()
            store.recover()
            keys.woken.set()
            await updates.reached()

    assert 1 == sum(event["event"] == "keys.not_maintained" for event in events)


async def test_a_key_made_and_activated_by_hand_signs() -> None:
    """Published at once; it signs no earlier than verifiers have had the time to fetch it."""
    keys = make_keys(MemoryStore())
    await keys.load(NOW)
    made = await keys.prepare(Algorithm.EDDSA, NOW)
    published = {jwk["kid"] for jwk in keys.key_set.keys}
    with pytest.raises(PreconditionError):
        await keys.activate(made.key_id, Millis(NOW + PUBLICATION - 1))
    before = keys.ring.active.key_id
    active = await keys.activate(made.key_id, Millis(NOW + PUBLICATION))

    assert (Algorithm.EDDSA, KeyState.PREPARED, NOW) == (made.algorithm, made.state, made.create_time)
    assert made.key_id in published
    assert KeyState.ACTIVE is active.state
    assert before != made.key_id == keys.ring.active.key_id


async def test_a_revoked_key_is_out_of_the_key_set_at_once() -> None:
    """Nothing verifies with it any more, and another one signs."""
    keys = make_keys(MemoryStore())
    await keys.load(NOW)
    revoked = await keys.revoke(keys.ring.active.key_id, NOW)

    assert KeyState.REVOKED is revoked.state
    assert revoked.key_id not in {jwk["kid"] for jwk in keys.key_set.keys}
    assert keys.ring.verifying(revoked.key_id) is None
    assert keys.ring.is_revoked(revoked.key_id)
    assert revoked.key_id != keys.signing(NOW).key_id


async def test_refusals_leave_the_ring_as_it_was() -> None:
    """A key that is not there, one that is not PREPARED, and a fifth prepared one."""
    keys = make_keys(MemoryStore())
    await keys.load(NOW)
    for _ in range(3):
        await keys.prepare(None, NOW)
    before = await keys.stored()
    for change in (keys.activate, keys.revoke):
        with pytest.raises(NotFoundError):
            await change("x" * 43, NOW)
    with pytest.raises(PreconditionError):
        await keys.activate(keys.ring.active.key_id, NOW)
    with pytest.raises(PreconditionError):
        await keys.prepare(None, NOW)

    assert before == await keys.stored()


async def test_a_stored_key_is_not_destroyed_because_another_cannot_be_opened() -> None:
    """Where keys live elsewhere, the ring would else name one that does not exist."""
    store, credentials = MemoryStore(), CredentialSealer(Sealer(MasterKey.generate()))
    keys = make_keys(store, credentials)
    await keys.load(NOW)
    await store.update_keys(lambda ring: [*ring, make_foreign()])
    with mock.patch.object(credentials, "destroy_signing_key") as destroy:
        made = await keys.prepare(None, NOW)

    assert made in await store.list_keys()
    assert 4 == len(await store.list_keys())
    destroy.assert_not_called()


@given(gaps=st.lists(st.integers(-100_000_000, 3_600_000), min_size=2, max_size=6), longest=st.integers(1, 86_400))
@settings(max_examples=50, deadline=None)
def test_the_key_set_is_never_cached_beyond_its_next_change(gaps: list[int], longest: int) -> None:
    """And never longer than is allowed, or for less than no time."""

    async def judge() -> list[tuple[int, int]]:
        keys, now = make_keys(MemoryStore()), NOW
        await keys.load(now)
        found = []
        for gap in gaps:
            # A while before the next change is due, or after.
            now = Millis(max(now, next_step(keys.believed.keys, Algorithm.ES256, ROTATION, now) + gap))
            left = next_step(keys.believed.keys, Algorithm.ES256, ROTATION, now) - now
            found.append((keys.max_age(longest, now), left))
            await keys.maintain(now)
        return found

    for max_age, left in asyncio.run(judge()):
        assert 0 <= max_age <= longest
        assert max_age * 1000 <= max(left, 0)
        assert max_age == longest or left < (max_age + 1) * 1000


async def test_a_rotation_elsewhere_is_taken_in_with_the_next_look() -> None:
    """This server signs with the other one's key from then on, and its key set is the same."""
    store, sealer = MemoryStore(), Sealer(MasterKey.generate())
    ours, theirs = make_server(store, sealer), make_server(store, sealer)
    for server in (ours, theirs):
        await server.follower.start()
    await theirs.keys.maintain(Millis(NOW + PERIOD))
    await ours.follower.catch_up()

    assert theirs.keys.ring.active.key_id == ours.keys.ring.active.key_id
    assert theirs.keys.key_set.body == ours.keys.key_set.body


async def test_a_ring_that_was_put_back_is_maintained_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who reads it anew looks after it then, and not at the next turn: the rows that were put back are replaced."""
    monkeypatch.setattr(authority_keys, "_LONGEST_CHECK_INTERVAL", 10 * WAIT)
    now = Millis(NOW + 2 * PERIOD)
    shared, signs = MemoryStore(), asyncio.Event()
    store = FaultyStore(shared)

    async def notice(_: StoreCall) -> None:
        ring = await shared.list_keys()
        can_sign = any(key.state is KeyState.ACTIVE and (key.sign_until or 0) > now for key in ring)
        (signs.set if can_sign else signs.clear)()

    store.after("update_keys", run=notice)
    keys = (await make_world(store)).keys
    yesterday = await store.list_keys()
    await keys.maintain(now)
    async with running(keys, lambda: now):
        # It has nothing to do now, and waits.
        await asyncio.sleep(0)
        await store.update_keys(lambda _: yesterday)
        was_put_back = not signs.is_set()
        await keys.refresh()
        async with asyncio.timeout(WAIT):
            await signs.wait()

    assert was_put_back


async def test_a_key_that_does_not_open_keeps_no_other_from_going() -> None:
    """A revocation counts on every server, also where a key that another one has made cannot be opened."""
    store, ours, theirs = MemoryStore(), MasterKey.generate(), MasterKey.generate()
    one, other = (
        make_keys(store, CredentialSealer(Sealer(ours))),
        make_keys(store, CredentialSealer(Sealer(theirs, ours))),
    )
    await one.load(NOW)
    await other.load(NOW)
    signing = one.ring.active.key_id
    # The newest would take the place of the one that signs, if it opened.
    foreign = await other.prepare(None, Millis(NOW + 1))
    await one.refresh()
    revoked = await one.revoke(signing, NOW)

    assert KeyState.REVOKED is revoked.state
    assert one.ring.verifying(signing) is None
    assert one.ring.is_revoked(signing)
    assert signing not in {jwk["kid"] for jwk in one.key_set.keys}
    assert foreign.key_id != one.signing(NOW).key_id
    assert "1 cannot be opened, the log says which" == one.problem(NOW)
    assert foreign.key_id in {key.key_id for key in await store.list_keys()}


async def test_a_key_that_does_not_open_is_not_destroyed_where_it_lives() -> None:
    """It is another server's, which signs with it: only what has left the ring may go."""
    store, credentials = MemoryStore(), CredentialSealer(Sealer(MasterKey.generate()))
    keys = make_keys(store, credentials)
    await keys.load(NOW)
    foreign = attrs.evolve(make_foreign(), location="pkcs11:object=theirs")
    await store.update_keys(lambda ring: [*ring, foreign])
    await keys.refresh()
    with mock.patch.object(credentials, "destroy_signing_key") as destroy:
        await keys.prepare(None, NOW)

    destroy.assert_not_called()
    assert foreign in await store.list_keys()


async def test_a_key_that_cannot_be_read_keeps_no_other_from_going() -> None:
    """Its seal is valid and what it holds is no such key, as another version may have written it."""
    store, sealer = MemoryStore(), Sealer(MasterKey.generate())
    keys = make_keys(store, CredentialSealer(sealer))
    await keys.load(NOW)
    signing, odd = keys.ring.active.key_id, SigningKey.generate(Algorithm.ES256)
    # The private half, where that of a key that lives elsewhere is the public one.
    unreadable = CredentialSealer(sealer).seal_signing_key(odd, create_time=Millis(NOW + 1), location="pkcs11:object=x")
    await store.update_keys(lambda ring: [*ring, unreadable])
    await keys.revoke(signing, NOW)
    later = Millis(NOW + 1 + PERIOD)
    for time in (NOW, later):
        await keys.maintain(Millis(time))

    assert odd.key_id != keys.ring.active.key_id
    assert "1 cannot be opened, the log says which" == keys.problem(later)
    assert odd.key_id in {key.key_id for key in await keys.stored()}
    assert keys.ring.is_revoked(signing)
    assert signing not in {jwk["kid"] for jwk in keys.key_set.keys}


async def test_a_change_is_done_though_a_key_does_not_open_and_the_log_says_so() -> None:
    """Whoever asked for it has it; that another key is missing here is for the operator."""
    store = MemoryStore()
    keys = make_keys(store)
    await keys.load(NOW)
    foreign = make_foreign()
    await store.update_keys(lambda ring: [*ring, foreign])
    with capture_logs() as logs:
        made = await keys.prepare(None, NOW)

    assert keys.ring.verifying(made.key_id) is not None
    assert ["keys.not_opened"] == [line["event"] for line in logs]
    assert foreign.key_id in logs[0]["problem"]


async def test_a_key_that_does_not_open_does_not_put_off_what_is_due() -> None:
    """Though it is still in the ring, the next one signs in time, and the follower says what is wrong."""
    store = MemoryStore()
    keys = make_keys(store)
    await keys.load(NOW)
    signing, later = keys.ring.active.key_id, Millis(NOW + PERIOD)
    # Made so late that it cannot be the next one.
    foreign = attrs.evolve(make_foreign(), create_time=later)
    await store.update_keys(lambda ring: [*ring, foreign])
    await keys.maintain(later)

    assert signing != keys.signing(later).key_id
    assert foreign in await store.list_keys()


async def test_a_due_step_that_changes_nothing_here_is_not_repeated_at_once() -> None:
    """The next look comes after a pause; else a ring of which no key opens would have the store asked without end."""
    store = MemoryStore()
    keys = make_keys(store)
    await keys.load(NOW)
    foreign = attrs.evolve(make_foreign(), key_id="y" * 43, state=KeyState.ACTIVE, activate_time=NOW, sign_until=END)
    await store.update_keys(lambda _: (foreign, make_foreign()))
    now = Millis(NOW + PERIOD)

    await keys.maintain(now)

    assert not keys.woken.is_set()
    assert keys.seconds_to_next_look(now) == 1


async def test_a_key_that_nobody_waits_for_any_more_is_stored_all_the_same() -> None:
    """Where keys live elsewhere, it would else be left there, and no row would ever name it."""
    store = FaultyStore()
    keys = make_keys(store)
    await keys.load(NOW)
    held, updates = store.hold("update_keys"), store.observe("update_keys", answers=True)
    waiting = asyncio.ensure_future(keys.prepare(None, NOW))
    await held.reached()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    held.release()
    await updates.reached()

    assert 3 == len(await keys.stored())


async def test_a_key_that_does_not_open_stops_no_rotation() -> None:
    """What can be done here is done; nobody misses a key that was revoked, and it is reported."""
    store, ours, theirs = MemoryStore(), MasterKey.generate(), MasterKey.generate()
    one, other = (
        make_keys(store, CredentialSealer(Sealer(ours))),
        make_keys(store, CredentialSealer(Sealer(theirs, ours))),
    )
    await one.load(NOW)
    await other.load(NOW)
    signing = one.ring.active.key_id
    foreign = await other.prepare(None, NOW)
    await one.refresh()
    for change in (one.activate, one.revoke):
        with pytest.raises(UnavailableError, match=f"cannot open signing key {foreign.key_id}") as refused:
            await change(foreign.key_id, Millis(NOW + PUBLICATION))
    await other.revoke(foreign.key_id, NOW)
    await one.refresh()
    later = Millis(NOW + PERIOD)
    await one.maintain(later)

    assert Reason.SEAL_BROKEN is refused.value.reason
    assert signing != one.ring.active.key_id
    assert "1 cannot be opened, the log says which" == one.problem(later)


async def put_back(store: MemoryStore, row: StoredKey) -> None:
    """Put an earlier row back, as a writer of the store can."""
    await store.update_keys(lambda ring: [*(key for key in ring if key.key_id != row.key_id), row])


async def row_of(store: MemoryStore, state: KeyState) -> StoredKey:
    """The row of the newest key in that state."""
    return next(key for key in await store.list_keys() if key.state is state)


@pytest.mark.parametrize("deleted_before", [False, True])
async def test_a_running_server_refuses_an_earlier_row_of_a_key(deleted_before: bool) -> None:  # noqa: FBT001 - pytest
    """Also if the row was absent meanwhile: it reports the row, believes what it knows, and writes that again."""
    store = MemoryStore()
    keys = make_keys(store)
    await keys.load(NOW)
    prepared, later = await row_of(store, KeyState.PREPARED), Millis(NOW + PERIOD)
    await keys.maintain(later)
    retired = await row_of(store, KeyState.RETIRED)
    await keys.revoke(retired.key_id, later)
    before = await keys.stored()
    with capture_logs() as logs:
        if deleted_before:
            await store.update_keys(lambda ring: [key for key in ring if key.key_id != prepared.key_id])
            await keys.refresh()
        for row in (prepared, retired):
            await put_back(store, row)
        await keys.refresh()
        unopened, signing, verifying = keys.unopened, keys.ring.active.key_id, keys.ring.verifying(retired.key_id)
        await keys.maintain(later)

    assert (2, prepared.key_id, None) == (unopened, signing, verifying)
    [problem] = [line["problem"] for line in logs if line["event"] == "keys.not_opened"]
    assert f"{prepared.key_id}: an earlier row was put back: PREPARED, and the key is ACTIVE" in problem
    assert f"{retired.key_id}: an earlier row was put back: RETIRED, and the key is REVOKED" in problem
    assert {(key.key_id, key.state) for key in before} <= {(key.key_id, key.state) for key in await store.list_keys()}
    assert 0 == keys.unopened


async def test_an_earlier_row_has_no_key_destroyed_that_may_have_signed() -> None:
    """A server that starts believes it. The key is RETIRED at most, and its tokens verify until they expire."""
    store, credentials = MemoryStore(), CredentialSealer(Sealer(MasterKey.generate()))
    keys = make_keys(store, credentials)
    await keys.load(NOW)
    prepared, later = await row_of(store, KeyState.PREPARED), Millis(NOW + PERIOD)
    await keys.maintain(later)
    await put_back(store, prepared)
    started = Millis(later + PUBLICATION)
    other, last_token = make_keys(store, credentials), Millis(ROTATION.sign_until(started) + 1000 * MAX_TTL)
    with mock.patch.object(credentials, "destroy_signing_key") as destroy:
        for now in (started, last_token):
            await other.load(now)
            assert other.ring.verifying(prepared.key_id) is not None
            assert prepared.key_id not in {call.args[0].key_id for call in destroy.call_args_list}
        await other.maintain(Millis(last_token + 2 * 86_400_000))

    assert prepared.key_id != other.ring.active.key_id
    assert prepared.key_id in {call.args[0].key_id for call in destroy.call_args_list}


@pytest.mark.parametrize("sealed", [b"", b"\x02" + bytes(60)], ids=["damaged", "under another master key"])
@pytest.mark.parametrize("starts", [False, True])
async def test_a_row_that_only_says_revoked_is_reported(sealed: bytes, starts: bool) -> None:  # noqa: FBT001 - pytest
    """Whether the server stops to use the key or not, and nothing has recovered."""
    store, credentials = MemoryStore(), CredentialSealer(Sealer(MasterKey.generate()))
    keys, later = make_keys(store, credentials), Millis(NOW + PERIOD)
    await keys.load(NOW)
    await keys.maintain(later)
    retired = await row_of(store, KeyState.RETIRED)
    await put_back(store, attrs.evolve(retired, sealed=b"", expire_time=Millis(1)))
    await keys.refresh()
    await put_back(store, attrs.evolve(retired, state=KeyState.REVOKED, sealed=sealed))
    with capture_logs() as logs:
        keys = make_keys(store, credentials) if starts else keys
        await keys.refresh()

    assert 1 == keys.unopened
    assert "keys.opened" not in {line["event"] for line in logs}
    assert "1 cannot be opened, the log says which" == keys.problem(later)


async def test_a_late_key_that_cannot_be_destroyed_is_logged() -> None:
    """It stays where it lives, and only the log knows."""
    credentials, asked, go_on = CredentialSealer(Sealer(MasterKey.generate())), asyncio.Event(), threading.Event()
    keys = make_keys(MemoryStore(), credentials)
    await keys.load(NOW)
    loop, make = asyncio.get_running_loop(), credentials.make_signing_key

    def made(algorithm: Algorithm, now: Millis) -> StoredKey:
        loop.call_soon_threadsafe(asked.set)
        go_on.wait(WAIT)
        return make(algorithm, now)

    with (
        capture_logs() as logs,
        mock.patch.object(credentials, "make_signing_key", made),
        mock.patch.object(credentials, "destroy_signing_key", side_effect=KeyProviderError("the token is gone")),
    ):
        waiting = asyncio.ensure_future(keys.prepare(None, NOW))
        await asyncio.wait_for(asked.wait(), WAIT)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        go_on.set()
        await asyncio.to_thread(eventually, lambda: "keys.not_destroyed" in [line["event"] for line in logs], "no log")

    assert ["the token is gone"] == [line["problem"] for line in logs if line["event"] == "keys.not_destroyed"]
    assert 2 == len(await keys.stored())
