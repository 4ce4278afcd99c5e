"""The audit record: one structure from the first interceptor to the line in the log, and back."""

from __future__ import annotations

import re

from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

import msgspec

from tokenauthority.domain.caller import Caller
from tokenauthority.domain.ids import is_project_id, is_role_name, is_secret_id, is_uuid, project_in_session_id
from tokenauthority.domain.times import Millis


_CONTROLS: Final = re.compile("[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""Characters that JSON allows unescaped, though some readers end a line at them and terminals obey them."""

_encoder: Final = msgspec.json.Encoder()


class AuditedToken(msgspec.Struct, frozen=True, gc=False):
    """One token of a batch.

    Attributes:
        token_id: The token's id, as GenerateToken answers it.
        project_id: The project of the token.
        session_id: The session of the token.
        role: The role that the token carries.
        format: The format of the token, such as `SESSION_JWT`.
        lifetime: Seconds from the token's creation to its expiry.
        subject: The end user that the token names.
    """

    token_id: str
    project_id: str
    session_id: str
    role: str
    format: str
    lifetime: int
    subject: str


class AuditRecord(msgspec.Struct, omit_defaults=True, kw_only=True):
    """What one RPC asked for and what was decided. Never a token, a secret or a key.

    The fields and their order are the file format (`docs/explanation/audit-log.md`). A field that has its default is
    left out of the line, but for `code` and `duration_us`.

    Attributes:
        time: When the RPC began, in RFC 3339, UTC, to the millisecond.
        request_id: The id of the RPC, which the metadata `x-request-id` of the answer holds too.
        method: The full name of the RPC, such as `/tokenauthority.v1.TokenService/GenerateToken`.
        action: The action that the RPC needs in a grant.
        caller: The name of the authenticated caller; empty where there is none.
        caller_kind: How the caller proves itself: `api_key`, `jwt`, `spiffe` or `opentok`.
        caller_identity: What the caller is known by: the start of a key's digest, a JWT's subject, a SPIFFE id; of an
            OpenTok SDK the project, and the id of the secret or Vonage key that signed.
        peer: The address that the RPC comes from.
        user_agent: The user agent that the caller's gRPC library sends.
        project_id: The project that the RPC is about.
        session_id: The session that the RPC is about.
        role: The role that was asked for.
        format: The token format, such as `SESSION_JWT`.
        lifetime: Seconds from creation to expiry of the token that was asked for.
        subject: The end user that the token or the revocation names.
        object_id: The id of an object that has no field of its own: a revocation, a project secret; of TURN
            credentials the user name.
        key_id: The id of the signing key that was prepared, activated or revoked.
        comment: What the caller wrote about a signing key or a revocation.
        token_ids: The id of a single token, or the ids of all tokens of a batch.
        items: How many tokens a batch asked for.
        tokens: What a batch was given, token by token; left out where all were made on the same terms for the same
            subject, which the fields of the record say.
        changes: The new values of an update, as `field=value`.
        code: The name of the gRPC status.
        reason: The name of the ErrorReason or InactiveReason.
        duration_us: Elapsed microseconds.
        credential_problem: Why the credential proves no caller; it is not sent to the caller. What it quotes of the
            credential is not verified.
        transport: How the call came: `connect` for JSON over HTTP, `opentok` for an OpenTok SDK, `check`, `mediamtx`,
            `envoy` for a proxy or MediaMTX that asks whether to let somebody in; empty for our contract over gRPC.
        platform_url: The platform that was to create the session; empty where the authority creates it.
        trace_id: The W3C trace that the RPC belongs to, also if the trace is not sampled; empty without tracing.
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
    credential_problem: str = ""
    transport: str = ""
    platform_url: str = ""
    trace_id: str = ""

    def identify(self, caller: Caller) -> None:
        """Record who makes the RPC."""
        self.caller = caller.name
        self.caller_kind = caller.kind
        self.caller_identity = caller.identity

    def ask(
        self,
        *,
        project_id: str = "",
        session_id: str = "",
        role: str = "",
        object_id: str = "",
        items: int | None = None,
    ) -> None:
        """Record what a request names, where it has the shape of what it should be.

        Anything else could be a token or a secret in the wrong field, and the log would show it.
        """
        if project_id and is_project_id(project_id):
            self.project_id = project_id
        owner = project_in_session_id(session_id)
        if owner is not None:
            self.session_id = session_id
            self.project_id = self.project_id or (owner if owner.isdecimal() else "")
        if role and is_role_name(role):
            self.role = role
        if object_id and (is_uuid(object_id) or is_secret_id(object_id)):
            self.object_id = object_id
        if items is not None:
            self.items = items

    def give_token(self, token: AuditedToken) -> None:
        """Record a single token that was made; its session, role and subject are those that were asked for."""
        self.project_id, self.format, self.lifetime = token.project_id, token.format, token.lifetime
        self.token_ids = (token.token_id,)

    def give_equal_tokens(self, token: AuditedToken, token_ids: tuple[str, ...]) -> None:
        """Record the tokens of a batch that differ in nothing but their ids and data; *token* is one of them."""
        self.give_token(token)
        self.subject, self.token_ids = token.subject, token_ids

    def give_tokens(self, tokens: tuple[AuditedToken, ...]) -> None:
        """Record the tokens of a batch that differ in more than their ids and data."""
        self.token_ids, self.tokens = tuple([token.token_id for token in tokens]), tokens


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
    return f"{_second_text(moment // 1000)}.{moment % 1000:03}Z"


# The calls of one second share its text.
@lru_cache(maxsize=8)
def _second_text(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).isoformat()[:19]
