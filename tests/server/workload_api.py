"""A small SPIFFE Workload API server on a unix socket: it sends what a test gives it, again when that changes."""

from __future__ import annotations

import asyncio
import threading

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
import grpc.aio

from cryptography.hazmat.primitives.serialization import Encoding
from spiffe._proto import (
    workload_pb2 as pb,
)  # the messages of the public workload.proto; the package has them here only

from tests.support.authority import WAIT
from tests.support.spiffe import Issued, SpiffeCa


class WorkloadApiServer:
    """Answers FetchX509SVID, on a thread and event loop of its own, while the block runs."""

    def __init__(self, directory: Path) -> None:
        self.endpoint = f"unix://{directory}/workload.sock"
        self.streams = 0
        self._response: pb.X509SVIDResponse | grpc.StatusCode = grpc.StatusCode.PERMISSION_DENIED
        self._version = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="workload-api-server", daemon=True)
        self._changed: asyncio.Condition
        self._server: grpc.aio.Server

    def serve(self, workload: Issued, ca: SpiffeCa, federated: Mapping[str, SpiffeCa] | None = None) -> None:
        """Send *workload* with the bundles, to open streams and new ones."""
        svid = pb.X509SVID(
            spiffe_id="spiffe://unused",
            x509_svid=workload.chain_der,
            x509_svid_key=workload.key_der,
            bundle=ca.certificate.public_bytes(Encoding.DER),
        )
        others = {
            f"spiffe://{name}": other.certificate.public_bytes(Encoding.DER)
            for name, other in (federated or {}).items()
        }
        self.send(pb.X509SVIDResponse(svids=[svid], federated_bundles=others))

    def send(self, response: pb.X509SVIDResponse | grpc.StatusCode) -> None:
        """Send anything, or end every stream with a status."""

        async def change() -> None:
            async with self._changed:
                self._response = response
                self._version += 1
                self._changed.notify_all()

        asyncio.run_coroutine_threadsafe(change(), self._loop).result(WAIT)

    def has_streamed(self, times: int) -> bool:
        """Whether so many streams were opened by now."""
        return self.streams >= times

    def __enter__(self) -> Self:
        """Serve."""
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(WAIT)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        asyncio.run_coroutine_threadsafe(self._server.stop(0), self._loop).result(WAIT)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WAIT)
        self._loop.close()

    async def _start(self) -> None:
        self._changed = asyncio.Condition()
        self._server = grpc.aio.server()
        handler = grpc.unary_stream_rpc_method_handler(
            self._fetch,
            request_deserializer=pb.X509SVIDRequest.FromString,
            response_serializer=pb.X509SVIDResponse.SerializeToString,
        )
        handlers = grpc.method_handlers_generic_handler("SpiffeWorkloadAPI", {"FetchX509SVID": handler})
        self._server.add_generic_rpc_handlers((handlers,))
        self._server.add_insecure_port(self.endpoint)
        await self._server.start()

    async def _fetch(
        self, _: pb.X509SVIDRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[pb.X509SVIDResponse]:
        self.streams += 1
        # SPIFFE_Workload_API, section 4: without this header a request may come from a browser that was tricked.
        if ("workload.spiffe.io", "true") not in [tuple(pair) for pair in context.invocation_metadata() or ()]:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "security header missing from request")
        sent = -1
        while True:
            async with self._changed:
                while self._version == sent:
                    await self._changed.wait()
                sent, response = self._version, self._response
            if isinstance(response, grpc.StatusCode):
                await context.abort(response, "no identity issued")
            else:
                yield response
