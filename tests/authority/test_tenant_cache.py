"""The tenant cache: what it holds is bounded, and never older than a change that it has heard of."""

from __future__ import annotations

import asyncio

import attrs
import pytest

from tests.authority.world import NOW, make_role, make_server, make_world, platform_session, rsa_pem
from tests.support.authority import EVERYTHING, make_caller
from tests.support.faulty_store import FaultyStore
from tests.support.logs import capture_logs
from tests.support.memory_store import MemoryStore
from tokenauthority.authority.credential_sealer import CredentialSealer
from tokenauthority.authority.project_spec import ProjectSpec, VonageImport
from tokenauthority.authority.roles import Roles
from tokenauthority.authority.tenant_cache import ABSENCE, TenantCache
from tokenauthority.domain.change import ChangeKind
from tokenauthority.domain.errors import Reason, UnavailableError
from tokenauthority.domain.role import BUILT_IN_ROLES, Permission
from tokenauthority.domain.session import SessionSpec, SessionState
from tokenauthority.domain.token_format import TokenFormat
from tokenauthority.service.mapping import project_message
from tokenauthority.signing.sealing import MasterKey, Sealer
from tokenauthority.v1 import token_pb2


APPLICATION = "29f760f8-7ce1-46c9-ade3-f2dedee4ed5f"
OTHER_APPLICATION = APPLICATION[:-4] + "0000"
READS = ("get_project", "get_session", "list_roles")


async def test_a_read_that_a_change_overtakes_is_answered_but_not_cached() -> None:
    """A session read before it was ended, and answered after, does not stay ACTIVE in the cache."""
    store = FaultyStore()
    world = await make_world(store)
    world.tenants.invalidate(ChangeKind.SESSION_END, world.project_id, world.session.session_id)
    held = store.hold("get_session", answers=True)
    stale = asyncio.create_task(world.tenants.session(world.session.session_id))
    await held.reached()
    await store.end_session(world.session, NOW)
    world.tenants.invalidate(ChangeKind.SESSION_END, world.project_id, world.session.session_id)
    held.release()
    overtaken = await stale

    fresh = await world.tenants.session(world.session.session_id)

    assert overtaken is not None
    assert fresh is not None
    assert (SessionState.ACTIVE, SessionState.ENDED) == (overtaken.state, fresh.state)


async def test_a_session_that_is_ended_while_it_is_made_is_not_cached_as_active() -> None:
    """Another server may end a session before the one that made it has its answer."""
    store = FaultyStore()
    world = await make_world(store)
    held = store.hold("create_session", answers=True)
    making = asyncio.create_task(world.sessions.create(world.project_id, SessionSpec(), "", make_caller(), NOW))
    await held.reached()
    [session, *_] = [
        s
        for s in await store.list_sessions(world.project_id, before=None, limit=2, state=None)
        if s.session_id != world.session.session_id
    ]
    await store.end_session(session, NOW)
    world.tenants.invalidate(ChangeKind.SESSION_END, world.project_id, session.session_id)
    held.release()
    await making

    known = await world.tenants.session(session.session_id)

    assert known is not None
    assert SessionState.ENDED is known.state


async def test_a_project_read_that_a_change_overtakes_is_not_cached() -> None:
    """A project read before its values changed is read anew."""
    store = FaultyStore()
    world = await make_world(store)
    await world.projects.update(world.project_id, {"display_name": "before"})
    held = store.hold("get_project", answers=True, times=1)
    stale = asyncio.create_task(world.tenants.tenant(world.project_id))
    await held.reached()
    await world.projects.update(world.project_id, {"display_name": "after"})
    held.release()
    await stale

    fresh = await world.tenants.tenant(world.project_id)

    assert fresh is not None
    assert "after" == fresh.project.display_name


async def test_roles_read_that_a_change_overtakes_are_not_cached() -> None:
    """A role list read before a role was made is read anew."""
    store = FaultyStore()
    world = await make_world(store)
    held = store.hold("list_roles", answers=True, times=1)
    stale = asyncio.create_task(world.tenants.role(world.project_id, "host"))
    await held.reached()
    role = make_role(world.project_id)
    await store.create_role(role)
    world.tenants.invalidate(ChangeKind.ROLE, world.project_id, "host")
    held.release()
    overtaken = await stale

    fresh = await world.tenants.role(world.project_id, "host")

    assert (None, role) == (overtaken, fresh)


async def test_what_was_read_once_is_not_read_again() -> None:
    """A second look costs the store nothing."""
    store = FaultyStore()
    world = await make_world(store)
    await store.create_role(make_role(world.project_id))
    reads = []
    for _ in range(2):
        await world.tenants.tenant(world.project_id)
        await world.tenants.role(world.project_id, "host")
        await world.tenants.session(world.session.session_id)
        reads.append(store.count(*READS))

    assert reads[0] == reads[1]


