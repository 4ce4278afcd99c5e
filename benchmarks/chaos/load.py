"""Callers: each a thread with the Python client that asks, judges each answer, and asks again."""

from __future__ import annotations

import random
import threading

from collections.abc import Callable, Sequence
from time import monotonic, time
from typing import Final, TypeVar

import attrs
import grpc

from google.protobuf.message import Message

from benchmarks.chaos.ledger import FAILED, Answer, Ledger
from benchmarks.chaos.world import End, KnownSession, KnownToken, World
from tokenauthority.client import Authority
from tokenauthority.client.errors import AuthorityError, from_rpc_error
from tokenauthority.v1 import session_pb2, token_pb2


_CYCLE: Final = (
    *("generate", "verify") * 5,
    *("batch", "create", "verify", "revoke") * 2,
    *("end", "role", "session", "ttl", "credential"),
)
"""The calls of a caller, which it makes in another order each time."""

_ENDED: Final = "the session has ended"

ESSENTIAL: Final = ("generate", "verify", "create", "revoke")
"""What a caller must be able to do for the service to count as recovered."""

_BATCH: Final = 3
_JOIN: Final = 30.0

_FEW_SESSIONS: Final = 20
"""With fewer, none is ended: while the store is away, no new ones are created."""


Request = TypeVar("Request", bound=Message)
Reply = TypeVar("Reply", bound=Message)


