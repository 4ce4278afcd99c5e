"""Hold the items of callers' rates and quotas that this server has leased from the store, ahead of their need.

A call is charged in memory while the lease lasts. A call for which it does not last waits for one renewal, together
with all others that wait. Without the store, what is held is used and no more.
"""

from __future__ import annotations

import asyncio

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

import attrs

from tokenauthority.domain.caller import Caller, Grant
from tokenauthority.domain.errors import UnavailableError
from tokenauthority.domain.leases import Lease, LeaseRequest, lease_size, most_held
from tokenauthority.domain.times import Millis
from tokenauthority.storage.store import UsageStore


INTERVAL: Final = 1.0
"""Seconds between two renewals, if no call waits for one."""

_PAGE: Final = 500
"""Callers whose leases are renewed in one transaction."""

_PATIENCE: Final = 2.0
"""Seconds for which a call waits for a renewal."""

_CLOSING: Final = 5.0
"""Seconds to return what is left at a stop."""

_RATE_PAUSE: Final = 200
_QUOTA_PAUSE: Final = 5000
"""Milliseconds for which the store is not asked again after it had too few items: other servers may return some."""

_LOST_PAUSE: Final = 1000
"""Milliseconds for which the store is not asked again after it could not be reached."""

_IDLE: Final = 60_000
"""Milliseconds after the last call of a caller, when its lease is returned."""


_NEVER: Final = Millis(0)


@attrs.define(kw_only=True)
class _Held:
    """The lease of one caller by its grant, and what it has used since `measured`.

    `returned` are items of the lease that the store gets back with the next request, and `refused_until` says when it
    may be asked for more.
    """

    grant: Grant
    measured: Millis
    used_at: Millis
    items: int = 0
    returned: int = 0
    day: int = 0
    ends: Millis = _NEVER
    waiting: int = 0
    used: int = 0
    per_second: float = 0.0
    refused_until: Millis = _NEVER
    left: int | None = None
    wait: Millis = _NEVER

    def is_by(self, grant: Grant) -> bool:
        """Return whether *grant* has the limits by which it was leased."""
        former = self.grant
        return former is grant or (former.rate == grant.rate and former.daily_quota == grant.daily_quota)

    def refuses(self, now: Millis) -> bool:
        """Return whether the store had too few items a moment ago. A clock that was set back lets it be asked."""
        return now < self.refused_until <= now + _QUOTA_PAUSE and now < self.ends

    def put_back(self, items: int) -> None:
        """Have *items* of the lease returned with the next request."""
        self.items -= items
        self.returned += items

    def measure(self, now: Millis) -> None:
        """Learn how much the caller uses: more at once, less by and by."""
        elapsed = now - self.measured
        if not 0 <= elapsed < INTERVAL * 1000:
            recent = max(0.0, self.used * 1000 / elapsed)
            self.per_second = max(recent, 0.8 * self.per_second)
            self.used, self.measured = 0, now


