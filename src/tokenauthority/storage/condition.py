"""Learn from its units of work what a store can do, and how long it takes, and log each loss and each recovery once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol, TypeVar

import attrs
import structlog

from tokenauthority.domain.errors import Reason, UnavailableError
from tokenauthority.durations import Durations
from tokenauthority.outage import Outage
from tokenauthority.storage.failures import is_unreachable


T = TypeVar("T")

_SETTLED: Final = 1.0
"""Seconds without a failure before a success is a recovery, so that a store that fails now and then logs little."""

_IDLE: Final = 10.0
"""Seconds without a write after which only a probe can say whether the store can still be written."""


@attrs.frozen(kw_only=True)
class StoreCondition:
    """What a store can do, as its last units of work have shown. Until one has failed, it can do everything."""

    can_read: bool = True
    can_write: bool = True

    cause: str = ""
    """Why the store cannot be read or written: the driver's code and message, without secrets. Empty if it can."""

    since: float | None = None
    """When the loss began, in seconds of the monotonic clock; None if there is none."""

    @property
    def problem(self) -> str:
        """What the store cannot do, and why; empty if it can do everything."""
        if self.can_read and self.can_write:
            return ""
        return f"cannot be {'written' if self.can_read else 'read'}: {self.cause}"


class ObservedStore(Protocol):
    """A store whose units of work say what it can do."""

    @property
    def condition(self) -> StoreCondition:
        """What the store can do now."""

    @property
    def durations(self) -> Mapping[str, Durations]:
        """How long units of work took, by kind: `read` and `write`. Time in the queue and failures are included."""

    async def probe(self) -> None:
        """Write a little unless other work has lately shown whether the store can be written. It raises nothing."""


class ConditionTracker:
    """Observes every unit of work of a store, on one event loop. `condition` is the present one.

    `durations` is that of `ObservedStore`.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        logger = structlog.stdlib.get_logger(__name__)
        self._outage = Outage(logger, "store.unavailable", recovered="store.recovered")
        self._last_write = self._last_failure = float("-inf")
        self.condition = StoreCondition()
        self.durations: Final = {"read": Durations(), "write": Durations()}

    @property
    def write_is_due(self) -> bool:
        """Whether no write has lately shown if the store can be written: during a loss for a second, else for ten."""
        return self._clock() - self._last_write >= (_IDLE if self.condition.can_write else _SETTLED)

    async def observe(self, unit: Awaitable[T], *, writes: bool) -> T:
        """Return the outcome of *unit*, and learn from it: a refusal of a use case shows only that reading works."""
        started = self._clock()
        try:
            answer = await unit
        except Exception as error:
            if isinstance(error, UnavailableError) and error.reason is Reason.STORE_UNAVAILABLE:
                self._fail(error, writes=writes)
            else:
                self._succeed(writes=False)
            raise
        finally:
            self.durations["write" if writes else "read"].add(self._clock() - started)
        self._succeed(writes=writes)
        return answer

    def _fail(self, error: UnavailableError, *, writes: bool) -> None:
        self._last_failure = now = self._clock()
        if writes:
            self._last_write = now
        before, lost = self.condition, is_unreachable(error.__cause__)
        self.condition = StoreCondition(
            can_read=before.can_read and writes and not lost,
            can_write=before.can_write and not writes and not lost,
            cause=error.cause,
            since=now if before.since is None else before.since,
        )
        # One line for each loss: the first cause. The present one is in `condition`.
        present = self.condition
        self._outage.report("lost", can_read=present.can_read, can_write=present.can_write, cause=present.cause)

    def _succeed(self, *, writes: bool) -> None:
        now = self._clock()
        if writes:
            self._last_write = now
        before = self.condition
        if before.since is None or now - self._last_failure < _SETTLED:
            return
        able = attrs.evolve(before, can_read=True, can_write=before.can_write or writes)
        if able.can_write:
            self._outage.recover(seconds=round(now - before.since, 1), cause=before.cause)
            able = StoreCondition()
        self.condition = able
