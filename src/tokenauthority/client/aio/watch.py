"""Watch revocations without a gap: a stream that breaks off is resumed after its last message."""

from __future__ import annotations

import asyncio

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from tokenauthority.client.backoff import Backoff
from tokenauthority.client.errors import AuthorityError
from tokenauthority.client.revocations import RevocationEvent, read_event
from tokenauthority.client.streams import SILENCE, AsyncStream, wait_async
from tokenauthority.v1 import token_pb2


if TYPE_CHECKING:
    from tokenauthority.v1.token_pb2_grpc import TokenServiceAsyncStub


class AsyncMessageWatch:
    """The messages of WatchRevocations, without end; see `AsyncRevocationWatch`."""

    def __init__(
        self,
        open_stream: Callable[[str], AsyncStream],
        *,
        resume_token: str = "",
        on_lost: Callable[[AuthorityError, float], None] | None = None,
        backoff: Backoff | None = None,
    ) -> None:
        """Make a watch; it opens a stream for the first message.

        Args:
            open_stream: opens a stream that resumes after the token that it is called with.
            resume_token: where to begin; empty: with everything in force.
            on_lost: called with the error and the seconds until the next attempt.
            backoff: says how long to wait, and which errors end the watch.
        """
        self.resume_token = resume_token
        """Where the next stream resumes: after the last message returned; empty: from the start."""
        self._open_stream = open_stream
        self._on_lost = on_lost
        self._backoff = backoff or Backoff()
        self._closed = asyncio.Event()
        self._stream: AsyncStream | None = None
        self._caught_up = False
        self._is_current = False

    async def next_message(self) -> token_pb2.WatchRevocationsResponse:
        """Wait for the next message and return it.

        Raises:
            AuthorityError: another attempt would fail in the same way, such as PermissionDenied.
            StopAsyncIteration: the watch was closed.
        """
        if self._is_current:
            # Only now: a reader that could not use the heartbeat has called `reopen` instead.
            self._is_current = False
            self._backoff.reset()
        while not self._closed.is_set():
            if self._stream is None:
                self._stream, self._caught_up = self._open_stream(self.resume_token), False
                if self._closed.is_set():
                    self._stream.close()
            try:
                message = await self._stream.next_message()
            except AuthorityError as error:
                self._close_stream()
                if not self._closed.is_set():
                    await self._wait(error)
                continue
            self._caught_up = self._caught_up or message.HasField("snapshot_end")
            # An authority that breaks off right after what is in force must not be asked for it without a pause.
            self._is_current = self._caught_up and message.HasField("heartbeat")
            self.resume_token = message.resume_token
            return message
        raise StopAsyncIteration

    async def reopen(self) -> None:
        """Close the stream and wait as after an error; the next message comes from a new stream."""
        self._close_stream()
        self._is_current = False
        await wait_async(self._closed, self._backoff.pause())

    @property
    def closed(self) -> bool:
        """Whether the watch was closed."""
        return self._closed.is_set()

    async def close(self) -> None:
        """End the watch, also while `next_message` waits."""
        self._closed.set()
        # Read once: the thread that reads messages may have closed the stream by the next line.
        stream = self._stream
        if stream is not None:
            stream.close()

    async def __aenter__(self) -> Self:
        """Return the watch."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the watch."""
        await self.close()

    def _close_stream(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    async def _wait(self, error: AuthorityError) -> None:
        pause = self._backoff.pause_after(error)
        if self._on_lost is not None:
            self._on_lost(error, pause)
        await wait_async(self._closed, pause)


class AsyncRevocationWatch(AsyncMessageWatch):
    """An iterator over revocations and ended sessions, which ends only when it is closed.

    It yields what is in force (or what happened after a resume token), then a `SnapshotEnd`, then each event as it
    happens, and heartbeats. It reconnects by itself for as long as it takes and misses no event, but may repeat
    events. One reader at a time: a task of its event loop, or a thread of a blocking client. Another may call `close`.
    """

    def __init__(
        self,
        stub: TokenServiceAsyncStub,
        project_ids: Sequence[str],
        resume_token: str,
        on_lost: Callable[[AuthorityError, float], None] | None,
    ) -> None:
        """Make a watch; `AsyncAuthority.watch_revocations` explains the arguments."""
        super().__init__(
            lambda token: AsyncStream(stub, project_ids, token, SILENCE), resume_token=resume_token, on_lost=on_lost
        )

    def __aiter__(self) -> Self:
        """Return the watch."""
        return self

    async def __anext__(self) -> RevocationEvent:
        """Wait for the next event and return it; see `next_message`."""
        return read_event(await self.next_message())
