"""What the callers of one store know together: its sessions and tokens, and what was revoked when and where."""

from __future__ import annotations

import random
import threading

from collections import deque
from collections.abc import Sequence
from time import monotonic, time, time_ns
from typing import Final

import attrs

from benchmarks.chaos.oracle import OPENTOK_JWT, OPENTOK_T1, SESSION_JWT, VONAGE_JWT, Keys, claims_problem
from tokenauthority.domain.ids import SESSION_RANDOM_BYTES, make_session_id
from tokenauthority.domain.times import Millis
from tokenauthority.v1 import token_pb2


MAX_STALENESS: Final = 5
"""Seconds: `issuance.max_staleness`. A server that could not read its store for longer verifies nothing."""

_MAX_KNOWN: Final = 400
_SKEW: Final = 5
"""Seconds by which a moment in an answer may be off: moments are whole seconds, and this machine is busy."""

_TTLS: Final = (7_200, 14_400, 86_400, 604_800)
"""Seconds: no token expires while this runs, not even with a clock that is an hour ahead."""

_DATA: Final = ("", "username=bob", 'a&b=c%20d+"é€😀', "x" * 900)


@attrs.define
class End:
    """The end of a session, or the revocation of a token: begun, and perhaps confirmed by `server` at `confirmed`."""

    server: str = ""
    confirmed: float | None = None

    def confirm(self, server: str) -> None:
        """Note that *server* has answered with OK; empty if it is not known which one did."""
        if self.confirmed is None:
            self.server, self.confirmed = server, monotonic()

    def must_hold(self, begun: float, server: str) -> bool:
        """Return whether a call that began at *begun* on *server* has to know it."""
        if self.confirmed is None:
            return False
        return begun > self.confirmed + (0 if server and server == self.server else MAX_STALENESS)


@attrs.define
class KnownSession:
    """A session that was created."""

    session_id: str
    project_id: str
    end: End | None = None


@attrs.define
class KnownToken:
    """A token that was made for `wanted`."""

    session: KnownSession
    wanted: token_pb2.TokenRequest
    token: token_pb2.Token
    end: End | None = None

    def ends(self) -> list[End]:
        """Return what makes it invalid so far."""
        return [end for end in (self.end, self.session.end) if end is not None]

    def verdict_problem(
        self,
        answer: token_pb2.VerifyTokenResponse,
        ends: Sequence[End],
        begun: float,
        server: str,
        *,
        clock_is_right: bool,
    ) -> str:
        """Say why *answer* is wrong; *ends* were there when the question was asked, at *begun*.

        A server whose clock is behind finds tokens not yet valid.
        """
        reason = token_pb2.InactiveReason.Name(answer.reason)
        if answer.active:
            late = any(end.must_hold(begun, server) for end in ends)
            return "a token is active that is over" if late else claims_problem(self.wanted, self.token, answer.claims)
        if not clock_is_right and answer.reason == token_pb2.INACTIVE_REASON_NOT_YET_VALID:
            return ""
        if not self.ends():
            return f"a valid token is {reason}: {answer.reason_detail}"
        ended = answer.reason in {token_pb2.INACTIVE_REASON_REVOKED, token_pb2.INACTIVE_REASON_SESSION_ENDED}
        return "" if ended else f"a token that is over is {reason}"


@attrs.define
class World:
    """The sessions and tokens of one store that were made last; any thread may use it."""

    keys: Keys
    clock_is_right: bool = True
    """Whether the servers have the clock of this process."""

    sessions: deque[KnownSession] = attrs.Factory(lambda: deque(maxlen=_MAX_KNOWN))
    tokens: deque[KnownToken] = attrs.Factory(lambda: deque(maxlen=_MAX_KNOWN))
    _lock: threading.Lock = attrs.Factory(threading.Lock)

    def add_session(self, session: KnownSession) -> None:
        """Remember a session."""
        with self._lock:
            self.sessions.append(session)

    def add_token(self, token: KnownToken) -> None:
        """Remember a token, unless it is of the future: no server would take it for valid."""
        if token.token.issue_time.seconds <= time() + _SKEW:
            with self._lock:
                self.tokens.append(token)

    def problem(self, wanted: token_pb2.TokenRequest, token: token_pb2.Token, begun: float) -> str:
        """Say why *token*, the answer to a call that began at the time *begun*, is wrong; empty if it is right."""
        issued = token.issue_time.seconds
        if self.clock_is_right and not begun - _SKEW <= issued <= time() + _SKEW:
            return f"the token was issued at {issued}, asked for at {begun:.0f}"
        return self.keys.problem(wanted, token)

    def any_session(self, chance: random.Random) -> KnownSession:
        """Return a session that nobody has ended."""
        return chance.choice(self.open_sessions())

    def open_sessions(self) -> list[KnownSession]:
        """Return the sessions that nobody has ended or tried to end."""
        with self._lock:
            return [session for session in self.sessions if session.end is None]

    def unknown_session(self, chance: random.Random) -> KnownSession:
        """Return a session of the project that nobody has created."""
        project_id = self.keys.project_id
        now, random_bytes = Millis(time_ns() // 1_000_000), chance.randbytes(SESSION_RANDOM_BYTES)
        session_id = make_session_id(project_id, location="", relayed=True, now=now, random=random_bytes)
        return KnownSession(session_id, project_id)

    def any_token(self, chance: random.Random) -> KnownToken | None:
        """Return a token, or None before the first one."""
        with self._lock:
            return chance.choice(self.tokens) if self.tokens else None

    def wish(self, chance: random.Random, session: KnownSession) -> token_pb2.TokenRequest:
        """Return a request for a token of the session, of a format that its project has."""
        vonage = session.project_id == self.keys.vonage_project_id
        chosen = chance.choice((VONAGE_JWT, SESSION_JWT) if vonage else (SESSION_JWT, OPENTOK_T1, OPENTOK_JWT))
        request = token_pb2.TokenRequest(
            session_id=session.session_id,
            role=chance.choice(("publisher", "subscriber")),
            data=chance.choice(_DATA),
            format=chosen,
            initial_layout_class_list=chance.choice(((), ("focus",), ("focus", "small"))),
            subject=f"user-{chance.randrange(1000)}" if chosen == SESSION_JWT else "",
        )
        request.ttl.seconds = chance.choice(_TTLS)
        return request
