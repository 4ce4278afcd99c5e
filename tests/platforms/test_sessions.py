"""The platform creates sessions over verified TLS: a few attempts in time, and none where it fails all the time."""

from __future__ import annotations

import asyncio
import math

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import trustme

from prometheus_client import CollectorRegistry, generate_latest

from tests.storage.builders import make_project
from tests.support.authority import WAIT
from tests.support.logs import capture_logs
from tests.support.platform import (
    BROKEN,
    FORBIDDEN,
    Answer,
    Platform,
    make_platform_session,
    running_platform,
    session_json,
    write_ca,
)
from tokenauthority.domain.errors import PreconditionError, RateLimitError, Reason, UnavailableError
from tokenauthority.domain.ids import project_in_session_id
from tokenauthority.domain.project import Project
from tokenauthority.domain.session import SessionSpec
from tokenauthority.domain.times import Millis
from tokenauthority.platforms.circuit_breaker import FAILURES, PAUSE
from tokenauthority.platforms.session_answer import MAX_BODY
from tokenauthority.platforms.sessions import ATTEMPTS, FIRST_PAUSE, RESERVE, PlatformOptions, PlatformSessions, Timing
from tokenauthority.signing.project_keys import ProjectKeys, ProjectSecret


NOW = Millis(1_800_000_000_123)
OWNER = "47000001"
SECRET = "0123456789abcdef" * 2 + "01234567"


@attrs.define
class Time:
    """A clock that only pauses advance."""

    now: float = 1000.0
    jitter: float = 1.0
    pauses: list[float] = attrs.Factory(list)

    async def sleep(self, seconds: float) -> None:
        """Advance at once."""
        self.pauses.append(seconds)
        self.now += seconds


class World:
    """A platform, and what asks it."""

    def __init__(self, platform: Platform, **options: Any) -> None:
        self.platform = platform
        self.time = Time()
        self.registry = CollectorRegistry()
        values = {"urls": frozenset({platform.url}), "attempt_timeout": WAIT, **options}
        timing = Timing(
            time=lambda: self.time.now,
            sleep=self.time.sleep,
            jitter=lambda: self.time.jitter,
            monotonic=lambda: self.time.now,
        )
        self.sessions = PlatformSessions(PlatformOptions(**values), self.registry, timing)

    def project(self, project_id: str = OWNER, **changes: Any) -> Project:
        """A project of the platform."""
        return make_project(project_id, **{"platform_url": self.platform.url, **changes})

    async def create(self, project_id: str = OWNER, *, deadline: float = math.inf, **changes: Any) -> str:
        """A new session id."""
        keys = ProjectKeys(project_id, (ProjectSecret("sec_1", SECRET),))
        project = self.project(project_id, **changes)
        return await self.sessions.create(
            project, keys, SessionSpec(), caller="room-service", now=NOW, deadline=deadline
        )

    async def failure(self, project_id: str = OWNER, *, deadline: float = math.inf) -> UnavailableError:
        """How the creation fails."""
        with pytest.raises(UnavailableError) as caught:
            await self.create(project_id, deadline=deadline)
        assert Reason.PLATFORM_UNAVAILABLE == caught.value.reason
        return caught.value

    def metric(self, line: str) -> str:
        """The value of a metric."""
        lines = generate_latest(self.registry).decode().splitlines()
        return next(found.rsplit(" ", 1)[1] for found in lines if found.startswith(f"tokenauthority_{line} "))


@pytest.fixture(scope="module")
def roots() -> trustme.CA:
    """Who signs the platform's certificate."""
    return trustme.CA()


@pytest.fixture
def make(roots: trustme.CA, tmp_path: Path) -> Iterator[Callable[..., World]]:
    """A world with a platform of its own, with options."""
    with running_platform(roots) as platform:
        trusted = write_ca(roots, tmp_path / "ca.pem")
        yield lambda **options: World(platform, **{"ca_file": trusted, **options})


async def test_answers_the_session_of_the_platform(make: Callable[..., World]) -> None:
    """Over TLS with a private CA; each request has a credential of its own."""
    world = make()
    first, second = await world.create(), await world.create()
    requests = world.platform.requests

    assert [OWNER, OWNER] == [project_in_session_id(first), project_in_session_id(second)]
    assert first != second
    assert ["/session/create"] * 2 == [request.path for request in requests]
    assert {"archiveMode": "manual", "p2p.preference": "enabled"} == requests[0].form
    assert requests[0].claims["jti"] != requests[1].claims["jti"]
    assert "2.0" == world.metric('platform_request_seconds_count{outcome="created"}')


