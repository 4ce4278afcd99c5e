"""Turns whatever goes wrong further in into a status with details; only domain errors say what it was."""

from __future__ import annotations

import asyncio

from typing import TYPE_CHECKING, Final

import grpc
import structlog

from tokenauthority.domain.errors import Reason, TokenAuthorityError, UnavailableError
from tokenauthority.interceptors import status
from tokenauthority.interceptors.status import StatusError


if TYPE_CHECKING:
    from tokenauthority.interceptors.chain import Call, Proceed


_MEANT: Final = frozenset({Reason.DRAINING, Reason.CALLERS_CHANGED})
"""What a server answers because it was told to stop, or who may call: nothing is wrong."""


class ErrorsInterceptor:
    """Also holds the call to its deadline. A bug is INTERNAL with a fixed text; grpcio would send the exception's."""

    def __init__(self) -> None:
        self._logger = structlog.stdlib.get_logger(__name__)

    async def intercept(self, call: Call, proceed: Proceed) -> object:
        """The answer, or a StatusError for whatever else came."""
        request_id = call.record.request_id
        try:
            return await _within_deadline(call, proceed)
        except TokenAuthorityError as error:
            if isinstance(error, UnavailableError) and error.reason not in _MEANT:
                cause = type(error.__cause__).__name__
                self._logger.warning("rpc.unavailable", method=call.method, reason=error.reason.value, cause=cause)
            patience = call.deadline - asyncio.get_running_loop().time()
            raise status.of_error(error, request_id, patience) from error
        except (StatusError, grpc.aio.AbortError):
            raise
        except _DeadlinePassedError as error:
            raise status.plain(
                grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", "the deadline passed", request_id
            ) from error
        except Exception as error:
            self._logger.exception("rpc.bug", method=call.method)
            raise status.plain(
                grpc.StatusCode.INTERNAL, "INTERNAL", f"internal error; request id {request_id}", request_id
            ) from error


class _DeadlinePassedError(Exception):
    """The server's own bound passed: told apart from a TimeoutError that a bug lets out."""


async def _within_deadline(call: Call, proceed: Proceed) -> object:
    if call.streaming or not call.capped:
        return await proceed(call)
    bound = asyncio.timeout_at(call.deadline)
    try:
        async with bound:
            return await proceed(call)
    except TimeoutError as error:
        if bound.expired():
            raise _DeadlinePassedError from error
        raise
