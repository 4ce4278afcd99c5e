"""A grpc.aio server with one unary RPC that does nothing: what a call costs before the authority does anything.

The event loop, the build of grpcio and the channel options are those of the authority; there is no interceptor.
"""

from __future__ import annotations

import asyncio
import signal
import sys

from typing import Final

import grpc
import grpc.aio
import uvloop

from google.protobuf.empty_pb2 import Empty

from tokenauthority.config.loading import load
from tokenauthority.server.grpc_options import grpc_options
from tokenauthority.server.listeners import MAX_METADATA


SERVICE: Final = "benchmarks.Empty"
METHOD: Final = f"/{SERVICE}/Call"


async def _call(_request: Empty, _context: object) -> Empty:
    return Empty()


async def _serve() -> None:
    limits = load(dev=True).limits
    server = grpc.aio.server(
        options=grpc_options(limits, MAX_METADATA, limits.max_connections),
        maximum_concurrent_rpcs=2 * limits.max_concurrent_rpcs,
    )
    handler = grpc.unary_unary_rpc_method_handler(_call, Empty.FromString, Empty.SerializeToString)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Call": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    sys.stdout.write(f"gRPC 127.0.0.1:{port}\n")
    sys.stdout.flush()
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    await stopped.wait()
    await server.stop(None)


if __name__ == "__main__":
    uvloop.run(_serve())
