"""The methods of a client: create sessions, generate, verify and revoke tokens."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self, Unpack

from tokenauthority.client import arguments, requests
from tokenauthority.client.aio.administration import AsyncAdministration
from tokenauthority.client.aio.calls import call
from tokenauthority.client.aio.watch import AsyncRevocationWatch
from tokenauthority.client.connection import Connection
from tokenauthority.client.conversions import Lifetime, Moment
from tokenauthority.client.errors import AuthorityError, next_page_token
from tokenauthority.client.requests import RevokeOptions, SessionOptions, TokenOptions, TokenRequest
from tokenauthority.client.revocations import Revocation
from tokenauthority.client.values import (
    SessionData,
    Token,
    TurnCredentials,
    Verification,
    convert_message,
    read_verification,
)
from tokenauthority.v1 import session_pb2
from tokenauthority.v1.key_pb2_grpc import KeyServiceStub
from tokenauthority.v1.project_pb2_grpc import ProjectServiceStub
from tokenauthority.v1.role_pb2_grpc import RoleServiceStub
from tokenauthority.v1.session_pb2_grpc import SessionServiceStub
from tokenauthority.v1.token_pb2_grpc import TokenServiceStub


@dataclass(frozen=True, kw_only=True)
class AsyncSession(SessionData):
    """A room that people join, with the methods that let them in."""

    authority: AsyncAuthority = field(repr=False, compare=False)

    async def generate_token(self, **options: Unpack[TokenOptions]) -> Token:
        """Generate a token for this session; see `AsyncAuthority.generate_token`."""
        return await self.authority.generate_token(self.session_id, **options)

    async def create_turn_credentials(self, *, subject: str = "", ttl: Lifetime | None = None) -> TurnCredentials:
        """Create TURN credentials for this session; see `AsyncAuthority.create_turn_credentials`."""
        return await self.authority.create_turn_credentials(self.session_id, subject=subject, ttl=ttl)

    async def revoke_tokens(self, *, issued_before: Moment | None = None, comment: str = "") -> Revocation:
        """Revoke all tokens of this session; see `AsyncAuthority.revoke_tokens`."""
        return await self.authority.revoke_tokens(
            session_id=self.session_id, issued_before=issued_before, comment=comment
        )

    async def end(self) -> AsyncSession:
        """End this session; see `AsyncAuthority.end_session`.

        Returns:
            The ended session. This object does not change.
        """
        return await self.authority.end_session(self.session_id)


class AsyncAuthority(AsyncAdministration):
    """A client of one authority as one caller. Its `repr` does not show the API key.

    One client is enough for a process: threads may share a blocking client, the tasks of an event loop may share an
    asyncio client that was made in that loop. In another loop, and once the client is closed, each call is a
    RuntimeError. Every call may raise an `AuthorityError`. An argument of the wrong type is a TypeError that names it,
    before anything is sent. A call that is safe to repeat is retried on UNAVAILABLE and CANCELLED, within its deadline.

    The methods for roles, and for stopping and deleting projects, are those of `AsyncAdministration`. The stubs
    `sessions`, `tokens`, `roles`, `projects` and `keys` have the other RPCs of the contract, with the same
    credentials, deadline and retries. A stub raises `grpc.RpcError`; call it within `translated_errors()` to get an
    `AuthorityError` instead.
    """

    def _open(self, connection: Connection) -> None:
        self._channel = connection.open_async()
        self.sessions = SessionServiceStub(self._channel)
        self.tokens = TokenServiceStub(self._channel)
        self.roles = RoleServiceStub(self._channel)
        self.projects = ProjectServiceStub(self._channel)
        self.keys = KeyServiceStub(self._channel)

    async def create_session(self, **options: Unpack[SessionOptions]) -> AsyncSession:
        """Create a session in the client's project.

        Args:
            **options: see `SessionOptions`.

        Raises:
            InvalidArgument: an option is invalid, or two options exclude each other.
            ValueError: `media_mode` or `archive_mode` is unknown.
        """
        request = requests.create_session_request(self.project_id, **options)
        return self._session((await call(self.sessions.CreateSession, request)).session)

    async def get_session(self, session_id: str) -> AsyncSession:
        """Return the session with this id.

        Raises:
            NotFound: no session has this id.
        """
        request = session_pb2.GetSessionRequest(session_id=arguments.text("session_id", session_id))
        return self._session((await call(self.sessions.GetSession, request)).session)

    async def list_sessions(self, *, state: str = "", page_size: int = 0) -> AsyncIterator[AsyncSession]:
        """Iterate over the sessions of the client's project, newest first; fetch page after page on the way.

        Args:
            state: "active" or "ended"; empty for both.
            page_size: sessions in one page, at most 1000; 0 for 50.

        Raises:
            ValueError: `state` is unknown.
        """
        page_token = ""
        while True:
            request = requests.list_sessions_request(self.project_id, state, page_size, page_token)
            page = await call(self.sessions.ListSessions, request)
            for message in page.sessions:
                yield self._session(message)
            page_token = next_page_token(page_token, page.next_page_token, page.sessions)
            if not page_token:
                return

    async def end_session(self, session_id: str) -> AsyncSession:
        """End a session for good: it gets no more tokens, and its existing tokens become invalid.

        To end a session twice changes nothing.

        Returns:
            The ended session.

        Raises:
            NotFound: no session has this id.
        """
        request = session_pb2.EndSessionRequest(session_id=arguments.text("session_id", session_id))
        return self._session((await call(self.sessions.EndSession, request)).session)

    async def generate_token(self, session_id: str, **options: Unpack[TokenOptions]) -> Token:
        """Generate a token with which one person joins the session.

        Args:
            session_id: the session to join.
            **options: see `TokenOptions`.

        Raises:
            InvalidArgument: an option is invalid.
            PermissionDenied: the grant of the API key does not allow the option.
            NotFound: no session has this id.
            FailedPrecondition: the session has ended.
            ValueError: `expire_time` has no time zone, `expire_time` and `ttl` are both given, or `format` is unknown.
        """
        request = requests.generate_token_request(TokenRequest(session_id, **options))
        return convert_message((await call(self.tokens.GenerateToken, request)).token, Token)

    async def generate_tokens(self, wanted: Iterable[TokenRequest]) -> list[Token]:
        """Generate many tokens in one call: all, or none.

        Args:
            wanted: 1 to 1000 requests, also of several sessions.

        Returns:
            The tokens in the order of `wanted`.

        Raises:
            AuthorityError: as `generate_token`; the path of a violation, such as `requests[17].ttl`, names the request.
        """
        answer = await call(self.tokens.BatchGenerateTokens, requests.batch_request(wanted))
        return [convert_message(token, Token) for token in answer.tokens]

    async def verify_token(
        self, token: str | Token, *, session_id: str = "", required_permissions: Iterable[str] = ()
    ) -> Verification:
        """Check whether a token is valid now. An invalid token is an answer and raises nothing.

        Args:
            token: a token of any format.
            session_id: the session that the token must be for, by its id or name; empty for any.
            required_permissions: what the token must allow, such as "publish".

        Returns:
            A value that is true if the token is valid, and else says why it is not.

        Raises:
            ValueError: a permission is unknown.
        """
        request = requests.verify_token_request(token, session_id, required_permissions)
        return read_verification(await call(self.tokens.VerifyToken, request))

    async def revoke_tokens(self, **options: Unpack[RevokeOptions]) -> Revocation:
        """Revoke one token, all tokens of a session, or all tokens of an end user.

        The revocation is durable when the call returns. The server that answered refuses the tokens from then on, the
        other servers of its store soon after. To revoke twice is safe.

        Args:
            **options: see `RevokeOptions`.

        Raises:
            InvalidArgument: an option is invalid, or the signature of `token` does not verify.
            PermissionDenied: the grant of the API key does not allow it.
            NotFound: the project does not exist.
            ResourceExhausted: too many revocations are in force.
            ValueError: not exactly one of the four targets is given, or `issued_before` has no time zone.
        """
        answer = await call(self.tokens.RevokeTokens, requests.revoke_tokens_request(self.project_id, **options))
        return convert_message(answer.revocation, Revocation)

    async def create_turn_credentials(
        self, session_id: str, *, subject: str = "", ttl: Lifetime | None = None
    ) -> TurnCredentials:
        """Create a user name and a password with which one person's client uses the authority's TURN servers.

        Args:
            session_id: the session whose media is relayed.
            subject: the end user's id, at most 255 characters. TURN servers see a pseudonym in its place.
            ttl: the lifetime: seconds or a timedelta, at most 1 hour. Default: 1 hour, unless the project or the API
                key sets a shorter one.

        Raises:
            InvalidArgument: an option is invalid.
            PermissionDenied: the grant of the API key does not allow it.
            NotFound: no session has this id.
            FailedPrecondition: the session has ended, or the authority has no TURN servers.
        """
        request = requests.create_turn_credentials_request(session_id, subject, ttl)
        return convert_message((await call(self.tokens.CreateTurnCredentials, request)).credentials, TurnCredentials)

    def watch_revocations(
        self,
        *,
        project_ids: Iterable[str] | None = None,
        resume_token: str = "",
        on_lost: Callable[[AuthorityError, float], None] | None = None,
    ) -> AsyncRevocationWatch:
        """Watch revocations and ended sessions: those in force, then each as it happens.

        Args:
            project_ids: the projects to watch, at most 1000; an empty list for all projects of the API key. Default:
                the client's `project_id` if it has one, else all.
            resume_token: the `resume_token` of an earlier watch, to go on after its last event; empty: from the start.
            on_lost: called when the stream breaks off, with the error and the seconds until the next attempt. The
                watch ends if `on_lost` raises.
        """
        if project_ids is None:
            project_ids = filter(None, [self.project_id])
        if on_lost is not None and not callable(on_lost):
            raise arguments.wrong_type("on_lost", on_lost, "a function or None")
        return AsyncRevocationWatch(
            self.tokens,
            arguments.texts("project_ids", project_ids),
            arguments.text("resume_token", resume_token),
            on_lost,
        )

    async def close(self) -> None:
        """Close the connection, and cancel the calls that still run."""
        await self._channel.close()

    async def __aenter__(self) -> Self:
        """Return the client; the first call connects."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the connection."""
        await self.close()

    def _session(self, message: session_pb2.Session) -> AsyncSession:
        return AsyncSession(authority=self, **vars(convert_message(message, SessionData)))
