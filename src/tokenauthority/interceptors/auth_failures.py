"""Bounds what failed authentications cost, and by that never keeps a good credential out that was seen before.

Each origin (see `domain.origin`) may fail so often. One that has used that up is a suspect: what it sends is still
looked at, since a good caller may share its address (a NAT, a load balancer), but all suspects together only so often
in a second. What an authenticator remembers as good costs nothing and is never held back.
"""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from tokenauthority.domain.errors import RateLimitError, UnauthenticatedError
from tokenauthority.domain.origin import origin_of
from tokenauthority.interceptors.buckets import Buckets


if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric

    from tokenauthority.domain.caller import Rate
    from tokenauthority.domain.errors import TokenAuthorityError
    from tokenauthority.domain.times import Millis


class AuthFailureLimiter(Collector):
    """Failures by origin: *each* may have so many; *suspects* is how often those beyond it are looked at."""

    def __init__(self, registry: CollectorRegistry, clock: Callable[[], Millis], *, each: Rate, suspects: Rate) -> None:
        self._clock = clock
        self._origins = Buckets(each)
        self._suspects = Buckets(suspects)
        self._ended: Counter[str] = Counter()
        self._origin_of = lru_cache(4096)(origin_of)
        registry.register(self)

    def attempt(self, peer: str) -> Attempt:
        """Begin the authentication of a call from *peer*, as gRPC names it."""
        return Attempt(self, peer)

    def may_verify(self, peer: str) -> bool:
        """Whether a credential from *peer* that nobody remembers may be looked at now."""
        if not len(self._origins):
            return True
        now = self._clock()
        return self._origins.has(self._origin_of(peer), now) or self._suspects.take("", now)

    def count(self, peer: str, *, examined: bool) -> TokenAuthorityError:
        """Count a failure; what to answer."""
        self._ended["yes" if examined else "no"] += 1
        now = self._clock()
        if examined:
            self._origins.take(self._origin_of(peer), now)
            return UnauthenticatedError()
        return RateLimitError(
            "too many failed authentications from this address; try again shortly",
            subject=f"address:{self._origin_of(peer)}",
            limit="failed_auth_rate",
            retry_after=self._suspects.wait("", now) / 1000,
        )

    def collect(self) -> Iterator[Metric]:
        """The numbers as Prometheus' metrics."""
        failed = CounterMetricFamily(
            "tokenauthority_failed_authentications",
            "Calls without a good credential, by whether it was looked at or refused for too many failures.",
            labels=("examined",),
        )
        for examined, count in self._ended.items():
            failed.add_metric((examined,), count)
        yield failed


class Attempt:
    """The authentication of one call."""

    __slots__ = ("_failures", "_held_back", "_peer")

    def __init__(self, failures: AuthFailureLimiter, peer: str) -> None:
        self._failures = failures
        self._peer = peer
        self._held_back = False

    def may_verify(self) -> bool:
        """See `Presented.may_verify`."""
        self._held_back = not self._failures.may_verify(self._peer)
        return not self._held_back

    def failed(self) -> TokenAuthorityError:
        """Count it as failed; what to answer."""
        return self._failures.count(self._peer, examined=not self._held_back)
