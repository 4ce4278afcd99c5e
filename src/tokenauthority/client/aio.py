"""The asyncio client: the same as the blocking one, awaited. Make it in the event loop that uses it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from tokenauthority.client import requests
from tokenauthority.client.base import AuthorityBase
from tokenauthority.client.errors import translated_errors
from tokenauthority.client.requests import RevokeOptions, SessionOptions, TokenOptions, TokenRequest
from tokenauthority.client.revocations import Revocation, read_revocation
from tokenauthority.client.values import (
    SessionData,
    Token,
    Verification,
    read_session,
    read_token,
    read_verification,
)
from tokenauthority.client.watching_aio import AsyncRevocationWatch
from tokenauthority.v1 import session_pb2
from tokenauthority.v1.key_pb2_grpc import KeyServiceStub
from tokenauthority.v1.project_pb2_grpc import ProjectServiceStub
from tokenauthority.v1.role_pb2_grpc import RoleServiceStub
from tokenauthority.v1.session_pb2_grpc import SessionServiceStub
from tokenauthority.v1.token_pb2_grpc import TokenServiceStub


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable
    from types import TracebackType
    from typing import Self, Unpack

    import grpc

    from tokenauthority.client.connection import Connection
    from tokenauthority.client.errors import AuthorityError
    from tokenauthority.client.times import Moment


Request = TypeVar("Request")
Answer = TypeVar("Answer")


@dataclass(frozen=True, kw_only=True)
class AsyncSession(SessionData):
    """A room that people join, and the means to let them in."""

    authority: AsyncAuthority = field(repr=False, compare=False)

    async def generate_token(self, **options: Unpack[TokenOptions]) -> Token:
        """A token for this session; see AsyncAuthority.generate_token."""
        return await self.authority.generate_token(self.session_id, **options)

    async def revoke_tokens(self, *, issued_before: Moment | None = None, comment: str = "") -> Revocation:
        """Take back every token of this session that is out now; see AsyncAuthority.revoke_tokens."""
        return await self.authority.revoke_tokens(
            session_id=self.session_id, issued_before=issued_before, comment=comment
        )

    async def end(self) -> AsyncSession:
        """End it for good; the answer is the ended session. See AsyncAuthority.end_session."""
        return await self.authority.end_session(self.session_id)


class AsyncAuthority(AuthorityBase):
    """Makes sessions and tokens.

    Every call may raise an AuthorityError. The stubs `sessions`, `tokens`, `roles`, `projects` and `keys`
    have the contract's other calls, with the same credential, deadline and retries. They raise
    `grpc.RpcError`, which `translated_errors()` turns into AuthorityErrors.
    """

    def _open(self, connection: Connection) -> None:
        self._channel = connection.open_async()
        self.sessions = SessionServiceStub(self._channel)
        self.tokens = TokenServiceStub(self._channel)
        self.roles = RoleServiceStub(self._channel)
        self.projects = ProjectServiceStub(self._channel)
        self.keys = KeyServiceStub(self._channel)

    async def create_session(self, **options: Unpack[SessionOptions]) -> AsyncSession:
        """A new session; see SessionOptions.

        Raises:
            InvalidArgument: an option is bad, or two do not go together.
            ValueError: `media_mode` or `archive_mode` is unknown.
        """
        request = requests.create_session(self.project_id, **options)
        return self._session((await _call(self.sessions.CreateSession, request)).session)

    async def get_session(self, session_id: str) -> AsyncSession:
        """The session with this id. Raises NotFound."""
        request = session_pb2.GetSessionRequest(session_id=session_id)
        return self._session((await _call(self.sessions.GetSession, request)).session)

    async def list_sessions(self, *, state: str = "", page_size: int = 0) -> AsyncIterator[AsyncSession]:
        """The project's sessions, newest first: "active", "ended" or all. Pages are fetched on the way."""
        page_token = ""
        while True:
            request = requests.list_sessions(self.project_id, state, page_size, page_token)
            page = await _call(self.sessions.ListSessions, request)
            for message in page.sessions:
                yield self._session(message)
            page_token = page.next_page_token
            if not page_token:
                return

    async def end_session(self, session_id: str) -> AsyncSession:
        """End a session for good: no more tokens, and those that exist are no longer good. Safe to repeat."""
        request = session_pb2.EndSessionRequest(session_id=session_id)
        return self._session((await _call(self.sessions.EndSession, request)).session)

    async def generate_token(self, session_id: str, **options: Unpack[TokenOptions]) -> Token:
        """A token with which one person joins the session; see TokenOptions.

        Raises:
            InvalidArgument: an option is bad; PermissionDenied: the API key's grant lacks it.
            NotFound: no such session; FailedPrecondition: it has ended.
            ValueError: `expire_time` has no time zone, both lifetimes are given, or `format` is unknown.
        """
        request = requests.generate_token(TokenRequest(session_id, **options))
        return read_token((await _call(self.tokens.GenerateToken, request)).token)

    async def generate_tokens(self, wanted: Iterable[TokenRequest]) -> list[Token]:
        """1 to 1000 tokens in the order of *wanted*, all or none. Raises what generate_token raises."""
        answer = await _call(self.tokens.BatchGenerateTokens, requests.generate_tokens(wanted))
        return [read_token(token) for token in answer.tokens]

    async def verify_token(
        self, token: str | Token, *, session_id: str = "", required_permissions: Iterable[str] = ()
    ) -> Verification:
        """Whether a token is good now, and if given: for this session, with these permissions ("publish")."""
        request = requests.verify_token(token, session_id, required_permissions)
        return read_verification(await _call(self.tokens.VerifyToken, request))

    async def revoke_tokens(self, **options: Unpack[RevokeOptions]) -> Revocation:
        """Take tokens back: one, a session's, or an end user's; see RevokeOptions. Safe to repeat.

        Durable when it returns, and seen by the server that answered; by the others of its store soon after.

        Raises:
            InvalidArgument: an option is bad, or the token is none; PermissionDenied: the API key's grant lacks it.
            NotFound: no such session or project; ResourceExhausted: too many revocations are in force.
            ValueError: not exactly one of the four targets is given, or `issued_before` has no time zone.
        """
        answer = await _call(self.tokens.RevokeTokens, requests.revoke_tokens(self.project_id, **options))
        return read_revocation(answer.revocation)

    def watch_revocations(
        self,
        *,
        project_ids: Iterable[str] | None = None,
        resume_token: str = "",
        on_lost: Callable[[AuthorityError, float], None] | None = None,
    ) -> AsyncRevocationWatch:
        """Every revocation and ended session: those in force, then each as it happens; see AsyncRevocationWatch.

        Args:
            project_ids: whose, at most 1000; an empty list is all of the API key. Default: `project_id`, where that is
                set, else all.
            resume_token: go on after the event of which it was the watch's `resume_token`.
            on_lost: called with the failure, and the seconds to the next attempt, when the stream breaks off; it may
                raise to end the watch.
        """
        if project_ids is None:
            project_ids = filter(None, [self.project_id])
        return AsyncRevocationWatch(self.tokens, tuple(project_ids), resume_token, on_lost)

    async def close(self) -> None:
        """Close the connection; calls under way are cancelled."""
        await self._channel.close()

    async def __aenter__(self) -> Self:
        """Nothing; the connection is made with the first call."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the connection."""
        await self.close()

    def _session(self, message: session_pb2.Session) -> AsyncSession:
        return AsyncSession(authority=self, **read_session(message))


async def _call(method: grpc.aio.UnaryUnaryMultiCallable[Request, Answer], request: Request) -> Answer:
    with translated_errors():
        return await method(request)
