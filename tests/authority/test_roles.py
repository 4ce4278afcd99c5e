"""Roles: a server sees its own changes at once, whatever it cached."""

from __future__ import annotations

from tests.authority.world import NOW, make_world
from tokenauthority.authority.roles import Roles
from tokenauthority.domain.role import Permission, Role


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
