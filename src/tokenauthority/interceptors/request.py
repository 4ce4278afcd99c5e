"""Give an RPC its id, its deadline and its audit record, and read its metadata once: the outermost step."""

from __future__ import annotations

import asyncio
import re

from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from typing import Final, cast

from tokenauthority.audit.record import AuditRecord, time_text
from tokenauthority.authority.randomness import Randomness
from tokenauthority.domain.times import Millis
from tokenauthority.interceptors.call import Call, Proceed
from tokenauthority.interceptors.status import REQUEST_ID


current_request_id: Final[ContextVar[str]] = ContextVar("tokenauthority.request_id", default="")
"""The id of the RPC that the current task answers, for its log lines; empty outside of one."""

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_MAX_USER_AGENT: Final = 200
_NOT_PRINTABLE: Final = re.compile(r"[^ -~]")
"""Characters that gRPC lets through, though no header may have them: terminals obey some of them."""
_MAX_METHOD: Final = 128
"""Characters that are recorded: anybody may call a method with a name of any length."""


class RequestInterceptor:
    """Use the caller's `x-request-id` (1 to 64 of A-Z a-z 0-9 . _ -) or make one, and send it back.

    A call without a deadline, or with a longer one, gets *max_deadline* seconds; a stream may stay open.
    """

    def __init__(self, clock: Callable[[], Millis], max_deadline: float) -> None:
        self._clock = clock
        self._max_deadline = max_deadline
        self._random = Randomness()

    async def intercept(self, call: Call, proceed: Proceed) -> object:
        """Prepare the call; the answer passes unchanged."""
        metadata = call.metadata
        for key, value in cast("Iterable[tuple[str, str | bytes]] | None", call.context.invocation_metadata()) or ():
            metadata.setdefault(key, []).append(value)
        request_id = _given_id(metadata) or self._random.identifier()
        remaining = cast("float | None", call.context.time_remaining())
        call.capped = remaining is None or remaining > self._max_deadline
        allowed = self._max_deadline if remaining is None else min(remaining, self._max_deadline)
        call.deadline = asyncio.get_running_loop().time() + allowed
        call.record = AuditRecord(
            time=time_text(self._clock()),
            request_id=request_id,
            method=call.method[:_MAX_METHOD],
            peer=call.context.peer(),
            user_agent=_user_agent(metadata),
            transport=call.transport,
        )
        current_request_id.set(request_id)
        call.context.set_trailing_metadata(((REQUEST_ID, request_id),))
        return await proceed(call)


def _given_id(metadata: Mapping[str, list[str | bytes]]) -> str:
    given = metadata.get(REQUEST_ID)
    if given is not None and isinstance(given[0], str) and _REQUEST_ID.fullmatch(given[0]):
        return given[0]
    return ""


def _user_agent(metadata: Mapping[str, list[str | bytes]]) -> str:
    given = metadata.get("user-agent")
    text = str(given[0])[:_MAX_USER_AGENT] if given is not None else ""
    return text if text.isascii() and text.isprintable() else _NOT_PRINTABLE.sub("?", text)
