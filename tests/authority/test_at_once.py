"""A server sees its own changes at once: its cache does not wait for the store to tell it."""

from __future__ import annotations

from tests.authority.world import NOW, make_world
from tests.support.authority import EVERYTHING
from tokenauthority.authority.roles import Roles
from tokenauthority.domain.role import Permission, Role
from tokenauthority.domain.session import SessionState


async def test_a_role_is_what_it_was_just_made_changed_to_or_not_there() -> None:
    """Created, updated and deleted, with the role read in between."""
    world = await make_world()
    roles = Roles(world.store, world.tenants, lambda _project, _role: False)
    role = Role(name="host", permissions=(Permission.PUBLISH,), project_id=world.project_id)
    seen = [await world.tenants.role(world.project_id, "host")]
    await roles.create(role)
    seen.append(await world.tenants.role(world.project_id, "host"))
    changed = await roles.update(world.project_id, "host", NOW, permissions=(Permission.SIGNAL,), description="changed")
    seen.append(await world.tenants.role(world.project_id, "host"))
    await roles.delete(world.project_id, "host")
    seen.append(await world.tenants.role(world.project_id, "host"))

    assert [None, role, changed, None] == seen


async def test_a_project_is_what_it_was_just_changed_to() -> None:
    """Its values and its secrets."""
    world = await make_world()
    await world.tenants.tenant(world.project_id)
    await world.projects.update(world.project_id, {"display_name": "changed"})
    updated = await world.tenants.tenant(world.project_id)
    second = await world.projects.rotate_secret(world.project_id, NOW)
    rotated = await world.tenants.tenant(world.project_id)
    assert rotated is not None
    first = rotated.keys.secrets[-1].key_id
    await world.projects.retire_secret(world.project_id, first)
    retired = await world.tenants.tenant(world.project_id)

    assert updated is not None
    assert retired is not None
    assert "changed" == updated.project.display_name
    assert [second.value, world.secret] == [secret.value for secret in rotated.keys.secrets]
    assert [second.value] == [secret.value for secret in retired.keys.secrets]


async def test_a_session_is_over_once_it_was_ended() -> None:
    """Though it was at hand as ACTIVE."""
    world = await make_world()
    session_id = world.session.session_id
    before = await world.tenants.session(session_id)
    await world.sessions.end(session_id, EVERYTHING, NOW)
    after = await world.tenants.session(session_id)

    assert before is not None
    assert after is not None
    assert (SessionState.ACTIVE, SessionState.ENDED) == (before.state, after.state)
