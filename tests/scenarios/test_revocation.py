"""What is revoked at one server is revoked at all of them within a second, also after an outage of the store."""

from __future__ import annotations

import statistics
import threading
import time

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.scenarios.fleet import Fleet, fleet_of
from tests.support.authority import WAIT, eventually
from tests.support.cable import cable_to
from tests.support.pgbouncer import running_pgbouncer
from tests.support.postgres import PostgresServer, running_postgres
from tokenauthority.client import Authority, AuthorityError, Token
from tokenauthority.client.errors import translated_errors
from tokenauthority.v1 import token_pb2


PROMISE = 1.0
"""Seconds within which every server of a store knows: here the time is what is promised, and so it is measured."""


def test_every_server_refuses_a_revoked_token_within_a_second(fleet: Fleet) -> None:
    """The server that answers refuses the token at once, however it was revoked: by token, subject, session or its end.

    A machine that stands still for a second can spoil a round, so the test compares the median of the rounds.
    """
    here, *others = (fleet.client(server) for server in fleet.start_together(3))
    ways: dict[str, Callable[[Token], object]] = {
        "token": lambda token: revoke(here, token=token.token),
        "token_id": lambda token: revoke(here, token_id=token.token_id, project_id=here.project_id),
        "subject": lambda _: revoke(here, subject="subject", project_id=here.project_id),
        "session_id": lambda token: revoke(here, session_id=token.session_id),
        "end": lambda token: here.end_session(token.session_id),
    }
    lags = []
    for way, revoke_in_this_way in ways.items():
        token = here.create_session().generate_token(subject=way)
        lags.append(slowest(here, others, token, revoke_in_this_way))

        reason = "SESSION_ENDED" if way == "end" else "REVOKED"
        assert [reason] * 3 == [client.verify_token(token).reason for client in (here, *others)]

    assert PROMISE > statistics.median(lags)


def slowest(here: Authority, others: list[Authority], token: Token, way: Callable[[Token], object]) -> float:
    """Seconds from the answer to the last question that any other server still answered with active."""
    last_active = dict.fromkeys(range(len(others)), 0.0)
    seen = [threading.Event() for _ in others]

    def ask(number: int) -> None:
        for _ in range(100_000):
            asked = time.monotonic()
            if not others[number].verify_token(token).active:
                return
            last_active[number] = asked
            seen[number].set()

    asking = [threading.Thread(target=ask, args=(number,)) for number in last_active]
    for thread in asking:
        thread.start()
    assert all(event.wait(WAIT) for event in seen), "the token was never valid"
    way(token)
    answered = time.monotonic()
    assert not here.verify_token(token).active
    for thread in asking:
        thread.join(WAIT)
        assert not thread.is_alive(), "another server never learns of it"
    return max(last_active.values()) - answered


def wait_until_another_learns(fleet: Fleet) -> None:
    """Revoke a token at one of two servers; return once the other one refuses the token."""
    here, other = (fleet.client(server) for server in fleet.start_together(2))
    token = here.create_session().generate_token()
    assert other.verify_token(token).active
    revoke(here, token=token.token)
    eventually(lambda: other.verify_token(token).reason == "REVOKED", "the other server does not learn of it")


def test_another_server_is_notified_by_postgresql(postgres_url: str, tmp_path: Path) -> None:
    """It learns of a revocation long before its next poll, which is a minute away."""
    with fleet_of(tmp_path, postgres_url, DATABASE__POLL_INTERVAL="60") as fleet:
        wait_until_another_learns(fleet)


def test_servers_behind_a_pooler_learn_by_their_polls(
    postgres_url: str, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    """PgBouncer in transaction mode passes no notifications."""
    with (
        running_pgbouncer(postgres_server) as bouncer,
        fleet_of(tmp_path, bouncer.url(postgres_url.rpartition("/")[2])) as fleet,
    ):
        wait_until_another_learns(fleet)


def test_what_happened_while_the_store_was_out_of_reach_is_caught_up(
    postgres_url: str, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    """A server that has lost the store answers for `max_staleness`, then says UNAVAILABLE, and never errs after it."""
    with (
        cable_to(postgres_server.port) as cable,
        fleet_of(tmp_path, postgres_url, ISSUANCE__MAX_STALENESS="2", LIMITS__WATCH_HEARTBEAT="0.1") as fleet,
    ):
        one = fleet.client(fleet.start())
        behind = fleet.start(DATABASE__URL=postgres_url.replace(f":{postgres_server.port}/", f":{cable.port}/"))
        other = fleet.client(behind)
        token, good = (one.create_session().generate_token() for _ in range(2))
        watched = fleet.watch(behind)
        assert [True, True] == [other.verify_token(each).active for each in (token, good)]
        assert [next(watched).WhichOneof("event") for _ in range(3)] == ["snapshot_end", "heartbeat", "heartbeat"]

        cable.cut()
        revocation = revoke(one, token=token.token)
        until_refused = answers(other, token, lambda answer: answer != "ACTIVE")
        cable.mend()
        until_back = answers(other, token, lambda answer: answer != "STORE_UNAVAILABLE")
        told = next(message for message in watched if message.WhichOneof("event") != "heartbeat")

        assert {"ACTIVE"} == set(until_refused[:-1])
        assert "STORE_UNAVAILABLE" == until_refused[-1]
        assert "REVOKED" == until_back[-1]
        assert other.verify_token(good).active
        assert revocation == told.revocation


def test_servers_come_back_with_the_database(tmp_path: Path) -> None:
    """While PostgreSQL is down nothing is revoked and then nothing verified; afterwards all is as before."""
    with (
        running_postgres() as server,
        fleet_of(tmp_path, server.url(server.create_database()), ISSUANCE__MAX_STALENESS="1") as fleet,
    ):
        one, other = (fleet.client(each) for each in fleet.start_together(2))
        token, good = (one.create_session().generate_token() for _ in range(2))
        assert [True, True] == [other.verify_token(each).active for each in (token, good)]

        server.stop()
        with pytest.raises(AuthorityError) as refused:
            revoke(one, token=token.token)
        last = [answers(client, token, lambda answer: answer != "ACTIVE")[-1] for client in (one, other)]
        server.start()
        for client in (one, other):
            answers(client, token, lambda answer: answer == "ACTIVE")
        revoke(one, token=token.token)
        eventually(lambda: other.verify_token(token).reason == "REVOKED", "the other server does not follow again")

        assert "STORE_UNAVAILABLE" == refused.value.reason
        assert ["STORE_UNAVAILABLE"] * 2 == last
        assert other.verify_token(good).active


def revoke(
    client: Authority,
    *,
    token: str | None = None,
    token_id: str | None = None,
    session_id: str | None = None,
    subject: str | None = None,
    project_id: str | None = None,
) -> token_pb2.Revocation:
    """Take tokens back."""
    request = token_pb2.RevokeTokensRequest(project_id=project_id or "")
    for name, target in (("token", token), ("token_id", token_id), ("session_id", session_id), ("subject", subject)):
        if target is not None:
            setattr(request, name, target)
    with translated_errors():
        return client.tokens.RevokeTokens(request).revocation


def answers(client: Authority, token: Token, enough: Callable[[str], bool]) -> list[str]:
    """What VerifyToken says, asked until *enough*: ACTIVE, why not, or the error."""
    found: list[str] = []

    def asked() -> bool:
        try:
            verdict = client.verify_token(token)
            found.append("ACTIVE" if verdict.active else verdict.reason)
        except AuthorityError as error:
            found.append(error.reason)
        return enough(found[-1])

    eventually(asked, f"VerifyToken goes on to say {found[-1:]}")
    return found
