"""Read what the platform answers to a request for a session: an id, a refusal, or nothing that can be used."""

from __future__ import annotations

from typing import Final

import msgspec

from tokenauthority.domain.ids import project_in_session_id
from tokenauthority.http_request import OK, HttpAnswer


MAX_BODY: Final = 16_384
"""Bytes of an answer; real ones have 600."""

_JSON: Final = "application/json"
_REFUSED_CREDENTIAL: Final = (401, 403)
_REFUSALS: Final = range(400, 500)
_PASSING: Final = frozenset({408, 429, *range(500, 600)})
"""Statuses after which the same request may succeed."""


class PlatformFailedError(Exception):
    """The platform gave no usable answer; `passing` says whether another attempt may succeed.

    The message is for the log: it quotes nothing of the answer.
    """

    def __init__(self, cause: str, *, passing: bool) -> None:
        super().__init__(cause)
        self.passing = passing


class PlatformRefusedError(Exception):
    """The platform refuses the credential or the request, and would again."""


class _CreatedSession(msgspec.Struct):
    session_id: str


def session_id_in(answer: HttpAnswer, owner: str) -> str:
    """Return the session id in *answer*, which must be one of *owner*: a project id or an application id.

    Raises:
        PlatformRefusedError: status 400 to 499, but for 408 and 429.
        PlatformFailedError: any other status but 200; or no JSON list of one session, or another owner's session.
    """
    status = answer.status
    if status in _REFUSED_CREDENTIAL:
        raise PlatformRefusedError(
            f"refuses the credential (status {status}): the imported secret or key is not that of the project, or the "
            "clock of this server is wrong"
        )
    if status in _REFUSALS and status not in _PASSING:
        raise PlatformRefusedError(f"refuses the request (status {status})")
    if status != OK:
        raise PlatformFailedError(f"the answer has status {status}", passing=status in _PASSING)
    if answer.content_type.partition(";")[0].strip().lower() != _JSON:
        raise PlatformFailedError("the answer is not JSON", passing=False)
    try:
        found = msgspec.json.decode(answer.body, type=list[_CreatedSession])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        found = []
    if len(found) != 1:
        raise PlatformFailedError("the answer is not a list of one session", passing=False)
    session_id = found[0].session_id
    if project_in_session_id(session_id) != owner:
        raise PlatformFailedError("the answer has no session id of the project", passing=False)
    return session_id