class CallerLeases:
    """The leases of the callers that call here. Times are those of *clock*."""

    def __init__(self, store: UsageStore, clock: Callable[[], Millis]) -> None:
        self._store = store
        self._clock = clock
        self._held: dict[str, _Held] = {}
        self._renewal = asyncio.Event()
        self._turn = asyncio.Lock()
        self._lost_until = Millis(0)
        self._closed = False
        self.woken: Final = asyncio.Event()

    def try_use(self, caller: Caller, items: int, now: Millis) -> bool:
        """Use *items* of the lease, if it has so many; return whether it had."""
        held = self._held.get(caller.name)
        if held is None or held.items < items or now >= held.ends or not held.is_by(caller.grant):
            return False
        held.items -= items
        held.used += items
        held.used_at = now
        return True

    def refuses(self, caller: Caller, now: Millis) -> bool:
        """Return whether the store had too few items for this caller, with this grant, a moment ago."""
        held = self._held.get(caller.name)
        return held is not None and held.is_by(caller.grant) and held.refuses(now)

    def waits(self, caller: Caller, items: int, now: Millis) -> tuple[Millis, Millis]:
        """Return how long *items* have to wait by the rate and by the quota, in milliseconds, as far as is known."""
        held = self._held.get(caller.name)
        if held is None or not held.refuses(now):
            return Millis(0), Millis(0)
        if held.left is not None and held.left + held.items < items:
            return Millis(0), Millis(held.ends - now)
        return Millis(max(held.wait, held.refused_until - now)), Millis(0)

    def left_today(self, caller: Caller) -> int | None:
        """Return what was left of the daily quota at the last lease, and is left of the lease; None if not known."""
        held = self._held.get(caller.name)
        return None if held is None or held.left is None else held.left + held.items

    async def obtain(self, caller: Caller, items: int) -> None:
        """Wait for one renewal that asks for *items* too.

        Raises:
            UnavailableError: the store cannot be reached, or the server stops.
        """
        now = self._clock()
        held = self._held.get(caller.name)
        if held is None:
            held = self._held[caller.name] = _Held(grant=caller.grant, measured=now, used_at=now)
        if not held.is_by(caller.grant):
            # The lease may be more than the new limits let.
            held.put_back(held.items)
            held.grant, held.refused_until = caller.grant, _NEVER
        held.used_at = now
        if self._closed or now < self._lost_until <= now + _LOST_PAUSE:
            raise UnavailableError.store()
        held.waiting += items
        self.woken.set()
        renewal = self._renewal
        try:
            async with asyncio.timeout(_PATIENCE):
                await renewal.wait()
        except TimeoutError:
            self._lost_until = Millis(self._clock() + _LOST_PAUSE)
            raise UnavailableError.store("a lease was not renewed in time") from None
        finally:
            held.waiting -= items
        if self._clock() < self._lost_until:
            raise UnavailableError.store()

    async def renew(self) -> None:
        """Ask the store for what calls wait for, and for what they will need soon. An outage is not raised."""
        async with self._turn:
            renewal, self._renewal = self._renewal, asyncio.Event()
            try:
                if not self._closed:
                    await self._exchange(self._requests(self._clock()))
                    # Also if the clock was set back meanwhile: else that moment would be far away.
                    self._lost_until = _NEVER
            except UnavailableError:
                # The store logs it.
                self._lost_until = Millis(self._clock() + _LOST_PAUSE)
            finally:
                renewal.set()

    async def close(self) -> None:
        """Return what is held, and lease no more."""
        async with self._turn:
            self._closed = True
            requests = [self._return_all(name, held) for name, held in self._held.items() if held.items]
            self._held.clear()
            with suppress(UnavailableError, TimeoutError):
                async with asyncio.timeout(_CLOSING):
                    await self._exchange(requests)

    async def _exchange(self, requests: Sequence[LeaseRequest]) -> None:
        for first in range(0, len(requests), _PAGE):
            page = requests[first : first + _PAGE]
            now = self._clock()
            for request, lease in zip(page, await self._store.lease(page, now), strict=True):
                self._take(request, lease, Millis(now + lease.ends_in))

    def _requests(self, now: Millis) -> list[LeaseRequest]:
        requests = []
        for name, held in tuple(self._held.items()):
            held.measure(now)
            if not held.waiting and now - held.used_at > _IDLE:
                del self._held[name]
                requests.append(self._return_all(name, held))
                continue
            size = lease_size(held.grant, held.per_second)
            if not held.waiting and held.items > min(2 * size, most_held(held.grant)):
                # A batch was refused that had too few, or the caller uses less: others may need them.
                held.put_back(held.items - size)
            items = held.items if now < held.ends else 0
            needed = max(0, held.waiting - items)
            if held.refuses(now) or not (needed or (held.per_second and 4 * items < 3 * size)):
                requests.append(self._request(name, held))
            else:
                requests.append(self._request(name, held, needed=needed, ahead=max(0, size - items)))
        return [request for request in requests if request.needed or request.ahead or request.returned]

    def _return_all(self, name: str, held: _Held) -> LeaseRequest:
        held.put_back(held.items)
        return self._request(name, held)

    def _request(self, name: str, held: _Held, *, needed: int = 0, ahead: int = 0) -> LeaseRequest:
        rate, quota = held.grant.rate, held.grant.daily_quota
        # Not returned again if the exchange fails: the store may have counted it.
        returned, held.returned = held.returned, 0
        return LeaseRequest(
            caller=name, rate=rate, quota=quota, needed=needed, ahead=ahead, returned=returned, day=held.day
        )

    def _take(self, request: LeaseRequest, lease: Lease, ends: Millis) -> None:
        held, now = self._held.get(lease.caller), self._clock()
        if held is None:
            return
        if held.day != lease.day:
            held.items = held.returned = 0
        held.items += lease.items
        held.day, held.ends = lease.day, ends
        held.left, held.wait = lease.left, lease.wait
        if request.needed:
            pause = _QUOTA_PAUSE if lease.left == 0 else _RATE_PAUSE
            held.refused_until = Millis(now + pause) if lease.items < request.needed else _NEVER
        elif request.returned:
            # There is something to lease again.
            held.refused_until = _NEVER
