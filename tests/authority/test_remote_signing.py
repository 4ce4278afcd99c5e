"""Keys that sign elsewhere: bounded in time and number, off the event loop, and never a traceback to the caller."""

from __future__ import annotations

import asyncio
import threading

from collections.abc import Iterator, Mapping
from unittest import mock

import attrs
import pytest

from tests.authority.world import ISSUER, NOW, ROTATION, World, make_world
from tests.support.authority import EVERYTHING, WAIT
from tests.support.memory_store import MemoryStore
from tests.support.softhsm import SoftHsm
from tokenauthority.authority.credential_sealer import CredentialSealer
from tokenauthority.authority.generate import Generate
from tokenauthority.authority.remote_signing import KeyPlace, RemoteSigning
from tokenauthority.authority.signing_keys import SigningKeyManager
from tokenauthority.authority.time_slice import TimeSlice
from tokenauthority.domain.errors import Reason, UnavailableError
from tokenauthority.domain.key import Algorithm, KeyState, StoredKey
from tokenauthority.domain.times import Millis
from tokenauthority.domain.token import GeneratedToken, TokenSpec
from tokenauthority.domain.token_format import TokenFormat
from tokenauthority.signing.jose import LocalSigner
from tokenauthority.signing.key_provider import KeyProviderError
from tokenauthority.signing.keyring import KeyRing, RingKey
from tokenauthority.signing.sealing import MasterKey, SealBrokenError, Sealer
from tokenauthority.signing.signing_key import SigningKey


class FarSigner:
    """A signer that is elsewhere: not while it is not `reachable`, and not before it is `free`."""

    def __init__(self, signer: LocalSigner) -> None:
        self._signer = signer
        self.reachable = True
        self.free = threading.Event()
        self.free.set()
        self.asked = threading.Event()
        self.threads: list[int] = []

    def sign(self, payload_json: bytes) -> tuple[str, bytes]:
        """Sign in the thread that asks."""
        self.threads.append(threading.get_ident())
        self.asked.set()
        if not self.free.wait(WAIT):
            raise AssertionError("nobody let it go")
        if not self.reachable:
            raise KeyProviderError("the HSM is away")
        return self._signer.sign(payload_json)


@attrs.frozen
class Far:
    """A world whose active key is elsewhere."""

    world: World
    signer: FarSigner
    generate: Generate


async def make_far(remote: RemoteSigning) -> Far:
    """A world whose ring is replaced by one with a remote key."""
    world = await make_world()
    [entry] = [entry for entry in world.keys.ring.entries if entry.stored.state is KeyState.ACTIVE]
    signers: list[FarSigner] = []

    def signer_of(_: str, header: Mapping[str, str]) -> FarSigner:
        signers.append(FarSigner(LocalSigner("ES256", entry.key.private_key, header)))
        return signers[0]

    key = SigningKey.located(Algorithm.ES256, entry.key.public_key, signer_of)
    world.keys._ring = KeyRing([RingKey(entry.stored, key)])
    return Far(
        world,
        signers[0],
        Generate(world.tenants, world.keys, ISSUER, remote=remote),
    )


@pytest.fixture
def held() -> Iterator[list[FarSigner]]:
    """Signers that the test's end lets go."""
    signers: list[FarSigner] = []
    yield signers
    for signer in signers:
        signer.free.set()


def request_of(world: World, token_format: TokenFormat = TokenFormat.SESSION_JWT) -> TokenSpec:
    """A token of that format."""
    return TokenSpec(session_id=world.session.session_id, role="publisher", format=token_format)


async def verifies(world: World, generated: GeneratedToken) -> bool:
    """Whether the token is in force."""
    return (await world.verify.check(generated.token, EVERYTHING, NOW)).reason is None


async def test_a_remote_key_signs_in_another_thread() -> None:
    """One token, and it verifies."""
    far = await make_far(RemoteSigning())

    generated = await far.generate.one(request_of(far.world), EVERYTHING, NOW)

    assert await verifies(far.world, generated)
    assert threading.get_ident() not in far.signer.threads


