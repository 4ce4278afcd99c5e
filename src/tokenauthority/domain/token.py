"""Tokens: what a caller requests, what a token says, and the limits of both (docs/explanation/formats.md).

The values of the hot path are msgspec structs: a batch makes three for each token, and an instance of a frozen attrs
class costs as much as the token's MAC. They are part of no cycle, so the garbage collector need not look at them.
"""

from __future__ import annotations

import re

from enum import StrEnum
from itertools import islice
from typing import Final

import msgspec

from tokenauthority.domain.errors import FieldViolation
from tokenauthority.domain.ids import MAX_SESSION_ID, NUL, is_role_name
from tokenauthority.domain.profile import RealTimeServer
from tokenauthority.domain.role import BUILT_IN_ROLES, DEFAULT_ROLE, ROLE_NAME_RULE, Permission
from tokenauthority.domain.similar_names import did_you_mean
from tokenauthority.domain.times import MAX_TTL, Millis, Seconds, as_text, whole_seconds
from tokenauthority.domain.token_format import TokenFormat


MAX_DATA: Final = 1000
"""Characters (Unicode code points)."""

MAX_LAYOUT: Final = 1000
"""Characters of all layout classes joined by single spaces."""

MAX_SUBJECT: Final = 255
MAX_NAMED_CLASSES: Final = 10
"""Invalid layout classes of one request that violations name; the caller could send a million."""

MAX_BATCH: Final = 1000
MAX_TOKEN: Final = 40_960
"""Bytes of a token that is read. The longest valid one, a T1 with 1000 emoji of data and of layout, has 33,000."""

_INVALID_CLASS: Final = re.compile(r"[\s&=]")


class InactiveReason(StrEnum):
    """Why a token is invalid; the names are those of `InactiveReason` in the contract."""

    MALFORMED = "MALFORMED"
    SIGNATURE_INVALID = "SIGNATURE_INVALID"
    KEY_UNKNOWN = "KEY_UNKNOWN"
    PROJECT_UNKNOWN = "PROJECT_UNKNOWN"
    NOT_YET_VALID = "NOT_YET_VALID"
    EXPIRED = "EXPIRED"
    REVOKED = "REVOKED"
    SESSION_ENDED = "SESSION_ENDED"
    SESSION_MISMATCH = "SESSION_MISMATCH"
    PERMISSION_MISSING = "PERMISSION_MISSING"
    PROJECT_DISABLED = "PROJECT_DISABLED"


