"""Everything is sealed under the new master key in the end, and what cannot be is named."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import pytest

from tests.authority.world import NOW, ROTATION, make_sealed, rsa_pem, seal_as_version_1, version_1
from tests.support.faulty_store import FaultyStore, StoreCall
from tests.support.memory_store import MemoryStore
from tokenauthority.authority.credential_sealer import CredentialSealer, new_secret, new_vonage_key
from tokenauthority.authority.reseal import (
    EarlierVersionError,
    MasterKeyMissingError,
    Resealed,
    ResealError,
    require_master_keys,
    reseal,
)
from tokenauthority.authority.signing_keys import SigningKeyManager
from tokenauthority.domain.credential import Credential, CredentialKind
from tokenauthority.domain.errors import UnavailableError
from tokenauthority.domain.key import Algorithm, StoredKey
from tokenauthority.domain.project import Project
from tokenauthority.signing.sealing import MasterKey, SealBrokenError, Sealer, sealed_under


SECRET = "0123456789abcdef0123456789abcdef01234567"
APPLICATION = "29f760f8-7ce1-46c9-ade3-f2dedee4ed5f"
OLD, NEW, OTHER = (MasterKey(bytes([n] * 32)) for n in range(3))


def busy_store(times: int) -> FaultyStore:
    """A store in which a server that seals under the old master key makes a project each time something is replaced."""
    shared, left = MemoryStore(), iter(range(times))
    store = FaultyStore(shared)

    async def make_one(_: StoreCall) -> None:
        if (number := next(left, None)) is not None:
            credentials = CredentialSealer(Sealer(OLD, NEW))
            await shared.create_project(make_sealed(credentials, str(1_000_000 - number), new_secret(SECRET, NOW)))

    store.before("replace_sealed", run=make_one)
    return store


async def fill(store: MemoryStore, credentials: CredentialSealer, projects: int = 3) -> None:
    """Two signing keys, projects with a secret each, and one with a Vonage key."""
    await SigningKeyManager(store, credentials, Algorithm.ES256, ROTATION).load(NOW)
    for n in range(projects):
        await store.create_project(make_sealed(credentials, str(n + 1), new_secret(SECRET, NOW)))
    vonage = new_vonage_key(rsa_pem(), APPLICATION, NOW)
    await store.create_project(make_sealed(credentials, "2000000", vonage, application=APPLICATION))


async def contents(store: MemoryStore) -> tuple[Sequence[StoredKey], Sequence[Project]]:
    """All that is sealed."""
    return await store.list_keys(), await store.list_projects(after=0, limit=99, only=None)


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
    before = await contents(store)
    done = await reseal(store, CredentialSealer(Sealer(NEW)), pause=0)

    assert Resealed(master_key_id=NEW.key_id, signing_keys=0, project_credentials=0, already=6) == done
    assert before == await contents(store)


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
    project = make_sealed(credentials, "77", new_secret(SECRET, NOW))
    [good] = project.credentials
    bad = attrs.evolve(good, sealed=good.sealed[:-1] + bytes([good.sealed[-1] ^ 1]))
    await store.create_project(attrs.evolve(project, credentials=(bad,)))
    with pytest.raises(ResealError) as caught:
        await reseal(store, CredentialSealer(Sealer(NEW, OLD)), pause=0)

    assert (
        f"1 of 7 do not open; 6 were sealed anew, and the others were already: project 77: project-credential"
        f" {bad.credential_id}" in str(caught.value)
    )
    under_old = [count for count in await store.count_sealed(9) if sealed_under(count.prefix) == OLD.key_id]
    assert [(1, "77")] == [(count.owners, count.first) for count in under_old]


async def test_shows_some_of_what_is_damaged() -> None:
    """However much it is, the message has an end."""
    store = MemoryStore()
    for n in range(30):
        project = make_sealed(CredentialSealer(Sealer(OLD)), str(n + 1), new_secret(SECRET, NOW))
        await store.create_project(attrs.evolve(project, project_id=str(n + 100)))
    with pytest.raises(ResealError) as caught:
        await reseal(store, CredentialSealer(Sealer(NEW, OLD)), pause=0)

    assert str(caught.value).endswith("; and 20 more")
    assert 10 == str(caught.value).count("project-credential")


async def test_changes_nothing_without_a_master_key_that_seals_much() -> None:
    """What is under a third master key is named before anything is touched."""
    store = MemoryStore()
    await fill(store, CredentialSealer(Sealer(OLD)))
    for project_id in ("77", "78"):
        await store.create_project(make_sealed(CredentialSealer(Sealer(OTHER)), project_id, new_secret(SECRET, NOW)))
    with pytest.raises(MasterKeyMissingError) as caught:
        await reseal(store, CredentialSealer(Sealer(NEW, OLD)), pause=0)

    assert (
        (
            f"the store holds data of 2 projects (such as 77) sealed under the master key {OTHER.key_id},"
            f" which is not among those given: {NEW.key_id} and {OLD.key_id}"
        ),
    ) == caught.value.problems
    assert {OLD.key_id, OTHER.key_id} == await master_keys(store)


async def test_a_store_needs_every_master_key_that_it_names() -> None:
    """Each that is missing is named with what is under it; one that is given needs to open nothing."""
    store = MemoryStore()
    await require_master_keys(store, CredentialSealer(Sealer(OTHER)))
    await fill(store, CredentialSealer(Sealer(OLD)))
    await store.create_project(make_sealed(CredentialSealer(Sealer(NEW)), "77", new_secret(SECRET, NOW)))
    assert [] == list(await require_master_keys(store, CredentialSealer(Sealer(NEW, OLD))))
    with pytest.raises(MasterKeyMissingError) as caught:
        await require_master_keys(store, CredentialSealer(Sealer(OTHER)))

    assert {OLD.key_id, NEW.key_id} == {
        problem.split(" under the master key ")[1][:16] for problem in caught.value.problems
    }
    (of_old,) = [problem for problem in caught.value.problems if OLD.key_id in problem]
    assert "data of 2 signing keys (such as " in of_old
    assert " and 4 projects (such as 1) sealed" in of_old
    assert not [key for key in (OLD, NEW, OTHER) if key.reveal() in str(caught.value)]


@pytest.mark.parametrize("sealed", [b"", b"\x03" + bytes(40), b"\x02short"])
async def test_what_is_no_envelope_is_distinguished_from_another_master_key(sealed: bytes) -> None:
    """It is damaged, or of a newer program: that is named, and stops neither a server nor `reseal`."""
    store, credentials = MemoryStore(), CredentialSealer(Sealer(NEW, OLD))
    await fill(store, CredentialSealer(Sealer(OLD)))
    project = make_sealed(credentials, "77", new_secret(SECRET, NOW))
    damaged = tuple(attrs.evolve(credential, sealed=sealed) for credential in project.credentials)
    await store.create_project(attrs.evolve(project, credentials=damaged))
    [problem] = await require_master_keys(store, credentials)
    with pytest.raises(ResealError, match=r"1 of 7 do not open; 6 were sealed anew, .*: project 77: "):
        await reseal(store, credentials, pause=0)

    assert "1 project (such as 77) that are damaged, or sealed by a later" in problem


@pytest.mark.parametrize(("others", "refused"), [(1, False), (2, True)])
async def test_one_row_under_another_key_stops_no_server(others: int, refused: bool) -> None:  # noqa: FBT001 - pytest
    """Nor `reseal`, which names it and does the rest. Several, and more than a tenth of all, do."""
    store, credentials = MemoryStore(), CredentialSealer(Sealer(NEW, OLD))
    await fill(store, CredentialSealer(Sealer(OLD)))
    for n in range(others):
        await store.create_project(make_sealed(CredentialSealer(Sealer(OTHER)), str(77 + n), new_secret(SECRET, NOW)))
    if refused:
        for run in (require_master_keys(store, credentials), reseal(store, credentials, pause=0)):
            with pytest.raises(MasterKeyMissingError):
                await run
        return
    problems = await require_master_keys(store, credentials)
    with pytest.raises(ResealError, match=rf"6 were sealed anew, .*: project 77: .* master key {OTHER.key_id}"):
        await reseal(store, credentials, pause=0)

    assert [OTHER.key_id] == [problem.split(" under the master key ")[1][:16] for problem in problems]


async def test_no_server_starts_if_no_signing_key_opens() -> None:
    """However few there are beside the projects."""
    store, credentials = MemoryStore(), CredentialSealer(Sealer(OLD))
    await fill(store, credentials, projects=40)
    await store.update_keys(lambda ring: [attrs.evolve(key, sealed=b"") for key in ring])
    with pytest.raises(MasterKeyMissingError, match=r"data of 2 signing keys .* that are damaged"):
        await require_master_keys(store, credentials)


async def fill_of_version_1(store: MemoryStore, key: MasterKey) -> None:
    """What `fill` makes, as the first version sealed it."""
    await fill(store, CredentialSealer(Sealer(key)))
    await seal_as_version_1(store, key)


async def test_seals_a_store_of_version_1_anew() -> None:
    """Also under another master key at once; no server uses it before, and a second run finds nothing to do."""
    store = MemoryStore()
    await fill_of_version_1(store, OLD)
    credentials = CredentialSealer(Sealer(NEW, OLD))
    with pytest.raises(EarlierVersionError):
        await require_master_keys(store, credentials)
    done = await reseal(store, credentials, pause=0)
    again = await reseal(store, CredentialSealer(Sealer(NEW)), pause=0)

    assert Resealed(master_key_id=NEW.key_id, signing_keys=2, project_credentials=4, already=0) == done
    assert (0, 0, 6) == (again.signing_keys, again.project_credentials, again.already)
    await require_master_keys(store, CredentialSealer(Sealer(NEW)))
    ring, projects = await contents(store)
    assert [[SECRET]] * 3 + [[]] == [
        [secret.value for secret in credentials.project_keys(project).secrets] for project in projects
    ]
    assert 2 == len([credentials.open_signing_key(key) for key in ring])


async def test_leaves_version_1_in_one_transaction() -> None:
    """An interrupted run leaves a store of one version, which can be sealed again."""
    store = FaultyStore()
    await fill_of_version_1(store, OLD)
    before = await contents(store)
    calls = store.observe("replace_sealed")
    store.fail("replace_sealed")
    with pytest.raises(UnavailableError):
        await reseal(store, CredentialSealer(Sealer(NEW, OLD)), page=1, pause=0)
    store.recover()

    assert 1 == len(calls.calls)
    assert before == await contents(store)
    assert 4 == (await reseal(store, CredentialSealer(Sealer(NEW, OLD)), page=1, pause=0)).project_credentials


async def test_version_1_ends_with_its_master_key() -> None:
    """A writer puts all old envelopes back, one of them moved: without the old master key they never open again."""
    store = MemoryStore()
    await fill_of_version_1(store, OLD)
    ring, projects = await contents(store)
    with pytest.raises(EarlierVersionError):
        await reseal(store, CredentialSealer(Sealer(OLD)), pause=0)
    await reseal(store, CredentialSealer(Sealer(NEW, OLD)), pause=0)
    await store.update_keys(lambda _: ring)
    old = dict(zip("123", (projects[1], projects[0], projects[2]), strict=True))
    for project_id in ("1", "2", "3", "2000000"):
        await store.update_credentials(
            project_id, lambda p: attrs.evolve(p, credentials=old.get(p.project_id, projects[-1]).credentials)
        )
    before = await contents(store)
    for run in (require_master_keys, reseal):
        with pytest.raises(MasterKeyMissingError, match=f"sealed under the master key {OLD.key_id}, which is not"):
            await run(store, CredentialSealer(Sealer(NEW)))

    assert before == await contents(store)


@pytest.mark.parametrize("sealed", [b"", b"\x02" + bytes.fromhex(OLD.key_id) + bytes(40), b"\x02unknown." + bytes(40)])
async def test_an_envelope_that_does_not_open_keeps_no_store_in_version_1(sealed: bytes) -> None:
    """It is named, and everything else is sealed anew, also that of its own project."""
    store, credentials = MemoryStore(), CredentialSealer(Sealer(NEW, OLD))
    await fill_of_version_1(store, OLD)
    stray = Credential(credential_id="sec_x", kind=CredentialKind.SECRET, create_time=NOW, sealed=sealed)
    await store.update_credentials("1", lambda p: attrs.evolve(p, credentials=(*p.credentials, stray)))
    with pytest.raises(EarlierVersionError):
        await require_master_keys(store, credentials)
    with pytest.raises(ResealError, match=r"1 of 7 do not open; 6 were .*: project 1: credential sec_x is not sealed"):
        await reseal(store, credentials, pause=0)

    await require_master_keys(store, credentials)
    ring, projects = await contents(store)
    assert 2 == len([credentials.open_signing_key(key) for key in ring])
    assert 4 == len([credentials.open_project(credentials.genuine(project)) for project in projects])


async def test_an_envelope_of_version_1_is_refused_beside_later_ones() -> None:
    """Somebody has put it there: it is not bound to its project, so nothing says that it belongs to it."""
    store, credentials = MemoryStore(), CredentialSealer(Sealer(OLD))
    await fill(store, credentials)
    secret = new_secret(SECRET, NOW)
    [credential] = make_sealed(credentials, "66", secret).credentials
    old = version_1(OLD, secret.value, "project-credential", secret.credential_id)
    planted = attrs.evolve(credential, sealed=old)
    await store.create_project(attrs.evolve(make_sealed(credentials, "77", secret), credentials=(planted,)))
    await require_master_keys(store, credentials)
    with pytest.raises(ResealError, match=r"1 of 7 do not open; .*: project 77: .* an earlier version of this program"):
        await reseal(store, credentials, pause=0)

    project = await store.get_project("77")
    assert project is not None
    assert (planted,) == project.credentials
    with pytest.raises(SealBrokenError):
        credentials.project_keys(project)


async def test_what_is_damaged_keeps_no_other_in_version_1() -> None:
    """It is named, and everything else is sealed anew."""
    store = MemoryStore()
    await fill_of_version_1(store, OLD)
    await store.update_credentials(
        "1", lambda p: attrs.evolve(p, credentials=(attrs.evolve(p.credentials[0], credential_id="sec_x"),))
    )
    with pytest.raises(ResealError, match=r"1 of 6 do not open; 5 were sealed anew, .*: project 1: "):
        await reseal(store, CredentialSealer(Sealer(NEW, OLD)), pause=0)

    await require_master_keys(store, CredentialSealer(Sealer(NEW, OLD)))


async def test_seals_a_project_beside_whose_credentials_somebody_put_others() -> None:
    """And names the others, which stay as they are."""
    store, credentials = MemoryStore(), CredentialSealer(Sealer(OLD))
    await fill(store, credentials)
    [stray] = make_sealed(credentials, "66", new_secret(SECRET, NOW)).credentials
    await store.update_credentials("1", lambda p: attrs.evolve(p, credentials=(stray, *p.credentials)))
    renewed = CredentialSealer(Sealer(NEW, OLD))
    with pytest.raises(
        ResealError, match=rf"1 of 7 do not .* project 1: credential {stray.credential_id} is not sealed"
    ):
        await reseal(store, renewed, pause=0)

    project = await store.get_project("1")
    assert project is not None
    assert stray in project.credentials
    assert all(renewed.is_current(credential.sealed) for credential in renewed.genuine(project).credentials)
