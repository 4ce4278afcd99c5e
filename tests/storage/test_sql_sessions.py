"""Sessions and request ids: what `SessionStore` promises, held for every store, and the indexes of the SQL stores."""

from __future__ import annotations

import asyncio

from typing import Any

import pytest

from tests.storage.builders import (
    DAY,
    NOW,
    PROJECT,
    later,
    make_idempotency_key,
    make_project,
    make_session,
)
from tests.storage.contract import changes_of, refusal_of
from tests.support.memory_store import MemoryStore
from tokenauthority.domain.change import ChangeKind
from tokenauthority.domain.errors import (
    AlreadyExistsError,
    NotFoundError,
    Reason,
    UnavailableError,
)
from tokenauthority.domain.session import ArchiveMode, MediaMode, SessionSpec, SessionState, StoredSession
from tokenauthority.domain.times import Millis
from tokenauthority.storage.store import Store


@pytest.fixture(autouse=True)
async def project(store: Store) -> None:
    """The project that the sessions belong to."""
    await store.create_project(make_project())


async def test_stores_a_session(store: Store) -> None:
    """What was stored is returned, whole."""
    plain = make_session("2_plain")
    full = make_session(
        "2_full",
        spec=SessionSpec(
            media_mode=MediaMode.ROUTED,
            archive_mode=ArchiveMode.ALWAYS,
            location="12.34.56.78",
            e2ee=True,
            archive_name="Лекция",
            archive_resolution="1920x1080",
        ),
    )

    answers = [await store.create_session(plain, None), await store.create_session(full, None)]

    assert [plain, full] == answers
    assert plain == await store.get_session("2_plain")
    assert full == await store.get_session("2_full")


async def test_ids_are_case_sensitive(store: Store) -> None:
    """Ids that differ in case are two sessions, and a third is neither."""
    upper, lower = make_session("2_AbC"), make_session("2_aBc")
    await store.create_session(upper, None)
    await store.create_session(lower, None)

    assert upper == await store.get_session("2_AbC")
    assert lower == await store.get_session("2_aBc")
    assert await store.get_session("2_abc") is None
    assert await store.get_session("2_AbC ") is None


async def test_needs_a_project(store: Store) -> None:
    """A session of an absent project is refused and not stored."""
    orphan = make_session(project_id="3")
    refusals = [
        await refusal_of(store.create_session(orphan, None), NotFoundError),
        await refusal_of(store.create_session(orphan, make_idempotency_key()), NotFoundError),
        await refusal_of(store.end_session(orphan, NOW), NotFoundError),
    ]

    assert [Reason.PROJECT_NOT_FOUND] * 3 == refusals
    assert await store.get_session(orphan.session_id) is None


async def test_repeated_request_answers_the_first_session(store: Store) -> None:
    """The same key gives the same session, as it is by then, and stores no second one."""
    first = await store.create_session(make_session("2_a"), make_idempotency_key())
    again = await store.create_session(make_session("2_b", create_time=later(DAY)), make_idempotency_key())
    ended = await store.end_session(first, later(1))
    at_last = await store.create_session(make_session("2_c"), make_idempotency_key())

    assert make_session("2_a") == again
    assert ended == at_last
    assert await store.get_session("2_b") is None
    assert await store.get_session("2_c") is None


async def test_request_id_lasts_a_day(store: Store) -> None:
    """A key older than 24 hours makes a new session, with any body, and lasts from there."""
    await store.create_session(make_session("2_a"), make_idempotency_key())
    new = make_session("2_b", create_time=later(DAY + 1))

    made = await store.create_session(new, make_idempotency_key(body_digest="d2"))
    again = await store.create_session(
        make_session("2_c", create_time=later(2 * DAY)), make_idempotency_key(body_digest="d2")
    )

    assert new == made == again


async def test_request_id_with_another_body_is_refused(store: Store) -> None:
    """A key stands for one body, and the refused session is not stored."""
    await store.create_session(make_session("2_a"), make_idempotency_key())

    reason = await refusal_of(
        store.create_session(make_session("2_b"), make_idempotency_key(body_digest="d2")), AlreadyExistsError
    )

    assert Reason.REQUEST_ID_REUSED == reason
    assert await store.get_session("2_b") is None


def named(session_id: str, name: str = "standup", **overrides: Any) -> StoredSession:
    """A session with a name."""
    return make_session(session_id, spec=SessionSpec(name=name), **overrides)


async def test_finds_a_session_by_its_name(store: Store) -> None:
    """Within its project alone, and with its case."""
    await store.create_project(make_project("2"))
    first, other = named("2_a"), named("2_b", project_id="2")
    for session in (first, other, make_session("2_c"), make_session("2_d")):
        await store.create_session(session, None)

    assert (first, other) == (await store.find_session(PROJECT, "standup"), await store.find_session("2", "standup"))
    assert await store.find_session(PROJECT, "Standup") is None
    assert await store.find_session(PROJECT, "") is None


