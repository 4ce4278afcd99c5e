"""Have the platform of a project create a session: in time, a few attempts, and none where it fails all the time."""

from __future__ import annotations

import asyncio
import math
import random
import secrets
import ssl

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Final

import attrs
import structlog

from cachetools import LRUCache, TTLCache
from prometheus_client import CollectorRegistry, Gauge, Histogram

from tokenauthority.clocks import monotonic
from tokenauthority.domain.counts import counted
from tokenauthority.domain.errors import PreconditionError, Reason, UnavailableError
from tokenauthority.domain.project import Project
from tokenauthority.domain.session import SessionSpec
from tokenauthority.domain.times import Millis
from tokenauthority.http_request import HttpRequest, HttpRequestError, describe, make_tls_context, send_request
from tokenauthority.outage import Outage
from tokenauthority.platforms.circuit_breaker import CircuitBreaker, CircuitOpenError
from tokenauthority.platforms.places import Places
from tokenauthority.platforms.session_answer import MAX_BODY, PlatformFailedError, PlatformRefusedError, session_id_in
from tokenauthority.platforms.session_request import create_request, signing_key
from tokenauthority.signing.project_keys import ProjectKeys
from tokenauthority.threads import BlockingPool, PoolError


ATTEMPTS: Final = 3
FIRST_PAUSE: Final = 0.2
"""Seconds before the second attempt, at most; before each further one twice as long."""

RESERVE: Final = 0.5
"""Seconds before the deadline of the call at which no attempt goes on: the session must still be stored."""

MAX_CIRCUITS: Final = 1000
"""Projects whose circuits are kept. A project beyond them starts with a closed circuit."""

_CA_LIFE: Final = 60.0
"""Seconds after which the CA file is read again."""

_THREADS: Final = 2
"""Threads of one platform for its DNS and the CA file."""

_SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


@attrs.frozen(kw_only=True)
class PlatformOptions:
    """Which platforms may be asked, and how; see `PlatformSettings`."""

    urls: frozenset[str] = frozenset()
    ca_file: Path | None = None
    attempt_timeout: float = 3.0
    max_concurrent: int = 64


@attrs.frozen(kw_only=True)
class Timing:
    """The clock of deadlines and pauses, and how pauses are made."""

    time: Callable[[], float] = lambda: asyncio.get_running_loop().time()
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    jitter: Callable[[], float] = random.random
    """From 0 to 1."""
    monotonic: Callable[[], float] = monotonic


@attrs.frozen
class _Circuit:
    breaker: CircuitBreaker
    outage: Outage


