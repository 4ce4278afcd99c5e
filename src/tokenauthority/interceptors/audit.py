"""Write one audit record for each RPC, before its answer leaves, however the RPC ends."""

from __future__ import annotations

import asyncio

from collections.abc import Collection
from functools import partial
from time import perf_counter
from typing import Final, cast

import grpc
import structlog

from tokenauthority.audit.writing.log import AuditLog
from tokenauthority.domain.errors import UnavailableError
from tokenauthority.interceptors import status
from tokenauthority.interceptors.call import Call, Proceed
from tokenauthority.interceptors.status import StatusError


_OPENED: Final = "OPENED"
"""The reason in the first of a stream's two records, written before its first message leaves."""

_SLOW: Final = 0.1
"""Seconds after which no record waits for a call in progress: it may wait itself, for its message or for the store."""

_NOT_DELIVERED: Final = "NOT_DELIVERED"
"""The reason of a call that was finished after its caller had left."""


class AuditInterceptor:
    """Runs outside authentication: so it records callers that are refused, and sees the final status of every RPC.

    A stream that gives something out has two records: one when it opens, one when it ends.

    If the record cannot be written, the RPC fails with UNAVAILABLE and its answer is dropped. The methods of
    *unrecorded* (health checks) change nothing and come every few seconds; metrics count them.

    The methods of *finishing* change what is stored. Such a call is finished even if its caller leaves or its deadline
    passes: what the store has begun is done, and the record must say so.
    """

    def __init__(self, log: AuditLog, *, unrecorded: Collection[str], finishing: Collection[str]) -> None:
        self._log = log
        self._unrecorded = frozenset(unrecorded)
        self._finishing = frozenset(finishing)
        self._unfinished: set[asyncio.Task[object]] = set()
        self._coming: dict[Call, float] = {}
        self._logger = structlog.stdlib.get_logger(__name__)

    async def intercept(self, call: Call, proceed: Proceed) -> object:
        """Answer, or raise, only once the record is written."""
        if call.method in self._unrecorded:
            return await proceed(call)
        if call.method not in self._finishing:
            return await self._recorded(call, proceed)
        # The store bounds how long its work may take.
        call.capped, call.finishing = False, True
        work = asyncio.ensure_future(self._recorded(call, proceed))
        self._unfinished.add(work)
        work.add_done_callback(self._unfinished.discard)
        # Where the caller has left nobody else takes its error, and asyncio would log each with a traceback.
        work.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            call.abandoned = True
            await asyncio.wait([work])
            raise
        finally:
            # The task refers to its error, and the traceback of that to this frame.
            del work

    async def finish(self, seconds: float) -> None:
        """Wait at most *seconds* for calls that are still being finished after a stop has cut their callers off."""
        if self._unfinished:
            _, pending = await asyncio.wait(self._unfinished, timeout=seconds)
            if pending:
                self._logger.error("audit.unfinished", calls=len(pending))

    async def _recorded(self, call: Call, proceed: Proceed) -> object:
        started = perf_counter()
        if call.streaming:
            # A stream may stay open for hours, and its messages leave one by one: its beginning is on record before.
            call.opening = partial(self._open, started=started)
        try:
            answer = await self._awaited(call, proceed, started)
        except StatusError as error:
            await self._write(call, error.code.name, error.reason, started)
            raise
        except asyncio.CancelledError:
            expired = _expired(call)
            code = grpc.StatusCode.DEADLINE_EXCEEDED if expired else grpc.StatusCode.CANCELLED
            await asyncio.shield(self._write(call, code.name, "", started))
            raise
        reason = _NOT_DELIVERED if call.abandoned else call.record.reason
        await self._write(call, grpc.StatusCode.OK.name, reason, started)
        return answer

    async def _awaited(self, call: Call, proceed: Proceed, started: float) -> object:
        """Remember the unary calls whose records are about to come: those that are there already wait for them."""
        if call.streaming:
            return await proceed(call)
        self._coming[call] = started
        try:
            return await proceed(call)
        finally:
            del self._coming[call]

    def _more_come(self) -> bool:
        """Return whether the youngest call in progress is not slow."""
        youngest = next(reversed(self._coming.values()), None)
        return youngest is not None and perf_counter() - youngest < _SLOW

    async def _open(self, call: Call, *, started: float) -> None:
        reason = call.record.reason
        await self._write(call, grpc.StatusCode.OK.name, _OPENED, started)
        call.record.reason = reason

    async def _write(self, call: Call, code: str, reason: str, started: float) -> None:
        record = call.record
        record.code = code
        record.reason = reason
        record.duration_us = int((perf_counter() - started) * 1_000_000)
        try:
            await self._log.append(record, more=self._more_come())
        except UnavailableError as error:
            # The audit log reports its outage itself, once: a line for each call could fill the disk that is full.
            raise status.of_error(error, record.request_id) from error
        except Exception as error:
            # Whatever the log fails with, the answer must not leave, and the operator must see it.
            cause = error.__cause__ or error
            number = getattr(cause, "errno", None)
            self._logger.error("audit.failed", method=call.method, cause=type(cause).__name__, errno=number)  # noqa: TRY400 - a traceback holds the exception's text, and that may hold what was to be recorded
            raise status.of_error(UnavailableError.audit(), record.request_id) from error


def _expired(call: Call) -> bool:
    """Return whether it was cancelled because its deadline passed; a stream has only the deadline of its caller."""
    if call.streaming:
        remaining = cast("float | None", call.context.time_remaining())
        return remaining is not None and remaining <= 0
    return call.deadline <= asyncio.get_running_loop().time()
