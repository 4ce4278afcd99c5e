"""Sessions: the rooms that people join, and the combinations of options that OpenTok forbids."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import attrs

from tokenauthority.domain.errors import FieldViolation
from tokenauthority.domain.ids import NUL, is_ipv4, is_session_name, is_uuid
from tokenauthority.domain.times import DAY, MAX_TTL, Millis, Seconds, in_millis


MAX_ARCHIVE_NAME: Final = 80
DEFAULT_RESOLUTION: Final = "640x480"
NAME_PERIOD: Final = in_millis(Seconds(MAX_TTL + DAY))
"""How long no other session may have the name of one that ended: until then a token of it, which says the name alone,
could be valid for the other. A day more than a token lives, for servers that learn of the end later."""

RESOLUTIONS: Final = (DEFAULT_RESOLUTION, "480x640", "1280x720", "720x1280", "1920x1080", "1080x1920")


class MediaMode(StrEnum):
    """How media flows."""

    RELAYED = "relayed"
    ROUTED = "routed"


class ArchiveMode(StrEnum):
    """Whether a session is recorded automatically."""

    MANUAL = "manual"
    ALWAYS = "always"


class SessionState(StrEnum):
    """The state of a session."""

    ACTIVE = "active"
    ENDED = "ended"


@attrs.frozen(kw_only=True)
class SessionSpec:
    """What a caller requests of a new session. `name` is its room on real-time servers, or empty."""

    media_mode: MediaMode = MediaMode.RELAYED
    archive_mode: ArchiveMode = ArchiveMode.MANUAL
    location: str = ""
    e2ee: bool = False
    archive_name: str = ""
    archive_resolution: str = ""
    name: str = ""


@attrs.frozen(kw_only=True)
class StoredSession:
    """A room that people join."""

    session_id: str
    project_id: str
    spec: SessionSpec
    create_time: Millis
    state: SessionState = SessionState.ACTIVE
    end_time: Millis | None = None

    @property
    def room(self) -> str:
        """Return the room on real-time servers."""
        return self.spec.name or self.session_id

    def ended(self, now: Millis) -> StoredSession:
        """Return the session as ended at *now*; unchanged if it has ended already."""
        if self.state is SessionState.ENDED:
            return self
        return attrs.evolve(self, state=SessionState.ENDED, end_time=now)


@attrs.frozen(kw_only=True)
class IdempotencyKey:
    """What makes CreateSession safe to repeat: one *request_id* of one *caller* is one request."""

    caller: str
    request_id: str
    body_digest: str


def spec_violations(spec: SessionSpec, request_id: str) -> list[FieldViolation]:
    """Return every invalid field and forbidden combination of a CreateSession request."""
    always = spec.archive_mode is ArchiveMode.ALWAYS
    routed = spec.media_mode is MediaMode.ROUTED
    name, resolution = spec.archive_name, spec.archive_resolution
    is_storable = len(name) <= MAX_ARCHIVE_NAME and NUL not in name
    known = ", ".join(RESOLUTIONS)
    rules = (
        (spec.location and not is_ipv4(spec.location), "location", "must be an IPv4 address such as 12.34.56.78"),
        (always and not routed, "archive_mode", "ALWAYS needs media_mode ROUTED"),
        (spec.e2ee and not routed, "e2ee", "needs media_mode ROUTED"),
        (spec.e2ee and always, "e2ee", "cannot be combined with archive_mode ALWAYS"),
        (name and not always, "archive_name", "needs archive_mode ALWAYS"),
        (not is_storable, "archive_name", f"must have 1 to {MAX_ARCHIVE_NAME} characters, none of them U+0000"),
        (resolution and not always, "archive_resolution", "needs archive_mode ALWAYS"),
        (resolution and resolution not in RESOLUTIONS, "archive_resolution", f"must be one of {known}"),
        (spec.name and not is_session_name(spec.name), "name", "must be 1 to 64 of a-z, 0-9, '-' and '_'"),
        (request_id and not is_uuid(request_id), "request_id", "must be a UUID"),
    )
    return [FieldViolation(field, problem) for is_broken, field, problem in rules if is_broken]
