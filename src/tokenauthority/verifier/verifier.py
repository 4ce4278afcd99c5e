"""The verifier: what a program calls. Its threads keep the knowledge; `verify` only reads it."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
import time

from typing import TYPE_CHECKING, Final

from tokenauthority.client.environment import connection_from
from tokenauthority.domain.times import Millis, whole_seconds
from tokenauthority.domain.token import TokenRejectedError
from tokenauthority.v1.key_pb2_grpc import KeyServiceStub
from tokenauthority.v1.token_pb2_grpc import TokenServiceStub
from tokenauthority.verifier import checks
from tokenauthority.verifier.follower import RevocationFollower
from tokenauthority.verifier.key_set_cache import KeySetCache
from tokenauthority.verifier.settings import VerifierSettings
from tokenauthority.verifier.state import VerifierState
from tokenauthority.verifier.values import STALE, Status, Verdict, claims_of


if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from types import TracebackType
    from typing import Self, Unpack

    from tokenauthority.client.connection import Connection
    from tokenauthority.client.values import Token
    from tokenauthority.verifier.settings import VerifierOptions


_TICK: Final = 1.0
"""Seconds between two looks at whether the stream still lives."""

_JOIN: Final = 10.0
"""Seconds that a thread has to end; each ends at once but where it waits for an answer, which `close` cancels."""

_CHANNEL: Final = (
    # gRPC's own is two minutes, and would leave a verifier behind for as long after the authority is back.
    ("grpc.initial_reconnect_backoff_ms", 500),
    ("grpc.min_reconnect_backoff_ms", 5_000),
    ("grpc.max_reconnect_backoff_ms", 5_000),
    # Else it would share the connection, and its pace, of the process's other clients.
    ("grpc.use_local_subchannel_pool", 1),
)

_CLOSED: Final = "the verifier is closed: make another one"
_FORKED: Final = "the verifier was started before a fork and follows nothing in this process: start one here"

_logger: Final = logging.getLogger(__name__)


def system_clock() -> int:
    """UTC milliseconds."""
    return time.time_ns() // 1_000_000


def system_monotonic() -> float:
    """Seconds that never run backwards; on Linux those count that the machine slept, when nothing could be heard."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class Verifier:
    """Judges SESSION_JWTs of some projects without asking the authority for each. Safe to share between threads.

    One is enough for a process. `start` it in the process that uses it: threads do not survive a fork.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        clock: Callable[[], int] = system_clock,
        monotonic: Callable[[], float] = system_monotonic,
        **options: Unpack[VerifierOptions],
    ) -> None:
        """Make a verifier; `start`, or `with`, begins.

        Args:
            connection: how the authority is reached.
            clock: UTC milliseconds.
            monotonic: seconds that never run backwards.
            options: see VerifierOptions.

        Raises:
            ValueError: an option is missing or out of its bounds.
        """
        own = [connection.project_id] if connection.project_id else []
        options.setdefault("project_ids", own)
        self._settings = VerifierSettings(**options)
        self._address = connection.address
        self._clock = clock
        self._channel = connection.open(*_CHANNEL)
        self._knowledge = VerifierState(monotonic)
        self._keys = KeySetCache(
            KeyServiceStub(self._channel), self._knowledge, issuer=self._settings.issuer, monotonic=monotonic
        )
        self._following = RevocationFollower(
            TokenServiceStub(self._channel), self._knowledge, self._settings, clock=clock, monotonic=monotonic
        )
        self._stopping = threading.Event()
        self._told_stale = False
        self._process = os.getpid()
        self._threads = [
            threading.Thread(target=target, name=f"tokenauthority-{name}", daemon=True)
            for name, target in (("revocations", self._following.run), ("keys", self._keep))
        ]

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ, **options: Unpack[VerifierOptions]) -> Self:
        """A verifier that reaches the authority as `Authority.from_environment` does; the variables are the same.

        TOKENAUTHORITY_PROJECT_ID is the project where no `project_ids` are given.

        Raises:
            ValueError: a required variable or option is missing, or one has a bad value.
            OSError: the file of the API key or of root certificates cannot be read.
        """
        return cls(connection_from(environ), **options)

    def start(self) -> None:
        """Begin, and wait until the keys and everything in force are there.

        It blocks for up to `sync_timeout` seconds; an asyncio program uses `async with`.

        Raises:
            NotSyncedError: they are not, and the verifier is closed, or it was closed meanwhile; the message says why.
            RuntimeError: it was started or closed before.
        """
        if self._stopping.is_set():
            raise RuntimeError(_CLOSED)
        self._process = os.getpid()
        for thread in self._threads:
            thread.start()
        try:
            limit = self._settings.max_staleness
            # Complete it is at any finite age.
            oldest = sys.float_info.max if limit is None else limit
            self._knowledge.wait_until_synced(self._settings.sync_timeout, oldest)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Stop following: every token is STALE from now on."""
        self._stopping.set()
        self._knowledge.close()
        self._keys.wake.set()
        self._following.stop()
        self._channel.close()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(_JOIN)

    def verify(self, token: str | Token, *, session_id: str = "", required_permissions: Iterable[str] = ()) -> Verdict:
        """Whether a token is good now, and if given: for this session, with these permissions ("publish").

        It never waits, and never fails because of a token, whatever that is.

        Raises:
            ValueError: there is no such permission.
        """
        wanted = checks.Wanted(session_id=session_id, permissions=checks.permissions(required_permissions))
        age, keys, index = self._knowledge.age(), self._knowledge.keys, self._knowledge.index
        if index is None or self._is_stale(age):
            return Verdict(active=False, reason=STALE, detail=self._stale_detail(age), age=age)
        known = checks.Known(
            project_ids=self._settings.project_ids,
            issuer=keys.issuer,
            find=self._keys.find,
            index=index,
            now=whole_seconds(Millis(self._clock())),
            leeway=self._settings.leeway,
        )
        try:
            read = checks.read(str(token), known)
        except TokenRejectedError as rejected:
            return Verdict(active=False, reason=rejected.reason.value, detail=rejected.detail, age=age)
        claims = claims_of(read.claims, read.key_hint)
        try:
            checks.require_good(read.claims, wanted, known)
        except TokenRejectedError as rejected:
            return Verdict(active=False, reason=rejected.reason.value, detail=rejected.detail, claims=claims, age=age)
        return Verdict(active=True, claims=claims, age=age)

    def age(self) -> float:
        """How old the knowledge is that verdicts rest on, in seconds by a clock that cannot be set; infinite at first.

        It is the greater of two: the time since the moment up to which the authority last showed that nothing taken
        back was missing (by a heartbeat, or the end of what was in force; never less than it was, however long that was
        on its way), and the time for which the keys are kept beyond the `max_age` that came with them. Within their
        `max_age` the keys do not count: for so long the authority itself lets them be kept, and publishes each new one
        early enough.
        """
        return self._knowledge.age()

    def status(self) -> Status:
        """How it is, for health checks and metrics."""
        age, index = self._knowledge.age(), self._knowledge.index
        return Status(
            synced=self._knowledge.synced,
            stale=self._is_stale(age),
            age=age,
            keys=tuple(sorted(self._knowledge.keys.keys)),
            revocations=0 if index is None else len(index),
            last_error=self._why_not_following() or self._knowledge.last_error,
        )

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    async def __aenter__(self) -> Self:
        """Start, without holding up the event loop."""
        try:
            await asyncio.to_thread(self.start)
        except asyncio.CancelledError:
            # The thread goes on, and nobody will leave what was never entered.
            await asyncio.shield(asyncio.to_thread(self.close))
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close, without holding up the event loop."""
        await asyncio.to_thread(self.close)

    def __repr__(self) -> str:
        """Where the authority is and how it is, without the key."""
        return f"Verifier({self._address!r}, {self.status()!r})"

    def _keep(self) -> None:
        while not self._stopping.is_set():
            self._keys.wake.clear()
            due = self._keys.upkeep()
            self._following.require_sign_of_life()
            self._tell_stale()
            self._keys.wake.wait(min(_TICK, due))

    def _is_stale(self, age: float) -> bool:
        limit = self._settings.max_staleness
        outdated = limit is not None and age > limit
        return outdated or not self._knowledge.synced or bool(self._why_not_following())

    def _why_not_following(self) -> str:
        if self._stopping.is_set():
            return _CLOSED
        # Its threads are in the process that was forked, and nothing will ever change here.
        return _FORKED if os.getpid() != self._process else ""

    def _stale_detail(self, age: float) -> str:
        if not self._knowledge.synced:
            return "the verifier has not had the keys and revocations yet"
        silence = f"the verifier has not heard of the authority's keys or revocations for {age:.0f}s"
        return self._why_not_following() or silence

    def _tell_stale(self) -> None:
        if self._stopping.is_set():
            return
        age = self._knowledge.age()
        stale = self._knowledge.synced and self._is_stale(age)
        if stale and not self._told_stale:
            _logger.error("knowledge is %.0f seconds old: every token is refused as STALE", age)
        elif self._told_stale and not stale:
            _logger.info("knowledge is current again")
        self._told_stale = stale
