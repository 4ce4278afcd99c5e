"""Hold every caller to the rate and the daily quota of its grant, in items: an RPC is one, a batch of 100 a hundred.

The first item of an RPC is charged here, before its bytes are decoded, and the others by `CallerRateLimiter.charge`,
before any of them is decided or signed: all or none. A refused batch is charged for one item, as decoding it was work.
A caller that waits for the `retry_after` of its refusal passes at its next try, unless another server was asked before.
The burst and the rate hold here by a bucket in this process, and with the quota for all servers by leases of the store
(`CallerLeases`). Both are by the caller's name, and survive a reload of the callers file.
The streams of a caller are bounded too, so that no caller can hold all streams of the server.
"""

from __future__ import annotations

import collections

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from prometheus_client import CollectorRegistry, Counter

from tokenauthority.authority.caller_leases import CallerLeases
from tokenauthority.callers.registry import CurrentCallers
from tokenauthority.domain.caller import Caller
from tokenauthority.domain.counts import counted
from tokenauthority.domain.errors import RateLimitError
from tokenauthority.domain.rates import Bucket, free_items, take_items
from tokenauthority.domain.times import Millis
from tokenauthority.interceptors.call import Call, Proceed


_FULL: Final = Bucket()

_STREAMS: Final = "limits.max_streams_per_caller"
_STREAM_PAUSE: Final = 5.0
"""Seconds after which to retry: streams stay open for long."""


class CallerRateLimiter:
    """The buckets of the current *callers*; those of others are deleted. *max_streams* is for each caller."""

    def __init__(
        self,
        registry: CollectorRegistry,
        callers: CurrentCallers,
        leases: CallerLeases,
        clock: Callable[[], Millis],
        max_streams: int,
    ) -> None:
        self._callers = callers
        self.leases: Final = leases
        self._max_streams = max_streams
        self._streams: collections.Counter[str] = collections.Counter()
        self._clock = clock
        self._version = callers.version
        self._buckets: dict[str, Bucket] = {}
        self._refused = Counter(
            "tokenauthority_rate_limited",
            "RPCs refused by a limit of their caller's grant, by caller of the callers file and limit.",
            ("caller", "limit"),
            registry=registry,
        )

    async def intercept(self, call: Call, proceed: Proceed) -> object:
        """Charge the first item; a public method, which has no caller, is free."""
        caller = call.caller
        if caller is None:
            return await proceed(call)
        if not call.streaming:
            await self._charge(caller, 1, paid=0)
            return await proceed(call)
        with self._counted_stream(caller.name):
            await self._charge(caller, 1, paid=0)
            return await proceed(call)

    async def charge(self, caller: Caller, items: int) -> None:
        """Charge all but the first of the *items* that one RPC asks for, all or none.

        Raises:
            RateLimitError: a limit of the caller's grant refuses them.
            UnavailableError: more has to be leased, and the store cannot be reached.
        """
        if items > 1:
            await self._charge(caller, items, paid=1)

    def left(self, caller: Caller) -> tuple[int | None, int | None]:
        """Return what is left of the burst at this server, and of the daily quota; None without such a limit."""
        rate, bucket = caller.grant.rate, self._buckets.get(caller.name, _FULL)
        return None if rate is None else free_items(bucket, rate, self._clock()), self.leases.left_today(caller)

    @contextmanager
    def _counted_stream(self, name: str) -> Iterator[None]:
        if self._streams[name] >= self._max_streams:
            self._refused.labels(name, _STREAMS).inc()
            raise RateLimitError(
                f"caller {name} has {counted(self._max_streams, 'stream')} open, as many as {_STREAMS} lets",
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

    async def _charge(self, caller: Caller, items: int, *, paid: int) -> None:
        grant = caller.grant
        if grant.rate is None and grant.daily_quota is None:
            return
        if self._version != self._callers.version:
            self._delete_buckets_of_former_callers()
        while not self._take(caller, items, paid=paid):
            await self.leases.obtain(caller, items - paid)

    def _take(self, caller: Caller, items: int, *, paid: int) -> bool:
        """Take items of the bucket and of the lease; return False if more has to be leased first."""
        grant, now = caller.grant, self._clock()
        if grant.daily_quota is not None and items > grant.daily_quota:
            raise self._counted(caller, _refusal(caller, items, Millis(0), None))
        rate_wait: Millis | None = Millis(0)
        bucket = self._buckets.get(caller.name, _FULL)
        if grant.rate is not None:
            decision = take_items(bucket, grant.rate, items, now, paid=paid)
            bucket, rate_wait = decision.state, decision.wait
            if not decision.granted:
                self._buckets[caller.name] = bucket
        if rate_wait == 0:
            if self.leases.try_use(caller, items - paid, now):
                self._buckets[caller.name] = bucket
                return True
            if not self.leases.refuses(caller, now):
                return False
        lease_wait, quota_wait = self.leases.waits(caller, items - paid, now)
        raise self._counted(
            caller, _refusal(caller, items, None if rate_wait is None else max(rate_wait, lease_wait), quota_wait)
        )

    def _counted(self, caller: Caller, error: RateLimitError) -> RateLimitError:
        self._refused.labels(caller.name, error.limit).inc()
        return error

    def _delete_buckets_of_former_callers(self) -> None:
        present = {entry.caller.name for entry in self._callers.registry.entries}
        for name in self._buckets.keys() - present:
            del self._buckets[name]
            self._refused.remove_by_labels({"caller": name})
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
        problem = (
            f"has not enough left of its {counted(grant.daily_quota or 0, 'item')} of this UTC day; try again tomorrow"
        )
        return _error(caller, "daily_quota", quota_wait, problem)
    return _error(caller, "rate", rate_wait, f"has used up its rate of {grant.rate}; try again in {rate_wait} ms")


def _error(caller: Caller, limit: str, wait: Millis | None, problem: str) -> RateLimitError:
    return RateLimitError(
        f"caller {caller.name} {problem}",
        subject=f"caller:{caller.name}",
        limit=limit,
        retry_after=None if wait is None else wait / 1000,
    )
