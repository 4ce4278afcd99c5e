"""A verifier begins whole or says why it cannot, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import threading

from concurrent.futures import ThreadPoolExecutor

import attrs
import grpc
import pytest

from tests.signing.builders import NOW, PROJECT, make_token
from tests.support.authority import EVERYTHING, WAIT, RunningAuthority, StartAuthority, eventually, make_caller
from tests.verifier.conftest import soon
from tests.verifier.scripted import Hours, ScriptedAuthority, follow, heartbeat, revocation, snapshot_end
from tokenauthority.callers.api_keys import new_api_key
from tokenauthority.client import Authority, PermissionDenied, Unauthenticated, Unavailable
from tokenauthority.client.connection import Connection
from tokenauthority.domain.caller import Action, Grant
from tokenauthority.domain.token_format import TokenFormat
from tokenauthority.verifier import STALE, NotSyncedError, Verifier


TOKEN = make_token(TokenFormat.SESSION_JWT).token


def own_threads() -> list[str]:
    """The threads of verifiers that are alive."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("tokenauthority-")]


def test_threads_end_with_it(running_authority: RunningAuthority) -> None:
    """Two while it is open, none after; what it knows then grows old."""
    with Verifier.from_environment(running_authority.environment) as verifier:
        during = sorted(own_threads())
    verifier.close()

    assert ["tokenauthority-keys", "tokenauthority-revocations"] == during
    assert [] == own_threads()
    assert 0 < verifier.age()


def test_what_was_never_started_closes_too() -> None:
    """So that who made it need not know."""
    verifier = Verifier(Connection(address=unused_address(), api_key="", plaintext=True), project_ids=["1"])

    verifier.close()

    assert [] == own_threads()


async def test_asyncio_programs_use_async_with(running_authority: RunningAuthority) -> None:
    """The event loop is not held up by its start and end."""
    async with Verifier.from_environment(running_authority.environment) as verifier:
        assert verifier.status().synced

    assert [] == own_threads()


def test_the_environment_is_the_clients(start_authority: StartAuthority) -> None:
    """With its project, unless others are named."""
    running = start_authority()
    with (
        Authority.from_environment(running.environment) as client,
        Verifier.from_environment(running.environment) as own,
        Verifier.from_environment(running.environment, project_ids=["1"]) as other,
    ):
        token = client.create_session().generate_token()

        assert ("", "PROJECT_UNKNOWN") == (own.verify(token).reason, other.verify(token).reason)


def restricted(running: RunningAuthority, api_key: str) -> Connection:
    """A connection with that key."""
    return Connection(address=running.address, api_key=api_key, project_id=running.project_id, plaintext=True)


def granted(*actions: Action, projects: frozenset[str] = EVERYTHING.projects) -> Grant:
    """A grant of these actions."""
    return attrs.evolve(EVERYTHING, actions=frozenset(actions), projects=projects)


def test_two_actions_are_all_that_it_needs(start_authority: StartAuthority) -> None:
    """As docs/how-to/verify-offline.md says."""
    key = new_api_key()
    running = start_authority(callers={key: make_caller("edge", granted(Action("keys.read"), Action("tokens.watch")))})

    with Verifier(restricted(running, key)) as verifier:
        assert verifier.status().synced


@pytest.mark.parametrize(
    ("actions", "source", "lacks"),
    [
        (["tokens.watch"], "GetJsonWebKeySet", "keys.read"),
        (["keys.read"], "WatchRevocations", "tokens.watch"),
    ],
    ids=["keys", "watch"],
)
def test_says_at_once_what_the_grant_lacks(
    start_authority: StartAuthority, actions: list[str], source: str, lacks: str
) -> None:
    """It does not wait for what will never come."""
    key = new_api_key()
    running = start_authority(callers={key: make_caller("edge", granted(*map(Action, actions)))})

    with pytest.raises(NotSyncedError, match=f"{source}: PERMISSION_DENIED: .*{lacks}") as caught:
        Verifier(restricted(running, key), sync_timeout=600).start()

    assert isinstance(caught.value.__cause__, PermissionDenied)
    assert [] == own_threads()


def test_says_at_once_that_the_project_is_not_granted(start_authority: StartAuthority) -> None:
    """Else it would follow nothing, and call its tokens good."""
    key = new_api_key()
    running = start_authority(callers={key: make_caller("edge", granted(*Action, projects=frozenset({"1"})))})

    with pytest.raises(NotSyncedError, match="WatchRevocations: PERMISSION_DENIED"):
        Verifier(restricted(running, key), sync_timeout=600).start()


def test_says_at_once_that_the_api_key_is_invalid(running_authority: RunningAuthority) -> None:
    """And does not show it."""
    key = new_api_key()

    with pytest.raises(NotSyncedError, match="UNAUTHENTICATED") as caught:
        Verifier(restricted(running_authority, key), sync_timeout=600).start()

    assert isinstance(caught.value.__cause__, Unauthenticated)
    assert key not in str(caught.value)


