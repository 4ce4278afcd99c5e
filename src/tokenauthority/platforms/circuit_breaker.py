"""Stop asking a platform that has failed several times, and try it by one request at a time until it answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final


FAILURES: Final = 5
"""Failures one after another that open a circuit."""

PAUSE: Final = 10.0
"""Seconds for which nobody asks after that, and after each failed trial."""

_TRIAL: Final = 1.0
"""Seconds after which somebody who meets a trial in progress should come again."""


class CircuitOpenError(Exception):
    """The platform is not asked now; `retry_after` is in seconds."""

    def __init__(self, retry_after: float) -> None:
        super().__init__("the platform has failed and is not asked for a while")
        self.retry_after = retry_after


class CircuitBreaker:
    """The circuit of one project to its platform. *monotonic* returns seconds.

    Each request is one `begin`, and then one of `succeed`, `fail` and `abandon`.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._failures = 0
        self._next_trial = 0.0
        self._in_trial = False

    @property
    def is_open(self) -> bool:
        """Whether requests are stopped, trials aside."""
        return self._failures >= FAILURES

    def begin(self) -> None:
        """Allow a request, or raise CircuitOpenError."""
        if not self.is_open:
            return
        wait = self._next_trial - self._monotonic()
        if wait > 0 or self._in_trial:
            raise CircuitOpenError(max(wait, _TRIAL))
        self._in_trial = True

    def succeed(self) -> None:
        """Close the circuit: the platform has answered, if only to refuse."""
        self._failures = 0
        self._in_trial = False

    def fail(self) -> None:
        """Count a failure."""
        self._failures += 1
        self._in_trial = False
        self._next_trial = self._monotonic() + PAUSE

    def abandon(self) -> None:
        """Allow another trial: this request ended without an outcome, such as by a bug or a stop."""
        self._in_trial = False
