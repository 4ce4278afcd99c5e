"""Roles: a server sees its own changes at once, and nobody gains by a change what its grant does not give."""

from __future__ import annotations

import asyncio

from typing import Final

import attrs
import pytest

from tests.authority.world import NOW, World, make_role, make_world
from tests.support.authority import EVERYTHING, make_caller
from tests.support.faulty_store import FaultyStore
from tokenauthority.authority.roles import Roles
from tokenauthority.domain.caller import Caller
from tokenauthority.domain.errors import PermissionDeniedError, PreconditionError, Reason
from tokenauthority.domain.role import Permission, Role


OPERATOR: Final = make_caller("operator")
APP: Final = make_caller("app", attrs.evolve(EVERYTHING, roles=frozenset({"guest", "host"})))


def roles_of(world: World, *naming: str) -> Roles:
    """The roles of a world in which the grants of *naming* name every role."""
    return Roles(world.store, world.tenants, lambda _project, _role: frozenset(naming))


def role_called(world: World, name: str, *permissions: Permission) -> Role:
    """A role of that name."""
    return attrs.evolve(make_role(world.project_id, *permissions), name=name)


async def defined(world: World, name: str, *permissions: Permission) -> Role:
    """A role that the operator has defined."""
    role = role_called(world, name, *permissions)
    return await roles_of(world).create(role, OPERATOR)


async def test_a_role_is_what_it_was_just_made_changed_to_or_not_there() -> None:
    """Created, updated and deleted, with the role read in between."""
    world = await make_world()
    roles = roles_of(world)
    role = make_role(world.project_id)
    seen = [await world.tenants.role(world.project_id, "host")]
    await roles.create(role, OPERATOR)
    seen.append(await world.tenants.role(world.project_id, "host"))
    changed = await roles.update(
        world.project_id, "host", OPERATOR, NOW, permissions=(Permission.SIGNAL,), description="changed"
    )
    seen.append(await world.tenants.role(world.project_id, "host"))
    await roles.delete(world.project_id, "host")
    seen.append(await world.tenants.role(world.project_id, "host"))

    assert [None, role, changed, None] == seen


async def update(roles: Roles, world: World, caller: Caller, *permissions: Permission) -> Role:
    """Give the guest of a world these permissions."""
    return await roles.update(world.project_id, "guest", caller, NOW, permissions=permissions, description=None)


async def test_a_role_gains_what_its_changer_may_grant_and_no_more() -> None:
    """The permissions of the roles that the caller may grant, as they are stored. A role may always lose some."""
    world = await make_world()
    await defined(world, "guest", Permission.SUBSCRIBE)
    await defined(world, "host", Permission.PUBLISH)
    roles = roles_of(world)
    widened = await update(roles, world, APP, Permission.SUBSCRIBE, Permission.PUBLISH)
    with pytest.raises(PermissionDeniedError, match="force_mute") as beyond:
        await update(roles, world, APP, Permission.PUBLISH, Permission.FORCE_MUTE)
    narrowed = await update(roles, world, APP, Permission.PUBLISH)

    assert (Permission.SUBSCRIBE, Permission.PUBLISH) == widened.permissions
    assert (Permission.PUBLISH,) == narrowed.permissions
    assert (Reason.ROLE_NOT_GRANTED, "roles", "permissions") == (
        beyond.value.reason,
        beyond.value.limit,
        beyond.value.field,
    )


@pytest.mark.parametrize("name", ["guest", "friend"])
async def test_a_new_role_has_no_more_than_its_maker_may_grant(name: str) -> None:
    """A role that the grant names, and that does not exist, gives nothing to begin with."""
    world = await make_world()
    await defined(world, "host", Permission.PUBLISH)
    made = [role_called(world, name, each) for each in Permission]
    outcomes = {}
    for role in made:
        try:
            await roles_of(world).create(role, APP)
            await roles_of(world).delete(world.project_id, name)
        except PermissionDeniedError as refused:
            outcomes[role.permissions] = refused.reason

    assert {
        role.permissions: Reason.ROLE_NOT_GRANTED for role in made if role.permissions != (Permission.PUBLISH,)
    } == (outcomes)


