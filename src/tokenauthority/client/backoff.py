"""Decide how long to wait before a stream is opened again, and which errors end it for good."""

from __future__ import annotations

import random

from collections.abc import Callable
from typing import Final

import grpc

from tokenauthority.client.errors import AuthorityError


LONGEST_PAUSE: Final = 10.0
"""Seconds between two attempts at most, beside what the authority asks for (up to a minute)."""

_FIRST_PAUSE: Final = 0.25
_LONGEST_ASKED: Final = 60.0
_TEMPORARY: Final = frozenset(
    {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.RESOURCE_EXHAUSTED}
)
_TEMPORARY_WITHOUT_REASON: Final = frozenset({grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN})


# `random.seed` in a program does not change it, and forks of one process draw different numbers.
_SYSTEM: Final = random.SystemRandom()


class Backoff:
    """Exponential backoff with full jitter, so that a thousand watchers do not reconnect in one moment."""

    def __init__(
        self,
        draw: Callable[[float, float], float] = _SYSTEM.uniform,
        longest: float = LONGEST_PAUSE,
        *,
        is_endless: bool = False,
    ) -> None:
        """Begin with a short pause.

        Args:
            draw: a random number between two bounds.
            longest: seconds up to which the pauses double.
            is_endless: retry after any error.
        """
        self._draw = draw
        self._longest = longest
        self._is_endless = is_endless
        self._attempts = 0

    def reset(self) -> None:
        """Make the next pause a short one again."""
        self._attempts = 0

    def pause(self, asked: float | None = None) -> float:
        """Return the seconds to wait after one more failure: at least those *asked* for, up to a minute."""
        longest = min(self._longest, _FIRST_PAUSE * 2 ** min(self._attempts, 16))
        self._attempts += 1
        # On top of what the authority asks for: it asks all whom it sends away for the same.
        return min(max(asked or 0.0, 0.0), _LONGEST_ASKED) + self._draw(0, longest)

    def pause_after(self, error: AuthorityError) -> float:
        """Return the seconds to wait after *error*, or raise *error* if another attempt would fail in the same way."""
        if not (self._is_endless or _is_temporary(error)):
            raise error
        return self.pause(error.retry_after)


def _is_temporary(error: AuthorityError) -> bool:
    # An error without a reason comes from a proxy or the network, not from an authority.
    return error.code in _TEMPORARY or (not error.reason and error.code in _TEMPORARY_WITHOUT_REASON)
