"""Each record is one line of JSON in a file that only its owner can read, whole or not at all."""

from __future__ import annotations

import asyncio
import json
import re
import stat
import subprocess
import sys

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import attrs
import msgspec
import pytest

from tests.authority import make_caller
from tokenauthority.audit.log import AuditLine, FileAuditLog
from tokenauthority.context import AuditedToken, AuditRecord
from tokenauthority.domain.caller import Action
from tokenauthority.domain.errors import Reason, UnavailableError
from tokenauthority.domain.times import Millis


RECORD = AuditRecord(
    time=Millis(1_700_000_000_123),
    request_id="call-1",
    method="/tokenauthority.v1.TokenService/GenerateToken",
    peer="ipv4:127.0.0.1:4711",
    user_agent="grpc-python",
    action=Action.TOKENS_GENERATE,
    caller=make_caller("room-service"),
    project_id="47000000",
    session_id="2_abc",
    role="publisher",
    format="SESSION_JWT",
    lifetime=3600,
    subject="user-7",
    object_id="object-1",
    token_ids=("token-1", "token-2"),
    tokens=(
        AuditedToken("token-1", "47000000", "2_abc", "publisher", "SESSION_JWT", 3600, "user-7"),
        AuditedToken("token-2", "47000000", "2_abc", "subscriber", "SESSION_JWT", 60, ""),
    ),
    items=2,
    changes=("max_ttl=60s",),
    code="PERMISSION_DENIED",
    reason="ROLE_NOT_GRANTED",
    duration_us=1234,
)

COMMON = {"project_id": "47000000", "session_id": "2_abc", "format": "SESSION_JWT"}

SHORT_WRITES = """
import asyncio, os, resource, sys
from pathlib import Path
from tests.audit.test_log import RECORD
from tokenauthority.audit.log import FileAuditLog
from tokenauthority.domain.errors import UnavailableError

async def main():
    path = Path(sys.argv[1])
    log = FileAuditLog(path)
    await log.append(RECORD)
    size = path.stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, resource.RLIM_INFINITY))
    for _ in range(2):
        try:
            await log.append(RECORD)
            print("kept")
        except UnavailableError as error:
            print(error.reason)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await log.append(RECORD)
    log.close()

asyncio.run(main())
"""


def written(path: Path, *records: AuditRecord) -> list[str]:
    """Append the records and read the file's lines."""

    async def append() -> None:
        log = FileAuditLog(path)
        for record in records:
            await log.append(record)
        log.close()

    asyncio.run(append())
    text = path.read_text(encoding="utf-8")
    assert text.endswith("\n")
    return text.removesuffix("\n").split("\n")


def test_writes_every_field(tmp_path: Path) -> None:
    """Who asked for what, what was decided, when and how long it took; the time is UTC to the millisecond."""
    (line,) = written(tmp_path / "audit.jsonl", RECORD)

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
    } == json.loads(line)


def test_leaves_out_what_there_is_not() -> None:
    """A stranger's call has a time, an id, a method, a peer, a code and a duration."""
    bare = AuditRecord(time=Millis(0), request_id="r", method="/m", peer="p", code="UNAUTHENTICATED")

    assert {"time", "request_id", "method", "peer", "code", "duration_us"} == set(
        msgspec.to_builtins(AuditLine.of(bare))
    )


def test_keeps_every_field_of_the_record() -> None:
    """A field that the record gains cannot be forgotten here: all of them make it into the line."""
    names = {field.name for field in attrs.fields(AuditRecord)}

    assert names | {"caller_kind", "caller_identity"} == set(msgspec.to_builtins(AuditLine.of(RECORD)))


@pytest.mark.parametrize("text", ["a\nb", 'a"b', "a\u2028b", "a\x00b", "\U0001f600", '{"event":"rpc"}\n', "\x1b[31m"])
def test_no_text_breaks_out_of_its_line(tmp_path: Path, text: str) -> None:
    """What callers choose cannot forge a record, and is kept exactly."""
    hostile = attrs.evolve(RECORD, subject=text, user_agent=text, session_id=text)
    lines = written(tmp_path / "audit.jsonl", hostile, RECORD)

    assert [text, "user-7"] == [json.loads(line)["subject"] for line in lines]
    assert not re.search(r"[\x00-\x1f]", lines[0])


def test_only_its_owner_can_read_it(tmp_path: Path) -> None:
    """Mode 0600, and 0700 for a directory that it makes."""
    path = tmp_path / "made" / "audit.jsonl"
    written(path, RECORD)

    assert (0o600, 0o700) == (stat.S_IMODE(path.stat().st_mode), stat.S_IMODE(path.parent.stat().st_mode))


def test_goes_on_in_a_file_that_is_there(tmp_path: Path) -> None:
    """A restart takes nothing away."""
    path = tmp_path / "audit.jsonl"
    written(path, RECORD)
    lines = written(path, attrs.evolve(RECORD, request_id="call-2"))

    assert ["call-1", "call-2"] == [json.loads(line)["request_id"] for line in lines]


def test_writers_of_one_file_do_not_mix(tmp_path: Path) -> None:
    """Each record is one line, also where several threads write to one file by logs of their own."""
    path = tmp_path / "audit.jsonl"
    wanted = [attrs.evolve(RECORD, request_id=f"call-{number}", subject="x" * 5000) for number in range(100)]
    with ThreadPoolExecutor(4) as pool:
        for begin in range(4):
            pool.submit(written, path, *wanted[begin::4])
    found = [json.loads(line)["request_id"] for line in path.read_text().splitlines()]

    assert {record.request_id for record in wanted} == set(found)
    assert len(wanted) == len(found)


async def test_says_when_a_record_is_not_kept() -> None:
    """A full disk is UNAVAILABLE with the reason that callers are told."""
    log = FileAuditLog(Path("/dev/full"))
    with pytest.raises(UnavailableError) as caught:
        await log.append(RECORD)
    log.close()

    assert Reason.AUDIT_UNAVAILABLE == caught.value.reason


def test_a_torn_line_is_a_failure_and_spoils_no_other(tmp_path: Path) -> None:
    """A disk that fills up in the middle of a line says so, and later records stand on lines of their own."""
    path = tmp_path / "audit.jsonl"
    done = subprocess.run(
        [sys.executable, "-c", SHORT_WRITES, path], check=True, capture_output=True, text=True, timeout=60
    )
    lines = path.read_text().splitlines()

    assert ["AUDIT_UNAVAILABLE"] * 2 == done.stdout.split()
    assert ["call-1", "call-1"] == [json.loads(lines[number])["request_id"] for number in (0, -1)]