async def test_a_caller_who_may_grant_no_role_defines_none() -> None:
    """An omission grants nothing."""
    world = await make_world()
    caller = make_caller("app", attrs.evolve(EVERYTHING, roles=frozenset()))
    role = role_called(world, "guest", Permission.SUBSCRIBE)

    with pytest.raises(PermissionDeniedError):
        await roles_of(world).create(role, caller)


@pytest.mark.parametrize("caller", [APP, OPERATOR], ids=["app", "operator"])
async def test_a_role_of_another_callers_grant_gains_nothing(caller: Caller) -> None:
    """Whoever changes it; it may lose permissions, and its description is free."""
    world = await make_world()
    await defined(world, "guest", Permission.SUBSCRIBE, Permission.SIGNAL)
    await defined(world, "host", Permission.PUBLISH)
    roles = roles_of(world, "kiosk", "app")
    with pytest.raises(PreconditionError) as named:
        await update(roles, world, caller, Permission.SUBSCRIBE, Permission.PUBLISH)
    narrowed = await update(roles, world, caller, Permission.SIGNAL)
    described = await roles.update(world.project_id, "guest", caller, NOW, permissions=None, description="changed")

    assert (Reason.ROLE_IN_USE, "guest") == (named.value.reason, named.value.subject)
    assert ((Permission.SIGNAL,), "changed") == (narrowed.permissions, described.description)


async def test_a_role_that_the_callers_own_grant_alone_names_may_gain() -> None:
    """The bound is what the caller may grant."""
    world = await make_world()
    await defined(world, "guest", Permission.SUBSCRIBE)
    await defined(world, "host", Permission.PUBLISH)

    widened = await update(roles_of(world, "app"), world, APP, Permission.PUBLISH)

    assert (Permission.PUBLISH,) == widened.permissions


async def test_who_may_grant_every_role_alone_defines_one_that_another_grant_names() -> None:
    """Else a grant of a role that does not exist yet could be filled by anybody."""
    world = await make_world()
    await defined(world, "host", Permission.PUBLISH)
    role = role_called(world, "guest", Permission.PUBLISH)
    with pytest.raises(PreconditionError) as named:
        await roles_of(world, "kiosk").create(role, APP)

    assert Reason.ROLE_IN_USE is named.value.reason
    assert role == await roles_of(world, "kiosk").create(role, OPERATOR)


async def test_a_grant_that_names_the_role_meanwhile_counts() -> None:
    """A callers file that is reloaded while an update waits for the store is asked within the transaction."""
    store = FaultyStore()
    world = await make_world(store)
    await defined(world, "guest", Permission.SUBSCRIBE)
    naming: set[str] = set()
    roles = Roles(store, world.tenants, lambda _project, _role: frozenset(naming))
    held = store.hold("update_role")
    waiting = asyncio.ensure_future(update(roles, world, OPERATOR, *Permission))
    await held.reached()
    naming.add("kiosk")
    held.release()

    with pytest.raises(PreconditionError):
        await waiting


@pytest.mark.parametrize("operation", ["create_role", "update_role"])
async def test_a_role_that_lost_permissions_meanwhile_gives_none(operation: str) -> None:
    """What the caller may grant is asked within the transaction too, so two changes at once widen nothing."""
    store = FaultyStore()
    world = await make_world(store)
    await defined(world, "host", Permission.SIGNAL, Permission.PUBLISH)
    if operation == "update_role":
        await defined(world, "guest", Permission.SIGNAL)
    roles = Roles(store, world.tenants, lambda _project, _role: frozenset())
    held = store.hold(operation, when=lambda call: "guest" in str(call.arguments), times=1)
    role = role_called(world, "guest", Permission.PUBLISH)
    changing = roles.create(role, APP) if operation == "create_role" else update(roles, world, APP, Permission.PUBLISH)
    waiting = asyncio.ensure_future(changing)
    await held.reached()
    await roles.update(world.project_id, "host", OPERATOR, NOW, permissions=(Permission.SIGNAL,), description=None)
    held.release()

    with pytest.raises(PermissionDeniedError, match="publish"):
        await waiting
