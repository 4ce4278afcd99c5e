"""Add services to a gRPC server so that it loses no call when it stops."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import cast

import attrs
import grpc.aio

from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc


def add_health(server: grpc.aio.Server, servicer: health_pb2_grpc.HealthServicer) -> None:
    """Have *server* answer the gRPC health protocol."""
    health_pb2_grpc.add_HealthServicer_to_server(servicer, _generic(server))


def add_reflection(server: grpc.aio.Server, services: Iterable[str]) -> None:
    """Have *server* describe *services* and reflection itself."""
    servicer = reflection.aio.ReflectionServicer((*services, reflection.SERVICE_NAME))
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(  # type: ignore[no-untyped-call]  # its stubs leave it out
        servicer, _generic(server)
    )


@attrs.frozen
class _GenericHandlers:
    """Takes the generic handlers of a service, and registers none of its methods.

    grpc.aio waits for a next call of each registered method. When it stops, the first of these waits that ends has it
    drop the others, with whatever call has come to them: that call has no answer before its deadline. With generic
    handlers alone there is one wait (`_server_main_loop` in grpc/_cython/_cygrpc/aio/server.pyx.pxi of grpcio 1.85).
    """

    server: grpc.aio.Server

    def add_generic_rpc_handlers(self, handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        self.server.add_generic_rpc_handlers(tuple(handlers))

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, object]) -> None:
        pass


def _generic(server: grpc.aio.Server) -> grpc.aio.Server:
    return cast("grpc.aio.Server", _GenericHandlers(server))
