"""The index of what was revoked says the same as looking at every revocation would."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs
import msgspec
import pytest

from hypothesis import example, given
from hypothesis import strategies as st

from tokenauthority.domain.revocation import RETENTION, Event, StoredRevocation, StoredSessionEnd, TargetKind
from tokenauthority.domain.revocation_index import CLOCK_MARGIN, RevocationIndex, oldest_stored
from tokenauthority.domain.times import DAY, MAX_LEEWAY, MAX_TTL, Millis, Seconds, in_millis, whole_seconds


NOW: Final = Millis(1_800_000_000_123)
SECOND: Final = whole_seconds(NOW)
KEY: Final = b"k" * 16

TARGETS: Final = ("a", "1a", "a\0a")
names = st.sampled_from(("", *TARGETS))
targets = st.sampled_from(TARGETS)
projects = st.sampled_from(("1", "11"))
moments = st.integers(SECOND - 3, SECOND + 3).map(Seconds)
revocations = st.builds(
    StoredRevocation,
    revocation_id=st.just("rev_1"),
    project_id=projects,
    kind=st.sampled_from(TargetKind),
    target=targets,
    issued_before=moments,
    comment=st.just(""),
    create_time=st.just(NOW),
).map(lambda made: msgspec.structs.replace(made, target="") if made.kind is TargetKind.PROJECT else made)
ends = st.builds(
    StoredSessionEnd, session_id=targets, project_id=projects, end_time=st.integers(NOW - 3000, NOW + 3000).map(Millis)
)
events = st.lists(st.one_of(revocations, ends), min_size=1, max_size=12)


@attrs.frozen
class Token:
    """What of a token counts here."""

    project_id: str
    token_id: str
    session_id: str
    subject: str
    issue_time: Seconds


@st.composite
def tokens(draw: st.DrawFn, known: Sequence[Event]) -> Token:
    """A token that one of *known* may well be about."""
    event = draw(st.sampled_from(known))
    if isinstance(event, StoredSessionEnd):
        return Token(event.project_id, draw(names), event.session_id, draw(names), draw(moments))
    named = {kind: draw(names) for kind in TargetKind} | {event.kind: event.target}
    issue_time = Seconds(event.issued_before + draw(st.integers(-1, 1)))
    return Token(
        event.project_id,
        named[TargetKind.TOKEN],
        named[TargetKind.SESSION],
        named[TargetKind.SUBJECT],
        issue_time,
    )


def index_of(known: Sequence[Event], key: bytes = KEY) -> RevocationIndex:
    """An index that was told *known*."""
    index = RevocationIndex(key)
    index.add_all(known)
    return index


def asked(index: RevocationIndex, token: Token) -> TargetKind | None:
    """What the index says about *token*."""
    return index.revoked_by(
        token.project_id,
        token_id=token.token_id,
        session_id=token.session_id,
        subject=token.subject,
        issue_time=token.issue_time,
    )


def looked_up(known: Sequence[Event], token: Token) -> TargetKind | None:
    """The same by looking at every revocation."""
    named = {
        TargetKind.TOKEN: token.token_id,
        TargetKind.SESSION: token.session_id,
        TargetKind.SUBJECT: token.subject,
        TargetKind.PROJECT: "",
    }
    hits = {
        event.kind
        for event in known
        if isinstance(event, StoredRevocation)
        and (event.project_id, event.target) == (token.project_id, named[event.kind])
        and token.issue_time <= event.issued_before
    }
    return next((kind for kind in named if kind in hits), None)


@given(events, st.data())
def test_says_what_looking_at_every_revocation_would_say(known: list[Event], data: st.DataObject) -> None:
    """Of project, kind, target and moment, each counts.

    The token comes before its session, that before the subject, and that before the whole project.
    """
    index, token = index_of(known), data.draw(tokens(known))

    assert looked_up(known, token) is asked(index, token)
    ended = {(event.project_id, event.session_id) for event in known if isinstance(event, StoredSessionEnd)}
    assert ((token.project_id, token.session_id) in ended) == index.has_ended(token.project_id, token.session_id)


@given(events, st.data())
def test_the_order_and_the_repetition_of_events_make_no_difference(known: list[Event], data: st.DataObject) -> None:
    """What is told twice, or an older statement after a newer one, changes nothing."""
    token = data.draw(tokens(known))
    again = data.draw(st.permutations(known + known[:3]))

    assert asked(index_of(known), token) is asked(index_of(again), token)
    assert len(index_of(known)) == len(index_of(again))


@given(
    st.lists(
        st.one_of(
            st.integers(SECOND - RETENTION - CLOCK_MARGIN - 3, SECOND - RETENTION - CLOCK_MARGIN + 3),
            st.integers(SECOND - 40 * DAY, SECOND),
        ),
        unique=True,
    )
)
@example([SECOND - RETENTION - CLOCK_MARGIN, SECOND - RETENTION - CLOCK_MARGIN - 1])
def test_prunes_what_no_token_needs_any_more_and_nothing_else(seconds: list[int]) -> None:
    """A day after the last token that it covers, to the second; of revocations and ended sessions alike."""
    known: list[Event] = [make(number, Seconds(second)) for number, second in enumerate(seconds)]
    index = index_of(known)
    old = [second for second in seconds if second < SECOND - RETENTION - CLOCK_MARGIN]

    assert len(old) == index.remove_expired(NOW)
    assert len(seconds) - len(old) == len(index)
    for number, second in enumerate(seconds):
        token = Token("1", f"t{number}", "", "", Seconds(second))
        found = index.has_ended("1", f"t{number}") if number % 2 else asked(index, token) is not None
        assert (second not in old) == found


def make(number: int, moment: Seconds) -> Event:
    """A revocation, or every second time the end of a session."""
    if number % 2:
        return StoredSessionEnd(session_id=f"t{number}", project_id="1", end_time=in_millis(moment))
    return StoredRevocation(
        revocation_id=f"rev_{number}",
        project_id="1",
        kind=TargetKind.TOKEN,
        target=f"t{number}",
        issued_before=moment,
        comment="",
        create_time=NOW,
    )


def test_what_is_stored_outlives_every_token_that_it_covers() -> None:
    """The longest lifetime, by the clock of the most generous verifier, and a day for clocks that were set wrong."""
    token = Token("1", "t0", "", "", SECOND)
    index = index_of([make(0, SECOND)])
    last = in_millis(Seconds(SECOND + MAX_TTL + MAX_LEEWAY + DAY))

    assert 0 == index.remove_expired(last)
    assert TargetKind.TOKEN is asked(index, token)
    assert 1 == index.remove_expired(Millis(last + 1000))
    assert SECOND == oldest_stored(last)


def test_places_depend_on_the_key() -> None:
    """Who does not know it can seek no two names that share a place."""
    event = make(0, SECOND)

    assert index_of([event], KEY)._moments != index_of([event], b"x" * 16)._moments
    assert all(0 <= place < 2**64 for place in index_of([event])._moments["1"])


@given(events)
def test_counts_the_entries_of_each_project(known: list[Event]) -> None:
    """What is added twice counts once, and what has expired counts no more."""
    index = index_of([*known, *known])
    counts = [index.count_of(project_id) for project_id in ("1", "11", "2")]
    index.remove_expired(Millis(NOW + in_millis(Seconds(RETENTION + CLOCK_MARGIN + 10))))

    assert (len(index_of(known)), 0) == (sum(counts), counts[2])
    assert [0, 0, 0] == [len(index), *(index.count_of(project_id) for project_id in ("1", "11"))]


@pytest.mark.parametrize(("named", "asked_for"), [("1_abc", "2_abc"), ("2_abc", "1_abc")])
def test_a_session_is_named_by_either_spelling(named: str, asked_for: str) -> None:
    """Its revocation and its end cover tokens with the other spelling of its id; a token's id has one."""
    revocation = msgspec.structs.replace(_of_token(named, SECOND), kind=TargetKind.SESSION)
    index = index_of([revocation, StoredSessionEnd(session_id=named, project_id="1", end_time=NOW)])

    assert TargetKind.SESSION is asked(index, Token("1", "", asked_for, "", SECOND))
    assert index.has_ended("1", asked_for)
    assert asked(index_of([_of_token(named, SECOND)]), Token("1", asked_for, "", "", SECOND)) is None


