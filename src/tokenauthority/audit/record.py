"""An audit record as its line holds it: who asked for what, and what was decided."""

from __future__ import annotations

import re

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import msgspec

from tokenauthority.context import AuditedToken, AuditRecord


if TYPE_CHECKING:
    from tokenauthority.domain.times import Millis


_CONTROLS: Final = re.compile("[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""What JSON lets stand though readers take some for the end of a line, and terminals obey others."""

_TIME: Final = "%Y-%m-%dT%H:%M:%S."


class AuditLine(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A record's fields, in this order; what the RPC does not have is left out."""

    time: str
    request_id: str
    method: str
    action: str = ""
    caller: str = ""
    caller_kind: str = ""
    caller_identity: str = ""
    peer: str = ""
    user_agent: str = ""
    project_id: str = ""
    session_id: str = ""
    role: str = ""
    format: str = ""
    lifetime: int | None = None
    subject: str = ""
    object_id: str = ""
    key_id: str = ""
    comment: str = ""
    token_ids: tuple[str, ...] = ()
    items: int | None = None
    tokens: tuple[AuditedToken, ...] = ()
    changes: tuple[str, ...] = ()
    code: str
    reason: str = ""
    duration_us: int

    @classmethod
    def of(cls, record: AuditRecord) -> AuditLine:
        """The line of *record*."""
        caller = record.caller
        return cls(
            time=time_text(record.time),
            request_id=record.request_id,
            method=record.method,
            action=record.action or "",
            caller=caller.name if caller else "",
            caller_kind=caller.kind if caller else "",
            caller_identity=caller.identity if caller else "",
            peer=record.peer,
            user_agent=record.user_agent,
            project_id=record.project_id,
            session_id=record.session_id,
            role=record.role,
            format=record.format,
            lifetime=record.lifetime,
            subject=record.subject,
            object_id=record.object_id,
            key_id=record.key_id,
            comment=record.comment,
            token_ids=record.token_ids,
            items=record.items,
            tokens=record.tokens,
            changes=record.changes,
            code=record.code,
            reason=record.reason,
            duration_us=record.duration_us,
        )


def time_text(moment: Millis) -> str:
    """*moment* in RFC 3339, UTC, to the millisecond."""
    return datetime.fromtimestamp(moment // 1000, UTC).strftime(_TIME) + f"{moment % 1000:03}Z"


def without_controls(json: bytes) -> bytes:
    """The same JSON with line separators, C1 controls and marks of direction as escapes: one line to every reader."""
    if json.isascii():
        return json
    return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", json.decode()).encode()
