"""Revocations and ends of sessions: what `RevocationStore` promises, held for every store."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from tests.storage.builders import (
    NOW,
    PROJECT,
    later,
    make_project,
    make_revocation,
    make_session,
)
from tests.storage.contract import changes_of, refusal_of
from tests.support.memory_store import MemoryStore
from tokenauthority.domain.change import ChangeKind, Cursor
from tokenauthority.domain.errors import (
    NotFoundError,
    Reason,
    UnavailableError,
)
from tokenauthority.domain.revocation import StoredSessionEnd, TargetKind
from tokenauthority.domain.revocation_index import CLOCK_MARGIN, oldest_stored
from tokenauthority.domain.times import Millis, Seconds
from tokenauthority.storage.store import Store


async def test_stores_one_revocation_of_each_target(store: Store) -> None:
    """A later moment replaces an earlier one under the same id; an earlier one changes nothing."""
    await store.create_project(make_project())
    first = await store.create_revocation(make_revocation())
    later_moment = make_revocation("rev_2", issued_before=Seconds(first.issued_before + 5), comment="again")
    second = await store.create_revocation(later_moment)
    appended = await store.last_change()
    third = await store.create_revocation(make_revocation("rev_3"))
    other = await store.create_revocation(make_revocation("rev_4", kind=TargetKind.SUBJECT))

    stored = msgspec.structs.replace(later_moment, revocation_id="rev_1")
    assert [make_revocation(), stored, stored] == [first, second, third]
    assert [stored, other] == list(await store.list_revocations(after="", limit=9, now=NOW))
    assert [(ChangeKind.REVOCATION, PROJECT, "rev_4")] == await changes_of(store, appended)


async def test_refuses_a_revocation_in_an_absent_project(store: Store) -> None:
    """Only a project that exists has tokens to revoke."""
    assert Reason.PROJECT_NOT_FOUND == await refusal_of(store.create_revocation(make_revocation()), NotFoundError)


async def test_concurrent_revocations_of_one_target_are_one(store: Store, second_store: Store) -> None:
    """The latest moment stays, whoever comes last."""
    await store.create_project(make_project())
    await asyncio.gather(
        *(
            (store, second_store)[n % 2].create_revocation(
                make_revocation(f"rev_{n}", issued_before=Seconds(1_800_000_000 + n))
            )
            for n in range(20)
        )
    )

    [stored] = await store.list_revocations(after="", limit=9, now=NOW)

    assert 1_800_000_019 == stored.issued_before


async def test_pages_revocations_by_id_without_expired_ones(store: Store) -> None:
    """Every revocation that may still cover a token comes once, in the order of the ids."""
    await store.create_project(make_project())
    oldest = oldest_stored(NOW)
    for n in range(5):
        moment = Seconds(oldest - 1) if n == 2 else oldest
        await store.create_revocation(make_revocation(f"rev_{n}", target=str(n), issued_before=moment))

    first = await store.list_revocations(after="", limit=3, now=NOW)
    second = await store.list_revocations(after=first[-1].revocation_id, limit=3, now=NOW)

    assert [["rev_0", "rev_1", "rev_3"], ["rev_4"]] == [[r.revocation_id for r in page] for page in (first, second)]


async def test_lists_revocations_of_some_projects(store: Store) -> None:
    """Revocations and ends of sessions of others are left out, page by page."""
    for project_id in (PROJECT, "3"):
        await store.create_project(make_project(project_id))
        for n in range(3):
            await store.create_revocation(
                make_revocation(f"rev_{project_id}_{n}", project_id=project_id, target=str(n))
            )
            await store.end_session(make_session(f"2_{project_id}_{n}", project_id=project_id), later(n))

    first = await store.list_revocations(project_ids={"3", "9"}, after="", limit=2, now=NOW)
    second = await store.list_revocations(project_ids={"3", "9"}, after="rev_3_1", limit=2, now=NOW)
    ends = await store.list_session_ends(project_ids={"3", "9"}, since=later(1), after=(later(1), ""), limit=9)

    assert ["rev_3_0", "rev_3_1", "rev_3_2"] == [r.revocation_id for r in (*first, *second)]
    assert ["2_3_1", "2_3_2"] == [end.session_id for end in ends]


async def test_lists_the_same_revocations_as_plain_tuples(store: Store) -> None:
    """What a server reads at its start is what `list_revocations` returns, page by page."""
    await store.create_project(make_project())
    oldest = oldest_stored(NOW)
    for n in range(5):
        moment = Seconds(oldest - 1) if n == 2 else oldest
        await store.create_revocation(make_revocation(f"rev_{n}", target=str(n), issued_before=moment))

    first = await store.list_revoked(after="", limit=3, now=NOW)
    second = await store.list_revoked(after=first[-1][0], limit=3, now=NOW)

    assert [[(f"rev_{n}", PROJECT, "token", str(n), oldest) for n in page] for page in ((0, 1, 3), (4,))] == [
        first,
        second,
    ]


async def test_deletes_expired_revocations(store: Store) -> None:
    """A revocation is deleted a day after the last token that it covers, and not before."""
    await store.create_project(make_project())
    stored = await store.create_revocation(make_revocation())
    margin = 1000 * CLOCK_MARGIN

    before = await store.delete_expired(Millis(stored.expire_time + margin))
    after = await store.delete_expired(Millis(stored.expire_time + margin + 1000))

    assert (0, 1) == (before, after)


async def test_pages_ended_sessions_by_their_end(store: Store) -> None:
    """Sessions that ended since a moment come once each, oldest end first, ties by id."""
    await store.create_project(make_project())
    for name, end in (("2_a", 5), ("2_c", 7), ("2_b", 7), ("2_d", 9)):
        await store.end_session(make_session(name), later(end))
    await store.create_session(make_session("2_e"), None)

    first = await store.list_session_ends(since=later(6), after=(later(6), ""), limit=2)
    last = first[-1]
    second = await store.list_session_ends(since=later(6), after=(last.end_time, last.session_id), limit=2)

    assert [("2_b", later(7)), ("2_c", later(7)), ("2_d", later(9))] == [
        (end.session_id, end.end_time) for end in (*first, *second)
    ]


async def test_returns_the_events_among_changes(store: Store) -> None:
    """Revocations and ended sessions come by the number of their change, as they are now; others do not."""
    await store.create_project(make_project())
    await store.end_session(make_session(), later(5))
    await store.create_revocation(make_revocation())
    changes = await store.changes_after(Cursor(), 100)

    events = await store.events_of(changes)

    by_kind = {change.kind: events[change.sequence] for change in changes if change.sequence in events}
    assert {
        ChangeKind.SESSION_END: StoredSessionEnd(session_id="2_session", project_id=PROJECT, end_time=later(5)),
        ChangeKind.REVOCATION: make_revocation(),
    } == by_kind


async def test_a_revocation_that_nobody_can_read_is_named() -> None:
    """The error is that of a row which does not open, and no bug."""
    store = MemoryStore()
    await store.create_project(make_project())
    await store.create_revocation(make_revocation("rev_1"))
    store.execute("UPDATE revocations SET kind = 'none'")

    with pytest.raises(UnavailableError, match="revocation rev_1: a value of its row is none") as caught:
        await store.list_revocations(after="", limit=9, now=NOW)

    assert Reason.SEAL_BROKEN is caught.value.reason
