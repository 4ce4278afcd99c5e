"""Projects: ids that the authority picks, and values that show no secret."""

from __future__ import annotations

import asyncio
import threading

from typing import Any
from uuid import UUID

import attrs
import pytest

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from tests.authority.world import NOW, make_world, rsa_pem
from tests.support.authority import EVERYTHING, WAIT, make_caller
from tests.support.faulty_store import FaultyStore, StoreCall
from tests.support.memory_store import MemoryStore
from tokenauthority.authority.credential_sealer import CredentialSealer
from tokenauthority.authority.key_checks import KeyChecks
from tokenauthority.authority.project_spec import OpenTokImport, ProjectSpec, VonageImport
from tokenauthority.authority.projects import Projects
from tokenauthority.domain.errors import AlreadyExistsError, Reason
from tokenauthority.domain.times import Millis
from tokenauthority.signing import key_serialization


APPLICATION = "29f760f8-7ce1-46c9-ade3-f2dedee4ed5f"
TAKEN = AlreadyExistsError(Reason.PROJECT_EXISTS, "project", "1")


async def test_an_id_that_is_taken_is_not_picked() -> None:
    """Chance may pick an id that exists; the caller never hears of it."""
    store = FaultyStore()
    world = await make_world(store)
    store.fail("create_project", error=TAKEN, times=3)

    project, _ = await world.projects.create(ProjectSpec(), EVERYTHING, NOW)

    assert project == await store.get_project(project.project_id)


async def test_picking_an_id_ends() -> None:
    """A store in which every id seems taken is an error, and no endless loop."""
    store = FaultyStore()
    world = await make_world(store)
    store.fail("create_project", error=TAKEN)

    with pytest.raises(AlreadyExistsError):
        await world.projects.create(ProjectSpec(), EVERYTHING, NOW)


async def test_an_application_is_imported_once() -> None:
    """A second project of the same application is refused, however it is written, without trying other ids."""
    world = await make_world()
    await world.projects.import_vonage(
        ProjectSpec(), VonageImport(application_id=APPLICATION, private_key=rsa_pem()), make_caller(), NOW
    )
    again = VonageImport(application_id=APPLICATION.upper(), private_key=rsa_pem())

    with pytest.raises(AlreadyExistsError) as caught:
        await world.projects.import_vonage(ProjectSpec(), again, make_caller(), NOW)

    assert Reason.PROJECT_EXISTS is caught.value.reason


@pytest.mark.parametrize("later", [0, -1_000_000, 1], ids=["still", "back", "on"])
async def test_the_new_secret_signs_whatever_the_clock_did(later: int) -> None:
    """After a rotation the new secret is the newest, also where the clock stood still or went back."""
    world = await make_world()
    secret = await world.secrets.rotate(world.project_id, "tester", Millis(NOW + later))

    tenant = await world.tenants.tenant(world.project_id)

    assert tenant is not None
    assert [secret.value.decode(), world.secret] == [live.value for live in tenant.keys.secrets]


async def test_a_cached_project_does_not_undo_another_servers_change() -> None:
    """An update starts from what the store has now."""
    world = await make_world()
    other = Projects(
        world.store,
        world.tenants.__class__(world.store, CredentialSealer(world.sealer)),
        CredentialSealer(world.sealer),
        KeyChecks(),
    )
    await other.get(world.project_id)
    await world.projects.update(world.project_id, {"external_sessions": True})

    changed = await other.update(world.project_id, {"display_name": "x"})

    assert (True, "x") == (changed.external_sessions, changed.display_name)


async def test_an_update_keeps_what_another_server_wrote_in_the_meantime() -> None:
    """Only the fields that were asked for are written."""
    shared = MemoryStore()
    store = FaultyStore(shared)
    world = await make_world(store)

    async def rename(_: StoreCall) -> None:
        await shared.update_project(world.project_id, lambda project: attrs.evolve(project, display_name="theirs"))

    store.before("update_project", run=rename)

    changed = await world.projects.update(world.project_id, {"external_sessions": True})

    assert (True, "theirs") == (changed.external_sessions, changed.display_name)