def unused_address() -> str:
    """Where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{taken.getsockname()[1]}"


def test_says_that_the_authority_cannot_be_reached() -> None:
    """After `sync_timeout`; until then it tries."""
    connection = Connection(address=unused_address(), api_key="tak_x", project_id="1", plaintext=True)

    with pytest.raises(NotSyncedError, match=r"the verifier could not start: .*UNAVAILABLE") as caught:
        Verifier(connection, sync_timeout=2).start()

    assert isinstance(caught.value.__cause__, Unavailable)
    assert [] == own_threads()


def test_says_that_the_issuer_is_another(scripted: ScriptedAuthority) -> None:
    """Else every token would be refused without a word."""
    with (
        pytest.raises(NotSyncedError, match=r"the issuer is 'https://tokens\.example', not 'https://other'"),
        follow(scripted, issuer="https://other", sync_timeout=0.5),
    ):
        pass


@pytest.mark.parametrize("max_staleness", [60, None])
def test_what_never_began_accepts_no_token(scripted: ScriptedAuthority, max_staleness: float | None) -> None:
    """Not even where it fails open: half of what is in force would be worse than nothing."""
    scripted.greeting = [revocation(token_id="x")]
    verifier = Verifier(
        Connection(address=scripted.address, api_key="", plaintext=True),
        project_ids=[PROJECT],
        max_staleness=max_staleness,
        sync_timeout=0.5,
    )
    before = verifier.verify(TOKEN)

    with pytest.raises(NotSyncedError, match=r"no answer within 0\.5 seconds"):
        verifier.start()

    after = verifier.verify(TOKEN)
    assert (STALE, STALE) == (before.reason, after.reason)
    assert "the verifier has not received the keys and revocations yet" == after.detail
    assert (False, True) == (verifier.status().synced, verifier.status().stale)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """What verifiers log."""
    caplog.set_level(logging.INFO, "tokenauthority.verifier")
    return caplog


def test_a_failure_is_logged_once(scripted: ScriptedAuthority, log: pytest.LogCaptureFixture) -> None:
    """With its source and without a secret; that it works again is logged too."""
    with follow(scripted) as verifier:
        scripted.greeting = []
        for _ in range(3):
            scripted.next_stream().end()
        scripted.next_stream().tell(snapshot_end())
        soon(lambda: not verifier.status().last_error, verifier)

    told = [record.getMessage() for record in log.records if "WatchRevocations" in record.getMessage()]
    assert ["WatchRevocations failed: UNAVAILABLE: the stream was closed", "WatchRevocations works again"] == told
    assert "tak_scripted" not in log.text


def test_a_stale_verifier_says_so_in_the_log(scripted: ScriptedAuthority, log: pytest.LogCaptureFixture) -> None:
    """Once, though nobody asks it anything; and when it is current again."""
    hours = Hours()
    with follow(scripted, monotonic=hours) as verifier:
        stream = scripted.next_stream()
        hours.passed = 61
        eventually(lambda: "every token is refused as STALE" in log.text, "it says nothing")
        stream.tell(heartbeat(second=NOW + 61))
        eventually(lambda: "the keys and revocations are current again" in log.text, repr(verifier))

    assert 1 == log.text.count("the keys or revocations are 61 seconds old")


def test_a_closed_verifier_accepts_no_token(scripted: ScriptedAuthority) -> None:
    """Though it may go on for ever without the authority: that it was closed is no loss of the authority."""
    with follow(scripted, max_staleness=None) as verifier:
        before = verifier.verify(TOKEN)
    after = verifier.verify(TOKEN)

    assert before.active
    assert (STALE, "the verifier is closed: make another one") == (after.reason, after.detail)
    assert (True, after.detail) == (verifier.status().stale, verifier.status().last_error)
    with pytest.raises(RuntimeError, match="closed: make another one"):
        verifier.start()


def test_a_verifier_that_was_started_before_a_fork_accepts_no_token(
    scripted: ScriptedAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its threads are not in the new process, and nothing there would ever change."""
    with follow(scripted, max_staleness=None) as verifier:
        with monkeypatch.context() as forked:
            forked.setattr(os, "getpid", lambda: -1)
            after, status = verifier.verify(TOKEN), verifier.status()
        again = verifier.verify(TOKEN)

    assert (STALE, True) == (after.reason, status.stale)
    assert "started before a fork" in after.detail
    assert after.detail == status.last_error
    assert again.active