async def test_a_batch_takes_one_thread_and_keeps_its_order() -> None:
    """Only what the remote key signs goes there."""
    far = await make_far(RemoteSigning())
    formats = [TokenFormat.SESSION_JWT, TokenFormat.OPENTOK_T1, TokenFormat.SESSION_JWT, TokenFormat.OPENTOK_JWT]

    generated = await far.generate.batch(
        [request_of(far.world, each) for each in formats], EVERYTHING, NOW, TimeSlice()
    )

    assert formats == [token.terms.format for token in generated]
    assert (2, 1) == (len(far.signer.threads), len(set(far.signer.threads)))
    assert 4 == len({token.token_id for token in generated})
    for token in generated:
        assert await verifies(far.world, token)


async def test_other_formats_need_no_remote_key() -> None:
    """A project's own secret signs while the HSM is away."""
    far = await make_far(RemoteSigning())
    far.signer.reachable = False
    asked = request_of(far.world, TokenFormat.OPENTOK_T1)

    generated = [
        await far.generate.one(asked, EVERYTHING, NOW),
        *await far.generate.batch([asked], EVERYTHING, NOW, TimeSlice()),
    ]

    assert [TokenFormat.OPENTOK_T1] * 2 == [token.terms.format for token in generated]


async def test_a_failed_signature_is_unavailable_until_the_next() -> None:
    """The cause is not in the answer; the next try is a try."""
    far = await make_far(RemoteSigning())
    far.signer.reachable = False
    with pytest.raises(UnavailableError) as caught:
        await far.generate.one(request_of(far.world), EVERYTHING, NOW)
    far.signer.reachable = True

    generated = await far.generate.one(request_of(far.world), EVERYTHING, NOW)

    assert (Reason.SIGNING_UNAVAILABLE, "the signing key cannot be reached; try again") == (
        caught.value.reason,
        str(caught.value),
    )
    assert await verifies(far.world, generated)


async def test_a_signature_that_takes_too_long_is_unavailable(held: list[FarSigner]) -> None:
    """Its caller has the answer while the thread still waits."""
    far = await make_far(RemoteSigning(patience=0.05))
    held.append(far.signer)
    far.signer.free.clear()

    with pytest.raises(UnavailableError) as caught:
        await far.generate.one(request_of(far.world), EVERYTHING, NOW)

    assert Reason.SIGNING_UNAVAILABLE == caught.value.reason


async def test_signatures_that_hang_take_no_more_threads_than_allowed(held: list[FarSigner]) -> None:
    """Those beyond begin nothing; once the others are done there is room again."""
    far = await make_far(RemoteSigning(at_once=2, patience=0.1))
    held.append(far.signer)
    far.signer.free.clear()
    asked = request_of(far.world)

    results = await asyncio.gather(
        *(far.generate.one(asked, EVERYTHING, NOW) for _ in range(6)), return_exceptions=True
    )
    hanging = len(far.signer.threads)
    far.signer.free.set()

    assert ([UnavailableError] * 6, 2) == ([type(result) for result in results], hanging)
    async with asyncio.timeout(WAIT):
        while True:
            # The threads have just been let go; their places are free a moment later.
            try:
                await far.generate.one(asked, EVERYTHING, NOW)
            except UnavailableError:
                continue
            break


async def test_a_batch_whose_caller_gave_up_signs_no_more(held: list[FarSigner]) -> None:
    """The one that is under way ends; the others are not begun."""
    far = await make_far(RemoteSigning(at_once=1))
    held.append(far.signer)
    far.signer.free.clear()
    batch = asyncio.create_task(far.generate.batch([request_of(far.world)] * 100, EVERYTHING, NOW, TimeSlice()))
    assert await asyncio.to_thread(far.signer.asked.wait, WAIT)
    batch.cancel()
    with pytest.raises(asyncio.CancelledError):
        await batch

    far.signer.free.set()
    # It waits for the one thread, until that has done with the batch.
    await far.generate.one(request_of(far.world), EVERYTHING, NOW)

    assert 2 == len(far.signer.threads)


async def test_a_bug_is_no_unavailability() -> None:
    """It passes as what it is."""

    def bug() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await RemoteSigning().run([bug])