class PlatformSessions:
    """Creates sessions at the platforms of *options*.

    A create at the platform cannot be repeated safely: an attempt whose outcome is unknown may have created a session.
    It is repeated all the same, because a session that nobody joins costs nothing there and is known nowhere.
    """

    def __init__(self, options: PlatformOptions, registry: CollectorRegistry, timing: Timing | None = None) -> None:
        self._options = options
        self._timing = timing or Timing()
        self._places = Places(options.max_concurrent)
        self._circuits: LRUCache[tuple[str, str], _Circuit] = LRUCache(MAX_CIRCUITS)
        # One platform's name server that hangs must not hold up the other platforms.
        self._threads = {url: BlockingPool("platform", threads=_THREADS) for url in options.urls}
        self._contexts: TTLCache[None, ssl.SSLContext] = TTLCache(1, _CA_LIFE, timer=self._timing.monotonic)
        self._logger = structlog.stdlib.get_logger(__name__)
        self._seconds = Histogram(
            "tokenauthority_platform_request_seconds",
            "Duration of requests for a session to a platform, by outcome: `created`, `refused` or `failed`.",
            ("outcome",),
            buckets=_SECONDS,
            registry=registry,
        )
        circuits = Gauge(
            "tokenauthority_platform_circuits_open",
            "Projects whose platform has failed and is asked only every few seconds.",
            registry=registry,
        )
        circuits.set_function(lambda: sum(circuit.breaker.is_open for circuit in [*self._circuits.values()]))

    @property
    def urls(self) -> frozenset[str]:
        """The base URLs of the platforms that may be asked."""
        return self._options.urls

    async def create(
        self, project: Project, keys: ProjectKeys, spec: SessionSpec, *, caller: str, now: Millis, deadline: float
    ) -> str:
        """Return the id of a new session that the project's platform created before *deadline*, on the loop's clock.

        Raises:
            UnavailableError: `PLATFORM_UNAVAILABLE`, it does not answer in time or not as it should.
            PreconditionError: `PLATFORM_REFUSED`, it refuses the project's key or the request, or is not among `urls`.
            RateLimitError: too many calls wait for platforms.
        """
        key = signing_key(project, keys)
        if project.platform_url not in self._options.urls:
            raise _refused(project, "is not among platform.urls in the settings of the server")
        if key is None:
            raise _refused(project, "needs an imported secret or key, which the project lacks")

        def make_request() -> HttpRequest:
            return create_request(project, key, spec, now=now, jti=secrets.token_hex(16))

        with self._places.hold(project_id=project.project_id, caller=caller):
            try:
                return await self._attempts(project, make_request, now, deadline - RESERVE)
            except PlatformRefusedError as error:
                raise _refused(project, str(error)) from error
            except PlatformFailedError as error:
                raise UnavailableError.platform(project.project_id, str(error), error.retry_after) from error
            except CircuitOpenError as error:
                raise UnavailableError.platform(project.project_id, str(error), error.retry_after) from error

    async def _attempts(
        self, project: Project, make_request: Callable[[], HttpRequest], now: Millis, end: float
    ) -> str:
        circuit = self._circuit(project)
        for attempt in count(1):
            left = end - self._timing.time()
            if left <= 0:
                raise PlatformFailedError("no time is left to ask the platform", passing=True)
            try:
                async with asyncio.timeout(None if math.isinf(left) else left):
                    return await self._attempt(circuit, project, make_request(), now)
            except TimeoutError as error:
                # The caller had less time than an attempt has. The circuit does not count that: it says nothing of the
                # platform, and callers with short deadlines would keep others from it.
                raise PlatformFailedError("the deadline of the call has passed", passing=True) from error
            except PlatformFailedError as error:
                pause = error.retry_after + self._timing.jitter() * FIRST_PAUSE * 2 ** (attempt - 1)
                is_last = attempt == ATTEMPTS or self._timing.time() + pause >= end
                if is_last or not error.passing or circuit.breaker.is_open:
                    raise
            await self._timing.sleep(pause)
        raise AssertionError("unreachable")

    async def _attempt(self, circuit: _Circuit, project: Project, request: HttpRequest, now: Millis) -> str:
        owner = project.vonage_application_id or project.project_id
        timeout = self._options.attempt_timeout
        with self._observed(circuit, project):
            try:
                async with asyncio.timeout(timeout):
                    thread = self._threads[project.platform_url]
                    context = await self._tls_context(thread)
                    answer = await send_request(
                        request, context=context, thread=thread, max_body=MAX_BODY, timeout=timeout
                    )
            except TimeoutError as error:
                raise PlatformFailedError(
                    f"no whole answer within {counted(timeout, 'second')}", passing=True
                ) from error
            except HttpRequestError as error:
                raise PlatformFailedError(str(error), passing=True) from error
            except (OSError, PoolError) as error:
                raise PlatformFailedError(describe(error), passing=True) from error
            return session_id_in(answer, owner, now)

    @contextmanager
    def _observed(self, circuit: _Circuit, project: Project) -> Iterator[None]:
        """Tell the circuit, the log and the metrics how the attempt ends."""
        breaker, begun = circuit.breaker, self._timing.monotonic()
        breaker.begin()
        outcome = ""
        try:
            yield
            outcome = "created"
        except PlatformRefusedError:
            outcome = "refused"
            raise
        except PlatformFailedError as error:
            outcome = "failed"
            breaker.fail()
            if breaker.is_open:
                cause, url = str(error), project.platform_url
                circuit.outage.report(cause, project_id=project.project_id, platform_url=url, cause=cause)
            raise
        finally:
            if outcome in ("created", "refused"):
                breaker.succeed()
                circuit.outage.recover(project_id=project.project_id, platform_url=project.platform_url)
            elif not outcome:
                breaker.abandon()
            if outcome:
                self._seconds.labels(outcome).observe(self._timing.monotonic() - begun)

    async def _tls_context(self, thread: BlockingPool) -> ssl.SSLContext:
        context = self._contexts.get(None)
        if context is None:
            context = self._contexts[None] = await thread.run(partial(make_tls_context, self._options.ca_file))
        return context

    def _circuit(self, project: Project) -> _Circuit:
        """Return the circuit of the project: one project's failures do not stop the requests of others."""
        key = (project.project_id, project.platform_url)
        circuit = self._circuits.get(key)
        if circuit is None:
            outage = Outage(self._logger, "platform.unavailable", recovered="platform.recovered", level="warning")
            circuit = self._circuits[key] = _Circuit(CircuitBreaker(self._timing.monotonic), outage)
        return circuit


def _refused(project: Project, why: str) -> PreconditionError:
    message = f"no session was made: the platform of project {project.project_id} {why}"
    return PreconditionError(Reason.PLATFORM_REFUSED, project.project_id, message)