async def test_trusts_no_other_certificate(make: Callable[..., World], tmp_path: Path) -> None:
    """Whoever stands between is not told a credential."""
    world = make(ca_file=write_ca(trustme.CA(), tmp_path / "other.pem"))

    assert "CERTIFICATE_VERIFY_FAILED" in (await world.failure()).cause
    assert [] == world.platform.requests


async def test_asks_no_url_that_the_settings_do_not_name(make: Callable[..., World]) -> None:
    """A caller, or whoever writes to the store, must not send signed requests to any host."""
    world = make(urls=frozenset({"https://platform.example"}))
    with pytest.raises(PreconditionError, match=r"is not among platform\.urls") as caught:
        await world.create()

    assert (Reason.PLATFORM_REFUSED, OWNER) == (caught.value.reason, caught.value.subject)
    assert [] == world.platform.requests


async def test_follows_no_redirect(make: Callable[..., World]) -> None:
    """The credential goes to the URL of the settings, or not at all."""
    with running_platform() as other:
        world = make()
        world.platform.script = [Answer(status=307, headers={"location": f"{other.url}/session/create"})]
        failure = await world.failure()

    assert "the answer has status 307" == failure.cause
    assert ([], 1) == (other.requests, len(world.platform.requests))


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_secret_is_said_and_not_shown(make: Callable[..., World], status: int) -> None:
    """One attempt; the message says whose secret it is, and has nothing of it or of the platform's text."""
    world = make()
    world.platform.always = attrs.evolve(FORBIDDEN, status=status)
    with pytest.raises(PreconditionError, match=f"platform of project {OWNER} refuses the credential") as caught:
        await world.create()
    (request,) = world.platform.requests

    assert Reason.PLATFORM_REFUSED == caught.value.reason
    for secret in (SECRET, request.headers["x-opentok-auth"], "Invalid signature"):
        assert secret not in str(caught.value)


@pytest.mark.parametrize(
    "failure",
    [
        BROKEN,
        Answer(status=503, content_type="text/html", body=b"<html>busy</html>"),
        Answer(status=429),
        Answer(body=session_json(make_platform_session(OWNER), OWNER), cut=True),
    ],
    ids=["500", "503", "429", "cut"],
)
async def test_tries_again_with_growing_pauses(make: Callable[..., World], failure: Answer) -> None:
    """Failures that may pass."""
    world = make()
    world.platform.script = [failure] * (ATTEMPTS - 1)

    assert OWNER == project_in_session_id(await world.create())
    assert [FIRST_PAUSE, 2 * FIRST_PAUSE] == world.time.pauses


@pytest.mark.parametrize(("text", "seconds"), [("7", 7.0), ("Fri, 15 Jan 2027 08:00:07 GMT", 6.877)])
async def test_waits_as_long_as_the_platform_asks(make: Callable[..., World], text: str, seconds: float) -> None:
    """And the usual pause after that, so that not all come at once."""
    world = make()
    world.platform.script = [Answer(status=429, headers={"retry-after": text})]
    await world.create()

    assert [pytest.approx(seconds + FIRST_PAUSE)] == world.time.pauses


async def test_what_the_platform_asks_is_passed_on_where_no_time_is_left(make: Callable[..., World]) -> None:
    """The call fails at once, and its caller learns for how long to wait."""
    world = make()
    world.platform.always = Answer(status=503, headers={"retry-after": "30"})
    failure = await world.failure(deadline=world.time.now + 20)

    assert ([], 1) == (world.time.pauses, len(world.platform.requests))
    assert 30 == failure.retry_after


async def test_gives_up_after_a_few_attempts(make: Callable[..., World]) -> None:
    """The error says when the caller may repeat the call; only the log has the cause."""
    world = make()
    world.platform.always = BROKEN
    failure = await world.failure()

    assert ATTEMPTS == len(world.platform.requests)
    assert ("the answer has status 500", 1.0) == (failure.cause, failure.retry_after)
    assert str(ATTEMPTS) + ".0" == world.metric('platform_request_seconds_count{outcome="failed"}')


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (Answer(body=session_json(make_platform_session("5"), "5")), "no session id of the project"),
        (Answer(body=b"[]"), "not a list of one session"),
        (Answer(content_type="text/xml", body=b"<sessions/>"), "is not JSON"),
        (Answer(body=b" " * (MAX_BODY + 1)), f"more than {MAX_BODY} bytes"),
        (Answer(headers={"content-encoding": "gzip"}, body=b"\x1f\x8b"), "compressed"),
    ],
    ids=["another project", "empty", "XML", "oversized", "compressed"],
)
async def test_takes_no_other_answer(make: Callable[..., World], answer: Answer, cause: str) -> None:
    """Nothing that only looks like a session reaches the store."""
    world = make()
    world.platform.always = answer

    assert cause in (await world.failure()).cause


