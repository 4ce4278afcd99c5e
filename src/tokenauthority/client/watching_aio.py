"""Watching revocations without a gap, for asyncio: a stream that breaks off goes on from its resume token."""

from __future__ import annotations

import asyncio

from typing import TYPE_CHECKING

import grpc

from tokenauthority.client.backoff import SILENCE, Backoff, ended, silent
from tokenauthority.client.errors import AuthorityError, Unavailable, from_rpc_error
from tokenauthority.client.revocations import read_event, require_known
from tokenauthority.v1 import token_pb2


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from types import TracebackType
    from typing import Self

    from tokenauthority.client.revocations import RevocationEvent
    from tokenauthority.v1.token_pb2_grpc import TokenServiceAsyncStub


class AsyncRevocationWatch:
    """The same as RevocationWatch, awaited. For one task at a time; `close` may be called by another one."""

    def __init__(
        self,
        stub: TokenServiceAsyncStub,
        project_ids: Sequence[str],
        resume_token: str,
        on_lost: Callable[[AuthorityError, float], None] | None,
    ) -> None:
        self.resume_token = resume_token
        """Where to go on after the last event given out; empty: from the start."""
        self._stub = stub
        self._project_ids = tuple(project_ids)
        self._on_lost = on_lost
        self._backoff = Backoff()
        self._closed = asyncio.Event()
        self._call: (
            grpc.aio.UnaryStreamCall[token_pb2.WatchRevocationsRequest, token_pb2.WatchRevocationsResponse] | None
        ) = None
        self._messages: AsyncIterator[token_pb2.WatchRevocationsResponse] | None = None

    def __aiter__(self) -> Self:
        """Itself."""
        return self

    async def __anext__(self) -> RevocationEvent:
        """The next event, whenever it comes.

        Raises:
            AuthorityError: one that another attempt would end with too, such as PermissionDenied.
            StopAsyncIteration: the watch was closed.
        """
        while not self._closed.is_set():
            try:
                message = await self._read()
            except AuthorityError as error:
                self._drop()
                if not self._closed.is_set():
                    await self._wait(error)
                continue
            self._backoff.worked()
            self.resume_token = message.resume_token
            return read_event(message)
        raise StopAsyncIteration

    async def close(self) -> None:
        """End the watch."""
        self._closed.set()
        self._drop()

    async def __aenter__(self) -> Self:
        """Nothing; the stream is opened with the first event asked for."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the watch."""
        await self.close()

    async def _read(self) -> token_pb2.WatchRevocationsResponse:
        if self._messages is None:
            request = token_pb2.WatchRevocationsRequest(project_ids=self._project_ids, resume_token=self.resume_token)
            self._call = self._stub.WatchRevocations(request)
            self._messages = aiter(self._call)
        try:
            async with asyncio.timeout(SILENCE):
                message = await anext(self._messages)
        except TimeoutError:
            raise silent() from None
        except StopAsyncIteration:
            raise ended() from None
        except grpc.RpcError as error:
            raise from_rpc_error(error) from error
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # Not this task but the call was cancelled: by `close`, or because the channel was closed.
            raise _given_up() from None
        require_known(message)
        return message

    def _drop(self) -> None:
        if self._call is not None:
            self._call.cancel()
        self._call = self._messages = None

    async def _wait(self, error: AuthorityError) -> None:
        pause = self._backoff.pause_after(error)
        if self._on_lost is not None:
            self._on_lost(error, pause)
        try:
            async with asyncio.timeout(pause):
                await self._closed.wait()
        except TimeoutError:
            return


def _given_up() -> AuthorityError:
    return Unavailable("the call was cancelled", code=grpc.StatusCode.CANCELLED)
