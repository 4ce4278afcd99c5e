"""Follows WatchRevocations: reads the stream for as long as it lives, and resumes it where it broke off."""

from __future__ import annotations

import logging
import threading

from typing import TYPE_CHECKING, Final

import grpc

from tokenauthority.client.backoff import Backoff
from tokenauthority.client.errors import AuthorityError, InvalidArgument, from_rpc_error
from tokenauthority.domain.times import DAY, Millis
from tokenauthority.v1 import token_pb2
from tokenauthority.verifier.replica import ReplicaError, RevocationReplica
from tokenauthority.verifier.settings import LONGEST_PAUSE


if TYPE_CHECKING:
    from collections.abc import Callable

    from tokenauthority.v1.token_pb2_grpc import TokenServiceStub
    from tokenauthority.verifier.settings import VerifierSettings
    from tokenauthority.verifier.state import VerifierState


SOURCE: Final = "WatchRevocations"

_PRUNE: Final = DAY * 1000 // 24
"""Milliseconds between two looks for what may be forgotten."""

_LOOK: Final = 60_000
"""Milliseconds before a stream was opened in which a look at the store can have begun that it tells of."""

_APART: Final = 1.0
_DRIFT: Final = 0.001
"""By how much the authority's clock may run ahead of this machine's without having been set: seconds, and a part."""

_TOO_MANY: Final = 2

_logger: Final = logging.getLogger(__name__)


class RevocationFollower:
    """`run` is for a thread of its own; the others are for any. *clock* counts UTC milliseconds."""

    def __init__(
        self,
        stub: TokenServiceStub,
        knowledge: VerifierState,
        settings: VerifierSettings,
        *,
        clock: Callable[[], int],
        monotonic: Callable[[], float],
    ) -> None:
        self._stub = stub
        self._knowledge = knowledge
        self._project_ids = sorted(settings.project_ids)
        self._max_silence = settings.max_silence
        self._max_staleness = settings.max_staleness
        self._long_pauses = 0
        self._warned = False
        self._clock = clock
        self._monotonic = monotonic
        self._history = RevocationReplica(settings.max_revocations)
        self._backoff = Backoff(longest=LONGEST_PAUSE)
        self._stopping = threading.Event()
        self._call: grpc.Call | None = None
        self._asked = self._heard = 0.0
        self._silent = False
        # By the authority's clock: when it began to answer, and the last moment that it told.
        self._opened: Millis | None = None
        self._told = Millis(0)
        self._pruned = Millis(0)

    def run(self) -> None:
        """Read until stopped; whatever breaks off is begun again after a pause."""
        while not self._stopping.is_set():
            error = self._ended()
            if self._stopping.is_set():
                return
            self._knowledge.failed(SOURCE, error)
            if isinstance(error, InvalidArgument):
                # It may be the place to resume at: that of another authority, which this address once was.
                self._history.resume_token = ""
            self._stopping.wait(self._backoff.pause(error.retry_after if isinstance(error, AuthorityError) else None))

    def require_sign_of_life(self) -> None:
        """Break off a stream that has been silent for too long; to be called about every second."""
        call = self._call
        if call is not None and self._monotonic() - self._heard > self._max_silence:
            self._silent = True
            call.cancel()

    def stop(self) -> None:
        """Let `run` end."""
        self._stopping.set()
        call = self._call
        if call is not None:
            call.cancel()

    def _ended(self) -> Exception:
        """Read one stream to its end; why it ended."""
        self._heard, self._silent = self._monotonic(), False
        try:
            self._read()
        except grpc.RpcError as error:
            silence = ReplicaError(f"nothing was heard for {self._max_silence:g} seconds")
            return silence if self._silent else from_rpc_error(error)
        except Exception as error:  # noqa: BLE001 - run() keeps it as the failure that status() shows and the log has, and reads anew
            return error
        return ReplicaError("the authority ended the stream")

    def _read(self) -> None:
        self._history.begin()
        if self._history.is_full:
            self._prune()
        request = token_pb2.WatchRevocationsRequest(
            project_ids=self._project_ids, resume_token=self._history.resume_token
        )
        self._asked, self._opened, self._long_pauses = self._monotonic(), None, 0
        call = self._stub.WatchRevocations(request)
        self._call = call
        try:
            # A stop that came before the call was there has not cancelled it.
            if not self._stopping.is_set():
                for message in call:
                    self._take(message)
        finally:
            self._call = None
            call.cancel()

    def _take(self, message: token_pb2.WatchRevocationsResponse) -> None:
        self._heard = self._monotonic()
        told = self._history.take(message)
        if told is None or self._history.index is None:
            return
        self._knowledge.confirm(self._history.index, self._moment(told))
        self._knowledge.succeeded(SOURCE)
        if message.HasField("heartbeat"):
            self._backoff.reset()
            if self._now() - self._pruned >= _PRUNE:
                self._prune()

    def _moment(self, told: Millis) -> float:
        """When it was *told* by the authority's clock: by the monotonic one here, and at the earliest.

        A message may have been long on its way, and clocks differ. But the authority began to answer after it was
        asked, and its clock says how much later it was *told*. Where that clock was set meanwhile, it says nothing.
        """
        if self._opened is None:
            self._opened, self._told = told, Millis(told - _LOOK)
            return self._asked
        if told < self._told:
            raise ReplicaError("the authority's clock was set back")
        moment = self._asked + (told - self._opened) / 1000
        if moment > self._heard + _APART + (self._heard - self._asked) * _DRIFT:
            raise ReplicaError("the authority's clock was set forward")
        # The first heartbeat of a stream has none before it, and says nothing of how often they come.
        self._compare((told - max(self._told, self._opened)) / 1000)
        self._told = max(told, self._opened)
        return min(self._heard, moment)

    def _compare(self, pause: float) -> None:
        """Tell, once, that heartbeats come too seldom for `max_staleness`: two such pauses in a row are no outage."""
        limit = self._max_staleness
        self._long_pauses = self._long_pauses + 1 if limit is not None and pause > limit else 0
        if self._long_pauses == _TOO_MANY and not self._warned:
            self._warned = True
            _logger.warning(
                "the authority's heartbeats come %.0f seconds apart: with a max_staleness of %g good tokens are STALE"
                " in between",
                pause,
                limit,
            )

    def _now(self) -> Millis:
        # Only what is over by both clocks: one that is set far ahead must not cost what still counts.
        return Millis(min(self._told, self._clock()))

    def _prune(self) -> None:
        self._pruned = self._now()
        self._history.prune(self._pruned)