async def test_a_slow_platform_is_given_up(make: Callable[..., World]) -> None:
    """After the time of an attempt, with all its attempts."""
    world = make(attempt_timeout=0.1)
    world.platform.gate.clear()

    assert "no whole answer within 0.1 seconds" == (await world.failure()).cause
    assert [FIRST_PAUSE, 2 * FIRST_PAUSE] == world.time.pauses


async def test_callers_with_little_time_open_no_circuit(make: Callable[..., World]) -> None:
    """What they lack says nothing of the platform: the others go on asking it."""
    world = make()
    world.platform.gate.clear()
    for _ in range(FAILURES + 1):
        failure = await world.failure(deadline=world.time.now + RESERVE + 0.05)
        assert "the deadline of the call has passed" == failure.cause
    world.platform.gate.set()

    assert OWNER == project_in_session_id(await world.create())


async def test_no_attempt_begins_without_time(make: Callable[..., World]) -> None:
    """What is left before the deadline is for the store."""
    world = make()

    assert "no time is left" in (await world.failure(deadline=world.time.now + RESERVE)).cause
    assert [] == world.platform.requests


async def test_no_pause_goes_past_the_deadline(make: Callable[..., World]) -> None:
    """The caller hears of the failure while it still waits."""
    world = make()
    world.platform.always = BROKEN
    # Time enough for a real answer, however busy the machine is.
    world.time.jitter = WAIT / FIRST_PAUSE
    await world.failure(deadline=world.time.now + RESERVE + WAIT)

    assert ([], 1) == (world.time.pauses, len(world.platform.requests))


async def test_a_platform_that_fails_is_left_alone(make: Callable[..., World]) -> None:
    """The call that opens the circuit ends; later ones do not ask and say when. The log and a metric show it."""
    world = make()
    world.platform.always = BROKEN
    with capture_logs() as logged:
        await world.failure()
        await world.failure()
        refused = await world.failure()
        opened = world.metric("platform_circuits_open")
        world.platform.always = None
        world.time.now += PAUSE
        await world.create()

    assert FAILURES == len(world.platform.requests) - 1
    assert PAUSE == refused.retry_after
    assert ("1.0", "0.0") == (opened, world.metric("platform_circuits_open"))
    assert [("platform.unavailable", OWNER), ("platform.recovered", OWNER)] == [
        (line["event"], line["project_id"]) for line in logged
    ]
    assert "the answer has status 500" == logged[0]["cause"]


async def test_the_circuit_is_that_of_one_project(make: Callable[..., World]) -> None:
    """Requests that fail for one tenant do not keep another from its platform."""
    world = make()
    world.platform.always = BROKEN
    for _ in range(2):
        await world.failure()
    world.platform.always = None

    assert "5" == project_in_session_id(await world.create("5"))


async def test_refusals_open_no_circuit(make: Callable[..., World]) -> None:
    """A platform that refuses is well: a corrected secret works at once."""
    world = make()
    world.platform.always = FORBIDDEN
    for _ in range(FAILURES + 1):
        with pytest.raises(PreconditionError):
            await world.create()
    world.platform.always = None

    assert OWNER == project_in_session_id(await world.create())


async def test_a_slow_platform_holds_so_many_calls(make: Callable[..., World]) -> None:
    """The next one is refused at once; the others end well, and their places are free again."""
    world = make(max_concurrent=8)
    world.platform.gate.clear()
    waiting = [asyncio.create_task(world.create()) for _ in range(2)]
    for _ in waiting:
        await asyncio.to_thread(world.platform.asked.acquire)
    with pytest.raises(RateLimitError):
        await world.create()
    world.platform.gate.set()

    assert [OWNER] * 2 == [project_in_session_id(session_id) for session_id in await asyncio.gather(*waiting)]
    assert OWNER == project_in_session_id(await world.create())


async def test_a_trial_that_is_cancelled_is_no_outcome(make: Callable[..., World]) -> None:
    """Another one follows: the circuit would else never close."""
    world = make()
    world.platform.always = BROKEN
    for _ in range(2):
        await world.failure()
    world.platform.always = None
    world.time.now += PAUSE
    world.platform.gate.clear()
    for _ in range(FAILURES):
        world.platform.asked.acquire()
    trial = asyncio.create_task(world.create())
    await asyncio.to_thread(world.platform.asked.acquire)
    trial.cancel()
    await asyncio.gather(trial, return_exceptions=True)
    world.platform.gate.set()

    assert OWNER == project_in_session_id(await world.create())
