"""End calls whose answer nobody reads: gRPC holds such an answer until the connection ends, and so does its memory."""

from __future__ import annotations

import asyncio
import gc

from collections.abc import Collection
from contextvars import Context
from functools import partial
from itertools import takewhile
from typing import Final

import grpc
import grpc.aio

from tokenauthority.interceptors.call import Call


RPC_TASK: Final = "rpc_task"
"""The name that grpc.aio gives the task of an RPC, which ends once the client has the status or has left."""

_CALLERS_PATIENCE: Final = 20.0
"""Seconds that an answer to a caller may wait for its reader."""

_STRANGERS_PATIENCE: Final = 5.0
"""The same for an answer to a call without a caller, and for one that was ended because its message did not come."""

_MAX_STRANGERS: Final = 1024
"""Answers to calls without a caller that wait at once. Beyond it those that wait for `_CONTENDED` seconds end."""

_CONTENDED: Final = 1.0

_INTERVAL: Final = 1.0

_SETTLING: Final = 0.2
"""Seconds from the end of a call's handler to the end of its RPC. All that end meanwhile are looked up together."""


class Deliveries:
    """The answers that gRPC has, and that are not yet written to their connections."""

    def __init__(self) -> None:
        self._callers: dict[Call, float] = {}
        self._strangers: dict[Call, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._dropped: list[Call] = []

    def begin(self, call: Call) -> None:
        """Give the answer of *call* its time; gRPC sends it once the call's handler returns."""
        calls = self._strangers if call.caller is None else self._callers
        calls[call] = asyncio.get_running_loop().time()
        call.at_end(lambda: calls.pop(call, None))
        if len(self._strangers) > _MAX_STRANGERS:
            self._end(_overdue(self._strangers, _CONTENDED))
        if self._timer is None:
            self._look_later()

    async def refuse(self, call: Call, status: grpc.Status) -> None:
        """End *call* with *status*, after the messages that a stream has sent before."""
        if call.caller is None:
            self.begin(call)
        incomplete = call.reading is not None
        patience = _STRANGERS_PATIENCE if call.caller is None or incomplete else _CALLERS_PATIENCE
        try:
            async with asyncio.timeout(patience):
                await call.context.abort_with_status(status)
        except grpc.aio.AbortError as error:
            # The call refers to this error, and its traceback to the call: only a garbage collection would free both.
            call.at_end(partial(error.with_traceback, None))
            raise
        except TimeoutError:
            self._drop([call])

    def _look_later(self) -> None:
        # Without the context of the call that is answered now: the timer would refer to it.
        self._timer = asyncio.get_running_loop().call_later(_INTERVAL, self._look, context=Context())

    def _look(self) -> None:
        self._end(
            [
                *_overdue(self._strangers, _STRANGERS_PATIENCE),
                *_overdue(self._callers, _CALLERS_PATIENCE),
            ]
        )
        self._timer = None
        if self._callers or self._strangers:
            self._look_later()

    def _end(self, calls: Collection[Call]) -> None:
        for call in calls:
            self._strangers.pop(call, None)
            self._callers.pop(call, None)
            call.task.cancel()
        self._drop(calls)

    def _drop(self, calls: Collection[Call]) -> None:
        """End the RPCs of *calls*, whose handlers are about to end: gRPC resets their streams and frees what it has.

        grpc.aio has no operation for that. An RPC ends when nothing refers to it any more. What refers to it longest is
        the task that waits for the client to close it, and that has started the handler's task.
        """
        if calls and not self._dropped:
            asyncio.get_running_loop().call_later(_SETTLING, self._drop_now, context=Context())
        self._dropped.extend(calls)

    def _drop_now(self) -> None:
        calls, self._dropped = self._dropped, []
        # A task whose handler goes on waits for the handler, and grpc.aio would log its cancellation with a traceback.
        ended = {id(call.task) for call in calls if call.task.done()}
        for task in asyncio.all_tasks():
            if task.get_name() == RPC_TASK and any(id(held) in ended for held in _referents(task)):
                task.cancel()
        for call in calls:
            if call.reading is not None:
                call.reading.cancel()
        self._drop([call for call in calls if not call.task.done()])


def _overdue(calls: dict[Call, float], patience: float) -> list[Call]:
    """Return the calls that wait for *patience* seconds; the oldest stand first."""
    since = asyncio.get_running_loop().time() - patience
    return list(takewhile(lambda call: calls[call] <= since, calls))


def _referents(task: asyncio.Task[object]) -> list[object]:
    """Return what the coroutine of *task* refers to, and what that refers to: its local variables are among them."""
    return [held for outer in gc.get_referents(task.get_coro()) for held in gc.get_referents(outer)]
