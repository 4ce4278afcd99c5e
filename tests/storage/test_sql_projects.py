"""Projects and their secrets: what `ProjectStore` promises, held for every store."""

from __future__ import annotations

import asyncio

from collections.abc import Callable
from typing import Any

import attrs
import pytest

from tests.storage.builders import (
    PROJECT,
    later,
    make_credential,
    make_project,
)
from tests.storage.contract import changes_of, refusal_of
from tests.support.memory_store import MemoryStore
from tokenauthority.domain.credential import Credential, CredentialKind
from tokenauthority.domain.errors import (
    AlreadyExistsError,
    FieldViolation,
    InvalidRequestError,
    NotFoundError,
    PreconditionError,
    Reason,
)
from tokenauthority.domain.profile import RealTimeServer
from tokenauthority.domain.project import Project, require_one_secret
from tokenauthority.domain.times import Seconds
from tokenauthority.domain.token_format import TokenFormat
from tokenauthority.storage.store import Store


APPLICATION = "0f4b7c1e-0000-4000-8000-0000000000aa"


async def test_stores_a_project_with_its_credentials(store: Store) -> None:
    """What was stored is returned, whole, by its id."""
    key = make_credential("vonage-1", kind=CredentialKind.VONAGE_KEY, create_time=later(1), sealed=b"")
    project = make_project(
        vonage_application_id=APPLICATION,
        external_sessions=True,
        default_format=TokenFormat.VONAGE_JWT,
        credentials=(make_credential(), key),
    )
    await store.create_project(project)

    assert project == await store.get_project(PROJECT)


async def test_credentials_come_oldest_first(store: Store) -> None:
    """Credentials come in the order of their times, ties by id, however they were given."""
    newest, tied, oldest = (
        make_credential("a", create_time=later(2)),
        make_credential("c", create_time=later(1)),
        make_credential("b", create_time=later(1)),
    )
    await store.create_project(make_project(credentials=(newest, tied, oldest)))

    project = await store.get_project(PROJECT)

    assert project is not None
    assert (oldest, tied, newest) == project.credentials


async def test_finds_a_project_by_its_vonage_application(store: Store) -> None:
    """A Vonage application leads to its project and to no other."""
    project = make_project(vonage_application_id=APPLICATION)
    await store.create_project(project)
    await store.create_project(make_project("2"))

    assert project.project_id == await store.find_vonage_project(APPLICATION, only=None)
    assert await store.find_vonage_project(APPLICATION.upper(), only=None) is None
    assert await store.find_vonage_project("", only=None) is None


async def test_finds_an_application_among_some_projects_alone(store: Store) -> None:
    """However many they are: one row is read, by an index."""
    await store.create_project(make_project(vonage_application_id=APPLICATION))
    others = frozenset(str(number) for number in range(1, 20_000) if str(number) != PROJECT)

    assert PROJECT == await store.find_vonage_project(APPLICATION, only=others | {PROJECT})
    assert await store.find_vonage_project(APPLICATION, only=others) is None
    assert await store.find_vonage_project(APPLICATION, only=frozenset()) is None


async def test_finds_a_project_by_the_id_of_a_secret(store: Store) -> None:
    """Among some projects alone, and never one of two: only somebody who writes to the database can make them alike."""
    await store.create_project(make_project(credentials=(make_credential("sec_1"), make_credential("sec_2"))))
    await store.create_project(make_project("2", credentials=(make_credential("sec_2"),)))

    assert PROJECT == await store.find_secret_project("sec_1", only=None)
    assert PROJECT == await store.find_secret_project("sec_1", only=frozenset({PROJECT, "2"}))
    assert await store.find_secret_project("sec_1", only=frozenset({"2"})) is None
    assert await store.find_secret_project("sec_2", only=None) is None
    assert await store.find_secret_project("sec_3", only=None) is None


async def test_returns_none_for_an_absent_project(store: Store) -> None:
    """An absent project is None."""
    await store.create_project(make_project())

    assert await store.get_project(PROJECT[:-1]) is None
    assert await store.get_project("0" + PROJECT) is None


async def test_refuses_a_second_project_of_one_id(store: Store) -> None:
    """The id of a project is taken once, and the first one stays as it was."""
    await store.create_project(make_project())

    reason = await refusal_of(store.create_project(make_project(display_name="other")), AlreadyExistsError)

    assert Reason.PROJECT_EXISTS == reason
    assert make_project() == await store.get_project(PROJECT)


