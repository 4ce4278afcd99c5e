"""An answer is an id of the very project, a refusal, or nothing: what the platform was recorded to send, and worse."""

from __future__ import annotations

import pytest

from hypothesis import given
from hypothesis import strategies as st

from tests.authority.world import platform_session
from tests.support.platform import session_json
from tokenauthority.domain.times import Millis
from tokenauthority.http_request import HttpAnswer
from tokenauthority.platforms.session_answer import (
    MAX_RETRY_AFTER,
    PlatformFailedError,
    PlatformRefusedError,
    retry_after,
    session_id_in,
)


NOW = Millis(784_111_777_000)
"""Sun, 06 Nov 1994 08:49:37 GMT, the date of RFC 9110."""

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
    assert SESSION == session_id_in(answer(content_type=content_type), OWNER, NOW)


def test_takes_the_session_of_an_application() -> None:
    """Vonage's ids name the application."""
    application = "78d335fa-323d-0114-9c3d-d6f0d48968cf"
    session_id = platform_session(application)

    assert session_id == session_id_in(answer(session_json(session_id, application)), application, NOW)


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
        session_id_in(answer(body), OWNER, NOW)

    assert not caught.value.passing


@pytest.mark.parametrize("content_type", ["text/xml", "text/html", "", "application/json, text/xml"])
def test_refuses_other_kinds(content_type: str) -> None:
    """JSON is asked for: a page of a proxy, or XML, is none."""
    with pytest.raises(PlatformFailedError, match="is not JSON"):
        session_id_in(answer(XML, content_type=content_type), OWNER, NOW)


@pytest.mark.parametrize("session_id", ["", "x", platform_session("47000002"), SESSION + "=", "2_" + "A" * 300])
def test_refuses_a_session_of_another_project(session_id: str) -> None:
    """Tokens would be signed for somebody else's session, or for none."""
    with pytest.raises(PlatformFailedError, match="no session id of the project"):
        session_id_in(answer(session_json(session_id, OWNER)), OWNER, NOW)


@pytest.mark.parametrize(("status", "what"), [(401, "credential"), (403, "credential"), (400, "request"), (404, "req")])
def test_a_refusal_is_no_failure(status: int, what: str) -> None:
    """Another attempt would be refused, too; the platform is well. Its text is not quoted."""
    with pytest.raises(PlatformRefusedError, match=f"refuses the {what}.*status {status}") as caught:
        session_id_in(answer(b'{"message":"canary"}', status), OWNER, NOW)

    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "passing"), [(500, True), (503, True), (599, True), (429, True), (408, True), (201, False), (302, False)]
)
def test_says_what_may_pass(status: int, passing: object) -> None:
    """A list in an answer of another status than 200 is no session."""
    with pytest.raises(PlatformFailedError, match=f"status {status}") as caught:
        session_id_in(answer(LIST, status), OWNER, NOW)

    assert passing is caught.value.passing


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("7", 7),
        ("9999999999", MAX_RETRY_AFTER),
        ("Sun, 06 Nov 1994 08:49:57 GMT", 20),
        ("Sunday, 06-Nov-94 08:49:57 GMT", 20),
        ("Sun Nov  6 08:49:57 1994", 20),
        ("Sun, 06 Nov 1994 08:49:17 GMT", 0),
        ("Sun, 06 Nov 9994 08:49:17 GMT", MAX_RETRY_AFTER),
        *((text, 0) for text in ("", "-7", "7.5", "1e3", "\u0667", "soon", "7, 9", "7" * 5000)),
        ("Sun, 06 Nov 1994 08:49:57 GMT" + " " * 64, 0),
        ("Sun, 06 Nov 99999999999999999999 08:49:57 GMT", 0),
    ],
)
def test_reads_for_how_long_to_wait(text: str, seconds: float) -> None:
    """A number of seconds or one of the three forms of a date; whatever else is there asks for nothing."""
    assert seconds == retry_after(text, NOW)


@given(
    st.text(max_size=80) | st.from_regex(r"\A[A-Z][a-z]{2}, [0-9]{1,4} Nov [0-9]{1,20} [0-9:]{1,9} [A-Z+0-9-]{0,6}\Z")
)
def test_the_wait_is_bounded_whatever_the_text(text: str) -> None:
    """No text of a platform is an error of ours."""
    assert 0 <= retry_after(text, NOW) <= MAX_RETRY_AFTER


def test_a_failure_says_for_how_long_to_wait() -> None:
    """By the header of the answer."""
    with pytest.raises(PlatformFailedError) as caught:
        session_id_in(HttpAnswer(status=503, content_type="", retry_after="7", body=b""), OWNER, NOW)

    assert 7 == caught.value.retry_after