async def test_a_place_that_does_not_answer_is_named(held: list[FarSigner]) -> None:
    """As when a key is to be made there."""
    far = await make_far(RemoteSigning())
    held.append(far.signer)
    far.signer.free.clear()

    with pytest.raises(KeyProviderError, match=r"has not answered for 0\.05 seconds"):
        await KeyPlace().ask(lambda: far.signer.sign(b"{}"), 0.05)


async def test_a_key_that_signs_as_another_is_found_at_once() -> None:
    """Its tokens would verify nowhere."""
    key, other = SigningKey.generate(Algorithm.ES256), SigningKey.generate(Algorithm.ES256)
    posing = SigningKey.located(
        Algorithm.ES256, key.public_key, lambda _, header: LocalSigner("ES256", other.private_key, header)
    )
    true = SigningKey.located(
        Algorithm.ES256, key.public_key, lambda _, header: LocalSigner("ES256", key.private_key, header)
    )

    await KeyPlace().prove(true)
    with pytest.raises(KeyProviderError, match="signs with another key"):
        await KeyPlace().prove(posing)


def far_credentials(softhsm: SoftHsm, sealer: Sealer) -> CredentialSealer:
    """A sealer whose new keys live in the token."""
    return CredentialSealer(sealer, softhsm.provider())


async def test_servers_that_start_together_leave_one_ring_in_the_token(softhsm: SoftHsm) -> None:
    """Whoever comes second destroys what it made."""
    store, sealer = MemoryStore(), Sealer(MasterKey.generate())
    servers = [SigningKeyManager(store, far_credentials(softhsm, sealer), Algorithm.ES256, ROTATION) for _ in range(4)]

    await asyncio.gather(*(keys.load(NOW) for keys in servers))

    ring = await store.list_keys()
    for keys in servers:
        await KeyPlace().prove(keys.ring.active)
    assert all(key.location.startswith("pkcs11:token=signing%20keys;object=tokenauthority-") for key in ring)
    there = await asyncio.to_thread(lambda: softhsm.token().call(lambda session: len(list(session.get_objects()))))
    assert 2 == len(ring) == there


async def test_a_ring_holds_keys_of_both_kinds(softhsm: SoftHsm) -> None:
    """The old one still verifies after a move, and its tokens too."""
    store, sealer = MemoryStore(), Sealer(MasterKey.generate())
    credentials = far_credentials(softhsm, sealer)
    before = SigningKeyManager(store, CredentialSealer(sealer), Algorithm.ES256, ROTATION)
    await before.load(NOW)
    made = credentials.make_signing_key(Algorithm.EDDSA, NOW)
    [old] = [key for key in await store.list_keys() if key.state is KeyState.ACTIVE]
    retired = credentials.resealed_key(old, attrs.evolve(old, state=KeyState.RETIRED, retire_time=NOW))
    active = credentials.resealed_key(made, attrs.evolve(made, state=KeyState.ACTIVE))

    ring = KeyRing([credentials.open_signing_key(retired), credentials.open_signing_key(active)])

    await KeyPlace().prove(ring.active)
    assert {old.key_id, made.key_id} == {key.key_id for key in ring.published}
    assert [True, False] == [e.key.remote for e in sorted(ring.entries, key=lambda e: e.stored.state)]


def test_a_key_verifies_where_its_provider_is_not(softhsm: SoftHsm) -> None:
    """Away or not set at all; it cannot sign there, and cannot be destroyed, and it is said why."""
    sealer = Sealer(MasterKey.generate())
    credentials = far_credentials(softhsm, sealer)
    made = credentials.make_signing_key(Algorithm.ES256, NOW)
    there = credentials.open_signing_key(made).key
    softhsm.leave()

    away = credentials.open_signing_key(made).key
    unset = CredentialSealer(sealer).open_signing_key(made).key

    assert there.public.jwk == away.public.jwk == unset.public.jwk
    with pytest.raises(KeyProviderError, match=f"{made.key_id} is at pkcs11:.* no such provider"):
        unset.signer.sign(b"{}")[0]
    with pytest.raises(KeyProviderError, match="no such provider"):
        CredentialSealer(sealer).destroy_signing_key(made)


