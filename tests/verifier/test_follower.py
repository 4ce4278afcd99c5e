"""What is revoked is known soon, through every break of the stream; what is not known shows as an age."""

from __future__ import annotations

import contextlib

from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from tests.signing.builders import NOW, PROJECT, make_token
from tests.support.authority import WAIT, StartAuthority
from tests.support.faulty_store import FaultyStore
from tests.verifier.conftest import FAST, Bench, StartVerifier, becomes, soon
from tests.verifier.scripted import (
    Asked,
    Hours,
    ScriptedAuthority,
    follow,
    heartbeat,
    revocation,
    snapshot_end,
)
from tokenauthority.domain.token_format import TokenFormat
from tokenauthority.verifier import STALE, Verifier


TOKEN = make_token(TokenFormat.SESSION_JWT).token


def test_revoked_tokens_are_refused_soon(bench: Bench, verifier: Verifier) -> None:
    """A token, a session's, a subject's, and those of an ended session; the others stay valid."""
    one, other, ended = (bench.client.create_session() for _ in range(3))
    token, second = one.generate_token(), one.generate_token()
    of_session, of_alice, of_ended = (
        other.generate_token(), one.generate_token(subject="alice"), ended.generate_token(),
    )  # fmt: skip
    assert [True] * 5 == [verifier.verify(each).active for each in (token, second, of_session, of_alice, of_ended)]

    bench.revoke(token=str(token))
    bench.revoke(session_id=other.session_id)
    bench.revoke(subject="alice")
    bench.client.end_session(ended.session_id)

    for gone in (token, of_session, of_alice):
        becomes(verifier, gone, "REVOKED")
    becomes(verifier, of_ended, "SESSION_ENDED")
    assert verifier.verify(second).active
    assert 4 == verifier.status().revocations


def test_earlier_revocations_are_known_at_the_start(bench: Bench, start_verifier: StartVerifier) -> None:
    """`start` returns with everything in force."""
    session, ended = bench.client.create_session(), bench.client.create_session()
    token, of_ended = session.generate_token(), ended.generate_token()
    bench.revoke(token=str(token))
    bench.client.end_session(ended.session_id)

    verifier = start_verifier(bench.running)

    assert ("REVOKED", "SESSION_ENDED") == (verifier.verify(token).reason, verifier.verify(of_ended).reason)


def test_heartbeats_keep_it_current(verifier: Verifier) -> None:
    """Its age falls again and again, though nothing happens."""
    before = verifier.age()

    soon(lambda: verifier.age() < before or verifier.age() == 0, verifier)

    assert verifier.status().synced
    assert "" == verifier.status().last_error


@pytest.mark.parametrize(("max_staleness", "reason"), [(30, STALE), (None, "")], ids=["closed", "open"])
def test_max_staleness_decides_whether_it_fails_closed_or_open(
    scripted: ScriptedAuthority, max_staleness: float | None, reason: str
) -> None:
    """Without a heartbeat it grows old, says how old, and recovers with the next one."""
    hours = Hours()
    scripted.keys.max_age.seconds = 300
    with follow(scripted, max_staleness=max_staleness, monotonic=hours) as verifier:
        stream = scripted.next_stream()
        hours.passed = 30
        young = verifier.verify(TOKEN)
        hours.passed = 31
        old = verifier.verify(TOKEN)
        was_stale = verifier.status().stale
        stream.tell(heartbeat(second=NOW + 31))
        soon(lambda: verifier.age() == 0, verifier)
        again = verifier.verify(TOKEN)

    assert (True, 30) == (young.active, young.age)
    assert (reason, bool(reason), 31) == (old.reason, was_stale, old.age)
    assert again.active


def test_what_happens_before_it_has_caught_up_leaves_it_stale(scripted: ScriptedAuthority) -> None:
    """After a break it reads what it missed; until the end of that it may lack something."""
    hours = Hours()
    with follow(scripted, monotonic=hours) as verifier:
        hours.passed = 20
        scripted.greeting = []
        scripted.next_stream().end(grpc.StatusCode.UNAVAILABLE)
        stream = scripted.next_stream()
        stream.tell(heartbeat(), revocation("1.2", token_id="a1b2c3"))
        becomes(verifier, TOKEN, "REVOKED")
        before = verifier.age()
        stream.tell(snapshot_end("1.2"))
        soon(lambda: verifier.age() == 0, verifier)

    assert 20 == before


def test_an_event_alone_leaves_it_stale(scripted: ScriptedAuthority) -> None:
    """Others may wait behind it; that none does is for a heartbeat to say."""
    hours = Hours()
    with follow(scripted, monotonic=hours) as verifier:
        hours.passed = 20
        stream = scripted.next_stream()
        stream.tell(revocation("1.2", token_id="a1b2c3"))
        becomes(verifier, TOKEN, "REVOKED")
        before = verifier.age()
        stream.tell(heartbeat(second=NOW + 20))
        soon(lambda: verifier.age() == 0, verifier)

    assert 20 == before