async def test_built_in_roles_need_no_store() -> None:
    """They are the same everywhere."""
    store = FaultyStore()
    world = await make_world(store)
    before = store.count(*READS)

    found = [await world.tenants.role(world.project_id, name) for name in BUILT_IN_ROLES]

    assert list(BUILT_IN_ROLES.values()) == found
    assert before == store.count(*READS)


@pytest.mark.parametrize(
    ("kind", "reads"),
    [
        (ChangeKind.PROJECT, 1),
        (ChangeKind.ROLE, 1),
        (ChangeKind.SESSION_END, 1),
        (ChangeKind.KEY, 0),
        (ChangeKind.PROJECT_DELETION, 3),
    ],
)
async def test_a_change_of_another_server_is_read_anew(kind: ChangeKind, reads: int) -> None:
    """Each kind of change makes exactly its object be read again, and the deletion of a project all that it has."""
    store = FaultyStore()
    world = await make_world(store)
    await store.create_role(make_role(world.project_id))
    await world.tenants.tenant(world.project_id)
    await world.tenants.role(world.project_id, "host")
    await world.tenants.session(world.session.session_id)
    subject = world.session.session_id if kind is ChangeKind.SESSION_END else world.project_id
    world.tenants.invalidate(kind, world.project_id, subject)
    before = store.count(*READS)
    await world.tenants.tenant(world.project_id)
    await world.tenants.role(world.project_id, "host")
    await world.tenants.session(world.session.session_id)

    assert reads == store.count(*READS) - before


async def test_it_caches_no_more_than_its_bounds() -> None:
    """However many projects and sessions there are, memory is bounded; what was let go is read again."""
    world = await make_world()
    tenants = TenantCache(world.store, CredentialSealer(world.sealer), max_sessions=2, max_projects=2)
    projects = [(await world.projects.create(ProjectSpec(), EVERYTHING, NOW))[0].project_id for _ in range(4)]
    sessions = [
        (await world.sessions.create(project_id, SessionSpec(), "", make_caller(), NOW)).session_id
        for project_id in projects
    ]
    for project_id, session_id in zip(projects, sessions, strict=True):
        assert await tenants.tenant(project_id) is not None
        assert await tenants.role(project_id, "host") is None
        assert await tenants.session(session_id) is not None

    assert (2, 2, 2) == (len(tenants._tenants), len(tenants._roles), len(tenants._sessions))
    assert await tenants.tenant(projects[0]) is not None


async def test_what_does_not_exist_is_not_cached() -> None:
    """A project or session that is made a moment later is there at once, and probing fills no memory."""
    world = await make_world()
    other = make_server(world.store, world.sealer).tenants

    assert await other.tenant("77") is None
    assert await other.session("2_absent") is None
    project, _ = await world.projects.create(ProjectSpec(project_id="77"), EVERYTHING, NOW)
    found = await other.tenant("77")
    assert found is not None
    assert project.project_id == found.project.project_id
    assert 0 == len(other._sessions)


async def test_an_application_is_found_by_its_id_and_owns_its_sessions() -> None:
    """A Vonage application and its project are one tenant, under either name."""
    world = await make_world()
    application = "29f760f8-7ce1-46c9-ade3-f2dedee4ed5f"
    source = VonageImport(application_id=application.upper(), private_key=rsa_pem())
    project = await world.projects.import_vonage(ProjectSpec(), source, make_caller(), NOW)

    by_application = await world.tenants.granted_tenant(application, EVERYTHING)
    by_project = await world.tenants.granted_tenant(project.project_id, EVERYTHING)

    assert by_application is not None
    assert by_application == by_project
    assert by_application == await world.tenants.granted_tenant(application, EVERYTHING)
    assert by_application.owns(platform_session(application))
    assert not by_application.owns(world.session.session_id)


@pytest.mark.parametrize(
    "owner", ["47000002", "47000003", APPLICATION, OTHER_APPLICATION, "sec_0123456789abcdef", "APIx"]
)
async def test_nothing_outside_the_grant_is_read(owner: str) -> None:
    """Whether a project or an application exists, and whether it is cached, makes no difference to what is read."""
    store = FaultyStore()
    world = await make_world(store)
    await world.projects.create(ProjectSpec(project_id="47000001"), EVERYTHING, NOW)
    source = VonageImport(application_id=APPLICATION, private_key=rsa_pem())
    await world.projects.import_vonage(ProjectSpec(project_id="47000002"), source, make_caller(), NOW)
    for known in ("47000002", APPLICATION):
        await world.tenants.granted_tenant(known, EVERYTHING)
    observer = store.observe("get_project", "find_vonage_project", "find_secret_project", "list_projects")
    found = await world.tenants.granted_tenant(owner, attrs.evolve(EVERYTHING, projects=frozenset({"47000001"})))

    assert found is None
    asked = [{"application_id" if "-" in owner else "secret_id": owner, "only": {"47000001"}}]
    assert ([] if owner.isdecimal() else asked) == [call.arguments for call in observer.calls]


