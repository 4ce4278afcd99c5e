"""TURN credentials: what a caller requests, what it gets, and the limits of both.

Their form is that of draft-uberti-behave-turn-rest-00, which coturn reads with `use-auth-secret`.
"""

from __future__ import annotations

import re

from typing import Final

import attrs

from tokenauthority.domain.errors import FieldViolation
from tokenauthority.domain.times import Seconds
from tokenauthority.domain.token import session_id_violations, subject_violations


MAX_TURN_TTL: Final = Seconds(3600)
"""Nothing revokes TURN credentials, so they are short-lived."""

MAX_TURN_URLS: Final = 8
MAX_TURN_SECRETS: Final = 2

_HOST: Final = r"(?:\[[0-9a-fA-F:.]{2,45}\]|[A-Za-z0-9](?:[A-Za-z0-9.-]{0,253}[A-Za-z0-9])?)"
_PORT: Final = r"(?:6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[1-9][0-9]{0,3})"
_URL: Final = re.compile(rf"turns?:{_HOST}(?::{_PORT})?(?:\?transport=(?:udp|tcp))?", re.ASCII)
_SECRET: Final = re.compile(r"[A-Za-z0-9+/=._~-]{32,255}", re.ASCII)


@attrs.frozen(kw_only=True)
class TurnSpec:
    """Requested TURN credentials; `ttl` None is the default."""

    session_id: str
    subject: str = ""
    ttl: Seconds | None = None


@attrs.frozen(kw_only=True)
class CreatedTurnCredentials:
    """New TURN credentials. Their `repr` does not show the password, `credential`."""

    urls: tuple[str, ...]
    username: str
    credential: str = attrs.field(repr=False)
    project_id: str
    issue_time: Seconds
    expire_time: Seconds


def turn_violations(request: TurnSpec) -> list[FieldViolation]:
    """Return everything that is wrong with *request* by itself, before any project or grant is read."""
    found = session_id_violations(request.session_id) + subject_violations(request.subject)
    if request.ttl is not None and not 1 <= request.ttl <= MAX_TURN_TTL:
        found.append(FieldViolation("ttl", f"must be from 1s to 1 hour ({MAX_TURN_TTL}s)"))
    return found


def is_turn_url(text: str) -> bool:
    """Return whether *text* is the URL of a TURN server (RFC 7065) over a transport that clients know: udp or tcp."""
    return _URL.fullmatch(text) is not None


def is_turn_secret(text: str) -> bool:
    """Return whether *text* can be a secret of TURN servers: 32 to 255 letters, digits and `+/=._~-`.

    Everyone with credentials can try secrets until one makes the same password, so a short one is no secret. All
    characters stand for themselves in the file of coturn's settings.
    """
    return _SECRET.fullmatch(text) is not None
