"""The replica holds the revocations in force, no more than its limit, and knows where to resume."""

from __future__ import annotations

import grpc
import pytest

from tests.signing.builders import NOW, PROJECT, make_claims, make_token
from tests.verifier.conftest import becomes, soon
from tests.verifier.scripted import (
    Hours,
    Message,
    ScriptedAuthority,
    follow,
    heartbeat,
    revocation,
    snapshot_end,
)
from tokenauthority.domain.revocation import RETENTION
from tokenauthority.domain.revocation_index import CLOCK_MARGIN
from tokenauthority.domain.times import DAY, Seconds
from tokenauthority.domain.token_format import TokenFormat
from tokenauthority.v1 import token_pb2
from tokenauthority.verifier.verifier import MAX_MESSAGE


TOKEN = make_token(TokenFormat.SESSION_JWT).token

OTHER = make_token(TokenFormat.SESSION_JWT, make_claims(TokenFormat.SESSION_JWT, token_id="other")).token


def test_a_full_replica_deletes_expired_events_before_it_fails(scripted: ScriptedAuthority) -> None:
    """What has been over since the last look for it needs no place, so that it goes on as soon as there is one."""
    hours, began = Hours(), NOW - 5000
    last = began - RETENTION - CLOCK_MARGIN + 300
    scripted.greeting = [revocation(token_id="x", issued_before=last), snapshot_end(second=began)]
    with follow(scripted, max_revocations=1, monotonic=hours, max_staleness=None) as verifier:
        stream = scripted.next_stream()
        hours.passed = 700
        stream.tell(heartbeat("1.2", second=began + 1), heartbeat("1.3", second=began + 600))
        soon(lambda: "1.3" == verifier._follower._replica.resume_token, verifier)
        kept = verifier.status().revocations
        scripted.greeting = [snapshot_end("1.3", second=began + 600)]
        stream.tell(revocation("1.4", token_id="a1b2c3"))
        scripted.next_stream().tell(revocation("1.4", token_id="a1b2c3"))
        becomes(verifier, TOKEN, "REVOKED")
        soon(lambda: not verifier.status().last_error, verifier)

    assert (1, 1) == (kept, verifier.status().revocations)


def test_decisions_use_the_old_index_until_the_new_one_is_complete(scripted: ScriptedAuthority) -> None:
    """The authority could not resume and sends all that is in force; what that lacks is deleted at its end."""
    scripted.greeting = [revocation(token_id="a1b2c3"), snapshot_end()]
    with follow(scripted) as verifier:
        first = scripted.next_stream()
        scripted.greeting = []
        first.end(grpc.StatusCode.UNAVAILABLE)
        stream = scripted.next_stream()
        stream.tell(revocation(token_id="x"), revocation("9.9", token_id="other"))
        stream.end(grpc.StatusCode.UNAVAILABLE)
        stream = scripted.next_stream()
        unfinished = stream.request.resume_token, verifier.verify(TOKEN).reason, verifier.verify(OTHER).reason
        stream.tell(revocation(token_id="x"), revocation("9.9", token_id="other"), snapshot_end("9.9"))
        becomes(verifier, TOKEN, "")
        finished = verifier.verify(OTHER).reason
        stream.end(grpc.StatusCode.UNAVAILABLE)
        last = scripted.next_stream().request.resume_token

    assert ("1.1", "REVOKED", "") == unfinished
    assert ("REVOKED", "9.9") == (finished, last)


UNKNOWN: dict[str, Message] = {
    "event": Message(resume_token="1.2"),
    "target": Message(resume_token="1.2", revocation=token_pb2.Revocation(project_id=PROJECT)),
}


@pytest.mark.parametrize("message", UNKNOWN.values(), ids=UNKNOWN)
def test_what_it_does_not_understand_is_not_passed_over(scripted: ScriptedAuthority, message: Message) -> None:
    """A later authority may revoke in a way that this version does not know: it grows old rather than wrong."""
    with follow(scripted) as verifier:
        scripted.greeting = []
        scripted.next_stream().tell(message)
        stream = scripted.next_stream()
        error = verifier.status().last_error

    assert "1.1" == stream.request.resume_token
    assert "does not know: update it" in error


def test_more_revocations_than_the_limit_make_it_stale(scripted: ScriptedAuthority) -> None:
    """What is beyond the limit could not be refused, so that it must not go on as if it were current."""
    with follow(scripted, max_revocations=1) as verifier:
        scripted.greeting = [revocation("1.3", token_id="x"), snapshot_end("1.3")]
        scripted.next_stream().tell(revocation("1.2", token_id="y"), revocation("1.3", token_id="x"))
        stream = scripted.next_stream()
        error = verifier.status().last_error

    assert "1.2" == stream.request.resume_token
    assert "WatchRevocations: more than 1 revocations are in force: raise max_revocations" == error


def test_deletes_only_what_has_expired_by_both_clocks(scripted: ScriptedAuthority) -> None:
    """One clock that is set far ahead costs nothing, whichever it is."""
    hours, here, early = Hours(), [NOW], NOW - 5 * DAY
    scripted.greeting = [
        revocation(token_id="x", issued_before=NOW - 32 * DAY),
        revocation(subject="alice"),
        snapshot_end(second=early),
    ]
    kept = []
    with follow(scripted, clock=lambda: here[-1] * 1000, monotonic=hours, max_staleness=None) as verifier:
        stream = scripted.next_stream()
        hours.passed = 5 * DAY
        for mine, second in ((NOW, early), (early, NOW), (NOW, NOW)):
            here.append(Seconds(mine))
            place = f"1.{len(here)}"
            stream.tell(heartbeat(place, second=second))
            soon(lambda place=place: place == verifier._follower._replica.resume_token, verifier)  # type: ignore[misc]  # mypy knows no default here
            kept.append(len(verifier._follower._replica.index or ()))
        soon(lambda: 1 == verifier.status().revocations, verifier)
        of_alice = make_token(TokenFormat.SESSION_JWT, make_claims(TokenFormat.SESSION_JWT, subject="alice")).token
        still = verifier.verify(of_alice).reason

    assert [2, 2] == kept[:2]
    assert "REVOKED" == still


def test_a_message_without_measure_is_not_read(scripted: ScriptedAuthority) -> None:
    """One event is small, so a server that sends megabytes is not what it should be: the stream is opened again."""
    with follow(scripted) as verifier:
        stream, scripted.greeting = scripted.next_stream(), []
        stream.tell(revocation("1.2", subject="x" * (MAX_MESSAGE + 1)))
        stream = scripted.next_stream()
        error = verifier.status().last_error

    assert "1.1" == stream.request.resume_token
    assert "RESOURCE_EXHAUSTED" in error
