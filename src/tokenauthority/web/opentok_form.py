"""Turn the form of `POST /session/create`, as official SDKs send it, into a CreateSession request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeVar
from urllib.parse import parse_qsl

from tokenauthority.domain.errors import FieldViolation, InvalidRequestError
from tokenauthority.v1.session_pb2 import (
    ARCHIVE_MODE_ALWAYS,
    ARCHIVE_MODE_MANUAL,
    MEDIA_MODE_RELAYED,
    MEDIA_MODE_ROUTED,
    CreateSessionRequest,
)


MAX_FORM: Final = 8192
"""Bytes of a form. The longest that an SDK makes has less than 1000."""

_MAX_FIELDS: Final = 64
_Value = TypeVar("_Value")

# REST without a preference is routed; SDKs always send one. Vonage's SDKs also know `always`, which is relayed.
_MEDIA_MODES: Final = {
    "": MEDIA_MODE_ROUTED,
    "disabled": MEDIA_MODE_ROUTED,
    "enabled": MEDIA_MODE_RELAYED,
    "always": MEDIA_MODE_RELAYED,
}
_ARCHIVE_MODES: Final = {"": ARCHIVE_MODE_MANUAL, "manual": ARCHIVE_MODE_MANUAL, "always": ARCHIVE_MODE_ALWAYS}
# .NET's SDK writes True and False.
_E2EE: Final = {"": False, "false": False, "False": False, "true": True, "True": True}
_NO_LOCATION: Final = frozenset({"", "null", "localhost"})
"""What SDKs send as no hint: .NET an empty text or `localhost`, Vonage's Node SDK `null`."""

_FIELDS: Final = frozenset({"p2p.preference", "archiveMode", "e2ee", "location", "archiveName", "archiveResolution"})


def create_session_request(form: bytes) -> CreateSessionRequest:
    """Return what *form* asks for. An empty field counts as absent, and a field that is not known is ignored.

    A session that is always archived, or encrypted end to end, is routed whatever the form says: an SDK refuses an
    explicit relayed media mode itself, but some send their default, relayed, when a program leaves the mode open.

    Raises:
        InvalidRequestError: *form* is no form in UTF-8 of at most 64 fields, a field is given twice, or its value is
            unknown. What CreateSession itself checks is not checked here.
    """
    fields = _fields_of(form)
    problems: list[FieldViolation] = []

    def choice(name: str, values: Mapping[str, _Value], default: _Value) -> _Value:
        value = fields.get(name, "")
        if value not in values:
            problems.append(FieldViolation(name, "must be one of " + ", ".join(filter(None, values))))
        return values.get(value, default)

    media_mode = choice("p2p.preference", _MEDIA_MODES, MEDIA_MODE_ROUTED)
    archive_mode = choice("archiveMode", _ARCHIVE_MODES, ARCHIVE_MODE_MANUAL)
    e2ee = choice("e2ee", _E2EE, default=False)
    if problems:
        raise InvalidRequestError(problems)
    location = fields.get("location", "")
    needs_routed = e2ee or archive_mode == ARCHIVE_MODE_ALWAYS
    return CreateSessionRequest(
        media_mode=MEDIA_MODE_ROUTED if needs_routed else media_mode,
        archive_mode=archive_mode,
        location="" if location in _NO_LOCATION else location,
        e2ee=e2ee,
        archive_name=fields.get("archiveName", ""),
        archive_resolution=fields.get("archiveResolution", ""),
    )


def _fields_of(form: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(form.decode("utf-8"), keep_blank_values=True, errors="strict", max_num_fields=_MAX_FIELDS)
    except ValueError:
        problem = f"must be a form in UTF-8 with at most {_MAX_FIELDS} fields"
        raise InvalidRequestError([FieldViolation("body", problem)]) from None
    known = [(name, value) for name, value in pairs if name in _FIELDS]
    fields = dict(known)
    if len(fields) != len(known):
        twice = sorted({name for name, _ in known if [each for each, _ in known].count(name) > 1})
        raise InvalidRequestError([FieldViolation(name, "is given more than once") for name in twice])
    return fields