def test_a_heartbeat_that_was_long_on_its_way_is_as_old_as_it_is(scripted: ScriptedAuthority) -> None:
    """It says what was known when it was sent, by a clock that need not agree with the one here."""
    hours, stream_time = Hours(), NOW - 5000
    scripted.greeting = [snapshot_end(second=stream_time)]
    with follow(scripted, monotonic=hours) as verifier:
        stream = scripted.next_stream()
        hours.passed = 300
        stream.tell(heartbeat(second=stream_time + 10), heartbeat(second=stream_time + 20))
        soon(lambda: 280 == verifier.age(), verifier)
        stream.tell(heartbeat(second=stream_time + 400))
        soon(lambda: 0 == verifier.age(), verifier)


def test_the_end_of_what_was_in_force_is_as_old_as_the_question(scripted: ScriptedAuthority) -> None:
    """What happened while it was on its way may come after it."""
    hours = Hours()
    scripted.greeting = []
    with ThreadPoolExecutor(1) as pool, contextlib.ExitStack() as stack:
        entered = pool.submit(lambda: stack.enter_context(follow(scripted, monotonic=hours)))
        stream = scripted.next_stream()
        hours.passed = 40
        stream.tell(snapshot_end(second=NOW + 40))
        verifier = entered.result(WAIT)
        age = verifier.age()

    assert 40 == age


def test_an_authority_whose_clock_was_set_back_is_asked_anew(scripted: ScriptedAuthority) -> None:
    """Else its signs of life would seem to be from long ago, until the stream ends by itself."""
    hours = Hours()
    with follow(scripted, monotonic=hours) as verifier:
        stream = scripted.next_stream()
        stream.tell(heartbeat(second=NOW + 5), heartbeat(second=NOW - 3600))
        hours.passed = 50
        scripted.greeting = [snapshot_end(second=NOW - 3600)]
        again = scripted.next_stream()
        soon(lambda: 0 == verifier.age(), verifier)

    assert "1.1" == again.request.resume_token


def test_a_clock_that_is_set_back_before_the_first_heartbeat_is_found_with_the_second(
    scripted: ScriptedAuthority,
) -> None:
    """As happens to a machine that has just booted, while all its verifiers come back."""
    hours = Hours()
    with follow(scripted, monotonic=hours) as verifier:
        stream = scripted.next_stream()
        hours.passed = 10
        scripted.greeting = [snapshot_end(second=NOW - 30)]
        stream.tell(heartbeat(second=NOW - 35), heartbeat(second=NOW - 30))
        scripted.next_stream()
        soon(lambda: 0 == verifier.age(), verifier)


def test_a_clock_that_is_set_forward_makes_nothing_young(scripted: ScriptedAuthority) -> None:
    """What it sends from then on would be the present, however long it was on its way: the stream is begun anew."""
    hours = Hours()
    with follow(scripted, monotonic=hours) as verifier:
        stream = scripted.next_stream()
        hours.passed = 50
        scripted.greeting = []
        stream.tell(heartbeat(second=NOW + 45), heartbeat(second=NOW + 3600))
        again = scripted.next_stream()
        age, error = verifier.age(), verifier.status().last_error
        again.tell(snapshot_end(second=NOW + 3600))
        soon(lambda: 0 == verifier.age(), verifier)

    assert 5 == age
    assert "the authority's clock was set forward" in error


def test_drops_a_resume_token_that_the_authority_refuses(scripted: ScriptedAuthority) -> None:
    """The address may lead to another authority now: everything is read anew, and the old is used until then."""
    scripted.greeting = [revocation(token_id="a1b2c3"), snapshot_end()]
    with follow(scripted) as verifier:
        scripted.greeting = []
        scripted.next_stream().end(grpc.StatusCode.UNAVAILABLE)
        refused = scripted.next_stream()
        refused.end(grpc.StatusCode.INVALID_ARGUMENT)
        anew = scripted.next_stream()
        still = verifier.verify(TOKEN).reason
        anew.tell(snapshot_end("7.7"))
        becomes(verifier, TOKEN, "")

    assert ("1.1", "", "REVOKED") == (refused.request.resume_token, anew.request.resume_token, still)


def test_a_lost_store_makes_it_old(start_authority: StartAuthority, start_verifier: StartVerifier) -> None:
    """An authority that knows nothing any more sends no heartbeat; one that does again, does."""
    store = FaultyStore()
    running = start_authority(store=store, settings=FAST)
    verifier = start_verifier(running, max_staleness=0.5)
    store.fail("changes_after")

    becomes(verifier, TOKEN, STALE)

    store.recover()
    becomes(verifier, TOKEN, "PROJECT_UNKNOWN")