async def test_of_concurrent_imports_of_one_project_one_succeeds(store: Store, second_store: Store) -> None:
    """At two servers; the others are refused as if they had come later."""
    names = [f"import {number}" for number in range(8)]
    outcomes = await asyncio.gather(
        *((store, second_store)[n % 2].create_project(make_project(display_name=name)) for n, name in enumerate(names)),
        return_exceptions=True,
    )
    made = [name for name, outcome in zip(names, outcomes, strict=True) if outcome is None]
    refusals = [outcome.reason for outcome in outcomes if isinstance(outcome, AlreadyExistsError)]
    project = await store.get_project(PROJECT)

    assert (1, [Reason.PROJECT_EXISTS] * 7) == (len(made), refusals)
    assert make_project(display_name=made[0]) == project
    assert 1 == len(await changes_of(store))


async def test_refuses_a_second_project_of_one_vonage_application(store: Store) -> None:
    """A Vonage application belongs to one project; many may have none."""
    await store.create_project(make_project("1"))
    await store.create_project(make_project("2", vonage_application_id=APPLICATION))

    reason = await refusal_of(
        store.create_project(make_project("3", vonage_application_id=APPLICATION)), AlreadyExistsError
    )

    assert Reason.PROJECT_EXISTS == reason
    assert await store.get_project("3") is None
    assert ["1", "2"] == [p.project_id for p in await store.list_projects(after=0, limit=9, only=None)]


async def test_lists_projects_by_number(store: Store) -> None:
    """Pages go by the id as a number, each project with its credentials, and pass over none."""
    ids = ["2147483647", "9", "10", "100", "11"]
    for project_id in ids:
        await store.create_project(make_project(project_id))

    first = await store.list_projects(after=0, limit=3, only=None)
    second = await store.list_projects(after=11, limit=3, only=None)

    assert [make_project(i) for i in ("9", "10", "11")] == list(first)
    assert [make_project(i) for i in ("100", "2147483647")] == list(second)


async def test_lists_only_the_projects_of_a_grant(store: Store) -> None:
    """*only* restricts the page; ids that are unknown or malformed match nothing."""
    for project_id in ("1", "2", "3", "4"):
        await store.create_project(make_project(project_id))

    only = {"1", "3", "4", "99", "x", "03", ""}
    page = await store.list_projects(after=1, limit=9, only=only)
    short = await store.list_projects(after=0, limit=2, only=only)

    assert ["3", "4"] == [p.project_id for p in page]
    assert ["1", "3"] == [p.project_id for p in short]
    assert [] == list(await store.list_projects(after=0, limit=9, only=set()))


async def test_lists_the_projects_of_a_large_grant(store: Store) -> None:
    """A grant may name thousands of projects."""
    for project_id in ("3", "700", "1400", "2900"):
        await store.create_project(make_project(project_id))

    page = await store.list_projects(after=3, limit=2, only={str(n) for n in range(1, 3000)})

    assert ["700", "1400"] == [p.project_id for p in page]


async def test_updates_the_values_of_a_project(store: Store) -> None:
    """An update replaces what may change and leaves id, create time, Vonage application and credentials."""
    before = make_project(vonage_application_id=APPLICATION)
    await store.create_project(before)
    values: dict[str, Any] = {
        "display_name": "new",
        "default_format": TokenFormat.OPENTOK_T1,
        "default_ttl": Seconds(1),
        "max_ttl": Seconds(2),
        "external_sessions": True,
    }

    given: list[Project] = []

    def change(project: Project) -> Project:
        given.append(project)
        return make_project(**values, create_time=later(5), vonage_application_id=None, credentials=())

    answer = await store.update_project(PROJECT, change)

    assert [before] == given
    assert attrs.evolve(before, **values) == answer == await store.get_project(PROJECT)


async def test_concurrent_updates_of_a_project_all_last(store: Store, second_store: Store) -> None:
    """Two servers change different fields at once, many times: every one of the changes is there in the end."""
    await store.create_project(make_project(display_name="", default_ttl=Seconds(1), max_ttl=Seconds(1000)))

    def longer_name(project: Project) -> Project:
        return attrs.evolve(project, display_name=project.display_name + "x")

    def longer_life(project: Project) -> Project:
        return attrs.evolve(project, default_ttl=Seconds(project.default_ttl + 1))

    await asyncio.gather(
        *(store.update_project(PROJECT, longer_name) for _ in range(20)),
        *(second_store.update_project(PROJECT, longer_life) for _ in range(20)),
    )
    project = await store.get_project(PROJECT)

    assert project is not None
    assert ("x" * 20, 21) == (project.display_name, project.default_ttl)