async def test_no_two_sessions_have_one_name(store: Store) -> None:
    """Not one after the other, and not at once; the request id of the refused one is free."""
    await store.create_session(named("2_a"), None)
    refused = await refusal_of(store.create_session(named("2_b"), make_idempotency_key()), AlreadyExistsError)
    retried = await store.create_session(named("2_c", "lunch"), make_idempotency_key(body_digest="d2"))
    racing = [store.create_session(named(f"2_{n}", "race"), None) for n in range(4)]
    made = await asyncio.gather(*racing, return_exceptions=True)

    assert (Reason.SESSION_EXISTS, "2_c") == (refused, retried.session_id)
    assert await store.get_session("2_b") is None
    refusals = [each.reason for each in made if isinstance(each, AlreadyExistsError)]
    assert [Reason.SESSION_EXISTS] * 3 == refusals


async def test_a_name_is_free_31_days_after_the_end(store: Store) -> None:
    """Not a millisecond earlier: a token of the first session could be valid until then."""
    first = await store.create_session(named("2_a"), None)
    await store.end_session(first, NOW)
    early = named("2_b", create_time=Millis(NOW + 31 * DAY))
    refused = await refusal_of(store.create_session(early, None), AlreadyExistsError)
    late = named("2_c", create_time=Millis(NOW + 31 * DAY + 1))

    assert (Reason.SESSION_EXISTS, late) == (refused, await store.create_session(late, None))
    assert late == await store.find_session(PROJECT, "standup")
    lost = await store.get_session("2_a")
    assert lost is not None
    assert (SessionState.ENDED, "") == (lost.state, lost.spec.name)


async def test_request_ids_are_those_of_their_caller(store: Store) -> None:
    """The same request id of another caller is another key, and case matters in both."""
    keys = [
        make_idempotency_key(caller="one", request_id="a"),
        make_idempotency_key(caller="two", request_id="a"),
        make_idempotency_key(caller="One", request_id="a"),
        make_idempotency_key(caller="one", request_id="A"),
    ]
    sessions = [make_session(f"2_{n}") for n in range(4)]

    made = [await store.create_session(s, key) for s, key in zip(sessions, keys, strict=True)]

    assert sessions == made


async def test_finds_the_session_of_a_request_id(store: Store) -> None:
    """Before anything is made, as `create_session` would: for a day, for its caller and body."""
    made = await store.create_session(make_session("2_a"), make_idempotency_key())
    reason = await refusal_of(
        store.find_repeated_session(make_idempotency_key(body_digest="d2"), NOW), AlreadyExistsError
    )

    assert made == await store.find_repeated_session(make_idempotency_key(), later(DAY))
    assert await store.find_repeated_session(make_idempotency_key(), later(DAY + 1)) is None
    assert await store.find_repeated_session(make_idempotency_key(caller="other"), NOW) is None
    assert Reason.REQUEST_ID_REUSED == reason


async def test_an_id_is_that_of_one_session(store: Store) -> None:
    """A platform that answers an earlier id makes no session, and its request id stays free."""
    ended = await store.end_session(await store.create_session(make_session("2_a"), None), later(1))
    taken = [
        await refusal_of(store.create_session(make_session("2_a"), key), UnavailableError)
        for key in (None, make_idempotency_key())
    ]

    assert [Reason.PLATFORM_UNAVAILABLE] * 2 == taken
    assert ended == await store.get_session("2_a")
    assert await store.find_repeated_session(make_idempotency_key(), NOW) is None


async def test_concurrent_repeats_make_one_session(store: Store, second_store: Store) -> None:
    """Many calls at once with one key make one session, which all of them answer."""
    answers = await asyncio.gather(
        *(
            (store, second_store)[n % 2].create_session(make_session(f"2_{n}"), make_idempotency_key())
            for n in range(40)
        )
    )
    stored = await store.list_sessions(PROJECT, before=None, limit=100, state=None)

    assert 1 == len(stored)
    assert [stored[0]] * 40 == answers


async def test_concurrent_calls_replace_an_expired_key_once(store: Store, second_store: Store) -> None:
    """Many calls at once with one key that is too old make one new session."""
    await store.create_session(make_session("2_old"), make_idempotency_key())

    answers = await asyncio.gather(
        *(
            (store, second_store)[n % 2].create_session(
                make_session(f"2_{n}", create_time=later(2 * DAY)), make_idempotency_key()
            )
            for n in range(40)
        )
    )
    stored = await store.list_sessions(PROJECT, before=None, limit=100, state=None)

    assert 2 == len(stored)
    assert [stored[0]] * 40 == answers