async def test_a_private_key_is_checked_off_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes a tenth of a second and more."""
    world = await make_world()
    threads: list[threading.Thread] = []
    load = serialization.load_pem_private_key

    def noted(*given: Any, **more: Any) -> object:
        threads.append(threading.current_thread())
        return load(*given, **more)

    monkeypatch.setattr(key_serialization, "load_pem_private_key", noted)
    source = VonageImport(application_id=APPLICATION, private_key=rsa_pem())
    await world.projects.import_vonage(ProjectSpec(), source, make_caller(), NOW)

    assert threads
    assert threading.current_thread() not in threads


@pytest.mark.parametrize("taken", ["project", "application"])
async def test_what_is_taken_is_refused_before_the_key_is_checked(taken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever sends one import after another of what exists already pays the server nothing but a look."""
    world = await make_world()
    source = VonageImport(application_id=APPLICATION, private_key=rsa_pem())
    await world.projects.import_vonage(ProjectSpec(project_id="7"), source, make_caller(), NOW)
    monkeypatch.setattr(key_serialization, "load_pem_private_key", None)
    spec = ProjectSpec(project_id="7" if taken == "project" else "8")
    other = source if taken == "application" else attrs.evolve(source, application_id=str(UUID(int=1)))

    with pytest.raises(AlreadyExistsError) as caught:
        await world.projects.import_vonage(spec, other, make_caller(), NOW)

    assert Reason.PROJECT_EXISTS is caught.value.reason


async def test_one_key_of_a_caller_is_checked_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """And those of another caller meanwhile."""
    world = await make_world()
    begun, release = threading.Semaphore(0), threading.Event()
    running: list[str] = []
    genuine = key_serialization.require_rsa_key

    def slow(key: object) -> RSAPrivateKey:
        running.append("a key")
        begun.release()
        release.wait(WAIT)
        return genuine(key)

    monkeypatch.setattr(key_serialization, "require_rsa_key", slow)
    imports = [
        asyncio.ensure_future(
            world.projects.import_vonage(
                ProjectSpec(),
                VonageImport(application_id=str(UUID(int=n)), private_key=rsa_pem()),
                make_caller(name),
                NOW,
            )
        )
        for n, name in enumerate(("a", "a", "a", "b"), 1)
    ]
    for _ in range(2):
        await asyncio.to_thread(begun.acquire, timeout=WAIT)
    at_once = (len(running), len(world.projects._checks._threads._pending))
    release.set()
    await asyncio.gather(*imports)

    assert (2, 2) == at_once
    assert 4 == len(running)


async def test_repr_shows_no_secret() -> None:
    """Neither what comes in nor what goes out can be logged by accident."""
    world = await make_world()
    secret = await world.secrets.rotate(world.project_id, "tester", NOW)
    given = (
        OpenTokImport(api_key="1", api_secret=secret.value.decode()),
        VonageImport(application_id=APPLICATION, private_key="PEM-TEXT"),
    )

    shown = repr((secret, *given))

    assert secret.value.decode() not in shown
    assert "PEM-TEXT" not in shown


async def test_a_project_is_what_it_was_just_changed_to() -> None:
    """Its values and its secrets."""
    world = await make_world()
    await world.tenants.tenant(world.project_id)
    await world.projects.update(world.project_id, {"display_name": "changed"})
    updated = await world.tenants.tenant(world.project_id)
    second = await world.secrets.rotate(world.project_id, "tester", NOW)
    rotated = await world.tenants.tenant(world.project_id)
    assert rotated is not None
    first = rotated.keys.secrets[-1].key_id
    await world.secrets.retire(world.project_id, first)
    retired = await world.tenants.tenant(world.project_id)

    assert updated is not None
    assert retired is not None
    assert "changed" == updated.project.display_name
    assert [second.value.decode(), world.secret] == [secret.value for secret in rotated.keys.secrets]
    assert [second.value.decode()] == [secret.value for secret in retired.keys.secrets]
