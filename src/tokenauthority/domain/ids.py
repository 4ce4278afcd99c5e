"""The shapes of ids: project ids, session ids (docs/explanation/formats.md), revocations, role names, UUIDs.

A session id is `2_` and the unpadded base64url of `1~PROJECT~LOCATION~MILLISECONDS~RANDOM~FLAG~~`. Clients treat it as
opaque; only field 1, the project, is ever read back, and it is compared whole: the official SDKs' substring and
any-field tests let one project's key pass for another's.

A session has one spelling, so that whoever ends or revokes it reaches every token of it. The platform begins ids with
`1_` and with `2_`, and nothing in an id says which is right: the two name one session.
"""

from __future__ import annotations

import base64
import binascii
import re

from functools import lru_cache
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
_SESSION_ID: Final = re.compile(r"[12]_[A-Za-z0-9_-]{1,253}", re.ASCII)
_OTHER_PREFIX: Final = {"1_": "2_", "2_": "1_"}
_SESSION_NAME: Final = re.compile(r"[a-z0-9_-]{1,64}", re.ASCII)
_SECRET_ID: Final = re.compile(r"sec_[0-9a-f]{16}", re.ASCII)
_SERVER_KEY_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)
_IPV4: Final = re.compile(r"(?:(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])(?:\.(?!$)|$)){4}", re.ASCII)


def is_project_id(text: str) -> bool:
    """Return whether *text* is a decimal number from 1 to 2147483647 without leading zeros."""
    return _PROJECT_ID.fullmatch(text) is not None and int(text) <= MAX_PROJECT_ID


def is_role_name(text: str) -> bool:
    """Return whether *text* is 1 to 63 of a-z, 0-9, `-` and `_`, starting with a letter."""
    return _ROLE_NAME.fullmatch(text) is not None


def is_session_name(text: str) -> bool:
    """Return whether *text* is 1 to 64 of a-z, 0-9, `-` and `_`. No session id is one: it has capital letters."""
    return _SESSION_NAME.fullmatch(text) is not None


def is_secret_id(text: str) -> bool:
    """Return whether *text* has the shape of a project secret's id."""
    return _SECRET_ID.fullmatch(text) is not None


def is_server_key_id(text: str) -> bool:
    """Return whether *text* is an API key of LiveKit or an app id of Jitsi, and nothing that means something else here.

    A token names its project by the id of the project, of its application or of its secret, so these must differ.
    """
    return _SERVER_KEY_ID.fullmatch(text) is not None and not (
        text.isdecimal() or is_uuid(text) or text.lower().startswith(("sec_", "vkey_"))
    )


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

    Return None if *session_id* is no session id, or not spelled as the platform does: without padding, without stray
    bits, of printable characters, a UUID in lower case. It then belongs to no project.
    """
    return None if _SESSION_ID.fullmatch(session_id) is None else _project_in_well_formed(session_id)


# Each call asks two or three times, and a session has many calls. What is well-formed is short.
@lru_cache(4096)
def _project_in_well_formed(session_id: str) -> str | None:
    body = session_id[2:]
    try:
        decoded = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
        fields = decoded.decode("utf-8").split("~")
    except (binascii.Error, UnicodeDecodeError):
        return None
    is_canonical = base64.urlsafe_b64encode(decoded).rstrip(b"=").decode() == body and "".join(fields).isprintable()
    if not is_canonical or len(fields) < _LEAST_FIELDS or fields[0] != "1":
        return None
    owner = fields[1]
    return owner if is_project_id(owner) or (is_uuid(owner) and owner == owner.lower()) else None


def other_spelling(session_id: str) -> str:
    """Return the other id that names the session: the same with `1_` in place of `2_`, or the reverse."""
    prefix = session_id[:2]
    return _OTHER_PREFIX.get(prefix, prefix) + session_id[2:]


def either_spelling(session_id: str) -> str:
    """Return what both ids that name the session have in common, and no other id."""
    return session_id[2:] if session_id[:2] in _OTHER_PREFIX else session_id