async def test_an_application_is_found_within_a_grant_of_some_projects() -> None:
    """By the projects that the grant names, also when the project is imported after the first question."""
    world = await make_world()
    grant = attrs.evolve(EVERYTHING, projects=frozenset({"47000001", "47000002"}))
    before = await world.tenants.granted_tenant(APPLICATION, grant)
    source = VonageImport(application_id=APPLICATION, private_key=rsa_pem())
    await world.projects.import_vonage(ProjectSpec(project_id="47000002"), source, make_caller(), NOW)
    after = [await world.tenants.granted_tenant(APPLICATION, grant) for _ in range(2)]

    assert before is None
    assert ["47000002"] * 2 == [found.project.project_id for found in after if found is not None]


async def test_an_application_that_is_not_found_is_looked_for_once_a_second() -> None:
    """So a flood of tokens of one application that is not here is no flood of reads; the memory of it is bounded."""
    times = [0.0]
    store = FaultyStore()
    world = await make_world(store)
    tenants = TenantCache(store, CredentialSealer(world.sealer), max_projects=2, clock=lambda: times[-1])
    reads = store.observe("find_vonage_project", "list_projects", "get_project")
    counts = []
    for elapsed in (0.0, ABSENCE / 2, ABSENCE):
        times.append(elapsed)
        assert [None] * 9 == [await tenants.granted_tenant(APPLICATION, EVERYTHING) for _ in range(9)]
        counts.append(len(reads.calls))
    for number in range(9):
        await tenants.granted_tenant(f"{APPLICATION[:-1]}{number}", EVERYTHING)

    assert [1, 1, 2] == counts
    assert 2 == len(tenants._absent)


async def test_an_application_that_another_server_imported_is_found_after_that_change() -> None:
    """What was not found is looked for again after any change of a project, also if the change overtakes the read."""
    store = FaultyStore()
    world = await make_world(store)
    other = make_server(store, world.sealer).tenants
    held = store.hold("find_vonage_project", answers=True, times=1)
    overtaken = asyncio.create_task(other.granted_tenant(APPLICATION, EVERYTHING))
    await held.reached()
    source = VonageImport(application_id=APPLICATION, private_key=rsa_pem())
    project = await world.projects.import_vonage(ProjectSpec(), source, make_caller(), NOW)
    other.invalidate(ChangeKind.PROJECT, project.project_id, project.project_id)
    held.release()
    before = await overtaken
    found = await other.granted_tenant(APPLICATION, EVERYTHING)

    assert before is None
    assert found is not None
    assert project.project_id == found.project.project_id


async def test_a_session_that_ends_is_gone_from_the_cache_under_both_spellings() -> None:
    """A server that cached it under one spelling learns of the end under the other."""
    world = await make_world()
    session_id = world.session.session_id
    other = "1_" + session_id[2:]
    seen = [await world.tenants.session(spelling) for spelling in (session_id, other)]
    await world.sessions.end(session_id, EVERYTHING, NOW)
    ended = [await world.tenants.session(spelling) for spelling in (session_id, other)]

    assert [world.session] * 2 == seen
    assert [world.session.ended(NOW)] * 2 == ended


async def test_a_project_whose_keys_do_not_open_is_unavailable_and_named() -> None:
    """Another server has sealed it under a master key that this one lacks: it says so, once, until it opens."""
    ours, theirs = MasterKey.generate(), MasterKey.generate()
    store = MemoryStore()
    world = await make_world(store, Sealer(theirs, ours))
    tenants = TenantCache(store, CredentialSealer(Sealer(ours)))
    with capture_logs() as logs:
        for _ in range(2):
            with pytest.raises(UnavailableError, match=f"cannot open the keys of project {world.project_id}") as caught:
                await tenants.tenant(world.project_id)
    problem = tenants.problem
    tenants.invalidate(ChangeKind.PROJECT, world.project_id, world.project_id)

    assert Reason.SEAL_BROKEN is caught.value.reason
    [line] = logs
    assert ("project.not_opened", world.project_id) == (line["event"], line["project_id"])
    assert theirs.key_id in line["problem"]
    # Strangers can see this one.
    assert ("1 cannot be opened, the log says which", "") == (problem, tenants.problem)


