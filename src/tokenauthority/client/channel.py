"""Wrap a client's channel so that misuse is a clear error: a call after the close, or in another event loop."""

from __future__ import annotations

import asyncio

from collections.abc import Callable
from types import TracebackType
from typing import Final, Generic, ParamSpec, Self, TypeVar, cast

import grpc


Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

_CLOSED: Final = "this client is closed: make another one"
_ADVICE: Final = "make the client in the event loop that uses it, such as with `async with AsyncAuthority(...)`"
_OTHER_LOOP: Final = f"this client belongs to another event loop: {_ADVICE}"


def running_loop() -> asyncio.AbstractEventLoop:
    """Return the running event loop; RuntimeError says what to do without one."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError(f"an asyncio client needs a running event loop: {_ADVICE}") from None


class GuardedMethod(Generic[Parameters, Result]):
    """A method of a stub, which first calls *require_usable*. `with_call` and `future` are those of gRPC."""

    def __init__(self, method: Callable[Parameters, Result], require_usable: Callable[[], None]) -> None:
        self._method = method
        self._require_usable = require_usable

    def __call__(self, *args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        """Call the method; RuntimeError if the channel cannot be used here and now."""
        self._require_usable()
        return self._method(*args, **kwargs)

    def __getattr__(self, name: str) -> object:
        """Return what else gRPC's method has."""
        return getattr(self._method, name)


class GuardedChannel:
    """The part of a channel that stubs use. Once it is closed, each call raises RuntimeError.

    No method is registered with gRPC, as generated stubs ask for: to call a registered one on a channel that another
    thread has just closed ends the process (SIGSEGV, grpcio 1.85). Any other raises ValueError then.
    """

    def __init__(self, channel: grpc.Channel | grpc.aio.Channel) -> None:
        self._closed = False
        self.unary_unary = self._guard(channel.unary_unary)
        self.unary_stream = self._guard(channel.unary_stream)

    def _require_usable(self) -> None:
        if self._closed:
            raise RuntimeError(_CLOSED)

    def _guard(
        self, make_method: Callable[..., Callable[Parameters, Result]]
    ) -> Callable[..., GuardedMethod[Parameters, Result]]:
        def make(*args: object, **kwargs: object) -> GuardedMethod[Parameters, Result]:
            kwargs.pop("_registered_method", None)
            return GuardedMethod(make_method(*args, **kwargs), self._require_usable)

        return make


class BlockingChannel(GuardedChannel):
    """A channel for the calls of all threads."""

    def __init__(self, channel: grpc.Channel) -> None:
        super().__init__(channel)
        self._channel = channel

    def close(self) -> None:
        """Close the channel, and cancel the calls that still run."""
        self._closed = True
        self._channel.close()

    def __enter__(self) -> Self:
        """Return the channel; its first call connects."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the channel."""
        self.close()


class LoopChannel(GuardedChannel):
    """A channel for the calls of one event loop: in another one they would wait without end, and raise RuntimeError."""

    def __init__(self, channel: grpc.aio.Channel, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(channel)
        self._channel = channel
        self._loop = loop

    async def close(self) -> None:
        """Close the channel, and cancel the calls that still run; in another loop only once its own has stopped."""
        if running_loop() is not self._loop and self._loop.is_running():
            raise RuntimeError(_OTHER_LOOP)
        self._closed = True
        await self._channel.close()

    def _require_usable(self) -> None:
        if running_loop() is not self._loop:
            raise RuntimeError(_OTHER_LOOP)
        super()._require_usable()


def guard(channel: grpc.Channel) -> grpc.Channel:
    """Return a channel for blocking calls, which refuses them once it is closed."""
    # The stubs need no more of a channel than the class has.
    return cast("grpc.Channel", BlockingChannel(channel))


def bind_to_running_loop(open_channel: Callable[[], grpc.aio.Channel]) -> grpc.aio.Channel:
    """Return a channel that *open_channel* opens in the running loop, and that refuses calls in any other."""
    loop = running_loop()
    return cast("grpc.aio.Channel", LoopChannel(open_channel(), loop))