async def test_an_update_that_is_refused_writes_nothing(store: Store) -> None:
    """The error of the change passes as it is."""
    await store.create_project(make_project())
    before = await store.last_change()

    def refuse(_: Project) -> Project:
        raise InvalidRequestError([FieldViolation("max_ttl", "no")])

    with pytest.raises(InvalidRequestError):
        await store.update_project(PROJECT, refuse)

    assert (make_project(), before) == (await store.get_project(PROJECT), await store.last_change())


async def test_refuses_to_update_an_absent_project(store: Store) -> None:
    """An update makes no project."""
    assert Reason.PROJECT_NOT_FOUND == await refusal_of(
        store.update_project(PROJECT, lambda project: project), NotFoundError
    )
    assert [] == await changes_of(store)


def _with(*credentials: Credential) -> Callable[[Project], Project]:
    return lambda project: attrs.evolve(project, display_name="ignored", credentials=credentials)


async def test_replaces_the_credentials_of_a_project(store: Store) -> None:
    """All of them at once, oldest first; what else the change returns is left as it was."""
    await store.create_project(make_project())
    second = make_credential("secret-2", create_time=later(1))
    answers = [
        await store.update_credentials(PROJECT, _with(second, make_credential(sealed=b"anew"))),
        await store.update_credentials(PROJECT, _with(second)),
    ]

    assert [
        make_project(credentials=(make_credential(sealed=b"anew"), second)),
        make_project(credentials=(second,)),
    ] == answers
    assert answers[-1] == await store.get_project(PROJECT)


async def test_concurrent_changes_of_credentials_see_each_other(store: Store, second_store: Store) -> None:
    """Of several that would each be the second secret, one is; the others find it there, and write nothing."""
    await store.create_project(make_project())

    def add(name: str) -> Callable[[Project], Project]:
        def change(project: Project) -> Project:
            require_one_secret(project)
            return attrs.evolve(project, credentials=(*project.credentials, make_credential(name)))

        return change

    outcomes = await asyncio.gather(
        *((store, second_store)[n % 2].update_credentials(PROJECT, add(f"new-{n}")) for n in range(8)),
        return_exceptions=True,
    )
    project = await store.get_project(PROJECT)

    assert 7 == sum(isinstance(outcome, PreconditionError) for outcome in outcomes)
    assert project is not None
    assert 2 == len(project.secrets)


async def test_refuses_to_change_the_credentials_of_an_absent_project(store: Store) -> None:
    """Nothing is stored for it."""
    assert Reason.PROJECT_NOT_FOUND == await refusal_of(
        store.update_credentials(PROJECT, _with(make_credential())), NotFoundError
    )
    assert [] == await changes_of(store)


async def test_one_id_may_stand_in_two_projects(store: Store) -> None:
    """Credential ids are those of their project."""
    for project_id in ("1", "2"):
        await store.create_project(make_project(project_id, credentials=(make_credential("a"), make_credential("b"))))

    await store.update_credentials("1", _with(make_credential("b")))

    assert make_project("1", credentials=(make_credential("b"),)) == await store.get_project("1")
    assert make_project("2", credentials=(make_credential("a"), make_credential("b"))) == (await store.get_project("2"))


async def test_returns_the_servers_of_a_project(store: Store) -> None:
    """Those that were stored, in the order of the enum."""
    project = make_project(claims_for=tuple(RealTimeServer))
    await store.create_project(project)

    assert project == await store.get_project(PROJECT)
    changed = await store.update_project(PROJECT, lambda found: attrs.evolve(found, claims_for=()))
    assert () == changed.claims_for


@pytest.mark.parametrize("written", ["GALENE", "MEDIAMTX CENTRIFUGO", "CENTRIFUGO  MEDIAMTX", " "])
async def test_servers_that_nobody_can_read_are_reported(written: str) -> None:
    """The project then signs nothing: a part of them could be more or less than what was meant."""
    store = MemoryStore()
    await store.create_project(make_project())
    store.execute("UPDATE projects SET claims_for = ?", written)

    project = await store.get_project(PROJECT)

    assert project is not None
    assert "its claims_for are no servers" == project.unreadable