async def test_what_keeps_projects_from_being_used_is_over_once_they_can_be() -> None:
    """A store that was put back holds them as they were, and one sealed anew is no change of the project."""
    ours, theirs = Sealer(MasterKey.generate()), Sealer(MasterKey.generate())
    store = MemoryStore()
    world = await make_world(store, theirs)
    tenants, good = TenantCache(store, CredentialSealer(ours)), CredentialSealer(theirs)
    problems = []
    for end in (tenants.clear, lambda: setattr(tenants, "_credentials", good)):
        with pytest.raises(UnavailableError):
            await tenants.tenant(world.project_id)
        problems.append(tenants.problem)
        end()
        problems.append(tenants.problem)
    tenant = await tenants.tenant(world.project_id)

    assert tenant is not None
    assert ["1 cannot be opened, the log says which", ""] == problems[:2]
    assert ("1 cannot be opened, the log says which", "") == (problems[3], tenants.problem)


@pytest.mark.parametrize("kind", [ChangeKind.REVOCATION, ChangeKind.KEY])
async def test_a_change_of_what_it_does_not_cache_overtakes_no_read(kind: ChangeKind) -> None:
    """A thousand tokens revoked in a second must not send each call for a project to the store."""
    store = FaultyStore()
    world = await make_world(store)
    world.tenants.invalidate(ChangeKind.PROJECT, world.project_id, world.project_id)
    held = store.hold("get_project", answers=True)
    reading = asyncio.create_task(world.tenants.tenant(world.project_id))
    await held.reached()
    world.tenants.invalidate(kind, world.project_id, "x")
    held.release()
    await reading
    reads = store.count(*READS)
    await world.tenants.tenant(world.project_id)

    assert reads == store.count(*READS)


UNREADABLE = pytest.mark.parametrize("written", ["", "RS256", "session_jwt ", "x" * 9000])


@UNREADABLE
async def test_a_project_whose_default_format_is_none_is_unavailable_and_named(written: str) -> None:
    """As one whose keys do not open: reported once, and shown to operators. Whoever sets the format mends it."""
    world = await make_world()
    world.store.execute("UPDATE projects SET default_format = ?", written)
    world.tenants.clear()
    with capture_logs() as logs:
        for _ in range(2):
            with pytest.raises(UnavailableError, match=f"cannot open the keys of project {world.project_id}") as caught:
                await world.projects.get(world.project_id)
        with pytest.raises(UnavailableError, match="its default_format is no format"):
            await world.projects.update(world.project_id, {"display_name": "x"})
    problem = world.tenants.problem
    [listed] = await world.projects.list_page(EVERYTHING, after=0, limit=9)
    mended = await world.projects.update(world.project_id, {"default_format": TokenFormat.OPENTOK_T1})

    assert Reason.SEAL_BROKEN is caught.value.reason
    assert [("project.not_opened", world.project_id)] == [(line["event"], line["project_id"]) for line in logs]
    assert ("1 cannot be opened, the log says which", "") == (problem, world.tenants.problem)
    assert TokenFormat.OPENTOK_T1 is mended.default_format
    assert token_pb2.TOKEN_FORMAT_UNSPECIFIED == project_message(listed).default_format
    assert mended == await world.projects.get(world.project_id)


@UNREADABLE
async def test_a_role_whose_permissions_are_none_is_unavailable_and_named(written: str) -> None:
    """It gives nothing, also not the part that can be read. Other roles can be used."""
    world = await make_world()
    roles = Roles(world.store, world.tenants, lambda *_: frozenset())
    for name in ("host", "guest"):
        await roles.create(attrs.evolve(make_role(world.project_id), name=name), make_caller())
    world.store.execute("UPDATE roles SET permissions = ? WHERE name = 'host'", f"publish {written}" if written else "")
    world.tenants.clear()
    unavailable = []
    with capture_logs() as logs:
        for _ in range(2):
            with pytest.raises(UnavailableError, match="the role host: its permissions are none") as caught:
                await roles.get(world.project_id, "host")
            unavailable.append(caught.value.reason)
        with pytest.raises(UnavailableError, match="the role host"):
            await roles.update(world.project_id, "host", make_caller(), NOW, permissions=None, description="x")
    other = await roles.get(world.project_id, "guest")
    shown = [role.permissions for role in await roles.list_all(world.project_id) if role.name == "host"]
    await roles.update(world.project_id, "host", make_caller(), NOW, permissions=(Permission.SIGNAL,), description="x")

    assert [Reason.SEAL_BROKEN] * 2 == unavailable
    assert [("role.unreadable", "host")] == [(line["event"], line["role"]) for line in logs]
    assert ((Permission.PUBLISH,), [()]) == (other.permissions, shown)
    assert (Permission.SIGNAL,) == (await roles.get(world.project_id, "host")).permissions
