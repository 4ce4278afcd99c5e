"""Calls on stores of different size, each for another session, so that no cache is flattered."""

from __future__ import annotations

import contextlib
import random

from itertools import islice
from typing import TYPE_CHECKING, Final

import attrs
import grpc

from benchmarks import cpu, servers, stores
from benchmarks.calls import GENERATE, VERIFY, wanted
from benchmarks.measure import Comparison, Subject
from tokenauthority.authority.tenant_cache import MAX_SESSIONS
from tokenauthority.domain.token import MAX_BATCH
from tokenauthority.v1 import token_pb2, token_pb2_grpc


if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


SMALL: Final = "small"
REVOKED: Final = "revoked"

_CALLS: Final = 300
"""Calls of a slice."""

_AT_ONCE: Final = 32
_TIMEOUT: Final = 60.0
_FLAT: Final = 1.1
"""What counts as flat: a tenth is within what two runs of the same differ by."""


@attrs.frozen(kw_only=True)
class _Size:
    """A store. Calls for `unseen` sessions read it; those of the others can come from the authority's cache."""

    projects: int
    sessions: int
    unseen: int = 0
    revocations: int = 0


@contextlib.contextmanager
def comparisons(directory: Path, sessions: int, revocations: int, rounds: int) -> Iterator[list[Comparison]]:
    """Four authorities: a small one, one with 10,000 projects, one with that many *sessions* or *revocations*.

    The first and the last are in SMALL and REVOKED of *directory*.

    Raises:
        ServerError: one did not start.
        grpc.RpcError: one did not answer.
    """
    with contextlib.ExitStack() as stack:
        small = stack.enter_context(_authority(directory / SMALL, _Size(projects=1, sessions=1_000)))
        projects = stack.enter_context(_authority(directory / "projects", _Size(projects=10_000, sessions=10_000)))
        size = _Size(projects=1, sessions=sessions, unseen=rounds * _CALLS)
        many = stack.enter_context(_authority(directory / "sessions", size))
        size = _Size(projects=1, sessions=1_000, revocations=revocations)
        revoked = stack.enter_context(_authority(directory / REVOKED, size))
        base = small.known("GenerateToken, 1 project, 1,000 sessions")
        unseen = many.unseen(f"GenerateToken, {sessions:,} sessions, read from the store")
        yield [
            Comparison(
                name="growth: 10,000 projects / 1",
                subject=projects.known("GenerateToken, 10,000 projects"),
                against=(base,),
                bar=_FLAT,
            ),
            Comparison(
                name=f"growth: {sessions:,} sessions / 1,000",
                subject=many.known(f"GenerateToken, {sessions:,} sessions"),
                against=(base,),
                bar=_FLAT,
            ),
            Comparison(
                name=f"growth: {revocations:,} revocations / none",
                subject=revoked.verified(f"VerifyToken, {revocations:,} revocations"),
                against=(small.verified("VerifyToken, no revocations"),),
                bar=_FLAT,
            ),
            Comparison(name="a session read from the store / one in the cache", subject=unseen, against=(base,)),
        ]


@contextlib.contextmanager
def _authority(directory: Path, size: _Size) -> Iterator[_Sessions]:
    directory.mkdir()
    contents = stores.fill(directory, projects=size.projects, sessions=size.sessions, revocations=size.revocations)
    with (
        servers.authority(directory) as server,
        grpc.insecure_channel(server.address, [("grpc.max_receive_message_length", -1)]) as channel,
    ):
        sessions = _Sessions(server, channel, contents.session_ids, size.unseen)
        sessions.warm_up()
        yield sessions


class _Sessions:
    """Asks one authority for tokens of its sessions, from Python: h2load can only repeat one and the same request.

    The client is slower than the server then, which costs the server more wake-ups per call, with either store.
    """

    def __init__(self, server: servers.Server, channel: grpc.Channel, session_ids: Sequence[str], unseen: int) -> None:
        self._server = server
        self._unseen = iter(session_ids[:unseen])
        self._known = session_ids[unseen:]
        self._metadata = (("authorization", f"Bearer {server.api_key}"),)
        self._batch = token_pb2_grpc.TokenServiceStub(channel).BatchGenerateTokens
        self._generate: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(GENERATE)
        self._verify: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(VERIFY)
        self._random = random.Random(1)  # noqa: S311 - any order will do, if it is the same in each run

    def warm_up(self) -> None:
        """Ask for a token of each session but the unseen ones; no more than the authority caches."""
        for start in range(max(0, len(self._known) - MAX_SESSIONS), len(self._known), MAX_BATCH):
            requests = [
                wanted(session_id, token_pb2.TOKEN_FORMAT_OPENTOK_T1)
                for session_id in self._known[start : start + MAX_BATCH]
            ]
            self._batch(
                token_pb2.BatchGenerateTokensRequest(requests=requests), metadata=self._metadata, timeout=_TIMEOUT
            )

    def known(self, name: str) -> Subject:
        """Calls for any sessions but the unseen ones: cached, unless the authority cannot cache that many."""
        return Subject(name, "call", lambda: self._measure(self._random.choices(self._known, k=_CALLS)))

    def unseen(self, name: str) -> Subject:
        """Calls for sessions that nobody has asked for."""
        return Subject(name, "call", lambda: self._measure(list(islice(self._unseen, _CALLS))))

    def verified(self, name: str) -> Subject:
        """Verifications of a token of each of a thousand sessions."""
        requests = [wanted(session_id, token_pb2.TOKEN_FORMAT_SESSION_JWT) for session_id in self._known[:MAX_BATCH]]
        made = self._batch(
            token_pb2.BatchGenerateTokensRequest(requests=requests), metadata=self._metadata, timeout=_TIMEOUT
        ).tokens
        bodies = [token_pb2.VerifyTokenRequest(token=token.token).SerializeToString() for token in made]
        return Subject(name, "call", lambda: self._timed(self._verify, self._random.choices(bodies, k=_CALLS)))

    def _measure(self, session_ids: Sequence[str]) -> float:
        bodies = [
            token_pb2.GenerateTokenRequest(
                request=wanted(session_id, token_pb2.TOKEN_FORMAT_SESSION_JWT)
            ).SerializeToString()
            for session_id in session_ids
        ]
        return self._timed(self._generate, bodies)

    def _timed(self, method: grpc.UnaryUnaryMultiCallable[bytes, bytes], bodies: Sequence[bytes]) -> float:
        started = cpu.of_process(self._server.pid)
        for start in range(0, len(bodies), _AT_ONCE):
            calls = [
                method.future(body, metadata=self._metadata, timeout=_TIMEOUT)
                for body in bodies[start : start + _AT_ONCE]
            ]
            for call in calls:
                # Raises where the answer is not OK.
                call.result()
        return (cpu.of_process(self._server.pid) - started) / 1000 / len(bodies)
