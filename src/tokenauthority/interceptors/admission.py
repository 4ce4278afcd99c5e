"""Bounds how many RPCs are answered at once, and takes none any more once the server drains."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokenauthority.domain.errors import OverloadedError, Reason, UnavailableError


if TYPE_CHECKING:
    from collections.abc import Collection

    from tokenauthority.interceptors.chain import Call, Proceed


class AdmissionInterceptor:
    """At most *max_concurrent* unary RPCs at once; those of *exempt* (health checks) and streams do not count."""

    def __init__(self, max_concurrent: int, exempt: Collection[str]) -> None:
        self._max_concurrent = max_concurrent
        self._exempt = frozenset(exempt)
        self._running = 0
        self._draining = False

    def drain(self) -> None:
        """Refuse what comes from now on."""
        self._draining = True

    async def intercept(self, call: Call, proceed: Proceed) -> object:
        """Proceed where there is room."""
        if call.streaming or call.method in self._exempt:
            return await proceed(call)
        if self._draining:
            raise UnavailableError(Reason.DRAINING, "the server is shutting down; try again")
        if self._running >= self._max_concurrent:
            raise OverloadedError(self._max_concurrent)
        self._running += 1
        try:
            return await proceed(call)
        finally:
            self._running -= 1
