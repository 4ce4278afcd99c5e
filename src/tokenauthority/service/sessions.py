"""SessionService: map its requests to the use cases of sessions, and their results to its answers."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from tokenauthority.domain.times import Millis
from tokenauthority.service import mapping, paging
from tokenauthority.service.problems import Problems
from tokenauthority.v1 import session_pb2


if TYPE_CHECKING:
    from tokenauthority.authority.sessions import Sessions
    from tokenauthority.service.rpc import Rpc


class SessionServicer:
    """The RPCs of SessionService."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def create_session(
        self, request: session_pb2.CreateSessionRequest, rpc: Rpc
    ) -> session_pb2.CreateSessionResponse:
        """Answer CreateSession."""
        session = await self._sessions.create(
            request.project_id,
            mapping.session_spec(request),
            request.request_id,
            rpc.caller,
            rpc.now,
        )
        return session_pb2.CreateSessionResponse(session=mapping.session_message(session))

    async def get_session(self, request: session_pb2.GetSessionRequest, rpc: Rpc) -> session_pb2.GetSessionResponse:
        """Answer GetSession."""
        session = await self._sessions.get(request.session_id, rpc.grant)
        return session_pb2.GetSessionResponse(session=mapping.session_message(session))

    async def list_sessions(
        self, request: session_pb2.ListSessionsRequest, rpc: Rpc
    ) -> session_pb2.ListSessionsResponse:
        """Answer ListSessions."""
        problems = Problems()
        project_id = problems.value_or(partial(rpc.chosen_project, request.project_id), "")
        query = f"sessions/{project_id}/{request.state}"
        size = problems.value_or(partial(paging.page_size, request.page_size), 0)
        made_for = query if project_id else None
        before = problems.value_or(partial(paging.position, request.page_token, made_for, tuple[int, str]), None)
        state = problems.value_or(partial(mapping.session_state, request.state), None)
        problems.raise_if_any()
        found = await self._sessions.list_page(
            project_id,
            before=None if before is None else (Millis(before[0]), before[1]),
            limit=size + 1,
            state=state,
        )
        page, last = paging.cut(found, size)
        return session_pb2.ListSessionsResponse(
            sessions=[mapping.session_message(session) for session in page],
            next_page_token=paging.next_token(query, (last.create_time, last.session_id)) if last else "",
        )

    async def end_session(self, request: session_pb2.EndSessionRequest, rpc: Rpc) -> session_pb2.EndSessionResponse:
        """Answer EndSession."""
        session = await self._sessions.end(request.session_id, rpc.grant, rpc.now)
        return session_pb2.EndSessionResponse(session=mapping.session_message(session))
