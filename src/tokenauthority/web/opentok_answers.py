"""Write what official OpenTok SDKs read: a created session and errors, in JSON or in XML."""

from __future__ import annotations

import time

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias
from xml.sax.saxutils import escape

import msgspec

from tokenauthority.v1.session_pb2 import Session
from tokenauthority.web.bodies import ApiAnswer


Headers: TypeAlias = "Sequence[tuple[str, str]]"

_XML: Final = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'


def wants_json(accept: str) -> bool:
    """Return whether the header *accept* names JSON. Ruby's SDK sends `*/*` and reads XML alone."""
    return any(part.partition(";")[0].strip().lower() == "application/json" for part in accept.split(","))


def session_answer(session: Session, headers: Headers, *, as_json: bool) -> ApiAnswer:
    """Return 200 with *session*: a list of one in JSON, or XML."""
    created = time.strftime("%a %b %d %H:%M:%S UTC %Y", time.gmtime(session.create_time.seconds))
    facts = {
        "session_id": session.session_id,
        "project_id": session.project_id,
        "partner_id": session.project_id,
        "create_dt": created,
    }
    if as_json:
        return _json(200, [facts], headers)
    return _xml(200, f"{_XML}<sessions><Session>{_elements(facts)}</Session></sessions>", headers)


def error_answer(status: int, message: str, headers: Headers, *, as_json: bool) -> ApiAnswer:
    """Return *status* with a *message* for a person, as the platform has it: `code`, `message`, `description`."""
    if as_json:
        return _json(status, {"code": status, "message": message, "description": message}, headers)
    # The message is early: PHP's SDK shows the first 120 characters.
    return _xml(status, f"<errorPayload>{_elements({'message': message, 'code': str(status)})}</errorPayload>", headers)


def _elements(facts: Mapping[str, str]) -> str:
    return "".join(f"<{name}>{escape(value)}</{name}>" for name, value in facts.items())


def _json(status: int, value: object, headers: Headers) -> ApiAnswer:
    # Python's SDK reads JSON under exactly this type, without parameters.
    return ApiAnswer(status, [("content-type", "application/json"), *headers], msgspec.json.encode(value))


def _xml(status: int, content: str, headers: Headers) -> ApiAnswer:
    return ApiAnswer(status, [("content-type", "text/xml; charset=utf-8"), *headers], content.encode())
