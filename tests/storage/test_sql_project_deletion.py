"""The deletion of projects: what `ProjectDeletionStore` promises, held for every store."""

from __future__ import annotations

import pytest

from tests.storage.builders import (
    DAY,
    NOW,
    PROJECT,
    later,
    make_idempotency_key,
    make_project,
    make_revocation,
    make_role,
    make_session,
)
from tests.storage.contract import changes_of, refusal_of
from tokenauthority.domain.change import ChangeKind
from tokenauthority.domain.errors import AlreadyExistsError, NotFoundError, Reason
from tokenauthority.domain.project import ProjectContents
from tokenauthority.domain.revocation import StoredRevocation, TargetKind
from tokenauthority.domain.session import SessionSpec
from tokenauthority.domain.times import Millis
from tokenauthority.storage.store import Store


APPLICATION = "0f4b7c1e-0000-4000-8000-0000000000aa"


def whole_project(revocation_id: str = "rev_project") -> StoredRevocation:
    """The revocation of all tokens of PROJECT."""
    return make_revocation(revocation_id, kind=TargetKind.PROJECT, target="")


async def fill(store: Store, sessions: int = 3) -> None:
    """PROJECT with an object of each kind, and another project with a session."""
    await store.create_project(make_project(vonage_application_id=APPLICATION))
    await store.create_project(make_project("2", credentials=()))
    for number in range(sessions):
        key = make_idempotency_key() if number == 0 else None
        await store.create_session(make_session(f"2_{number}", spec=SessionSpec(name=f"room-{number}")), key)
    await store.create_session(make_session("2_other", project_id="2"), None)
    await store.create_role(make_role())
    await store.create_revocation(make_revocation())


async def stored_revocations(store: Store) -> list[str]:
    """The ids of all revocations."""
    return [each.revocation_id for each in await store.list_revocations(after="", limit=100, now=NOW)]


async def test_counts_what_it_deletes(store: Store) -> None:
    """The same before and at the deletion, each kind of object apart; not those of other projects."""
    await fill(store)
    counted = await store.count_contents(PROJECT)

    assert ProjectContents(sessions=3, secrets=1, roles=1, revocations=1) == counted
    assert counted == await store.delete_project(PROJECT, whole_project())


async def test_a_deleted_project_is_found_by_no_method(store: Store) -> None:
    """Nothing can be made in it either."""
    await fill(store)
    await store.delete_project(PROJECT, whole_project())

    assert await store.get_project(PROJECT) is None
    assert await store.find_vonage_project(APPLICATION, only=None) is None
    assert await store.find_secret_project("secret-1", only=None) is None
    assert ["2"] == [each.project_id for each in await store.list_projects(after=0, limit=10, only=None)]
    assert ["2"] == [each.project_id for each in await store.list_projects(after=0, limit=10, only=[PROJECT, "2"])]
    assert [] == await store.list_roles(PROJECT)
    for call in (
        store.count_contents(PROJECT),
        store.delete_project(PROJECT, whole_project("rev_2")),
        store.update_project(PROJECT, lambda project: project),
        store.update_credentials(PROJECT, lambda project: project),
        store.create_role(make_role("guest")),
        store.create_session(make_session("2_late"), None),
        store.create_revocation(make_revocation("rev_late", target="late")),
    ):
        assert Reason.PROJECT_NOT_FOUND is await refusal_of(call, NotFoundError)


async def test_other_servers_learn_of_a_deletion(store: Store) -> None:
    """And watchers of the revocation that comes with it."""
    await fill(store)
    before = await store.last_change()
    await store.delete_project(PROJECT, whole_project())

    assert [
        (ChangeKind.PROJECT_DELETION, PROJECT, PROJECT),
        (ChangeKind.REVOCATION, PROJECT, "rev_project"),
    ] == await changes_of(store, before)


async def test_purges_page_by_page(store: Store) -> None:
    """Sessions with the request ids that made them, and revocations; nothing of a project that is live."""
    await fill(store)
    assert 0 == await store.purge_deleted(100)
    await store.delete_project(PROJECT, whole_project())

    pages = [await store.purge_deleted(2) for _ in range(3)]

    assert [3, 1, 0] == pages
    assert await store.find_repeated_session(make_idempotency_key(), NOW) is None
    assert await store.get_session("2_other") is not None
    assert ["rev_project"] == await stored_revocations(store)


async def test_the_id_is_taken_until_the_sessions_are_deleted(store: Store) -> None:
    """The project after it has none of its sessions and roles, but the revocation of all its tokens."""
    await fill(store)
    await store.delete_project(PROJECT, whole_project())
    early = await refusal_of(store.create_project(make_project()), AlreadyExistsError)
    await store.purge_deleted(100)
    await store.create_project(make_project(display_name="again", create_time=later(1)))
    project = await store.get_project(PROJECT)

    assert Reason.PROJECT_EXISTS is early
    assert project == make_project(display_name="again", create_time=later(1))
    assert [] == await store.list_sessions(PROJECT, before=None, limit=10, state=None)
    assert ["rev_project"] == await stored_revocations(store)


async def test_a_project_can_be_deleted_more_than_once(store: Store) -> None:
    """The later revocation replaces the earlier one."""
    await fill(store)
    for number in (1, 2):
        await store.delete_project(PROJECT, whole_project(f"rev_project_{number}"))
        await store.purge_deleted(100)
        await store.create_project(make_project())

    assert ["rev_project_2"] == await stored_revocations(store)


async def test_the_application_stays_with_the_id_while_tokens_can_live(store: Store) -> None:
    """Under another id, nobody would know which of its tokens are revoked."""
    await fill(store)
    await store.delete_project(PROJECT, whole_project())
    await store.purge_deleted(100)
    other = make_project("3", vonage_application_id=APPLICATION, credentials=())
    of_another = make_project(PROJECT, vonage_application_id=APPLICATION)
    early = await refusal_of(store.create_project(other), AlreadyExistsError)
    await store.create_project(of_another)
    taken = await refusal_of(store.create_project(other), AlreadyExistsError)

    assert [Reason.PROJECT_EXISTS] * 2 == [early, taken]
    assert of_another == await store.get_project(PROJECT)


async def test_the_id_of_a_deleted_project_is_no_way_to_an_application_of_another(store: Store) -> None:
    """Each application has one project."""
    await fill(store)
    await store.delete_project(PROJECT, whole_project())
    await store.purge_deleted(100)
    application = APPLICATION.replace("aa", "bb")
    await store.create_project(make_project("3", vonage_application_id=application, credentials=()))

    refused = store.create_project(make_project(vonage_application_id=application))

    assert Reason.PROJECT_EXISTS is await refusal_of(refused, AlreadyExistsError)


@pytest.mark.parametrize("days", [30, 33])
async def test_nothing_is_left_once_the_last_token_has_expired(store: Store, days: int) -> None:
    """Until then the application and the revocation stay."""
    await fill(store)
    await store.delete_project(PROJECT, whole_project())
    await store.delete_expired(Millis(NOW + days * DAY))
    other = make_project("3", vonage_application_id=APPLICATION, credentials=())

    if days > 31:
        await store.create_project(other)
        assert [] == await stored_revocations(store)
    else:
        assert Reason.PROJECT_EXISTS is await refusal_of(store.create_project(other), AlreadyExistsError)
        assert ["rev_project"] == await stored_revocations(store)
