"""Watching revocations without a gap, blocking: a stream that breaks off goes on from its resume token."""

from __future__ import annotations

import math
import threading

from time import monotonic
from typing import TYPE_CHECKING

import grpc

from tokenauthority.client.backoff import SILENCE, Backoff, ended, silent
from tokenauthority.client.errors import AuthorityError, from_rpc_error
from tokenauthority.client.revocations import read_event, require_known
from tokenauthority.v1 import token_pb2


if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType
    from typing import Self

    from tokenauthority.client.revocations import RevocationEvent
    from tokenauthority.v1.token_pb2_grpc import TokenServiceStub


class MessageWatch:
    """The messages of WatchRevocations, without end, as the contract has them; see RevocationWatch."""

    def __init__(
        self,
        stub: TokenServiceStub,
        project_ids: Sequence[str],
        resume_token: str,
        on_lost: Callable[[AuthorityError, float], None] | None,
    ) -> None:
        self.resume_token = resume_token
        """Where to go on after the last message given out; empty: from the start."""
        self._stub = stub
        self._project_ids = tuple(project_ids)
        self._on_lost = on_lost
        self._backoff = Backoff()
        self._closed = threading.Event()
        self._stream: _Stream | None = None

    def next_message(self) -> token_pb2.WatchRevocationsResponse:
        """The next message, whenever it comes.

        Raises:
            AuthorityError: one that another attempt would end with too, such as PermissionDenied.
            StopIteration: the watch was closed.
        """
        while not self._closed.is_set():
            if self._stream is None:
                self._stream = _Stream(self._stub, self._project_ids, self.resume_token)
                if self._closed.is_set():
                    self._stream.close()
            try:
                message = self._stream.read()
            except AuthorityError as error:
                self._stream.close()
                self._stream = None
                if not self._closed.is_set():
                    self._wait(error)
                continue
            self._backoff.worked()
            self.resume_token = message.resume_token
            return message
        raise StopIteration

    def close(self) -> None:
        """End the watch, also from another thread."""
        self._closed.set()
        # Read once: the thread that reads messages may have lost the stream by the next line.
        stream = self._stream
        if stream is not None:
            stream.close()

    def __enter__(self) -> Self:
        """Nothing; the stream is opened with the first message asked for."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the watch."""
        self.close()

    def _wait(self, error: AuthorityError) -> None:
        pause = self._backoff.pause_after(error)
        if self._on_lost is not None:
            self._on_lost(error, pause)
        self._closed.wait(pause)


class RevocationWatch(MessageWatch):
    """An iterator of revocations, ended sessions, the ends of snapshots and heartbeats, which never ends by itself.

    First comes what is in force, or what happened after a resume token, then a SnapshotEnd, then each event as it
    happens. When the connection is lost it goes on where it was, as long as it takes; nothing is missed, but what was
    told before may be told again. For one thread at a time; `close` may be called by another one.
    """

    def __iter__(self) -> Self:
        """Itself."""
        return self

    def __next__(self) -> RevocationEvent:
        """The next event, whenever it comes; see `next_message`."""
        return read_event(self.next_message())


class _Stream:
    """One call of WatchRevocations; a thread ends it when it falls silent, for gRPC can wait without end only."""

    def __init__(self, stub: TokenServiceStub, project_ids: Sequence[str], resume_token: str) -> None:
        self._patient_until = math.inf
        self._silent = False
        self._over = threading.Event()
        request = token_pb2.WatchRevocationsRequest(project_ids=project_ids, resume_token=resume_token)
        self._call = stub.WatchRevocations(request)
        threading.Thread(target=self._guard, name="revocations-guard", daemon=True).start()

    def read(self) -> token_pb2.WatchRevocationsResponse:
        self._patient_until = monotonic() + SILENCE
        try:
            message = next(self._call)
        except StopIteration:
            raise ended() from None
        except grpc.RpcError as error:
            raise (silent() if self._silent else from_rpc_error(error)) from error
        finally:
            self._patient_until = math.inf
        require_known(message)
        return message

    def close(self) -> None:
        self._over.set()
        self._call.cancel()

    def _guard(self) -> None:
        while not self._over.wait(SILENCE / 4):
            if monotonic() > self._patient_until:
                self._silent = True
                self._call.cancel()
                return
