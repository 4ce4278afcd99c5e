"""Read what the platform answers to a request for a session: an id, a refusal, or nothing that can be used."""

from __future__ import annotations

import re

from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

import msgspec

from tokenauthority.domain.ids import project_in_session_id
from tokenauthority.domain.times import Millis
from tokenauthority.http_request import OK, HttpAnswer


MAX_BODY: Final = 16_384
"""Bytes of an answer; real ones have 600."""

MAX_RETRY_AFTER: Final = 300.0
"""Seconds that a platform can ask to wait; more counts as so many."""

_MAX_DATE: Final = 64
"""Characters of a date; those of HTTP have 29."""

_SECONDS: Final = re.compile(r"[0-9]{1,10}", re.ASCII)
_JSON: Final = "application/json"
_REFUSED_CREDENTIAL: Final = (401, 403)
_REFUSALS: Final = range(400, 500)
_PASSING: Final = frozenset({408, 429, *range(500, 600)})
"""Statuses after which the same request may succeed."""


class PlatformFailedError(Exception):
    """The platform gave no usable answer; `passing` says whether another attempt may succeed.

    `retry_after` is in seconds: the platform asks to wait so long; 0 if it does not.

    The message is for the log: it quotes nothing of the answer.
    """

    def __init__(self, cause: str, *, passing: bool, retry_after: float = 0.0) -> None:
        super().__init__(cause)
        self.passing = passing
        self.retry_after = retry_after


class PlatformRefusedError(Exception):
    """The platform refuses the credential or the request, and would again."""


class _CreatedSession(msgspec.Struct):
    session_id: str


def session_id_in(answer: HttpAnswer, owner: str, now: Millis) -> str:
    """Return the session id in *answer*, which must be one of *owner*: a project id or an application id.

    *now* is the time from which a date in `Retry-After` is counted.

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
        wait = retry_after(answer.retry_after, now)
        raise PlatformFailedError(f"the answer has status {status}", passing=status in _PASSING, retry_after=wait)
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


def retry_after(text: str, now: Millis) -> float:
    """Return the seconds for which *text*, a value of `Retry-After` (RFC 9110, section 10.2.3), asks from *now*.

    They are at most MAX_RETRY_AFTER; 0 if the text is neither a number nor a date, or the date has passed.
    """
    if _SECONDS.fullmatch(text):
        wait = float(text)
    elif len(text) > _MAX_DATE:
        return 0.0
    else:
        try:
            date = parsedate_to_datetime(text)
        except (ValueError, OverflowError):
            return 0.0
        # Dates of HTTP are in UTC, and the oldest of their forms does not say so.
        wait = date.replace(tzinfo=date.tzinfo or UTC).timestamp() - now / 1000
    return min(max(wait, 0.0), MAX_RETRY_AFTER)
