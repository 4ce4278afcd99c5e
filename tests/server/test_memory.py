"""What the settings allow is what attacks can take."""

from __future__ import annotations

import contextlib
import threading

import pytest

from tests.security import http2
from tests.support.authority import WAIT, StartAuthority, eventually
from tests.support.wire import LIST_PROJECTS
from tokenauthority.config.settings import Settings
from tokenauthority.server.memory import worst_case, worst_case_text


def test_every_limit_of_a_number_changes_the_worst_case() -> None:
    """An operator sees what a setting costs."""
    before = sum(worst_case(Settings()).values())
    limits = {
        "max_connections": 5000,
        "max_streams": 3000,
        "max_concurrent_rpcs": 600,
        "max_receive_memory": 2**30,
        "max_message_memory": 2**30,
        "max_revocations": 20_000_000,
    }

    assert [] == [
        name
        for name, value in limits.items()
        if sum(worst_case(Settings.model_validate({"limits": {name: value}})).values()) <= before
    ]


def test_each_listener_counts() -> None:
    """GRPC's bounds of connections and of calls that wait are those of one listener."""
    one = worst_case(Settings())
    two = worst_case(Settings.model_validate({"listen": {"sidecar": "unix:/run/sidecar.sock"}}))

    assert {"connections", "calls in a burst"} == {name for name in one if 2 * one[name] == two[name]}


def test_traces_count_where_they_are_exported() -> None:
    """They wait in memory while the collector is away."""
    on = worst_case(Settings.model_validate({"telemetry": {"endpoint": "https://collector.example.com:4317"}}))

    assert {"traces"} == on.keys() - worst_case(Settings()).keys()
    assert 4 * 2**20 < on["traces"] < 64 * 2**20


def test_calls_of_a_burst_have_a_bound(start_authority: StartAuthority, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the server takes none, gRPC ends those beyond it: all that wait are as many as may, and two under way."""
    monkeypatch.setattr("tokenauthority.server.grpc_options.MAX_PENDING", 20)
    authority = start_authority()
    go_on = threading.Event()
    with contextlib.closing(http2.Connection(authority.address)) as burst:
        authority.loop.call_soon_threadsafe(go_on.wait, WAIT)
        burst.send(b"".join(http2.call(stream, http2.header_block(LIST_PROJECTS, {})) for stream in range(1, 200, 2)))
        eventually(lambda: burst.answered >= 100 - 22, "the calls beyond the bound wait")
        ended = burst.answered
        go_on.set()
        eventually(lambda: burst.answered == 100, "those that waited are not answered")

    assert 100 - 22 <= ended <= 100 - 20


def test_the_line_has_the_sum() -> None:
    """And each part of it."""
    parts = worst_case(Settings())
    line = worst_case_text(parts)

    assert line.startswith(f"memory in the worst case: {sum(parts.values()) / 2**20:.0f} MiB (an idle server 130, ")
    assert all(name in line for name in parts)
