"""The audit record: one structure from the first interceptor to the line in the log, and back."""

from __future__ import annotations

import re

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import msgspec

from tokenauthority.domain.ids import is_project_id, is_role_name, is_secret_id, is_uuid, project_in_session_id


if TYPE_CHECKING:
    from tokenauthority.domain.caller import Caller
    from tokenauthority.domain.times import Millis


_CONTROLS: Final = re.compile("[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""Characters that JSON allows unescaped, though some readers end a line at them and terminals obey them."""

_encoder: Final = msgspec.json.Encoder()


class AuditedToken(msgspec.Struct, frozen=True):
    """One token of a batch; `lifetime` is in seconds."""

    token_id: str
    project_id: str
    session_id: str
    role: str
    format: str
    lifetime: int
    subject: str


class AuditRecord(msgspec.Struct, omit_defaults=True, kw_only=True):
    """What one RPC asked for and what was decided. Never a token, a secret or a key.

    The fields and their order are the file format (`docs/audit.md`). A field that has its default is left out of the
    line, but for `code` and `duration_us`.

    Attributes:
        time: When the RPC began; see `time_text`.
        caller: The name of the authenticated caller; empty where there is none.
        lifetime: Of the token that was asked for, in seconds.
        object_id: Of the object that an RPC is about, if it has no field of its own: a revocation, a project secret.
        key_id: Of a signing key.
        comment: What the caller wrote about a signing key or a revocation.
        token_ids: Of a single token, or of all tokens of a batch.
        items: How many tokens a batch asked for.
        tokens: What a batch was given, token by token.
        changes: The new values of an update, as `field=value`.
        code: The name of the gRPC status.
        reason: The name of the ErrorReason or InactiveReason.
        duration_us: Elapsed microseconds.
    """

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
    # msgspec never leaves out a default that a factory makes.
    code: str = msgspec.field(default_factory=str)
    reason: str = ""
    duration_us: int = msgspec.field(default_factory=int)

    def identify(self, caller: Caller) -> None:
        """Record who makes the RPC."""
        self.caller = caller.name
        self.caller_kind = caller.kind
        self.caller_identity = caller.identity

    def ask(self, *, project_id: str = "", session_id: str = "", role: str = "", object_id: str = "") -> None:
        """Record what a request names, where it has the shape of what it should be.

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


def encode_record(record: AuditRecord) -> bytes:
    """Return the JSON object of *record*; no reader takes it for more than one line.

    Line separators, C1 controls and marks of direction are escaped.
    """
    json = _encoder.encode(record)
    if json.isascii():
        return json
    return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", json.decode()).encode()


def time_text(moment: Millis) -> str:
    """Return *moment* in RFC 3339, UTC, to the millisecond."""
    return f"{datetime.fromtimestamp(moment // 1000, UTC).isoformat()[:19]}.{moment % 1000:03}Z"
