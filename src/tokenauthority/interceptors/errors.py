"""Turn every error of the steps further in into a status with details; only a domain error says what it was."""

from __future__ import annotations

import asyncio

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import grpc
import structlog

from tokenauthority.domain.errors import Reason, TokenAuthorityError, UnavailableError
from tokenauthority.interceptors import status
from tokenauthority.interceptors.call import Call, Proceed
from tokenauthority.interceptors.deadlines import DeadlinePassedError, Deadlines
from tokenauthority.interceptors.decision_log import DecisionLog
from tokenauthority.interceptors.status import StatusError


_INTENDED: Final = frozenset({Reason.DRAINING, Reason.CALLERS_CHANGED})
"""Reasons of an UNAVAILABLE that an operator caused, by a stop or by other callers: they are not logged."""


class ErrorsInterceptor:
    """The step that also enforces the deadline. A bug is INTERNAL with a fixed text, and not that of its exception."""

    def __init__(self, decisions: DecisionLog) -> None:
        self._decisions = decisions
        self._deadlines = Deadlines()
        self._logger = structlog.stdlib.get_logger(__name__)

    async def intercept(self, call: Call, proceed: Proceed) -> object:
        """Return the answer, or raise a StatusError for every other end."""
        request_id = call.record.request_id
        if call.opening is not None and self._decisions.is_on:
            call.opening = partial(self._open, call.opening)
        try:
            work = proceed(call)
            answer = await (self._deadlines.within(call.deadline, work) if call.capped and not call.streaming else work)
            if not call.streaming and self._decisions.is_on:
                self._decisions.allowed(call)
            return answer  # noqa: TRY300 - a bug in the explanation must not leave the call without a record
        except TokenAuthorityError as error:
            if isinstance(error, UnavailableError) and error.reason not in _INTENDED:
                cause = error.cause or type(error.__cause__).__name__
                self._logger.warning("rpc.unavailable", method=call.method, reason=error.reason.value, cause=cause)
            elif self._decisions.is_on:
                self._decisions.refused(call, error)
            patience = call.deadline - asyncio.get_running_loop().time()
            raise status.of_error(error, request_id, patience) from error
        except (StatusError, grpc.aio.AbortError):
            raise
        except DeadlinePassedError as error:
            raise status.plain(
                grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", "the deadline passed", request_id
            ) from error
        except Exception as error:
            self._logger.exception("rpc.bug", method=call.method)
            raise status.plain(
                grpc.StatusCode.INTERNAL, "INTERNAL", f"internal error; request id {request_id}", request_id
            ) from error

    async def _open(self, opening: Callable[[Call], Awaitable[None]], call: Call) -> None:
        """Log the decision about a stream at its first message: its end may be hours away."""
        self._decisions.allowed(call)
        await opening(call)
