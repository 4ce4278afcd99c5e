"""A server that stops drops no call that gRPC has accepted for it."""

from __future__ import annotations

from collections.abc import Mapping

import grpc.aio
import pytest

from tests.support.authority import StartAuthority


def test_registers_no_method(start_authority: StartAuthority, monkeypatch: pytest.MonkeyPatch) -> None:
    """Health and reflection included: where a method is registered, grpc.aio can drop a call when the server stops."""
    registered: list[str] = []

    def register(_self: grpc.aio.Server, service: str, _handlers: Mapping[str, object]) -> None:
        registered.append(service)

    monkeypatch.setattr("grpc.aio._server.Server.add_registered_method_handlers", register)
    start_authority()

    assert [] == registered
