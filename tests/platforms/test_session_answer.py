"""An answer is an id of the very project, a refusal, or nothing: what the platform was recorded to send, and worse."""

from __future__ import annotations

import pytest

from tests.authority.world import platform_session
from tests.support.platform import session_json
from tokenauthority.http_request import HttpAnswer
from tokenauthority.platforms.session_answer import PlatformFailedError, PlatformRefusedError, session_id_in


OWNER = "47000001"
SESSION = platform_session(OWNER)
LIST = session_json(SESSION, OWNER)
XML = (
    '<?xml version="1.0" encoding="UTF-8" standalone="yes"?><sessions><Session><session_id>'
    f"{SESSION}</session_id><partner_id>{OWNER}</partner_id></Session></sessions>"
).encode()


def answer(body: bytes = LIST, status: int = 200, content_type: str = "application/json") -> HttpAnswer:
    """An answer of the platform."""
    return HttpAnswer(status=status, content_type=content_type, body=body)


@pytest.mark.parametrize("content_type", ["application/json", "Application/JSON; charset=utf-8"])
def test_takes_the_recorded_answer(content_type: str) -> None:
    """A list of one session; other members say nothing."""
    assert SESSION == session_id_in(answer(content_type=content_type), OWNER)


def test_takes_the_session_of_an_application() -> None:
    """Vonage's ids name the application."""
    application = "78d335fa-323d-0114-9c3d-d6f0d48968cf"
    session_id = platform_session(application)

    assert session_id == session_id_in(answer(session_json(session_id, application)), application)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b"null",
        b"[1]",
        b'[{"session_id": null}]',
        b'[{"session_id": 1}]',
        b'[{"id": "x"}]',
        b'{"session_id": "' + SESSION.encode() + b'"}',
        LIST[:-1] + b"," + LIST[1:],
        LIST + b"x",
        b"\xff" + LIST,
        b"[" * 10_000,
        b'[{"id": ' + b"[" * 10_000,
    ],
)
def test_refuses_any_other_json(body: bytes) -> None:
    """Nothing is guessed of an answer of another shape."""
    with pytest.raises(PlatformFailedError, match="is not a list of one session") as caught:
        session_id_in(answer(body), OWNER)

    assert not caught.value.passing


@pytest.mark.parametrize("content_type", ["text/xml", "text/html", "", "application/json, text/xml"])
def test_refuses_other_kinds(content_type: str) -> None:
    """JSON is asked for: a page of a proxy, or XML, is none."""
    with pytest.raises(PlatformFailedError, match="is not JSON"):
        session_id_in(answer(XML, content_type=content_type), OWNER)


@pytest.mark.parametrize("session_id", ["", "x", platform_session("47000002"), SESSION + "=", "2_" + "A" * 300])
def test_refuses_a_session_of_another_project(session_id: str) -> None:
    """Tokens would be signed for somebody else's session, or for none."""
    with pytest.raises(PlatformFailedError, match="no session id of the project"):
        session_id_in(answer(session_json(session_id, OWNER)), OWNER)


@pytest.mark.parametrize(("status", "what"), [(401, "credential"), (403, "credential"), (400, "request"), (404, "req")])
def test_a_refusal_is_no_failure(status: int, what: str) -> None:
    """Another attempt would be refused, too; the platform is well. Its text is not quoted."""
    with pytest.raises(PlatformRefusedError, match=f"refuses the {what}.*status {status}") as caught:
        session_id_in(answer(b'{"message":"canary"}', status), OWNER)

    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "passing"), [(500, True), (503, True), (599, True), (429, True), (408, True), (201, False), (302, False)]
)
def test_says_what_may_pass(status: int, passing: object) -> None:
    """A list in an answer of another status than 200 is no session."""
    with pytest.raises(PlatformFailedError, match=f"status {status}") as caught:
        session_id_in(answer(LIST, status), OWNER)

    assert passing is caught.value.passing
