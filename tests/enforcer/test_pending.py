"""Whom a revocation removes, for how long, and when nothing is left to do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tokenauthority.client.revocations import Revocation, SessionEnd
from tokenauthority.domain.ids import make_session_id, other_spelling
from tokenauthority.domain.times import Millis
from tokenauthority.enforcer.pending import LEAST, LEEWAY, REFRESHED, Pending, PendingRemovals, Rules, Wanted


NOW = Millis(1_800_000_000_000)
MINUTE = 60_000
SESSION = make_session_id("47", "", relayed=True, now=NOW, random=bytes(18))
ELSEWHERE = make_session_id("48", "", relayed=True, now=NOW, random=bytes(18))
RULES = Rules(server="video", project_id="47", lifetime=5 * MINUTE)
LIVEKIT = Rules(server="video", project_id="47", lifetime=5 * MINUTE, refreshed=REFRESHED)


def revocation(
    *,
    ago: int = 0,
    project_id: str = "47",
    token_id: str = "",
    session_id: str = "",
    subject: str = "",
    whole_project: bool = False,
) -> Revocation:
    """A revocation of so many milliseconds ago."""
    moment = datetime.fromtimestamp((NOW - ago) / 1000, UTC)
    return Revocation(
        revocation_id="rev_1",
        project_id=project_id,
        token_id=token_id,
        session_id=session_id,
        subject=subject,
        issued_before=moment,
        comment="",
        create_time=moment,
        expire_time=moment + timedelta(days=30),
        whole_project=whole_project,
    )


def pending(
    cause: str = "rev_1",
    *,
    subject: str = "alice",
    until: int = NOW,
    rooms: tuple[str, ...] = (),
    server: str = "video",
    swept: bool = False,
    since: int = NOW,
    everybody: bool = False,
) -> Pending:
    """What is pending because of *cause*."""
    return Pending(
        server=server,
        cause=cause,
        subject=subject,
        rooms=rooms,
        everybody=everybody,
        since=Millis(since),
        until=Millis(until),
        swept=swept,
    )


@pytest.mark.parametrize("target", ["subject", "token_id"])
def test_a_revoked_subject_leaves_every_room(target: str) -> None:
    """A token without a subject has its id as the subject on the server."""
    event = revocation(subject="alice") if target == "subject" else revocation(token_id="alice")
    found = RULES.pending(event, NOW)

    assert found is not None
    assert ("rev_1", "alice", ()) == (found.cause, found.subject, found.rooms)


def test_a_revoked_session_is_the_rooms_of_both_spellings_and_of_the_name() -> None:
    """Clients may have either spelling of the id."""
    found = RULES.pending(revocation(session_id=SESSION), NOW, "standup")

    assert found is not None
    assert ("", (SESSION, other_spelling(SESSION), "standup")) == (found.subject, found.rooms)


def test_an_ended_session_is_known_by_its_id() -> None:
    """An end has no id of its own."""
    end = SessionEnd(session_id=SESSION, project_id="47", end_time=datetime.fromtimestamp(NOW / 1000, UTC))

    found = RULES.pending(end, NOW)

    assert found is not None
    assert (SESSION, "", SESSION, NOW) == (found.cause, found.subject, found.rooms[0], found.since)


def test_a_revocation_of_another_project_removes_nobody() -> None:
    """Two projects may have the same subject."""
    assert RULES.pending(revocation(subject="alice", project_id="48"), NOW) is None


@pytest.mark.parametrize(
    ("rules", "ago", "until"),
    [
        (RULES, 0, 5 * MINUTE + LEEWAY),
        (RULES, 4 * MINUTE, 1 * MINUTE + LEEWAY),
        (RULES, 24 * 60 * MINUTE, LEAST),
        (LIVEKIT, 0, 11 * MINUTE),
        (LIVEKIT, 24 * 60 * MINUTE, 11 * MINUTE),
        (Rules(server="video", project_id="47", lifetime=60 * MINUTE, refreshed=REFRESHED), 0, 61 * MINUTE),
    ],
)
def test_removal_goes_on_until_no_token_is_left(rules: Rules, ago: int, until: int) -> None:
    """Neither one of the authority nor, on LiveKit, one that it refreshed a moment ago; each has a minute of leeway."""
    found = rules.pending(revocation(ago=ago, subject="alice"), NOW)

    assert found is not None
    assert NOW + until == found.until


def test_nothing_is_over_before_a_whole_turn() -> None:
    """However long a server was away."""
    assert not pending(until=NOW - MINUTE).is_over(NOW)
    assert not pending(until=NOW + 1, swept=True).is_over(NOW)
    assert pending(until=NOW, swept=True).is_over(NOW)


def test_whoever_is_in_a_wanted_room_or_is_a_wanted_subject_must_leave() -> None:
    """Others may stay; so may a person of the same name in a session of another project."""
    room, person = pending("rev_1", subject="", rooms=("standup",)), pending("rev_2")
    wanted = Wanted.of("47", [room, person])

    assert room == wanted.cause("standup", "bob") == wanted.cause("standup", "alice")
    assert person == wanted.cause("lobby", "alice") == wanted.cause(SESSION, "alice")
    assert wanted.cause("lobby", "bob") is None
    assert wanted.cause(ELSEWHERE, "alice") is None


def test_of_a_deleted_project_everybody_must_leave() -> None:
    """But for sessions of another project."""
    found = RULES.pending(revocation(whole_project=True), NOW)
    assert found is not None
    assert (True, "", ()) == (found.everybody, found.subject, found.rooms)

    wanted = Wanted.of("47", [found])

    assert [found] == wanted.causes
    assert found == wanted.cause("standup", "bob") == wanted.cause(SESSION, "alice")
    assert wanted.cause(ELSEWHERE, "alice") is None


def test_the_same_event_again_is_one_pending_removal() -> None:
    """The stream may repeat events; and the second time the name of a session is known."""
    removals = PendingRemovals(10)
    removals.add(pending(rooms=("a",), subject=""))
    removals.add(pending(rooms=("a", "standup"), subject=""))

    assert 1 == len(removals)
    assert {"a", "standup"} == removals.wanted(RULES).rooms.keys()


def test_a_turn_does_not_count_for_a_room_that_became_known_meanwhile() -> None:
    """Nobody has looked into it."""
    removals = PendingRemovals(10)
    removals.add(pending(rooms=("a",), subject=""))
    turn = removals.wanted(RULES).causes
    removals.add(pending(rooms=("a", "standup"), subject=""))

    removals.sweep(turn)

    assert [False] == [each.swept for each in removals]


def test_a_removal_prolongs_its_cause() -> None:
    """The person had a refreshed token until then; a prolonged cause can be done, and over."""
    removals = PendingRemovals(10)
    removals.add(pending())
    turn = removals.wanted(RULES).causes
    removals.extend(turn[0], Millis(NOW + MINUTE))
    removals.sweep(turn)

    removals.drop_over("video", NOW)
    assert [NOW + MINUTE] == [each.until for each in removals]
    removals.drop_over("old", Millis(NOW + MINUTE))
    assert 1 == len(removals)
    removals.drop_over("video", Millis(NOW + MINUTE))
    assert [] == list(removals)
    assert [] == removals.wanted(RULES).causes


def test_no_more_is_pending_than_allowed() -> None:
    """The reader asks before it adds."""
    removals = PendingRemovals(2, [pending("rev_1")])

    assert not removals.is_full
    removals.add(pending("rev_2"))
    assert removals.is_full


def test_what_is_pending_on_servers_without_settings_is_deleted() -> None:
    """It could never be done."""
    removals = PendingRemovals(10, [pending("rev_1"), pending("rev_2", server="old")])

    removals.resume({"video": RULES}, NOW)

    assert {"video": 1} == removals.counts()


@pytest.mark.parametrize(("rules", "minutes"), [(RULES, 1), (LIVEKIT, 11)])
def test_after_a_start_removal_goes_on_as_long_as_after_a_removal(rules: Rules, minutes: int) -> None:
    """A removal shortly before a crash is not in the file, and somebody may have returned meanwhile."""
    old = NOW - 60 * MINUTE
    removals = PendingRemovals(10, [pending(since=old, until=old, swept=True)])

    removals.resume({"video": rules}, NOW)

    assert [NOW + minutes * MINUTE] == [each.until for each in removals]
