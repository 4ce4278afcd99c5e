"""Everything is sealed under the new master key in the end, and what cannot be is named."""

from __future__ import annotations

import attrs
import pytest

from tests.authority.world import NOW, ROTATION, rsa_pem
from tests.support.faulty_store import FaultyStore, StoreCall
from tests.support.memory_store import MemoryStore
from tokenauthority.authority.credential_sealer import CredentialSealer
from tokenauthority.authority.reseal import (
    MasterKeyMissingError,
    Resealed,
    ResealError,
    require_master_keys,
    reseal,
)
from tokenauthority.authority.signing_keys import SigningKeyManager
from tokenauthority.domain.credential import Credential
from tokenauthority.domain.key import Algorithm
from tokenauthority.domain.project import Project
from tokenauthority.domain.sealed import SealedKind
from tokenauthority.domain.times import DAY, MAX_TTL
from tokenauthority.domain.token_format import TokenFormat
from tokenauthority.signing.sealing import MasterKey, Sealer, sealed_under


SECRET = "0123456789abcdef0123456789abcdef01234567"
APPLICATION = "29f760f8-7ce1-46c9-ade3-f2dedee4ed5f"
OLD, NEW, OTHER = (MasterKey(bytes([n] * 32)) for n in range(3))


def busy_store(times: int) -> FaultyStore:
    """A store in which a server that seals under the old master key makes a project each time something is replaced."""
    shared, left = MemoryStore(), iter(range(times))
    store = FaultyStore(shared)

    async def make_one(_: StoreCall) -> None:
        if (number := next(left, None)) is not None:
            credential = CredentialSealer(Sealer(OLD, NEW)).seal_secret(SECRET, NOW)
            await shared.create_project(make_project(str(1000 + number), credential))

    store.before("replace_sealed", run=make_one)
    return store


def make_project(project_id: str, *credentials: Credential, application: str | None = None) -> Project:
    """A project with *credentials*."""
    return Project(
        project_id=project_id,
        display_name="",
        default_format=TokenFormat.SESSION_JWT,
        default_ttl=DAY,
        max_ttl=MAX_TTL,
        external_sessions=False,
        create_time=NOW,
        vonage_application_id=application,
        credentials=credentials,
    )


async def fill(store: MemoryStore, credentials: CredentialSealer, projects: int = 3) -> None:
    """Two signing keys, projects with a secret each, and one with a Vonage key."""
    await SigningKeyManager(store, credentials, Algorithm.ES256, ROTATION).load(NOW)
    for n in range(projects):
        await store.create_project(make_project(str(n + 1), credentials.seal_secret(SECRET, NOW)))
    vonage = credentials.seal_vonage_key(rsa_pem(), APPLICATION, NOW)
    await store.create_project(make_project("90", vonage, application=APPLICATION))


async def master_keys(store: MemoryStore) -> set[str | None]:
    """The ids of the master keys under which something is."""
    return {sealed_under(count.prefix) for count in await store.count_sealed(9)}


@pytest.mark.parametrize("page", [1, 2, 100])
async def test_seals_everything_under_the_first_master_key(page: int) -> None:
    """Signing keys, secrets and Vonage keys, in pages of any size; then the old master key is not needed any more."""
    store = MemoryStore()
    await fill(store, CredentialSealer(Sealer(OLD)))
    done = await reseal(store, CredentialSealer(Sealer(NEW, OLD)), page=page, pause=0)

    credentials = CredentialSealer(Sealer(NEW))
    assert Resealed(master_key_id=NEW.key_id, signing_keys=2, project_credentials=4, already=0) == done
    assert {NEW.key_id} == await master_keys(store)
    await SigningKeyManager(store, credentials, Algorithm.ES256, ROTATION).load(NOW)
    kept = await store.list_projects(after=0, limit=9, only=None)
    assert [[SECRET]] * 3 + [[]] == [[s.value for s in credentials.project_keys(project).secrets] for project in kept]
    assert credentials.project_keys(kept[-1]).vonage is not None


async def test_a_repeated_run_finds_nothing_to_do() -> None:
    """It opens everything again and writes nothing."""
    store = MemoryStore()
    await fill(store, CredentialSealer(Sealer(OLD)))
    await reseal(store, CredentialSealer(Sealer(NEW, OLD)), pause=0)
    before = [await store.list_sealed(kind, after=("", ""), limit=9) for kind in SealedKind]
    done = await reseal(store, CredentialSealer(Sealer(NEW)), pause=0)

    assert Resealed(master_key_id=NEW.key_id, signing_keys=0, project_credentials=0, already=6) == done
    assert before == [await store.list_sealed(kind, after=("", ""), limit=9) for kind in SealedKind]


