"""The shapes of ids: project ids, session ids (docs/explanation/formats.md), revocations, role names, UUIDs.

A session id is `2_` and the unpadded base64url of `1~PROJECT~LOCATION~MILLISECONDS~RANDOM~FLAG~~`. Clients treat it as
opaque; only field 1, the project, is ever read back, and it is compared whole: the official SDKs' substring and
any-field tests let one project's key pass for another's.
"""

from __future__ import annotations

import base64
import binascii
import re

from typing import Final

from tokenauthority.domain.times import Millis


MAX_SESSION_ID: Final = 255
MAX_PROJECT_ID: Final = 2**31 - 1
"""Java's and .NET's SDKs hold the API key in a signed 32-bit integer."""

SESSION_RANDOM_BYTES: Final = 18
REVOCATION_RANDOM_BYTES: Final = 10

NUL: Final = "\x00"
"""What no stored text may hold: PostgreSQL cannot store it."""

_LEAST_FIELDS: Final = 4
"""Version, project, location and time; the oldest ids have no more."""

_PROJECT_ID: Final = re.compile(r"[1-9][0-9]{0,9}", re.ASCII)
_ROLE_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,62}", re.ASCII)
_SESSION_ID: Final = re.compile(r"[12]_[A-Za-z0-9_-]{1,253}={0,2}", re.ASCII)
_SECRET_ID: Final = re.compile(r"sec_[0-9a-f]{16}", re.ASCII)
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)
_IPV4: Final = re.compile(r"(?:(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])(?:\.(?!$)|$)){4}", re.ASCII)


def is_project_id(text: str) -> bool:
    """Return whether *text* is a decimal number from 1 to 2147483647 without leading zeros."""
    return _PROJECT_ID.fullmatch(text) is not None and int(text) <= MAX_PROJECT_ID


def is_role_name(text: str) -> bool:
    """Return whether *text* is 1 to 63 of a-z, 0-9, `-` and `_`, starting with a letter."""
    return _ROLE_NAME.fullmatch(text) is not None


def is_secret_id(text: str) -> bool:
    """Return whether *text* has the shape of a project secret's id."""
    return _SECRET_ID.fullmatch(text) is not None


def is_uuid(text: str) -> bool:
    """Return whether *text* is a UUID in its usual form."""
    return _UUID.fullmatch(text) is not None


def is_ipv4(text: str) -> bool:
    """Return whether *text* is an IPv4 address in dotted decimal."""
    return _IPV4.fullmatch(text) is not None


def make_session_id(project_id: str, location: str, *, relayed: bool, now: Millis, random: bytes) -> str:
    """Return a new session id; *random* is 18 bytes from the system's generator."""
    flag = "P" if relayed else ""
    body = f"1~{project_id}~{location}~{now}~{base64.b64encode(random).decode()}~{flag}~~"
    return "2_" + base64.urlsafe_b64encode(body.encode()).rstrip(b"=").decode()


def make_revocation_id(now: Millis, random: bytes) -> str:
    """Return a new revocation id; *random* is 10 bytes from the system's generator.

    It begins with the time, as a UUIDv7 does (RFC 9562), so that revocations read by id are read in sequence.
    """
    return f"rev_{now:012x}{random.hex()}"


def project_in_session_id(session_id: str) -> str | None:
    """Return field 1 of a session id, made here or by the platform: a project id or a Vonage application id.

    Return None if *session_id* is no session id: it then belongs to no project.
    """
    if len(session_id) > MAX_SESSION_ID or _SESSION_ID.fullmatch(session_id) is None:
        return None
    body = session_id[2:].rstrip("=")
    try:
        fields = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)).decode("utf-8").split("~")
    except (binascii.Error, UnicodeDecodeError):
        return None
    if len(fields) < _LEAST_FIELDS or fields[0] != "1":
        return None
    owner = fields[1]
    if is_uuid(owner):
        return owner.lower()
    return owner if is_project_id(owner) else None