class TokenRejectedError(Exception):
    """A token is invalid: the verdict about a token, never an error of the call that asks."""

    def __init__(self, reason: InactiveReason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class TokenSpec(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A requested token. `format` None is the project's default; at most one of `expire_time` and `ttl` is set.

    `problems` are what could not be parsed, such as an unknown format. Its `repr` does not show the data.
    """

    session_id: str
    role: str = DEFAULT_ROLE
    data: str = ""
    expire_time: Seconds | None = None
    ttl: Seconds | None = None
    format: TokenFormat | None = None
    initial_layout_class_list: tuple[str, ...] = ()
    subject: str = ""
    problems: tuple[FieldViolation, ...] = ()

    def __repr__(self) -> str:
        return f"TokenSpec(session_id={self.session_id!r}, role={self.role!r}, format={self.format!r})"


class TokenClaims(msgspec.Struct, frozen=True, kw_only=True):
    """What a token says. Its `repr` does not show the data.

    `project_id` is empty in a VONAGE_JWT, which names its `application_id` instead, and where a server's own SDK made
    the token, whose `issuer` is the id of a project's secret. `token_id` is `jti` where the token has one, else the
    signature in hex, known once it is signed. `permissions` is empty in the OpenTok formats, where the role's name
    implies them. `role` is empty if a token neither says it nor has the permissions of a built-in one.

    `not_before` is 0 where the token does not say it.
    """

    session_id: str
    role: str
    issue_time: Seconds
    expire_time: Seconds
    project_id: str = ""
    application_id: str = ""
    token_id: str = ""
    permissions: tuple[Permission, ...] = ()
    data: str = ""
    initial_layout_class_list: tuple[str, ...] = ()
    subject: str = ""
    issuer: str = ""
    not_before: Seconds = Seconds(0)

    def __repr__(self) -> str:
        return f"TokenClaims(token_id={self.token_id!r}, session_id={self.session_id!r}, role={self.role!r})"

    @property
    def owner(self) -> str:
        """Return what names the project: its id, its Vonage application, or the id of its secret, which is `issuer`."""
        return self.project_id or self.application_id.lower() or self.issuer

    def valid_until(self) -> Seconds:
        """Return when it stops being valid: no token outlives 30 days, whatever its `exp` says."""
        return min(self.expire_time, Seconds(self.issue_time + MAX_TTL))


class TokenTerms(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a new token says beside its data, its subject and what makes it unique: tokens of a batch share it.

    `key_id` names the key that signs. `permissions` is empty in the formats that do not carry them. Real-time servers
    read `room` in place of `session_id` if it is not empty. `claims_for` are the servers for which a SESSION_JWT has
    further claims.
    """

    format: TokenFormat
    key_id: str
    session_id: str
    role: str
    issue_time: Seconds
    expire_time: Seconds
    project_id: str = ""
    application_id: str = ""
    permissions: tuple[Permission, ...] = ()
    initial_layout_class_list: tuple[str, ...] = ()
    issuer: str = ""
    room: str = ""
    claims_for: tuple[RealTimeServer, ...] = ()


class GeneratedToken(msgspec.Struct, frozen=True, gc=False):
    """A new token and its id: `jti`, or the signature in hex where the format has none. `repr` shows no token."""

    token: str
    token_id: str
    subject: str
    terms: TokenTerms

    def __repr__(self) -> str:
        return f"GeneratedToken(token_id={self.token_id!r}, terms={self.terms!r})"


def request_violations(request: TokenSpec, now: Millis) -> list[FieldViolation]:
    """Return everything that is wrong with *request* by itself, before any project, role or grant is read."""
    return terms_violations(request, now) + text_violations(request)


def terms_violations(request: TokenSpec, now: Millis) -> list[FieldViolation]:
    """Return what is wrong with all but the texts, which in a batch differ from token to token."""
    found = [*request.problems, *session_id_violations(request.session_id)]
    if request.role not in BUILT_IN_ROLES and not is_role_name(request.role):
        found.append(FieldViolation("role", ROLE_NAME_RULE + did_you_mean(request.role[:64], BUILT_IN_ROLES)))
    found.extend(_lifetime_violations(request, whole_seconds(now)))
    if request.initial_layout_class_list:
        found.extend(_layout_violations(request.initial_layout_class_list))
    return found


def text_violations(request: TokenSpec) -> list[FieldViolation]:
    """Return what is wrong with the data and the subject."""
    found = []
    if len(request.data) > MAX_DATA:
        found.append(FieldViolation("data", f"must have at most {MAX_DATA} characters, has {len(request.data)}"))
    if request.subject:
        found += subject_violations(request.subject)
    return found


def session_id_violations(session_id: str) -> list[FieldViolation]:
    """Return what is wrong with the length of a session id."""
    if not session_id:
        return [FieldViolation("session_id", "is required")]
    if len(session_id) > MAX_SESSION_ID:
        return [FieldViolation("session_id", f"must have at most {MAX_SESSION_ID} characters")]
    return []


def subject_violations(subject: str) -> list[FieldViolation]:
    """Return what is wrong with a subject."""
    found = []
    if (length := len(subject)) > MAX_SUBJECT:
        found.append(FieldViolation("subject", f"must have at most {MAX_SUBJECT} characters, has {length}"))
    if NUL in subject:
        found.append(FieldViolation("subject", "must not hold U+0000"))
    return found


def _lifetime_violations(request: TokenSpec, now: Seconds) -> list[FieldViolation]:
    if request.ttl is not None and not 1 <= request.ttl <= MAX_TTL:
        return [FieldViolation("ttl", f"must be from 1s to 30 days ({MAX_TTL}s)")]
    if request.expire_time is not None:
        lifetime = request.expire_time - now
        if lifetime <= 0:
            return [FieldViolation("expire_time", f"must lie in the future; the authority's clock says {as_text(now)}")]
        if lifetime > MAX_TTL:
            return [FieldViolation("expire_time", f"must lie within 30 days ({MAX_TTL}s) of now")]
    return []


def _layout_violations(classes: tuple[str, ...]) -> list[FieldViolation]:
    found = []
    if sum(map(len, classes)) + len(classes) - 1 > MAX_LAYOUT:
        problem = f"joined by spaces must have at most {MAX_LAYOUT} characters"
        found.append(FieldViolation("initial_layout_class_list", problem))
    invalid = (i for i, name in enumerate(classes) if not name or _INVALID_CLASS.search(name))
    found += [
        FieldViolation(f"initial_layout_class_list[{i}]", "must be one class without white space, '&' or '='")
        for i in islice(invalid, MAX_NAMED_CLASSES)
    ]
    return found