@attrs.define(kw_only=True)
class Caller:
    """A caller with one client, and what it shares with the other callers of its store."""

    name: str
    client: Authority
    stranger: Authority
    """A client with a credential that nobody has."""

    world: World
    ledger: Ledger
    server: str = ""
    """The only server that it asks; empty if there are several."""

    pause: float = 0.03
    """Seconds between two calls."""

    chance: random.Random = attrs.Factory(random.Random)
    _number: int = 0
    _stop: threading.Event = attrs.Factory(threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to call, or go on."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
        self._thread.start()

    def halt(self) -> None:
        """End after the call under way; `start` goes on."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(_JOIN)

    def stop(self) -> None:
        """End after the call under way, and hang up."""
        self.halt()
        self.client.close()
        self.stranger.close()

    def create(self) -> None:
        """Create a session."""
        project_id = self.chance.choice((self.world.keys.project_id, self.world.keys.vonage_project_id))
        request = session_pb2.CreateSessionRequest(project_id=project_id)

        def judge(answer: session_pb2.CreateSessionResponse, _: float) -> str:
            self.world.add_session(KnownSession(answer.session.session_id, project_id))
            return "" if answer.session.project_id == project_id else "the session is of another project"

        self._ask("create", self.client.sessions.CreateSession, request, judge)

    def _run(self) -> None:
        while not self._stop.is_set():
            for kind in self.chance.sample(_CYCLE, len(_CYCLE)):
                getattr(self, kind if kind == "create" else f"_{kind}")()
                if self._stop.wait(self.pause):
                    return

    def _generate(self) -> None:
        session = self.world.any_session(self.chance)
        wanted = self.world.wish(self.chance, session)

        begun = time()

        def judge(answer: token_pb2.GenerateTokenResponse, _: float) -> str:
            return self._judge_token(session, wanted, answer.token, begun)

        self._ask(
            "generate", self.client.tokens.GenerateToken, token_pb2.GenerateTokenRequest(request=wanted), judge, session
        )

    def _batch(self) -> None:
        sessions = [self.world.any_session(self.chance) for _ in range(_BATCH)]
        wanted = [self.world.wish(self.chance, session) for session in sessions]
        begun = [time()] * _BATCH

        def judge(answer: token_pb2.BatchGenerateTokensResponse, _: float) -> str:
            if len(answer.tokens) != len(wanted):
                return f"{len(answer.tokens)} tokens for {len(wanted)} requests"
            return "; ".join(filter(None, map(self._judge_token, sessions, wanted, answer.tokens, begun)))

        request = token_pb2.BatchGenerateTokensRequest(requests=wanted)
        self._ask("batch", self.client.tokens.BatchGenerateTokens, request, judge, *sessions)

    def _verify(self) -> None:
        known = self.world.any_token(self.chance)
        if known is None:
            return
        ends = known.ends()
        request = token_pb2.VerifyTokenRequest(token=known.token.token, session_id=known.wanted.session_id)

        def judge(answer: token_pb2.VerifyTokenResponse, begun: float) -> str:
            return known.verdict_problem(answer, ends, begun, self.server, clock_is_right=self.world.clock_is_right)

        self._ask("verify", self.client.tokens.VerifyToken, request, judge)

    def _revoke(self) -> None:
        known = self.world.any_token(self.chance)
        if known is None:
            return
        end = known.end = known.end or End()

        def judge(_: token_pb2.RevokeTokensResponse, __: float) -> str:
            end.confirm(self.server)
            return ""

        request = token_pb2.RevokeTokensRequest(token=known.token.token)
        self._ask("revoke", self.client.tokens.RevokeTokens, request, judge)

    def _end(self) -> None:
        if len(self.world.open_sessions()) < _FEW_SESSIONS:
            return
        session = self.world.any_session(self.chance)
        end = session.end = session.end or End()

        def judge(answer: session_pb2.EndSessionResponse, _: float) -> str:
            end.confirm(self.server)
            return "" if answer.session.state == session_pb2.SESSION_STATE_ENDED else "the session has not ended"

        request = session_pb2.EndSessionRequest(session_id=session.session_id)
        self._ask("end", self.client.sessions.EndSession, request, judge)

    def _role(self) -> None:
        session = self.world.any_session(self.chance)
        wanted = self.world.wish(self.chance, session)
        wanted.role = "moderator"
        self._be_refused("role", "PERMISSION_DENIED", wanted, session)

    def _ttl(self) -> None:
        session = self.world.any_session(self.chance)
        wanted = self.world.wish(self.chance, session)
        wanted.ttl.seconds = 10**8
        self._be_refused("ttl", "INVALID_ARGUMENT", wanted, session)

    def _session(self) -> None:
        session = self.world.unknown_session(self.chance)
        self._be_refused("session", "NOT_FOUND", self.world.wish(self.chance, session), session)

    def _credential(self) -> None:
        session = self.world.any_session(self.chance)
        self._be_refused("credential", "UNAUTHENTICATED", self.world.wish(self.chance, session), session, self.stranger)

    def _be_refused(
        self,
        kind: str,
        code: str,
        wanted: token_pb2.TokenRequest,
        session: KnownSession,
        client: Authority | None = None,
    ) -> None:
        request = token_pb2.GenerateTokenRequest(request=wanted)
        method = (client or self.client).tokens.GenerateToken
        self._ask(kind, method, request, lambda *_: "it was not refused", session, refusal=code)

    def _judge_token(
        self, session: KnownSession, wanted: token_pb2.TokenRequest, token: token_pb2.Token, begun: float
    ) -> str:
        problem = self.world.problem(wanted, token, begun)
        if not problem:
            self.world.add_token(KnownToken(session, wanted, token))
        return problem

    def _ask(
        self,
        kind: str,
        method: grpc.UnaryUnaryMultiCallable[Request, Reply],
        request: Request,
        judge: Callable[[Reply, float], str],
        *sessions: KnownSession,
        refusal: str = "",
    ) -> None:
        self._number += 1
        fault = self.ledger.fault
        request_id = f"{fault}.{self.name}.{self._number}"
        begun = monotonic()
        try:
            answer = method(request, metadata=(("x-request-id", request_id),))
            code, problem = "OK", judge(answer, begun)
        except grpc.RpcError as error:
            refused = from_rpc_error(error)
            code, problem = refused.code.name, self._judge_refusal(refused, sessions, refusal)
        self.ledger.add(
            Answer(
                request_id=request_id,
                fault=fault,
                caller=self.name,
                kind=kind,
                code=code,
                begun=begun,
                ended=monotonic(),
                problem=problem,
            )
        )

    def _judge_refusal(self, refused: AuthorityError, sessions: Sequence[KnownSession], expected: str) -> str:
        code = refused.code.name
        # A batch names its items.
        ended = code == "FAILED_PRECONDITION" or {each.problem for each in refused.violations} == {_ENDED}
        over = ended and any(session.end is not None for session in sessions)
        return "" if code in FAILED or code == expected or over else f"{code} {refused.reason}: {refused}"