def test_a_public_half_cannot_be_passed_off(softhsm: SoftHsm) -> None:
    """Whoever can write the store but lacks the master key cannot have a key of his own trusted."""
    sealer = Sealer(MasterKey.generate())
    credentials = far_credentials(softhsm, sealer)
    made, other = credentials.make_signing_key(Algorithm.ES256, NOW), credentials.make_signing_key(Algorithm.ES256, NOW)

    with pytest.raises(SealBrokenError):
        credentials.open_signing_key(attrs.evolve(made, sealed=other.sealed))
    with pytest.raises(SealBrokenError):
        credentials.open_signing_key(attrs.evolve(made, location=""))


def test_a_sealed_key_is_not_opened_as_a_located_one() -> None:
    """Nor is the private half of a sealed key taken for a public one."""
    credentials = CredentialSealer(Sealer(MasterKey.generate()))
    key = SigningKey.generate(Algorithm.ES256)
    made = credentials.make_signing_key(Algorithm.ES256, NOW)
    posing = credentials.seal_signing_key(key, create_time=NOW, location="pkcs11:token=x")

    credentials.destroy_signing_key(made)

    assert "" == made.location
    with pytest.raises(SealBrokenError):
        credentials.open_signing_key(attrs.evolve(made, location="pkcs11:token=x"))
    with pytest.raises(SealBrokenError, match="cannot be read"):
        credentials.open_signing_key(posing)


async def test_one_key_is_made_at_a_time() -> None:
    """An HSM that hangs holds one thread, however often it is asked; whoever comes next waits for its turn."""
    credentials = CredentialSealer(Sealer(MasterKey.generate()))
    keys = SigningKeyManager(MemoryStore(), credentials, Algorithm.ES256, ROTATION)
    await keys.load(NOW)
    asked, go_on, inside = asyncio.Event(), threading.Event(), threading.Lock()
    loop, make, alone = asyncio.get_running_loop(), credentials.make_signing_key, []

    def made(algorithm: Algorithm, now: Millis) -> StoredKey:
        alone.append(inside.acquire(blocking=False))
        loop.call_soon_threadsafe(asked.set)
        go_on.wait(WAIT)
        inside.release()
        return make(algorithm, now)

    with mock.patch.object(credentials, "make_signing_key", made):
        first, second = (asyncio.ensure_future(keys.prepare(None, NOW)) for _ in range(2))
        await asyncio.wait_for(asked.wait(), WAIT)
        for _ in range(5):
            await asyncio.sleep(0)
        waiting = not second.done()
        go_on.set()
        await asyncio.gather(first, second, return_exceptions=True)

    assert waiting
    assert [True, True] == alone


async def test_whoever_waits_for_a_place_that_hangs_learns_it() -> None:
    """Its turn does not come, and it waits for no longer than for the key itself."""
    go_on, place = threading.Event(), KeyPlace(patience=0.05)
    patient = KeyPlace()
    patient._making = place._making
    first = asyncio.ensure_future(patient.make(lambda: go_on.wait(WAIT), lambda _: None))
    await asyncio.sleep(0)
    try:
        with pytest.raises(KeyProviderError, match=r"has been busy with other keys for 0\.05 seconds"):
            await place.make(lambda: True, lambda _: None)
    finally:
        go_on.set()

    assert await first
    assert await patient.make(lambda: True, lambda _: None)


async def test_what_is_made_too_late_is_destroyed() -> None:
    """Nobody waits for it any more, and nobody would ever know of it."""
    go_on, given_back, late = threading.Event(), threading.Event(), list[int]()

    def make() -> int:
        go_on.wait(WAIT)
        return 7

    def give_back(made: int) -> None:
        late.append(made)
        given_back.set()

    with pytest.raises(KeyProviderError, match=r"has not answered for 0\.01 seconds"):
        await KeyPlace(patience=0.01).make(make, give_back)
    before = list(late)
    go_on.set()

    assert await asyncio.to_thread(given_back.wait, WAIT)
    assert ([], [7]) == (before, late)
