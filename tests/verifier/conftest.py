"""Verifiers of a real authority, that the test's end closes, and the calls that tests make of the authority."""

from __future__ import annotations

import contextlib

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import attrs
import pytest

from google.protobuf.timestamp_pb2 import Timestamp

from tests.support.authority import WAIT, RunningAuthority, StartAuthority, eventually
from tests.verifier.scripted import scripted  # noqa: F401 - a fixture
from tokenauthority.client import Authority
from tokenauthority.client.environment import connection_from
from tokenauthority.v1 import token_pb2
from tokenauthority.verifier import Verifier


class StartVerifier(Protocol):
    """Starts a verifier that the test's end closes."""

    def __call__(self, authority: RunningAuthority, **options: Any) -> Verifier:
        """Start it, with the authority's clock."""


@pytest.fixture
def start_verifier() -> Iterator[StartVerifier]:
    """A factory."""
    with contextlib.ExitStack() as stack:

        def start(authority: RunningAuthority, **options: Any) -> Verifier:
            given = {"clock": authority.clock, "sync_timeout": WAIT, **options}
            return stack.enter_context(Verifier(connection_from(authority.environment), **given))

        yield start


@attrs.define
class Bench:
    """A fast authority, a client of it and what the tests ask for."""

    running: RunningAuthority
    client: Authority

    def revoke(self, *, issued_before: int | None = None, **target: str) -> None:
        """Revoke tokens."""
        moment = None if issued_before is None else Timestamp(seconds=issued_before)
        project_id = self.running.project_id if {"subject", "token_id"} & target.keys() else ""
        self.client.tokens.RevokeTokens(
            token_pb2.RevokeTokensRequest(**target, project_id=project_id, issued_before=moment)
        )


FAST = {"limits": {"watch_heartbeat": 0.1}}


@pytest.fixture
def bench(start_authority: StartAuthority) -> Iterator[Bench]:
    """An authority whose heart beats ten times a second."""
    running = start_authority(settings=FAST)
    with Authority.from_environment(running.environment) as client:
        yield Bench(running, client)


@pytest.fixture
def verifier(bench: Bench, start_verifier: StartVerifier) -> Verifier:
    """A verifier of its project."""
    return start_verifier(bench.running)


def becomes(verifier: Verifier, token: object, reason: str) -> None:
    """Wait until the verdict on *token* has that reason."""
    eventually(lambda: reason == verifier.verify(str(token)).reason, f"never {reason!r}: {verifier!r}")


def soon(condition: Callable[[], bool], verifier: Verifier) -> None:
    """Wait until *condition* holds; else show how the verifier is."""
    eventually(condition, repr(verifier))
