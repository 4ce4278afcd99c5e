"""A record's line holds everything known about the RPC, and no value breaks out of the line."""

from __future__ import annotations

import json
import re

from pathlib import Path

import msgspec
import pytest

from tests.audit.logs import RECORD, changed, text_lines, written
from tokenauthority.audit.record import AuditRecord, time_text
from tokenauthority.domain.ids import make_session_id
from tokenauthority.domain.times import Millis


COMMON = {"project_id": "47000000", "session_id": "2_abc", "format": "SESSION_JWT"}


def test_writes_every_field(path: Path) -> None:
    """Who asked for what, what was decided, when and how long it took."""
    written(path, RECORD)
    line = json.loads(text_lines(path)[2])

    assert {
        "time": "2023-11-14T22:13:20.123Z",
        "request_id": "call-1",
        "method": "/tokenauthority.v1.TokenService/GenerateToken",
        "action": "tokens.generate",
        "caller": "room-service",
        "caller_kind": "api_key",
        "caller_identity": "sha256:test",
        "peer": "ipv4:127.0.0.1:4711",
        "user_agent": "grpc-python",
        "project_id": "47000000",
        "session_id": "2_abc",
        "role": "publisher",
        "format": "SESSION_JWT",
        "lifetime": 3600,
        "subject": "user-7",
        "object_id": "object-1",
        "key_id": "key-1",
        "comment": "because",
        "token_ids": ["token-1", "token-2"],
        "tokens": [
            {**COMMON, "token_id": "token-1", "role": "publisher", "lifetime": 3600, "subject": "user-7"},
            {**COMMON, "token_id": "token-2", "role": "subscriber", "lifetime": 60, "subject": ""},
        ],
        "items": 2,
        "changes": ["max_ttl=60s"],
        "code": "PERMISSION_DENIED",
        "reason": "ROLE_NOT_GRANTED",
        "duration_us": 1234,
        "credential_problem": "JWT: it has expired",
        "transport": "connect",
        "platform_url": "https://api.example",
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
    } == {name: value for name, value in line.items() if name not in {"seq", "prev", "type", "crc"}}
    assert ["seq", "prev", "type", "time"] == list(line)[:4]
    assert (3, "rpc", "crc") == (line["seq"], line["type"], list(line)[-1])


@pytest.mark.parametrize(
    ("moment", "text"), [(0, "1970-01-01T00:00:00.000Z"), (1_700_000_000_007, "2023-11-14T22:13:20.007Z")]
)
def test_a_time_is_utc_to_the_millisecond(moment: int, text: str) -> None:
    """Whatever zone the server is in, with all three digits."""
    assert text == time_text(Millis(moment))


@pytest.mark.parametrize(
    ("owner", "project_id"), [("47000000", "47000000"), ("29f760f8-7ce1-46c9-ade3-f2dedee4ed5f", "")]
)
def test_the_project_of_a_session_is_recorded_by_its_id(owner: str, project_id: str) -> None:
    """A session of Vonage names its application, which is no id of a project."""
    record = AuditRecord(time="", request_id="", method="", peer="")
    session_id = make_session_id(owner, "", relayed=True, now=Millis(0), random=bytes(18))

    record.ask(session_id=session_id)

    assert (session_id, project_id) == (record.session_id, record.project_id)


def test_leaves_out_empty_fields() -> None:
    """A call without a caller has a time, an id, a method, a peer, a code and a duration."""
    bare = AuditRecord(time=time_text(Millis(0)), request_id="r", method="/m", peer="p", code="UNAUTHENTICATED")

    assert {"time", "request_id", "method", "peer", "code", "duration_us"} == set(msgspec.to_builtins(bare))


def test_writes_every_field_of_the_record() -> None:
    """A new field of the record is in the line without a further change."""
    assert set(AuditRecord.__struct_fields__) == set(msgspec.to_builtins(RECORD))


@pytest.mark.parametrize(
    "text",
    ["a\nb", 'a"b', "a\u2028b", "a\x00b", "\U0001f600", '","crc":"00000000"}\n{"seq":9,"type":"rpc"}\n', "\x1b[31m"],
)
def test_no_text_breaks_out_of_its_line(path: Path, text: str) -> None:
    """Text that callers choose cannot forge a record, and is stored exactly."""
    hostile = changed(RECORD, subject=text, user_agent=text, session_id=text)
    lines = written(path, hostile, RECORD)

    assert [text, "user-7"] == [json.loads(line)["subject"] for line in lines if '"type":"rpc"' in line]
    assert not re.search(r"[\x00-\x1f]", lines[2])


@pytest.mark.parametrize("odd", ["\u2028", "\u2029", "\x85", "\x9b", "\u202e", "\x7f\u00e9"])
def test_no_reader_sees_two_lines_in_a_subject(path: Path, odd: str) -> None:
    """Characters that end a line or reverse a terminal are escaped; the subject stays the same."""
    subject = f"alice{odd}mallory"
    written(path, changed(RECORD, subject=subject))
    text = path.read_text(encoding="utf-8")

    assert len(text.splitlines()) == text.count("\n")
    assert subject == json.loads(text_lines(path)[2])["subject"]
