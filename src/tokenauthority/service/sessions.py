"""SessionService: maps to and from the use cases of sessions."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from tokenauthority.context import audit_record, current_caller
from tokenauthority.domain.times import Millis
from tokenauthority.service import mapping, paging
from tokenauthority.service.context import Context
from tokenauthority.service.problems import Problems
from tokenauthority.v1 import session_pb2, session_pb2_grpc


if TYPE_CHECKING:
    from collections.abc import Callable

    from tokenauthority.authority.sessions import Sessions


class SessionServicer(session_pb2_grpc.SessionServiceServicer):
    """Sessions over gRPC."""

    def __init__(self, sessions: Sessions, clock: Callable[[], Millis]) -> None:
        self._sessions = sessions
        self._clock = clock

    async def CreateSession(
        self, request: session_pb2.CreateSessionRequest, context: Context
    ) -> session_pb2.CreateSessionResponse:
        """See the contract."""
        record = audit_record()
        record.ask(project_id=request.project_id)
        session = await self._sessions.create(
            request.project_id,
            mapping.session_spec(request),
            request.request_id,
            current_caller(),
            self._clock(),
        )
        record.project_id, record.session_id = session.project_id, session.session_id
        return session_pb2.CreateSessionResponse(session=mapping.session_message(session))

    async def GetSession(
        self, request: session_pb2.GetSessionRequest, context: Context
    ) -> session_pb2.GetSessionResponse:
        """See the contract."""
        record = audit_record()
        record.ask(session_id=request.session_id)
        session = await self._sessions.get(request.session_id, current_caller().grant)
        record.project_id = session.project_id
        return session_pb2.GetSessionResponse(session=mapping.session_message(session))

    async def ListSessions(
        self, request: session_pb2.ListSessionsRequest, context: Context
    ) -> session_pb2.ListSessionsResponse:
        """See the contract."""
        record = audit_record()
        record.ask(project_id=request.project_id)
        problems = Problems()
        chosen = partial(current_caller().grant.chosen_project, request.project_id)
        project_id = record.project_id = problems.read(chosen, "")
        query = f"sessions/{project_id}/{request.state}"
        size = problems.read(partial(paging.page_size, request.page_size), 0)
        made_for = query if project_id else None
        before = problems.read(partial(paging.position, request.page_token, made_for, tuple[int, str]), None)
        state = problems.read(partial(mapping.session_state, request.state), None)
        problems.refuse()
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

    async def EndSession(
        self, request: session_pb2.EndSessionRequest, context: Context
    ) -> session_pb2.EndSessionResponse:
        """See the contract."""
        record = audit_record()
        record.ask(session_id=request.session_id)
        session = await self._sessions.end(request.session_id, current_caller().grant, self._clock())
        record.project_id = session.project_id
        return session_pb2.EndSessionResponse(session=mapping.session_message(session))