async def test_takes_in_what_servers_seal_meanwhile() -> None:
    """What is made under the old master key while it runs, behind the place where it is, is found by the next pass."""
    store = busy_store(times=3)
    await fill(store, CredentialSealer(Sealer(OLD)))
    done = await reseal(store, CredentialSealer(Sealer(NEW, OLD)), page=2, pause=0)

    assert (2, 7, 0) == (done.signing_keys, done.project_credentials, done.already)
    assert {NEW.key_id} == await master_keys(store)


async def test_gives_up_on_servers_that_go_on_under_the_old_key() -> None:
    """It does not run for ever, and says what is wrong."""
    store = busy_store(times=1000)
    await fill(store, CredentialSealer(Sealer(OLD)))
    with pytest.raises(ResealError, match=f"still seal under another master key than {NEW.key_id}"):
        await reseal(store, CredentialSealer(Sealer(NEW, OLD)), pause=0)


async def test_names_what_is_damaged_and_seals_the_rest() -> None:
    """One project that is lost does not keep the old master key in use for all others."""
    store = MemoryStore()
    credentials = CredentialSealer(Sealer(OLD))
    await fill(store, credentials)
    good = credentials.seal_secret(SECRET, NOW)
    bad = attrs.evolve(good, sealed=good.sealed[:-1] + bytes([good.sealed[-1] ^ 1]))
    await store.create_project(make_project("77", bad))
    with pytest.raises(ResealError) as caught:
        await reseal(store, CredentialSealer(Sealer(NEW, OLD)), pause=0)

    assert (
        f"1 of 7 do not open, and everything else was sealed anew: project 77: project-credential {bad.credential_id}"
        in str(caught.value)
    )
    under_old = [count for count in await store.count_sealed(9) if sealed_under(count.prefix) == OLD.key_id]
    assert [(1, "77")] == [(count.owners, count.first) for count in under_old]


async def test_shows_some_of_what_is_damaged() -> None:
    """However much it is, the message has an end."""
    store = MemoryStore()
    for n in range(30):
        other = CredentialSealer(Sealer(OLD)).seal_secret(SECRET, NOW)
        await store.create_project(make_project(str(n + 1), attrs.evolve(other, credential_id=f"sec_{n}")))
    with pytest.raises(ResealError) as caught:
        await reseal(store, CredentialSealer(Sealer(NEW, OLD)), pause=0)

    assert str(caught.value).endswith("; and 20 more")
    assert 10 == str(caught.value).count("project-credential")


async def test_changes_nothing_without_every_master_key() -> None:
    """What is under a third master key is named before anything is touched."""
    store = MemoryStore()
    await fill(store, CredentialSealer(Sealer(OLD)))
    await store.create_project(make_project("77", CredentialSealer(Sealer(OTHER)).seal_secret(SECRET, NOW)))
    with pytest.raises(MasterKeyMissingError) as caught:
        await reseal(store, CredentialSealer(Sealer(NEW, OLD)), pause=0)

    assert (
        (
            f"the store holds data of 1 project (such as 77) sealed under the master key {OTHER.key_id},"
            f" which is not among those given: {NEW.key_id} and {OLD.key_id}"
        ),
    ) == caught.value.problems
    assert {OLD.key_id, OTHER.key_id} == await master_keys(store)


async def test_a_store_needs_every_master_key_that_it_names() -> None:
    """Each that is missing is named with what is under it; one that is given needs to open nothing."""
    store = MemoryStore()
    await require_master_keys(store, CredentialSealer(Sealer(OTHER)))
    await fill(store, CredentialSealer(Sealer(OLD)))
    await store.create_project(make_project("77", CredentialSealer(Sealer(NEW)).seal_secret(SECRET, NOW)))
    await require_master_keys(store, CredentialSealer(Sealer(NEW, OLD)))
    with pytest.raises(MasterKeyMissingError) as caught:
        await require_master_keys(store, CredentialSealer(Sealer(OTHER)))

    assert {OLD.key_id, NEW.key_id} == {
        problem.split(" under the master key ")[1][:16] for problem in caught.value.problems
    }
    (of_old,) = [problem for problem in caught.value.problems if OLD.key_id in problem]
    assert "data of 2 signing keys (such as " in of_old
    assert " and 4 projects (such as 1) sealed" in of_old
    assert not [key for key in (OLD, NEW, OTHER) if key.reveal() in str(caught.value)]


@pytest.mark.parametrize("sealed", [b"", b"\x02" + bytes(40), b"\x01short"])
async def test_what_is_no_envelope_is_distinguished_from_another_master_key(sealed: bytes) -> None:
    """It is damaged, or of a program that is newer than this one."""
    store = MemoryStore()
    credential = attrs.evolve(CredentialSealer(Sealer(OLD)).seal_secret(SECRET, NOW), sealed=sealed)
    await store.create_project(make_project("77", credential))
    with pytest.raises(MasterKeyMissingError, match=r"1 project \(such as 77\) that are damaged, or sealed by a later"):
        await require_master_keys(store, CredentialSealer(Sealer(OLD)))
