"""The caller and the audit record of the current RPC, set by the interceptors and read by the servicers.

grpc.aio has no place for them on its context object; each RPC runs in a task of its own, so a ContextVar is exact.
The record is one mutable object made by the outermost interceptor: what an inner one sets in a ContextVar is gone
again when the outer one resumes.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

import attrs
import msgspec

from tokenauthority.domain.ids import is_project_id, is_role_name, is_secret_id, is_uuid, project_in_session_id


if TYPE_CHECKING:
    from tokenauthority.domain.caller import Action, Caller
    from tokenauthority.domain.times import Millis


class AuditedToken(msgspec.Struct, frozen=True):
    """One token of a batch."""

    token_id: str
    project_id: str
    session_id: str
    role: str
    format: str
    lifetime: int
    subject: str


@attrs.define(kw_only=True)
class AuditRecord:
    """What one RPC asked for and what was decided. Never a token, a secret or a key.

    `items` is how many tokens a batch asks for, `tokens` tells those that it got apart; `token_ids` has their ids, as
    it has that of a single token. `changes` are the new values of an update, as `field=value`.
    `key_id` is that of a signing key, and `comment` what the caller wrote to it or to a revocation.
    `time` and `duration_us` are UTC milliseconds and elapsed microseconds; `lifetime` is in seconds; `code` is the name
    of the gRPC status, `reason` of the ErrorReason or InactiveReason.
    """

    time: Millis
    request_id: str
    method: str
    peer: str
    user_agent: str = ""
    action: Action | None = None
    caller: Caller | None = None
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
    code: str = ""
    reason: str = ""
    duration_us: int = 0

    def ask(self, *, project_id: str = "", session_id: str = "", role: str = "", object_id: str = "") -> None:
        """Keep what a request names, where it has the shape of what it should be.

        Anything else could be a token or a secret in the wrong field, and the log would show it.
        """
        if is_project_id(project_id):
            self.project_id = project_id
        owner = project_in_session_id(session_id)
        if owner is not None:
            self.session_id = session_id
            self.project_id = self.project_id or (owner if is_project_id(owner) else "")
        if is_role_name(role):
            self.role = role
        if is_uuid(object_id) or is_secret_id(object_id):
            self.object_id = object_id


_record: ContextVar[AuditRecord] = ContextVar("tokenauthority.audit_record")


def audit_record() -> AuditRecord:
    """The record of the current RPC. LookupError outside of one: a wiring bug."""
    return _record.get()


def current_caller() -> Caller:
    """The authenticated caller of the current RPC. LookupError where there is none: a wiring bug."""
    caller = _record.get().caller
    if caller is None:
        raise LookupError("the RPC has no authenticated caller")
    return caller


def current_request_id() -> str:
    """The id of the current RPC, or an empty string outside of one."""
    record = _record.get(None)
    return record.request_id if record is not None else ""


def enter(record: AuditRecord) -> None:
    """Make *record* that of the current RPC, for the rest of its task."""
    _record.set(record)
