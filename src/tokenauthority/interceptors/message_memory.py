"""Bound the memory of messages: of requests that are not answered yet, and of answers that are not read yet.

Messages of up to 16 KiB are not counted: the places of unary RPCs bound their number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import Final

from tokenauthority.domain.errors import RateLimitError, Reason
from tokenauthority.interceptors.call import Call, Proceed


SMALL: Final = 16 * 1024
"""Bytes of a message that is not counted."""

REQUEST_FACTOR: Final = 12
"""Bytes that one byte of a large request takes until it is answered: its text, what is made of it, and the answer. So
much takes a batch of the longest tokens, whose answer is 4.6 times the request, and is copied once."""

_ANSWER_FACTOR: Final = 2
"""gRPC copies an answer to send it."""

_ITEM: Final = 1024
"""Bytes that an item of a list takes, however few it has in the request."""

_PAUSE: Final = 1.0
"""Seconds after which to retry."""


class MessageMemoryInterceptor:
    """At most *total* bytes are in use for all calls, and two thirds of that for one caller and for one connection.

    *max_items* has the methods whose requests are lists, with the largest number of their items.
    """

    def __init__(self, total: int, max_items: Mapping[str, int]) -> None:
        self._total = total
        self._share = total * 2 // 3
        self._max_items = max_items
        self._used = 0
        self._used_by: Counter[str] = Counter()

    async def intercept(self, call: Call, proceed: Proceed) -> object:
        """Proceed if there is room for the request, and return the answer if there is room for it."""
        size = len(call.message)
        items = min(self._max_items.get(call.method, 0), size // 2)
        expected = REQUEST_FACTOR * size + _ITEM * items if items or size > SMALL else 0
        if expected:
            self._take(call, expected)
        answer = await proceed(call)
        if isinstance(answer, bytes | bytearray):
            needed = _ANSWER_FACTOR * len(answer) if len(answer) > SMALL else 0
            if needed != call.memory:
                self._take(call, needed - call.memory)
        return answer

    def _take(self, call: Call, size: int) -> None:
        """Count *size* more bytes for *call* until it ends."""
        owners = self._owners(call)
        if size > 0:
            if self._used + size > self._total:
                raise _error("server", self._total)
            for owner in owners:
                if self._used_by[owner] + size > self._share:
                    raise _error(owner, self._share)
        if not call.memory:
            call.at_end(partial(self._give_back, call))
        self._change(call, owners, size)

    def _give_back(self, call: Call) -> None:
        if call.memory:
            self._change(call, self._owners(call), -call.memory)

    def _change(self, call: Call, owners: tuple[str, ...], size: int) -> None:
        call.memory += size
        self._used += size
        for owner in owners:
            self._used_by[owner] += size
            if not self._used_by[owner]:
                del self._used_by[owner]

    @staticmethod
    def _owners(call: Call) -> tuple[str, ...]:
        connection = f"connection:{call.record.peer}"
        return (connection,) if call.caller is None else (f"caller:{call.caller.name}", connection)


def _error(subject: str, limit: int) -> RateLimitError:
    return RateLimitError(
        f"the messages of {subject} in progress take more than {limit} bytes; read the answers, and send fewer at once",
        subject=subject,
        limit="limits.max_message_memory",
        retry_after=_PAUSE,
        reason=Reason.MEMORY_LIMIT,
    )
