"""Hold every caller to the rate and the daily quota of its grant, in items: an RPC is one, a batch of 100 a hundred.

The first item of an RPC is charged here, before its bytes are decoded, and the others by `CallerRateLimiter.charge`,
before any of them is decided or signed: all or none. A refused batch is charged for one item, as decoding it was work.
A caller that waits for the `retry_after` of its refusal passes at its next try. Usage is stored by the caller's name,
in this process, and survives a reload of the callers file.
The streams of a caller are bounded too, so that no caller can hold all streams of the server.
"""

from __future__ import annotations

import collections

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import msgspec

from prometheus_client import CollectorRegistry, Counter

from tokenauthority.callers.registry import CurrentCallers
from tokenauthority.domain.caller import Caller
from tokenauthority.domain.errors import RateLimitError
from tokenauthority.domain.rates import Bucket, DayCount, Decision, count_items, take_items
from tokenauthority.domain.times import Millis
from tokenauthority.interceptors.chain import Call, Proceed


class _Usage(msgspec.Struct, frozen=True):
    """What a caller has used of its rate and of its quota."""

    bucket: Bucket = Bucket()
    day: DayCount = DayCount()


_NO_USAGE: Final = _Usage()

_STREAMS: Final = "limits.max_streams_per_caller"
_STREAM_PAUSE: Final = 5.0
"""Seconds after which to retry: streams stay open for long."""


class CallerRateLimiter:
    """The usage of the current *callers*; that of others is deleted. *max_streams* is for each caller."""

    def __init__(
        self, registry: CollectorRegistry, callers: CurrentCallers, clock: Callable[[], Millis], max_streams: int
    ) -> None:
        self._callers = callers
        self._max_streams = max_streams
        self._streams: collections.Counter[str] = collections.Counter()
        self._clock = clock
        self._version = callers.version
        self._usages: dict[str, _Usage] = {}
        self._refused = Counter(
            "tokenauthority_rate_limited",
            "RPCs refused by a limit of their caller's grant, by limit.",
            ("limit",),
            registry=registry,
        )

    async def intercept(self, call: Call, proceed: Proceed) -> object:
        """Charge the first item; a public method, which has no caller, is free."""
        caller = call.caller
        if caller is None:
            return await proceed(call)
        if not call.streaming:
            self._charge(caller, 1, paid=0)
            return await proceed(call)
        with self._counted_stream(caller.name):
            self._charge(caller, 1, paid=0)
            return await proceed(call)

    def charge(self, caller: Caller, items: int) -> None:
        """Charge all but the first of the *items* that one RPC asks for, all or none; raise RateLimitError."""
        if items > 1:
            self._charge(caller, items, paid=1)

    @contextmanager
    def _counted_stream(self, name: str) -> Iterator[None]:
        if self._streams[name] >= self._max_streams:
            self._refused.labels(_STREAMS).inc()
            raise RateLimitError(
                f"caller {name} has {self._max_streams} streams open, as many as {_STREAMS} lets",
                subject=f"caller:{name}",
                limit=_STREAMS,
                retry_after=_STREAM_PAUSE,
            )
        self._streams[name] += 1
        try:
            yield
        finally:
            self._streams[name] -= 1
            if not self._streams[name]:
                del self._streams[name]

    def _charge(self, caller: Caller, items: int, *, paid: int) -> None:
        grant = caller.grant
        if grant.rate is None and grant.daily_quota is None:
            return
        if self._version != self._callers.version:
            self._delete_usage_of_former_callers()
        usage, now = self._usages.get(caller.name, _NO_USAGE), self._clock()
        free = (
            Decision(usage.bucket)
            if grant.rate is None
            else take_items(usage.bucket, grant.rate, items, now, paid=paid)
        )
        quota = grant.daily_quota
        left = Decision(usage.day) if quota is None else count_items(usage.day, quota, items, now, paid=paid)
        granted = free.granted and left.granted
        self._usages[caller.name] = _Usage(
            free.state if granted or not free.granted else usage.bucket,
            left.state if granted or not left.granted else usage.day,
        )
        if not granted:
            error = _refusal(caller, items, free.wait, left.wait)
            self._refused.labels(error.limit).inc()
            raise error

    def _delete_usage_of_former_callers(self) -> None:
        present = {entry.caller.name for entry in self._callers.registry.entries}
        self._usages = {name: usage for name, usage in self._usages.items() if name in present}
        self._version = self._callers.version


def _refusal(caller: Caller, items: int, rate_wait: Millis | None, quota_wait: Millis | None) -> RateLimitError:
    """Return the error that names the limit with the longest wait."""
    grant = caller.grant
    if rate_wait is None:
        burst = grant.rate.burst if grant.rate else 0
        return _error(caller, "burst", None, f"asks for {items} items, more than its burst of {burst} ever lets pass")
    if quota_wait is None:
        quota = grant.daily_quota
        return _error(caller, "daily_quota", None, f"asks for {items} items, more than its daily quota of {quota}")
    if quota_wait > rate_wait:
        problem = f"has not enough left of its {grant.daily_quota} items of this UTC day; try again tomorrow"
        return _error(caller, "daily_quota", quota_wait, problem)
    rate = f"{grant.rate.per_second:g} items per second" if grant.rate else ""
    return _error(caller, "rate", rate_wait, f"has used up its rate of {rate}; try again in {rate_wait} ms")


def _error(caller: Caller, limit: str, wait: Millis | None, problem: str) -> RateLimitError:
    return RateLimitError(
        f"caller {caller.name} {problem}",
        subject=f"caller:{caller.name}",
        limit=limit,
        retry_after=None if wait is None else wait / 1000,
    )
