"""Follow WatchRevocations: apply each message to the replica, and say how current the replica is."""

from __future__ import annotations

import logging

from collections.abc import Callable
from typing import Final

from tokenauthority.client.backoff import Backoff
from tokenauthority.client.blocking.watch import MessageWatch
from tokenauthority.client.errors import AuthorityError, InvalidArgument
from tokenauthority.client.streams import Stream
from tokenauthority.domain.times import DAY, Millis
from tokenauthority.v1 import token_pb2
from tokenauthority.v1.token_pb2_grpc import TokenServiceStub
from tokenauthority.verifier.replica import ReplicaError, RevocationReplica
from tokenauthority.verifier.settings import LONGEST_PAUSE, VerifierSettings
from tokenauthority.verifier.state import VerifierState


SOURCE: Final = "WatchRevocations"

_PRUNE_INTERVAL: Final = DAY * 1000 // 24
"""Milliseconds between two searches for events that cover no valid token any more."""

_MAX_LOOK: Final = 60_000
"""Milliseconds before a stream was opened in which the store look that its first heartbeat reports may have begun."""

_CLOCK_TOLERANCE: Final = 1.0
_CLOCK_DRIFT: Final = 0.001
"""How far the authority's clock may run ahead of this machine's without having been set: seconds, and a fraction."""

_TOO_MANY: Final = 2

_logger: Final = logging.getLogger(__name__)


class RevocationFollower:
    """Keeps a replica of the revocations in force. `follow` is for a thread of its own, `close` for any thread."""

    def __init__(
        self,
        stub: TokenServiceStub,
        state: VerifierState,
        settings: VerifierSettings,
        *,
        clock: Callable[[], int],
        monotonic: Callable[[], float],
    ) -> None:
        """Make a follower that reports to *state*; *clock* counts UTC milliseconds, *monotonic* seconds."""
        self._stub = stub
        self._state = state
        self._project_ids = sorted(settings.project_ids)
        self._max_silence = settings.max_silence
        self._max_staleness = settings.max_staleness
        self._long_pauses = 0
        self._warned = False
        self._clock = clock
        self._monotonic = monotonic
        self._replica = RevocationReplica(settings.max_revocations)
        self._watch = MessageWatch(
            self._open_stream, on_lost=self._report_loss, backoff=Backoff(longest=LONGEST_PAUSE, is_endless=True)
        )
        self._asked = self._heard = 0.0
        # By the authority's clock: when it began to answer, and the last moment that it sent.
        self._opened: Millis | None = None
        self._authority_time = Millis(0)
        self._pruned = Millis(0)

    def follow(self) -> None:
        """Apply messages until closed; reconnect after any error."""
        while True:
            try:
                self._apply_message(self._watch.next_message())
            except StopIteration:
                return
            except Exception as error:  # noqa: BLE001 - status() and the log show it, and the stream is read anew
                if not self._watch.closed:
                    self._state.report_failure(SOURCE, error)
                self._watch.reopen()

    def close(self) -> None:
        """End `follow`."""
        self._watch.close()

    def _open_stream(self, _: str) -> Stream:
        # The replica says where to resume: what is in force must be read again if it was not read to its end.
        self._replica.begin_stream()
        if self._replica.is_full:
            self._prune()
        self._asked, self._opened, self._long_pauses = self._monotonic(), None, 0
        return Stream(self._stub, self._project_ids, self._replica.resume_token, self._max_silence, self._monotonic)

    def _report_loss(self, error: AuthorityError, _: float) -> None:
        self._state.report_failure(SOURCE, error)
        if isinstance(error, InvalidArgument):
            # The resume token may be from another authority, which this address once was.
            self._replica.resume_token = ""

    def _apply_message(self, message: token_pb2.WatchRevocationsResponse) -> None:
        self._heard = self._monotonic()
        complete_to = self._replica.apply_message(message)
        if complete_to is None or self._replica.index is None:
            return
        self._state.confirm_index(self._replica.index, self._to_monotonic(complete_to))
        self._state.report_success(SOURCE)
        if message.HasField("heartbeat") and self._prune_time() - self._pruned >= _PRUNE_INTERVAL:
            self._prune()

    def _to_monotonic(self, authority_time: Millis) -> float:
        """Convert a time of the authority's clock to this machine's monotonic clock; to the earliest it can be.

        A message may have been delayed, and clocks differ. But the authority began to answer after it was asked, and
        its clock says how much later *authority_time* is. If that clock was set meanwhile, raise ReplicaError.
        """
        if self._opened is None:
            self._opened, self._authority_time = authority_time, Millis(authority_time - _MAX_LOOK)
            return self._asked
        if authority_time < self._authority_time:
            raise ReplicaError("the authority's clock was set back")
        moment = self._asked + (authority_time - self._opened) / 1000
        if moment > self._heard + _CLOCK_TOLERANCE + (self._heard - self._asked) * _CLOCK_DRIFT:
            raise ReplicaError("the authority's clock was set forward")
        # The first heartbeat of a stream has none before it, and says nothing of how often they come.
        self._check_heartbeat_interval((authority_time - max(self._authority_time, self._opened)) / 1000)
        self._authority_time = max(authority_time, self._opened)
        return min(self._heard, moment)

    def _check_heartbeat_interval(self, seconds: float) -> None:
        """Warn once if heartbeats come too seldom for `max_staleness`; two such pauses in a row are no outage."""
        limit = self._max_staleness
        self._long_pauses = self._long_pauses + 1 if limit is not None and seconds > limit else 0
        if self._long_pauses == _TOO_MANY and not self._warned:
            self._warned = True
            _logger.warning(
                "the authority's heartbeats come %.0f seconds apart: with a max_staleness of %g valid tokens are STALE"
                " in between",
                seconds,
                limit,
            )

    def _prune_time(self) -> Millis:
        # Both clocks must agree that an event has expired: one clock that is set far ahead must not delete what counts.
        return Millis(min(self._authority_time, self._clock()))

    def _prune(self) -> None:
        self._pruned = self._prune_time()
        self._replica.delete_expired(self._pruned)