def test_a_session_that_ended_is_no_revocation_of_its_tokens() -> None:
    """The two are told apart: SESSION_ENDED is another verdict than REVOKED."""
    index = index_of([make(1, SECOND)])

    assert asked(index, Token("1", "", "t1", "", SECOND)) is None
    assert index.has_ended("1", "t1")
    assert not index.has_ended("2", "t1")


def test_is_whole_between_the_steps_of_pruning() -> None:
    """What is renewed or added meanwhile stays, and so does what is asked about."""
    old, young = Seconds(oldest_stored(NOW) - 1), SECOND
    index = RevocationIndex(KEY)
    made = [_of_token(str(number), old if number % 2 else young) for number in range(10)]
    index.add_all(made)
    steps = index.remove_expired_in_steps(NOW, 3)
    counts = [next(steps)]
    index.add(_of_token("9", young))
    index.add(_of_token("new", young))
    counts += steps

    assert (4, 4) == (len(counts), sum(counts))
    assert 7 == len(index)
    assert all(index.has_target_of(revocation) for revocation in (*made[::2], made[9], _of_token("new", young)))


def test_what_went_between_the_steps_of_pruning_goes_once() -> None:
    """Two deletions at the same time do not disturb each other."""
    index = RevocationIndex(KEY)
    index.add_all([_of_token(str(number), Seconds(oldest_stored(NOW) - 1)) for number in range(3)])
    steps = index.remove_expired_in_steps(NOW, 1)
    first, meanwhile = next(steps), index.remove_expired(NOW)

    assert (1, 2, [0, 0]) == (first, meanwhile, list(steps))


def _of_token(target: str, issued_before: Seconds) -> StoredRevocation:
    return StoredRevocation(
        revocation_id="rev_1",
        project_id="1",
        kind=TargetKind.TOKEN,
        target=target,
        issued_before=issued_before,
        comment="",
        create_time=NOW,
    )
