"""Calls whose answer nobody reads end, and with them all that gRPC holds of them."""

from __future__ import annotations

import contextlib

from collections.abc import Iterator

import pytest

from tests.security import http2
from tests.support.authority import RunningAuthority, eventually
from tests.support.wire import GENERATE, LIST_PROJECTS, Wire
from tokenauthority.interceptors import deliveries


CHECK = "/grpc.health.v1.Health/Check"
CALLS = 20
"""Calls without a reader. gRPC itself refers to the last ones until others come."""


@contextlib.contextmanager
def unread(authority: RunningAuthority, method: str, api_key: str = "") -> Iterator[http2.Connection]:
    """A connection with calls of *method*, none of whose answers it lets come."""
    more = {"authorization": f"Bearer {api_key}"} if api_key else {}
    block = http2.header_block(method, more)
    with contextlib.closing(http2.Connection(authority.address, window=0)) as connection:
        connection.send(b"".join(http2.call(stream, block) for stream in range(1, 2 * CALLS, 2)))
        yield connection


def test_an_answer_holds_its_place_until_it_is_read(
    monkeypatch: pytest.MonkeyPatch, running_authority: RunningAuthority, wire: Wire
) -> None:
    """A caller who reads nothing uses up its own share, and each call ends after its time: gRPC resets its stream."""
    monkeypatch.setattr(deliveries, "_CALLERS_PATIENCE", 0.0)
    with unread(running_authority, LIST_PROJECTS, running_authority.api_key) as connection:
        eventually(lambda: running_authority.app.admission._running == CALLS, "the answers hold no places")
        eventually(lambda: connection.resets >= CALLS // 2, "the calls do not end")
        eventually(lambda: not running_authority.app.admission._running, "the places are not free")

    assert "OK" == wire.call(LIST_PROJECTS).code


def test_the_answers_to_strangers_end_sooner(running_authority: RunningAuthority) -> None:
    """They need no credential, so they have less time."""
    with unread(running_authority, CHECK) as connection:
        eventually(lambda: connection.resets >= CALLS // 2, "the calls do not end")


def test_too_many_answers_to_strangers_end_at_once(
    monkeypatch: pytest.MonkeyPatch, running_authority: RunningAuthority
) -> None:
    """Those that wait for longest: their number never reaches the last bound of gRPC, which callers would meet."""
    monkeypatch.setattr(deliveries, "_STRANGERS_PATIENCE", 3600.0)
    monkeypatch.setattr(deliveries, "_CONTENDED", 0.0)
    monkeypatch.setattr(deliveries, "_MAX_STRANGERS", CALLS - 1)
    with unread(running_authority, CHECK) as connection:
        eventually(lambda: connection.resets >= CALLS // 2, "no call ends")


def test_a_refusal_that_is_read_ends_no_other_call(running_authority: RunningAuthority, wire: Wire) -> None:
    """A refusal has no message that a reader could hold up."""
    with unread(running_authority, GENERATE) as connection:
        eventually(lambda: connection.answered == CALLS, "the refusals do not come")

    assert 0 == connection.resets
