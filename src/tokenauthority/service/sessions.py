"""SessionService: map its requests to the use cases of sessions, and their results to its answers."""

from __future__ import annotations

from functools import partial

from tokenauthority.authority.sessions import Sessions
from tokenauthority.domain.times import Millis
from tokenauthority.service import mapping, paging
from tokenauthority.service.problems import Problems
from tokenauthority.service.rpc import Rpc
from tokenauthority.v1 import session_pb2 as pb


class SessionServicer:
    """The RPCs of SessionService."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def create_session(self, request: pb.CreateSessionRequest, rpc: Rpc) -> pb.CreateSessionResponse:
        """Answer CreateSession."""
        session = await self._sessions.create(
            request.project_id,
            mapping.session_spec(request),
            request.request_id,
            rpc.caller,
            rpc.now,
            waiting=rpc.waiting,
            report_platform=partial(setattr, rpc.record, "platform_url"),
        )
        return pb.CreateSessionResponse(session=mapping.session_message(session))

    async def get_session(self, request: pb.GetSessionRequest, rpc: Rpc) -> pb.GetSessionResponse:
        """Answer GetSession."""
        session = await self._sessions.get(request.session_id, rpc.grant)
        return pb.GetSessionResponse(session=mapping.session_message(session))

    async def list_sessions(self, request: pb.ListSessionsRequest, rpc: Rpc) -> pb.ListSessionsResponse:
        """Answer ListSessions."""
        problems = Problems()
        project_id = problems.value_or(partial(rpc.chosen_project, request.project_id), "")
        query = f"sessions/{project_id}/{request.state}"
        made_for = query if project_id else None
        size, before = paging.requested_page(request, made_for, tuple[int, str], problems)
        state = problems.value_or(partial(mapping.session_state, request.state), None)
        problems.raise_if_any()
        found = await self._sessions.list_page(
            project_id, before=None if before is None else (Millis(before[0]), before[1]), limit=size + 1, state=state
        )
        page, next_page = paging.cut_page(found, size, query, lambda last: (last.create_time, last.session_id))
        return pb.ListSessionsResponse(sessions=map(mapping.session_message, page), next_page_token=next_page)

    async def end_session(self, request: pb.EndSessionRequest, rpc: Rpc) -> pb.EndSessionResponse:
        """Answer EndSession."""
        session = await self._sessions.end(request.session_id, rpc.grant, rpc.now)
        return pb.EndSessionResponse(session=mapping.session_message(session))
