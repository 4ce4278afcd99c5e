"""Roles of projects: what `RoleStore` promises, held for every store."""

from __future__ import annotations

import asyncio

from collections.abc import Sequence

import attrs
import pytest

from tests.storage.builders import (
    PROJECT,
    later,
    make_project,
    make_role,
)
from tests.storage.contract import refusal_of
from tokenauthority.domain.errors import (
    AlreadyExistsError,
    NotFoundError,
    PreconditionError,
    Reason,
)
from tokenauthority.domain.role import Permission, Role
from tokenauthority.domain.times import Millis
from tokenauthority.storage.store import Store


@pytest.fixture(autouse=True)
async def project(store: Store) -> None:
    """The project that the roles belong to."""
    await store.create_project(make_project())


async def test_lists_the_roles_of_a_project_by_name(store: Store) -> None:
    """Roles come by name, whole, and only those of the project."""
    await store.create_project(make_project("2"))
    roles = [make_role("a-b"), make_role("a_b"), make_role("ab", permissions=(Permission.SIGNAL,))]
    for role in reversed(roles):
        await store.create_role(role)
    await store.create_role(make_role("other", project_id="2"))

    assert roles == list(await store.list_roles(PROJECT))
    assert [] == list(await store.list_roles("3"))


async def test_names_are_case_sensitive(store: Store) -> None:
    """Two names that differ in case are two roles, in the order of their bytes."""
    await store.create_role(make_role("host"))
    await store.create_role(make_role("Host"))
    await store.create_role(make_role("guest"))

    await store.delete_role(PROJECT, "host")

    assert ["Host", "guest"] == [role.name for role in await store.list_roles(PROJECT)]


async def test_refuses_a_second_role_of_one_name(store: Store) -> None:
    """A name is taken once in a project, and once in another."""
    await store.create_project(make_project("2"))
    await store.create_role(make_role())
    await store.create_role(make_role(project_id="2"))

    assert Reason.ROLE_EXISTS == await refusal_of(store.create_role(make_role(description="other")), AlreadyExistsError)
    assert [make_role()] == list(await store.list_roles(PROJECT))


async def test_refuses_the_hundred_and_first_role(store: Store) -> None:
    """A project has at most 100 roles, however many ask at once."""
    for n in range(98):
        await store.create_role(make_role(f"role-{n}"))

    outcomes = await asyncio.gather(
        *(store.create_role(make_role(f"more-{n}")) for n in range(5)), return_exceptions=True
    )

    assert [Reason.ROLE_LIMIT] * 3 == [o.reason for o in outcomes if isinstance(o, PreconditionError)]
    assert 100 == len(await store.list_roles(PROJECT))


async def test_updates_a_role(store: Store) -> None:
    """An update replaces permissions, description and update time, and nothing else."""
    await store.create_role(make_role())
    await store.create_role(make_role("other"))
    changed = make_role(permissions=(Permission.PUBLISH,), description="", update_time=later(9))

    given: list[tuple[Role, list[Role]]] = []

    def change(role: Role, roles: Sequence[Role]) -> Role:
        given.append((role, list(roles)))
        return attrs.evolve(changed, name="renamed", create_time=later(5))

    answer = await store.update_role(PROJECT, "host", change)

    assert ([(make_role(), [make_role(), make_role("other")])], changed) == (given, answer)
    assert [changed, make_role("other")] == list(await store.list_roles(PROJECT))


async def test_concurrent_updates_of_a_role_all_last(store: Store, second_store: Store) -> None:
    """Two servers change different fields at once, many times: every one of the changes is there in the end."""
    await store.create_role(make_role(description=""))

    def longer(role: Role, _: Sequence[Role]) -> Role:
        return attrs.evolve(role, description=role.description + "x")

    def newer(role: Role, _: Sequence[Role]) -> Role:
        return attrs.evolve(role, update_time=Millis((role.update_time or 0) + 1))

    await asyncio.gather(
        *(store.update_role(PROJECT, "host", longer) for _ in range(20)),
        *(second_store.update_role(PROJECT, "host", newer) for _ in range(20)),
    )

    assert [make_role(description="x" * 20, update_time=later(20))] == list(await store.list_roles(PROJECT))


async def test_deletes_a_role(store: Store) -> None:
    """A role that was deleted is gone, and its name is free."""
    await store.create_role(make_role())

    await store.delete_role(PROJECT, "host")
    gone = await store.list_roles(PROJECT)
    await store.create_role(make_role())

    assert [] == list(gone)
    assert [make_role()] == list(await store.list_roles(PROJECT))


async def test_says_what_is_absent(store: Store) -> None:
    """A role needs a project; an absent role is neither updated nor deleted."""
    orphan = await refusal_of(store.create_role(make_role(project_id="3")), NotFoundError)
    updated = await refusal_of(store.update_role(PROJECT, "host", lambda role, _: role), NotFoundError)
    deleted = await refusal_of(store.delete_role(PROJECT, "host"), NotFoundError)

    assert (Reason.PROJECT_NOT_FOUND, Reason.ROLE_NOT_FOUND, Reason.ROLE_NOT_FOUND) == (orphan, updated, deleted)
