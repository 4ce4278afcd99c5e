"""Check tokens offline: threads follow the authority, and `verify` only reads what they cached."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
import time

from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Final, Self, Unpack

from tokenauthority.client.arguments import instance
from tokenauthority.client.connection import Connection
from tokenauthority.client.environment import connection_from
from tokenauthority.client.values import Token, token_text
from tokenauthority.clocks import monotonic as system_monotonic
from tokenauthority.domain.times import Millis, whole_seconds
from tokenauthority.domain.token import TokenRejectedError
from tokenauthority.v1.key_pb2_grpc import KeyServiceStub
from tokenauthority.v1.token_pb2_grpc import TokenServiceStub
from tokenauthority.verifier import checks
from tokenauthority.verifier.follower import RevocationFollower
from tokenauthority.verifier.key_set_cache import KeySetCache
from tokenauthority.verifier.settings import VerifierOptions, VerifierSettings
from tokenauthority.verifier.state import VerifierState
from tokenauthority.verifier.values import STALE, Status, Verdict, to_client_claims


_TICK: Final = 1.0
"""Seconds between two checks whether the verifier is stale, at most."""

_JOIN: Final = 10.0
"""Seconds that a thread has to end; `close` cancels the calls that it may wait for."""

MAX_MESSAGE: Final = 1024 * 1024
"""Bytes of one message of the authority."""

_CHANNEL: Final = (
    # A key set or an event; the client's limit is that of a batch of tokens.
    ("grpc.max_receive_message_length", MAX_MESSAGE),
    # Else it would share the connection of the process's other clients, and their reconnect interval.
    ("grpc.use_local_subchannel_pool", 1),
)

_CLOSED: Final = "the verifier is closed: make another one"
_FORKED: Final = "the verifier was started before a fork and follows nothing in this process: start one here"

_logger: Final = logging.getLogger(__name__)


def system_clock() -> int:
    """Return UTC milliseconds."""
    return time.time_ns() // 1_000_000


class Verifier:
    """Checks the SESSION_JWTs of some projects without a call to the authority for each.

    One verifier is enough for a process; threads may share it. `start` it in the process that uses it, as its threads
    do not survive a fork. Use `with`, or in an asyncio program `async with`, to start and close it.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        clock: Callable[[], int] = system_clock,
        monotonic: Callable[[], float] = system_monotonic,
        **options: Unpack[VerifierOptions],
    ) -> None:
        """Make a verifier; `start` starts it.

        Args:
            connection: how to reach the authority. The grant of its API key needs the actions `keys.read` and
                `tokens.watch`.
            clock: returns UTC milliseconds.
            monotonic: returns seconds that never run backwards.
            **options: see `VerifierOptions`.

        Raises:
            ValueError: an option is missing or out of its bounds.
            TypeError: an argument has the wrong type; the message names it.
        """
        instance("connection", connection, Connection)
        options.setdefault("project_ids", [connection.project_id] if connection.project_id else [])
        self._settings = VerifierSettings(**options)
        self._address = connection.address
        self._clock = clock
        self._channel = connection.open(*_CHANNEL)
        self._state = VerifierState(monotonic)
        self._keys = KeySetCache(
            KeyServiceStub(self._channel), self._state, issuer=self._settings.issuer, monotonic=monotonic
        )
        self._follower = RevocationFollower(
            TokenServiceStub(self._channel), self._state, self._settings, clock=clock, monotonic=monotonic
        )
        self._stopping = threading.Event()
        self._was_stale = False
        self._process = os.getpid()
        self._threads = [
            threading.Thread(target=target, name=f"tokenauthority-{name}", daemon=True)
            for name, target in (("revocations", self._follower.follow), ("keys", self._maintain))
        ]

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ, **options: Unpack[VerifierOptions]) -> Self:
        """Make a verifier from the environment variables that `Authority.from_environment` reads.

        Args:
            environ: the variables.
            **options: see `VerifierOptions`. The default of `project_ids` is TOKENAUTHORITY_PROJECT_ID.

        Raises:
            ValueError: a required variable or option is missing, or a value is invalid.
            OSError: the file of the API key, or one with certificates, cannot be read.
        """
        return cls(connection_from(environ), **options)

    def start(self) -> None:
        """Start the threads, and wait up to `sync_timeout` seconds for the keys and everything in force.

        Raises:
            NotSyncedError: they did not come in time or the verifier was closed; it is closed now. The text says why.
            RuntimeError: the verifier was started or closed before.
        """
        if self._stopping.is_set():
            raise RuntimeError(_CLOSED)
        self._process = os.getpid()
        for thread in self._threads:
            thread.start()
        try:
            limit = self._settings.max_staleness
            # Without a limit any finite age will do: everything is there.
            oldest = sys.float_info.max if limit is None else limit
            self._state.wait_until_synced(self._settings.sync_timeout, oldest)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the threads. Every token is STALE from now on."""
        self._stopping.set()
        self._state.close()
        self._keys.wake.set()
        self._follower.close()
        self._channel.close()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(_JOIN)

    def verify(self, token: str | Token, *, session_id: str = "", required_permissions: Iterable[str] = ()) -> Verdict:
        """Check whether a token is valid now. It never waits, and no text makes it raise.

        Args:
            token: a SESSION_JWT; a token of another format is KEY_UNKNOWN.
            session_id: the session that the token must be for; empty for any.
            required_permissions: what the token must allow, such as "publish".

        Returns:
            A value that is true if the token is valid, and else says why it is not.

        Raises:
            ValueError: a permission is unknown.
            TypeError: an argument has the wrong type, such as a token in bytes; the message names it.
        """
        presented, session_id = token_text(token), instance("session_id", session_id, str)
        permissions = checks.parse_permissions(required_permissions)
        age, keys, index = self._state.age(), self._state.keys, self._state.index
        if index is None or self._is_stale(age):
            return Verdict(active=False, reason=STALE, detail=self._stale_detail(age), age=age)
        context = checks.CheckContext(
            project_ids=self._settings.project_ids,
            issuer=keys.issuer,
            find_key=self._keys.find_key,
            index=index,
            now=whole_seconds(Millis(self._clock())),
            leeway=self._settings.leeway,
        )
        try:
            signed = checks.require_signed_token(presented, context)
        except TokenRejectedError as rejected:
            return Verdict(active=False, reason=rejected.reason.value, detail=rejected.detail, age=age)
        claims = to_client_claims(signed.claims, signed.key_hint)
        try:
            checks.require_valid_claims(signed.claims, context, session_id, permissions)
        except TokenRejectedError as rejected:
            return Verdict(active=False, reason=rejected.reason.value, detail=rejected.detail, claims=claims, age=age)
        return Verdict(active=True, claims=claims, age=age)

    def age(self) -> float:
        """Return the age in seconds of the keys and revocations, by a clock that cannot be set; infinite at first.

        It is the greater of two ages. The age of the revocations: the time since the moment up to which the authority
        confirmed that none is missing (by a heartbeat, or the end of what was in force); a delayed message does not
        make it less. And the age of the keys beyond the `max_age` that came with them: the authority publishes a new
        key at least that long before it signs with it.
        """
        return self._state.age()

    def status(self) -> Status:
        """Return its state, for health checks and metrics."""
        age, index = self._state.age(), self._state.index
        return Status(
            synced=self._state.synced,
            stale=self._is_stale(age),
            age=age,
            keys=tuple(sorted(self._state.keys.keys)),
            revocations=0 if index is None else len(index),
            last_error=self._why_inactive() or self._state.last_error,
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
        """Start, without blocking the event loop."""
        try:
            await asyncio.to_thread(self.start)
        except asyncio.CancelledError:
            # The thread goes on, and nobody calls `__aexit__` of what was never entered.
            await asyncio.shield(asyncio.to_thread(self.close))
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close, without blocking the event loop."""
        await asyncio.to_thread(self.close)

    def __repr__(self) -> str:
        """Show the address and the status, without the API key."""
        return f"Verifier({self._address!r}, {self.status()!r})"

    def _maintain(self) -> None:
        while not self._stopping.is_set():
            self._keys.wake.clear()
            due = self._keys.refresh_if_due()
            self._log_staleness()
            self._keys.wake.wait(min(_TICK, due))

    def _is_stale(self, age: float) -> bool:
        limit = self._settings.max_staleness
        outdated = limit is not None and age > limit
        return outdated or not self._state.synced or bool(self._why_inactive())

    def _why_inactive(self) -> str:
        if self._stopping.is_set():
            return _CLOSED
        # Its threads are in the process that was forked, and nothing will ever change here.
        return _FORKED if os.getpid() != self._process else ""

    def _stale_detail(self, age: float) -> str:
        if not self._state.synced:
            return "the verifier has not received the keys and revocations yet"
        return self._why_inactive() or f"the verifier's keys or revocations are {age:.0f}s old"

    def _log_staleness(self) -> None:
        if self._stopping.is_set():
            return
        age = self._state.age()
        stale = self._state.synced and self._is_stale(age)
        if stale and not self._was_stale:
            _logger.error("the keys or revocations are %.0f seconds old: every token is refused as STALE", age)
        elif self._was_stale and not stale:
            _logger.info("the keys and revocations are current again")
        self._was_stale = stale
