"""Bound how many credentials are verified after failed authentications, and refuse no cached credential.

Each origin (see `domain.origin`) has a bucket of failures. An origin whose bucket is empty is throttled: its
credentials are still verified, as a caller with valid ones may share its address (a NAT, a load balancer), but only so
many in a second for all throttled origins together. A cached credential needs no verification, so it always passes.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from prometheus_client import CollectorRegistry, Counter

from tokenauthority.domain.caller import Rate
from tokenauthority.domain.errors import RateLimitError, Reason, TokenAuthorityError, UnauthenticatedError
from tokenauthority.domain.origin import origin_of
from tokenauthority.domain.times import Millis
from tokenauthority.interceptors.buckets import Buckets


class AuthFailureLimiter:
    """A limit of failures for *each* origin, and of verifications for all *throttled* origins together."""

    def __init__(
        self, registry: CollectorRegistry, clock: Callable[[], Millis], *, each: Rate, throttled: Rate
    ) -> None:
        self._clock = clock
        self._origins = Buckets(each)
        self._throttled = Buckets(throttled)
        self._failures = Counter(
            "tokenauthority_failed_authentications",
            "Calls without a valid credential, by whether it was verified or refused for too many failures.",
            ("examined",),
            registry=registry,
        )

    def may_verify(self, peer: str) -> bool:
        """Return whether a credential from *peer* that is not cached may be verified now."""
        if not len(self._origins):
            return True
        now = self._clock()
        return not self._origins.refill(origin_of(peer), now) or self._throttled.try_take("", now)

    def count_failure(self, peer: str, *, verified: bool) -> TokenAuthorityError:
        """Count a failure, and return the error to answer."""
        self._failures.labels("yes" if verified else "no").inc()
        now = self._clock()
        if verified:
            self._origins.try_take(origin_of(peer), now)
            return UnauthenticatedError()
        return RateLimitError(
            "too many failed authentications from this address; try again shortly",
            subject=f"address:{origin_of(peer)}",
            limit="failed_auth_rate",
            retry_after=self._throttled.refill("", now) / 1000,
            reason=Reason.ADDRESS_THROTTLED,
        )


class AuthAttempt(msgspec.Struct):
    """The authentication of one call from *peer*, as gRPC names it."""

    _limiter: AuthFailureLimiter
    _peer: str
    _verified: bool = True

    def may_verify(self) -> bool:
        """Return whether its credential may be verified; see `PresentedCredentials.may_verify`."""
        self._verified = self._limiter.may_verify(self._peer)
        return self._verified

    def fail(self) -> TokenAuthorityError:
        """Count it as failed, and return the error to answer."""
        return self._limiter.count_failure(self._peer, verified=self._verified)