def test_a_silent_stream_is_opened_again(scripted: ScriptedAuthority) -> None:
    """Where nothing comes for longer than any heartbeat, the authority is asked again, from where it was."""
    hours = Hours()
    with follow(scripted, monotonic=hours, max_silence=20) as verifier:
        first = scripted.next_stream()
        first.tell(heartbeat("1.7"))
        soon(lambda: "1.7" == verifier._follower._replica.resume_token, verifier)
        hours.passed = 21
        second = scripted.next_stream()

    assert ("", "1.7") == (first.request.resume_token, second.request.resume_token)
    assert [PROJECT] == list(second.request.project_ids)


@pytest.mark.parametrize("status", [None, grpc.StatusCode.RESOURCE_EXHAUSTED], ids=["ended", "too-slow"])
def test_a_stream_that_ends_is_resumed(scripted: ScriptedAuthority, status: grpc.StatusCode | None) -> None:
    """Whatever the reason; what was known stays known."""
    with follow(scripted) as verifier:
        scripted.next_stream().tell(revocation("1.5", token_id="a1b2c3"))
        becomes(verifier, TOKEN, "REVOKED")
        scripted.streams[0].end(status)
        stream = scripted.next_stream()
        soon(lambda: not verifier.status().last_error, verifier)
        still = verifier.verify(TOKEN).reason

    assert ("1.5", "REVOKED") == (stream.request.resume_token, still)


def test_it_stays_away_for_as_long_as_the_authority_asks(scripted: ScriptedAuthority) -> None:
    """One that is full is not made fuller by those it has sent away; where it asks for nothing, as ever."""
    with follow(scripted) as verifier:
        verifier._follower._watch._backoff = asked = Asked()
        scripted.asks_for = 7
        scripted.next_stream().end(grpc.StatusCode.RESOURCE_EXHAUSTED)
        first = asked.pauses.get(timeout=WAIT)
        scripted.asks_for = None
        scripted.next_stream().end(grpc.StatusCode.UNAVAILABLE)
        second = asked.pauses.get(timeout=WAIT)

    assert [7, None] == [first[1], second[1]]


def test_pauses_grow_until_the_next_heartbeat(scripted: ScriptedAuthority) -> None:
    """Not only until all is sent: an authority that breaks off right after that would be asked all the time."""
    with follow(scripted) as verifier:
        verifier._follower._watch._backoff = asked = Asked()
        for _ in range(2):
            scripted.next_stream().end(grpc.StatusCode.UNAVAILABLE)
        stream = scripted.next_stream()
        stream.tell(heartbeat())
        stream.end(grpc.StatusCode.UNAVAILABLE)
        in_a_row = [asked.pauses.get(timeout=WAIT)[0] for _ in range(3)]

    assert [1, 2, 1] == in_a_row


def test_pauses_grow_while_no_heartbeat_can_be_used(scripted: ScriptedAuthority) -> None:
    """An authority with a clock that jumps must not be asked ten times a second by each verifier."""
    with follow(scripted) as verifier:
        verifier._follower._watch._backoff = asked = Asked()
        for _ in range(3):
            scripted.next_stream().tell(heartbeat(second=NOW - 3600))
        in_a_row = [asked.pauses.get(timeout=WAIT)[0] for _ in range(3)]

    assert [1, 2, 3] == in_a_row


def test_a_clock_that_runs_a_little_ahead_was_not_set(scripted: ScriptedAuthority) -> None:
    """A stream is open for hours, and no two clocks agree for as long: what it sends is still taken."""
    hours = Hours()
    with follow(scripted, monotonic=hours) as verifier:
        stream = scripted.next_stream()
        hours.passed = 10_000
        stream.tell(heartbeat(second=NOW + 10_005))
        soon(lambda: 0 == verifier.age(), verifier)
        streams = len(scripted.streams)

    assert 1 == streams


def test_a_heartbeat_from_ahead_makes_nothing_younger_than_it_is(scripted: ScriptedAuthority) -> None:
    """What was heard at a moment can say nothing of a later one, also where the authority's clock is in front."""
    hours = Hours()
    with follow(scripted, monotonic=hours) as verifier:
        stream = scripted.next_stream()
        hours.passed = 10
        stream.tell(heartbeat(second=NOW + 11))
        soon(lambda: 0 == verifier.age(), verifier)
        hours.passed = 20
        age = verifier.age()

    assert 10 == age


def test_a_look_that_began_before_the_stream_makes_nothing_older(scripted: ScriptedAuthority) -> None:
    """The first heartbeat may be of that one; it says less than is known already, and no clock was set."""
    hours = Hours()
    with follow(scripted, monotonic=hours) as verifier:
        scripted.next_stream().tell(heartbeat(second=NOW - 30), revocation("1.2", token_id="a1b2c3"))
        becomes(verifier, TOKEN, "REVOKED")
        age, streams = verifier.age(), len(scripted.streams)

    assert (0, 1) == (age, streams)
