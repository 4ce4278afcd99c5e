"""Receive the message of each RPC once its caller may make it, and refuse one that is too large for its method."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

from tokenauthority.domain.errors import FieldViolation, InvalidRequestError
from tokenauthority.domain.origin import origin_of
from tokenauthority.interceptors.call import Call, Proceed
from tokenauthority.interceptors.read_pool import ReadPool


class ReceivingInterceptor:
    """Receives the bytes of a message of each method in *limits*, which has at most so many.

    Methods that need no caller have places of their own, *strangers*: they never take the place of a call of a caller.
    """

    def __init__(self, limits: Mapping[str, int], *, callers: ReadPool, strangers: ReadPool) -> None:
        self._limits = limits
        self._callers = callers
        self._strangers = strangers

    async def intercept(self, call: Call, proceed: Proceed) -> object:
        """Proceed with the message; a method that reads its messages itself gets them one at a time."""
        limit = self._limits.get(call.method)
        if limit is None:
            return await proceed(call)
        if call.reads_requests:
            call.requests = self._messages(call, limit)
            return await proceed(call)
        message = await self._receive(call, limit, last=call.streaming)
        if message is None:
            raise InvalidRequestError([FieldViolation("", "the request has no message")])
        call.message = message
        return await proceed(call)

    async def _messages(self, call: Call, limit: int) -> AsyncIterator[bytes]:
        while (message := await self._receive(call, limit, last=False)) is not None:
            yield message

    async def _receive(self, call: Call, limit: int, *, last: bool) -> bytes | None:
        if call.caller is not None:
            message = await self._callers.receive(call, (call.caller.name,), last=last)
        else:
            peer = call.record.peer
            message = await self._strangers.receive(call, (peer, origin_of(peer)), last=last)
        if message is not None and len(message) > limit:
            problem = f"the request has {len(message)} bytes, and {call.method} takes at most {limit}"
            raise InvalidRequestError([FieldViolation("", problem)])
        return message
