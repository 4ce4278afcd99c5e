"""The caller and the audit record of the current RPC, set by the interceptors and read by the servicers.

grpc.aio has no place for them on its context object; each RPC runs in a task of its own, so a ContextVar is exact.
The record is one mutable object made by the outermost interceptor: what an inner one sets in a ContextVar is gone
again when the outer one resumes.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

from tokenauthority.audit import AuditedToken, AuditRecord


if TYPE_CHECKING:
    from tokenauthority.domain.caller import Caller


__all__ = [
    "AuditRecord",
    "AuditedToken",
    "audit_record",
    "current_caller",
    "current_request_id",
    "enter",
    "enter_caller",
]


_record: ContextVar[AuditRecord] = ContextVar("tokenauthority.audit_record")
_caller: ContextVar[Caller] = ContextVar("tokenauthority.caller")


def audit_record() -> AuditRecord:
    """The record of the current RPC. LookupError outside of one: a wiring bug."""
    return _record.get()


def current_caller() -> Caller:
    """The authenticated caller of the current RPC. LookupError where there is none: a wiring bug."""
    return _caller.get()


def current_request_id() -> str:
    """The id of the current RPC, or an empty string outside of one."""
    record = _record.get(None)
    return record.request_id if record is not None else ""


def enter(record: AuditRecord) -> None:
    """Make *record* that of the current RPC, for the rest of its task."""
    _record.set(record)


def enter_caller(caller: Caller) -> None:
    """Make *caller* that of the current RPC, for the rest of its task."""
    _caller.set(caller)
