"""Bound how many failed authentications are verified, without refusing callers whose credentials are cached.

Each origin (see `domain.origin`) has a bucket of failures. An origin whose bucket is empty is throttled: its
credentials are still verified, as a caller with valid ones may share its address (a NAT, a load balancer), but only so
many in a second for all throttled origins together. A credential that an authenticator has cached is never throttled.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from functools import lru_cache

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from tokenauthority.domain.caller import Rate
from tokenauthority.domain.errors import RateLimitError, TokenAuthorityError, UnauthenticatedError
from tokenauthority.domain.origin import origin_of
from tokenauthority.domain.times import Millis
from tokenauthority.interceptors.buckets import Buckets


class AuthFailureLimiter(Collector):
    """A limit of failures for *each* origin, and of verifications for all *throttled* origins together."""

    def __init__(
        self, registry: CollectorRegistry, clock: Callable[[], Millis], *, each: Rate, throttled: Rate
    ) -> None:
        self._clock = clock
        self._origins = Buckets(each)
        self._throttled = Buckets(throttled)
        self._failures: Counter[str] = Counter()
        self._origin_of = lru_cache(4096)(origin_of)
        registry.register(self)

    def begin_attempt(self, peer: str) -> AuthAttempt:
        """Return the authentication of a call from *peer*, as gRPC names it."""
        return AuthAttempt(self, peer)

    def may_verify(self, peer: str) -> bool:
        """Return whether a credential from *peer* that is not cached may be verified now."""
        if not len(self._origins):
            return True
        now = self._clock()
        return not self._origins.refill(self._origin_of(peer), now) or self._throttled.try_take("", now)

    def count_failure(self, peer: str, *, verified: bool) -> TokenAuthorityError:
        """Count a failure, and return the error to answer."""
        self._failures["yes" if verified else "no"] += 1
        now = self._clock()
        if verified:
            self._origins.try_take(self._origin_of(peer), now)
            return UnauthenticatedError()
        return RateLimitError(
            "too many failed authentications from this address; try again shortly",
            subject=f"address:{self._origin_of(peer)}",
            limit="failed_auth_rate",
            retry_after=self._throttled.refill("", now) / 1000,
        )

    def collect(self) -> Iterator[Metric]:
        """Return the numbers as Prometheus' metrics."""
        failed = CounterMetricFamily(
            "tokenauthority_failed_authentications",
            "Calls without a valid credential, by whether it was verified or refused for too many failures.",
            labels=("examined",),
        )
        for verified, count in self._failures.items():
            failed.add_metric((verified,), count)
        yield failed


class AuthAttempt:
    """The authentication of one call."""

    __slots__ = ("_limiter", "_peer", "_verified")

    def __init__(self, limiter: AuthFailureLimiter, peer: str) -> None:
        self._limiter = limiter
        self._peer = peer
        self._verified = True

    def may_verify(self) -> bool:
        """Return whether its credential may be verified; see `PresentedCredentials.may_verify`."""
        self._verified = self._limiter.may_verify(self._peer)
        return self._verified

    def fail(self) -> TokenAuthorityError:
        """Count it as failed, and return the error to answer."""
        return self._limiter.count_failure(self._peer, verified=self._verified)