@pytest.mark.parametrize("state", [None, *SessionState])
@pytest.mark.parametrize("size", [1, 3, 4, 100])
async def test_pages_newest_first(store: Store, size: int, state: SessionState | None) -> None:
    """Pages of any size give each session once, newest first, ties by descending id."""
    await store.create_project(make_project("2"))
    await store.create_session(make_session("2_other", project_id="2"), None)
    for n, name in enumerate(["2_b", "2_B", "2_-", "2_a", "2__", "2_Z", "2_0", "2_aa", "2_A"]):
        session = await store.create_session(make_session(name, create_time=later(n // 4)), None)
        if n % 2:
            await store.end_session(session, later(100))
    expected = {
        None: ["2_A", "2_aa", "2__", "2_Z", "2_0", "2_b", "2_a", "2_B", "2_-"],
        SessionState.ACTIVE: ["2_A", "2__", "2_0", "2_b", "2_-"],
        SessionState.ENDED: ["2_aa", "2_Z", "2_a", "2_B"],
    }

    found: list[StoredSession] = []
    while page := await store.list_sessions(
        PROJECT,
        before=(found[-1].create_time, found[-1].session_id) if found else None,
        limit=size,
        state=state,
    ):
        found += page

    assert expected[state] == [session.session_id for session in found]


async def test_lists_nothing_of_an_absent_project(store: Store) -> None:
    """A project that does not exist has no sessions."""
    assert [] == list(await store.list_sessions("3", before=None, limit=9, state=None))


async def test_ends_a_session_once(store: Store) -> None:
    """A session ends at its first end; a later one changes nothing and appends no change."""
    session = await store.create_session(make_session(), None)

    first = await store.end_session(session, later(5))
    seen = await store.last_change()
    second = await store.end_session(session, later(9))

    assert make_session(state=SessionState.ENDED, end_time=later(5)) == first == second
    assert first == await store.get_session(session.session_id)
    assert seen == await store.last_change()


async def test_stores_and_ends_a_session_of_the_platform(store: Store) -> None:
    """A session of the platform is stored as given, ended."""
    session = make_session("1_external", spec=SessionSpec(location="1.2.3.4"))

    ended = await store.end_session(session, later(5))

    assert session.ended(later(5)) == ended
    assert ended == await store.get_session("1_external")


async def test_finds_and_ends_a_session_by_the_other_spelling_of_its_id(store: Store) -> None:
    """The stored spelling is what is returned and announced, and no second row is made."""
    session = await store.create_session(make_session("2_abc"), None)
    found = await store.get_session("1_abc")
    before = await store.last_change()
    ended = await store.end_session(make_session("1_abc"), later(5))

    assert session == found
    assert session.ended(later(5)) == ended == await store.get_session("1_abc") == await store.get_session("2_abc")
    assert [(ChangeKind.SESSION_END, PROJECT, "2_abc")] == await changes_of(store, before)


async def test_of_two_stored_spellings_the_ended_one_counts(store: Store) -> None:
    """An older version stored both."""
    for session_id in ("1_a", "2_a", "1_b", "2_b"):
        await store.create_session(make_session(session_id, state=_state(session_id)), None)

    found = [await store.get_session(session_id) for session_id in ("1_a", "2_a", "1_b", "2_b")]

    assert ["2_a", "2_a", "1_b", "2_b"] == [session.session_id for session in found if session is not None]


def _state(session_id: str) -> SessionState:
    return SessionState.ENDED if session_id == "2_a" else SessionState.ACTIVE


@pytest.mark.parametrize("known", [True, False])
async def test_concurrent_ends_are_one(store: Store, second_store: Store, *, known: bool) -> None:
    """Of many ends at once one counts: all return it, and it appends one change."""
    session = make_session()
    if known:
        await store.create_session(session, None)
    before = await store.last_change()

    answers = await asyncio.gather(*((store, second_store)[n % 2].end_session(session, later(n)) for n in range(20)))

    assert [answers[0]] * 20 == answers
    assert [(ChangeKind.SESSION_END, PROJECT, session.session_id)] == await changes_of(store, before)


async def test_deletes_request_ids_older_than_a_day(store: Store) -> None:
    """Old keys go, in any number; sessions and younger keys stay."""
    for n in range(3):
        await store.create_session(make_session(f"2_old{n}"), make_idempotency_key(request_id=f"old{n}"))
    young = await store.create_session(make_session("2_y", create_time=later(1)), make_idempotency_key())

    gone = await store.delete_expired(later(DAY + 1))

    assert 3 == gone
    assert 0 == await store.delete_expired(later(DAY + 1))
    assert make_session("2_old0") == await store.get_session("2_old0")
    assert young == await store.create_session(make_session("2_z", create_time=later(2)), make_idempotency_key())


async def test_deletes_nothing_within_a_day(store: Store) -> None:
    """A key of exactly 24 hours is still valid."""
    await store.create_session(make_session(), make_idempotency_key())

    assert 0 == await store.delete_expired(later(DAY))


async def test_a_session_that_nobody_can_read_is_named() -> None:
    """The error is that of a row which does not open, and no bug."""
    store = MemoryStore()
    await store.create_project(make_project())
    for column in ("media_mode", "archive_mode", "state"):
        await store.create_session(make_session(f"2_{column}"), None)
        store.execute(f"UPDATE sessions SET {column} = 'none' WHERE session_id = '2_{column}'")  # noqa: S608 - the names of columns above
        with pytest.raises(UnavailableError, match=f"session 2_{column}: a value of its row is none") as caught:
            await store.get_session(f"2_{column}")
        assert Reason.SEAL_BROKEN is caught.value.reason
    await store.create_session(make_session("2_read"), None)

    assert make_session("2_read") == await store.get_session("2_read")
    assert store.condition.can_read
