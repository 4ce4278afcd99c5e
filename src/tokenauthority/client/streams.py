"""One call of WatchRevocations, for asyncio and blocking: how to wait for a message, and not for ever."""

from __future__ import annotations

import asyncio
import math
import threading
import time

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import grpc

from tokenauthority.client.errors import AuthorityError, Unavailable, from_rpc_error
from tokenauthority.client.revocations import require_usable
from tokenauthority.v1 import token_pb2


if TYPE_CHECKING:
    from tokenauthority.v1.token_pb2_grpc import TokenServiceAsyncStub, TokenServiceStub


SILENCE: Final = 90.0
"""Seconds without a message after which a stream counts as lost: heartbeats come every minute or more often."""

_LONGEST_CHECK_INTERVAL: Final = 1.0
"""Seconds between two checks for silence, at most."""


class AsyncStream:
    """One call of WatchRevocations, for asyncio. It is lost after *silence* seconds without a message."""

    def __init__(
        self, stub: TokenServiceAsyncStub, project_ids: Sequence[str], resume_token: str, silence: float
    ) -> None:
        self._silence = silence
        request = token_pb2.WatchRevocationsRequest(project_ids=project_ids, resume_token=resume_token)
        self._call = stub.WatchRevocations(request)
        self._messages = aiter(self._call)

    async def next_message(self) -> token_pb2.WatchRevocationsResponse:
        """Wait for the next message and return it.

        Raises:
            AuthorityError: the stream failed, ended, was closed, fell silent, or sent an unknown event.
        """
        try:
            async with asyncio.timeout(self._silence):
                message = await anext(self._messages)
        except TimeoutError:
            raise _silent(self._silence) from None
        except StopAsyncIteration:
            raise _ended() from None
        except grpc.RpcError as error:
            raise from_rpc_error(error) from error
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # Not this task but the call was cancelled: by `close`, or because the channel was closed.
            raise Unavailable("the call was cancelled", code=grpc.StatusCode.CANCELLED) from None
        require_usable(message)
        return message

    def close(self) -> None:
        """Cancel the call."""
        self._call.cancel()


class Stream:
    """One blocking call of WatchRevocations. It is lost after *silence* seconds, by *monotonic*, without a message.

    gRPC waits for a message without a limit, so a thread cancels the call that has fallen silent.
    """

    def __init__(
        self,
        stub: TokenServiceStub,
        project_ids: Sequence[str],
        resume_token: str,
        silence: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._silence = silence
        self._monotonic = monotonic
        self._patient_until = math.inf
        self._silent = False
        self._closed = threading.Event()
        request = token_pb2.WatchRevocationsRequest(project_ids=project_ids, resume_token=resume_token)
        self._call = stub.WatchRevocations(request)
        threading.Thread(target=self._cancel_silent_call, name="revocations-silence", daemon=True).start()

    def next_message(self) -> token_pb2.WatchRevocationsResponse:
        """Wait for the next message and return it; see `AsyncStream`."""
        self._patient_until = self._monotonic() + self._silence
        try:
            message = next(self._call)
        except StopIteration:
            raise _ended() from None
        except grpc.RpcError as error:
            raise (_silent(self._silence) if self._silent else from_rpc_error(error)) from error
        finally:
            self._patient_until = math.inf
        require_usable(message)
        return message

    def close(self) -> None:
        """Cancel the call; another thread may do so."""
        self._closed.set()
        self._call.cancel()

    def _cancel_silent_call(self) -> None:
        while not self._closed.wait(min(_LONGEST_CHECK_INTERVAL, self._silence / 4)):
            if self._monotonic() > self._patient_until:
                self._silent = True
                self._call.cancel()
                return


async def wait_async(event: asyncio.Event, seconds: float) -> None:
    """Wait for *event*, for so many seconds at most."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return


def wait(event: threading.Event, seconds: float) -> None:
    """Wait for *event*, for so many seconds at most."""
    event.wait(seconds)


def _ended() -> AuthorityError:
    """Return the error of a stream that was ended though it is meant to stay open, as a proxy does."""
    return Unavailable("the stream was closed", code=grpc.StatusCode.UNAVAILABLE)


def _silent(silence: float) -> AuthorityError:
    return Unavailable(f"no message for {silence:g} seconds", code=grpc.StatusCode.UNAVAILABLE)
