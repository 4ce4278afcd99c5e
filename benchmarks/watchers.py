"""What a thousand watchers of revocations cost one server: memory, and the CPU of each event and heartbeat."""

from __future__ import annotations

import asyncio
import contextlib

from typing import TYPE_CHECKING, Final

import attrs
import grpc
import grpc.aio

from benchmarks import cpu, servers, stores
from tokenauthority.v1 import token_pb2, token_pb2_grpc


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path


_WATCHERS: Final = 1000
_EVENTS: Final = 50
_BEATS: Final = 20
_CALLS: Final = 2000
_STREAMS: Final = 50
"""Of one connection; the server takes a hundred."""

_TIMEOUT: Final = 300.0


@attrs.frozen(kw_only=True)
class Costs:
    """Kilobytes of each watcher; microseconds of CPU of the server for each message to each of them.

    `check` is what one health check costs it, the least of all unary RPCs.
    """

    kilobytes: float
    event: float
    beat: float
    check: float

    def as_text(self) -> str:
        """A table."""
        rows = {
            "kilobytes of each": f"{self.kilobytes:.1f}",
            "CPU of an event to one of them, microseconds": f"{self.event:.1f}",
            "CPU of a heartbeat to one of them, microseconds": f"{self.beat:.1f}",
            "CPU of a health check, microseconds": f"{self.check:.1f}",
            "an event / a health check": f"{self.event / self.check:.2f}",
            "a heartbeat / a health check": f"{self.beat / self.check:.2f}",
        }
        head = f"{_WATCHERS:,} watchers on one server"
        return "\n".join(["", head, "", *(f"{name:<56}{figure:>9}" for name, figure in rows.items()), ""])

    def as_json(self) -> dict[str, object]:
        """The same for programs."""
        return attrs.asdict(self)


def measure(directory: Path) -> Costs:
    """Watch two servers of the store in *directory*: one with rare signs of life, one with frequent ones.

    Raises:
        ServerError: one did not start.
        grpc.RpcError: one did not answer.
    """
    project_id = stores.fill(directory, projects=1, sessions=1).project_id
    with servers.authority(directory, LIMITS__WATCH_HEARTBEAT="60") as quiet:
        kilobytes, event, check = asyncio.run(_events(quiet, project_id))
    with servers.authority(directory, LIMITS__WATCH_HEARTBEAT="1") as beating:
        beat = asyncio.run(_beats(beating))
    return Costs(kilobytes=kilobytes, event=event, beat=beat, check=check)


async def _events(server: servers.Server, project_id: str) -> tuple[float, float, float]:
    async with asyncio.timeout(_TIMEOUT), grpc.aio.insecure_channel(server.address) as channel:
        metadata = (("authorization", f"Bearer {server.api_key}"),)
        revoke = token_pb2_grpc.TokenServiceStub(channel).RevokeTokens
        check: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/grpc.health.v1.Health/Check")

        async def revoked(prefix: str) -> float:
            started = cpu.of_process(server.pid)
            for number in range(_EVENTS):
                request = token_pb2.RevokeTokensRequest(project_id=project_id, token_id=f"{prefix}{number}")
                await revoke(request, metadata=metadata)
            return (cpu.of_process(server.pid) - started) / 1000

        alone = await revoked("alone-")
        started = cpu.of_process(server.pid)
        for _ in range(_CALLS):
            await check(b"")
        of_check = (cpu.of_process(server.pid) - started) / 1000 / _CALLS
        before = cpu.resident(server.pid)
        async with _watching(server) as streams:
            kilobytes = (cpu.resident(server.pid) - before) / 1024 / _WATCHERS
            reading = asyncio.gather(*(_read(stream, "revocation", _EVENTS) for stream in streams))
            started = cpu.of_process(server.pid)
            await revoked("watched-")
            await reading
            taken = (cpu.of_process(server.pid) - started) / 1000
    return kilobytes, (taken - alone) / _EVENTS / _WATCHERS, of_check


async def _beats(server: servers.Server) -> float:
    async with asyncio.timeout(_TIMEOUT), _watching(server) as streams:
        await asyncio.gather(*(_read(stream, "heartbeat", 1) for stream in streams))
        started = cpu.of_process(server.pid)
        await asyncio.gather(*(_read(stream, "heartbeat", _BEATS) for stream in streams))
        return (cpu.of_process(server.pid) - started) / 1000 / _BEATS / _WATCHERS


@contextlib.asynccontextmanager
async def _watching(server: servers.Server) -> AsyncIterator[Sequence[_Stream]]:
    """So many streams, each of which has been sent all that was in force.

    They open some at a time, so that no stream waits for the snapshots of all others.
    """
    async with contextlib.AsyncExitStack() as stack:
        streams: list[_Stream] = []
        for _ in range(_WATCHERS // _STREAMS):
            channel = await stack.enter_async_context(
                grpc.aio.insecure_channel(server.address, [("grpc.use_local_subchannel_pool", 1)])
            )
            watch = token_pb2_grpc.TokenServiceStub(channel).WatchRevocations
            metadata = (("authorization", f"Bearer {server.api_key}"),)
            opened = [watch(token_pb2.WatchRevocationsRequest(), metadata=metadata) for _ in range(_STREAMS)]
            await asyncio.gather(*(_read(stream, "snapshot_end", 1) for stream in opened))
            streams += opened
        yield streams


_Stream = grpc.aio.UnaryStreamCall[token_pb2.WatchRevocationsRequest, token_pb2.WatchRevocationsResponse]


async def _read(stream: _Stream, kind: str, count: int) -> None:
    """Read so many messages of *kind*."""
    while count:
        message = await stream.read()
        assert isinstance(message, token_pb2.WatchRevocationsResponse), "the stream ended"
        count -= message.WhichOneof("event") == kind