def test_a_verifier_that_was_made_before_a_fork_can_be_started_after_it(
    scripted: ScriptedAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by a server that forks its workers: it has had no threads before."""
    connection = Connection(address=scripted.address, api_key="tak_scripted", plaintext=True)
    with monkeypatch.context() as before:
        before.setattr(os, "getpid", lambda: -1)
        verifier = Verifier(connection, project_ids=[PROJECT], clock=lambda: NOW * 1000, sync_timeout=WAIT)
    with verifier:
        verdict = verifier.verify(TOKEN)

    assert verdict.active


def test_a_start_ends_when_it_is_closed_meanwhile(scripted: ScriptedAuthority) -> None:
    """It does not wait for what nobody reads any more."""
    scripted.greeting = []
    connection = Connection(address=scripted.address, api_key="tak_scripted", plaintext=True)
    verifier = Verifier(connection, project_ids=[PROJECT], sync_timeout=2 * WAIT)
    with ThreadPoolExecutor(1) as pool:
        starting = pool.submit(verifier.start)
        scripted.next_stream()
        # Nothing else will wake it.
        soon(lambda: bool(verifier.status().keys), verifier)
        verifier.close()
        with pytest.raises(NotSyncedError, match="the verifier could not start: it was closed"):
            starting.result(WAIT)


async def test_a_start_that_is_given_up_leaves_nothing_behind(scripted: ScriptedAuthority) -> None:
    """Neither a thread nor a stream: nobody could close what was never entered."""
    scripted.greeting = []
    connection = Connection(address=scripted.address, api_key="tak_scripted", plaintext=True)
    verifier = Verifier(connection, project_ids=[PROJECT], sync_timeout=10 * WAIT)

    async def enter() -> None:
        async with verifier:
            raise AssertionError("it cannot begin")

    entering = asyncio.ensure_future(enter())
    await asyncio.to_thread(scripted.next_stream)
    entering.cancel()
    async with asyncio.timeout(WAIT):
        with pytest.raises(asyncio.CancelledError):
            await entering

    assert [] == [thread for thread in verifier._threads if thread.is_alive()]
    assert "the verifier is closed: make another one" == verifier.status().last_error


def test_warns_of_a_staleness_below_the_heartbeat(scripted: ScriptedAuthority, log: pytest.LogCaptureFixture) -> None:
    """Once: valid tokens are refused again and again, and nothing is wrong with the authority."""
    hours = Hours()
    with follow(scripted, monotonic=hours, max_staleness=2) as verifier:
        stream = scripted.next_stream()
        hours.passed = 100
        # One long pause alone may be an outage.
        stream.tell(*(heartbeat(second=NOW + second) for second in (1, 12, 13)))
        stream.tell(heartbeat("1.8", second=NOW + 14))
        eventually(lambda: "1.8" == verifier._follower._replica.resume_token, repr(verifier))
        outage = log.text.count("seconds apart")
        stream.tell(*(heartbeat(second=NOW + second) for second in (19, 24, 29, 30, 35, 40)))
        stream.tell(heartbeat("1.9", second=NOW + 45))
        eventually(lambda: "1.9" == verifier._follower._replica.resume_token, repr(verifier))

    assert (0, 1) == (outage, log.text.count("seconds apart"))
    assert "5 seconds apart: with a max_staleness of 2 valid tokens are STALE" in log.text


def test_long_pauses_of_two_streams_are_no_two_in_a_row(
    scripted: ScriptedAuthority, log: pytest.LogCaptureFixture
) -> None:
    """What broke the first one off is an outage, and no word is said of how often heartbeats come."""
    hours = Hours()
    with follow(scripted, monotonic=hours, max_staleness=2) as verifier:
        stream = scripted.next_stream()
        hours.passed = 100
        stream.tell(*(heartbeat(second=NOW + second) for second in (1, 2, 12)))
        stream.end(grpc.StatusCode.UNAVAILABLE)
        scripted.next_stream().tell(heartbeat("1.8", second=NOW + 1))
        eventually(lambda: "1.8" == verifier._follower._replica.resume_token, repr(verifier))
        soon(lambda: not verifier.status().last_error, verifier)

    assert "seconds apart" not in log.text


def test_a_start_that_took_too_long_waits_for_a_heartbeat(scripted: ScriptedAuthority) -> None:
    """It returns with what is young enough, or not."""
    hours = Hours()
    scripted.greeting = []
    with ThreadPoolExecutor(1) as pool, contextlib.ExitStack() as stack:
        entered = pool.submit(lambda: stack.enter_context(follow(scripted, monotonic=hours, max_staleness=30)))
        stream = scripted.next_stream()
        hours.passed = 40
        stream.tell(snapshot_end("1.6", second=NOW))
        eventually(lambda: not scripted.fetches.empty(), "it asks for no keys")
        stream.tell(heartbeat("1.7", second=NOW + 40))
        verifier = entered.result(WAIT)
        verdict = verifier.verify(TOKEN)

    assert (True, 0) == (verdict.active, verdict.age)


def test_an_orderly_end_is_no_error(scripted: ScriptedAuthority, log: pytest.LogCaptureFixture) -> None:
    """Nobody should look into it."""
    with follow(scripted) as verifier:
        verifier.close()
        verifier._log_staleness()

    assert [] == [record for record in log.records if record.levelno >= logging.WARNING]
