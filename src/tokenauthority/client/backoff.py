"""When a stream that broke off is opened again, and which failures end it for good."""

from __future__ import annotations

import random

from typing import TYPE_CHECKING, Final

import grpc

from tokenauthority.client.errors import AuthorityError, Unavailable


if TYPE_CHECKING:
    from collections.abc import Callable


LONGEST_PAUSE: Final = 10.0
"""Seconds between two attempts, at the most; but where the authority asks for more, up to a minute."""

SILENCE: Final = 90.0
"""Seconds without a message after which a stream counts as lost: heartbeats come every minute or more often."""

_FIRST_PAUSE: Final = 0.25
_LONGEST_ASKED: Final = 60.0
_LOST: Final = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.RESOURCE_EXHAUSTED})
_LOST_ON_THE_WAY: Final = frozenset({grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN})


# A program's own draws after `random.seed` stay as they were, and its forks draw differently.
_SYSTEM: Final = random.SystemRandom()


class Backoff:
    """Pauses between attempts that double up to *longest* seconds, each a random part of that.

    So that a thousand watchers of a server that stops do not come back in one moment, be they forks of one process.
    """

    def __init__(self, draw: Callable[[float, float], float] = _SYSTEM.uniform, longest: float = LONGEST_PAUSE) -> None:
        self._draw = draw
        self._longest = longest
        self._attempts = 0

    def worked(self) -> None:
        """A message came: the next pause is a short one again."""
        self._attempts = 0

    def pause(self, asked: float | None = None) -> float:
        """Seconds to wait after one more failure, whatever it was: at least those *asked* for, up to a minute."""
        longest = min(self._longest, _FIRST_PAUSE * 2 ** min(self._attempts, 16))
        self._attempts += 1
        # On top of what is asked: all who were sent away together are asked for the same.
        return min(asked or 0.0, _LONGEST_ASKED) + self._draw(0, longest)

    def pause_after(self, error: AuthorityError) -> float:
        """The same after *error*, with what the authority asks for in it.

        Raises:
            AuthorityError: *error* itself, where another attempt would end in the same way.
        """
        if not _may_pass(error):
            raise error
        return self.pause(error.retry_after)


def ended() -> AuthorityError:
    """The failure of a stream that was closed though it is meant to stay open, as a proxy does."""
    return Unavailable("the stream was closed", code=grpc.StatusCode.UNAVAILABLE)


def silent() -> AuthorityError:
    """The failure of a stream without heartbeats."""
    return Unavailable(f"no message for {SILENCE:g} seconds", code=grpc.StatusCode.UNAVAILABLE)


def _may_pass(error: AuthorityError) -> bool:
    # Without a reason no authority has said it: what lies between has broken the stream.
    return error.code in _LOST or (not error.reason and error.code in _LOST_ON_THE_WAY)
