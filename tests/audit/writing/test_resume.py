"""A server goes on where the log ends, and refuses to where lines are missing or are none."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os

from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest

from tests.audit.logs import RECORD, FaultyDisk, calls, checked, key_path, objects, record, running, types, written
from tokenauthority.audit import AuditLogError
from tokenauthority.audit.chain import Position, chain_line, hash_line
from tokenauthority.audit.checkpoint import Checkpoint
from tokenauthority.audit.keys import AuditKey, load_public_key, public_path


def head(path: Path) -> Path:
    """The head file."""
    return path.with_name("audit.jsonl.head")


def refusal(path: Path) -> str:
    """Why a server does not start; it changes nothing."""
    before = {file: file.read_bytes() for file in path.parent.iterdir()}
    with pytest.raises(AuditLogError) as caught:
        written(path, RECORD)
    assert before == {file: file.read_bytes() for file in before}
    return str(caught.value)


def killed(path: Path, *numbers: int) -> None:
    """A log whose server was killed after it had kept these records."""

    async def run() -> None:
        async with running(path) as log:
            for number in numbers:
                await log.append(record(number))
            content, beside = path.read_bytes(), head(path).read_bytes()
        path.write_bytes(content)
        head(path).write_bytes(beside)

    asyncio.run(run())


def test_goes_on_after_a_kill(path: Path) -> None:
    """The chain is unbroken and nothing is lost."""
    killed(path, 1, 2)
    written(path, record(3))

    assert ["call-1", "call-2", "call-3"] == calls(path)
    assert ["rpc", "rpc", "start", "checkpoint", "rpc"] == types(path)[2:7]
    assert "matched" == objects(path)[4]["anchor"]
    assert checked(path).bad is None


@pytest.mark.parametrize("cut", [1, 2, 10, 300, 500])
def test_a_torn_last_line_is_kept_aside(path: Path, cut: int) -> None:
    """And the start says how long it was and what its hash is."""
    killed(path, 1, 2)
    os.truncate(path, path.stat().st_size - cut)
    torn = path.read_bytes().rpartition(b"\n")[2]
    written(path, record(3))
    (aside,) = path.parent.glob("audit.jsonl.torn-*")

    assert ["call-1", "call-3"] == calls(path)
    assert torn == aside.read_bytes()
    assert {"file": aside.name, "bytes": len(torn), "sha256": hashlib.sha256(torn).hexdigest()} == objects(path)[3][
        "torn"
    ]
    assert checked(path).bad is None


def test_a_torn_first_line_too(path: Path) -> None:
    """A server that was killed in its first moment leaves no log that cannot be opened."""
    path.write_bytes(b'{"seq":1,"prev":"000')
    written(path, RECORD)

    assert ["start", "checkpoint", "rpc", "stop", "checkpoint"] == types(path)
    assert checked(path).bad is None


@pytest.mark.parametrize(
    "line", [b"canary", b"{}", b'{"seq":3}', b"\x00" * 200, b'{"seq":"x","prev":7,"type":"rpc","crc":"00000000"}', b""]
)
def test_refuses_a_last_line_that_is_no_record(path: Path, line: bytes) -> None:
    """What follows it would be chained to nothing; the message shows none of it."""
    killed(path, 1)
    with path.open("ab") as file:
        file.write(line + b"\n")
    text = refusal(path)

    assert "the last line of the audit log" in text
    assert "audit.jsonl is not a valid record" in text
    assert "canary" not in text


def test_refuses_a_last_line_that_was_changed(path: Path) -> None:
    """A damaged last line is told from a whole one though no other line vouches for it yet."""
    killed(path, 1)
    path.write_bytes(path.read_bytes().replace(b"user-7", b"user-8"))

    assert "its checksum is wrong" in refusal(path)


def test_refuses_a_log_of_another_kind(path: Path) -> None:
    """Such as that of a version before the chain."""
    path.write_text('{"time":"2026-01-01T00:00:00.000Z","code":"OK"}\n')

    assert "the first line of the audit log" in refusal(path)


def test_refuses_a_log_whose_end_was_cut_off(path: Path) -> None:
    """Going on would hide it: the head file would be written over."""
    written(path, record(1), record(2))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-3]))

    assert f"ends with record {len(lines) - 3}, but by audit.jsonl.head it has at least {len(lines)}" in refusal(path)


@pytest.mark.parametrize("content", [None, b""])
def test_refuses_a_log_that_is_gone(path: Path, content: bytes | None) -> None:
    """It was deleted while no server ran; a log that ended in order may have been moved, this one had more to say."""
    killed(path, 1)
    path.unlink()
    if content is not None:
        path.write_bytes(content)

    assert "is gone or empty, but by audit.jsonl.head it has at least 2 records" in refusal(path)


def test_refuses_a_log_that_was_written_anew(path: Path) -> None:
    """As long as the one before, and without its last checkpoint."""
    written(path, record(1))
    beside = head(path).read_bytes()
    path.unlink()
    head(path).unlink()
    written(path, record(2))
    head(path).write_bytes(beside)

    assert "belongs to another log" in refusal(path)


def test_refuses_a_checkpoint_that_is_another(path: Path) -> None:
    """The line in the place of the anchored checkpoint must be that very line."""
    killed(path, 1)
    lines = path.read_bytes().splitlines(keepends=True)
    written(path, record(2))
    newer = head(path).read_bytes()
    path.write_bytes(b"".join(lines))

    async def longer() -> None:
        async with running(path) as log:
            for number in range(9):
                await log.append(record(number))

    head(path).unlink()
    asyncio.run(longer())
    head(path).write_bytes(newer)

    assert "is not the checkpoint in audit.jsonl.head" in refusal(path)


def test_refuses_a_forged_head_file(path: Path) -> None:
    """A shorter log with a head file to match takes the audit key."""
    written(path, record(1))
    lines = path.read_bytes().splitlines()
    fields = json.loads(lines[-1])
    body = {name: fields[name] for name in Checkpoint.__struct_encode_fields__} | {
        "count": 3,
        "head": hash_line(lines[2]),
    }
    forged, _ = chain_line(
        Position(3, hash_line(lines[2])), "checkpoint", json.dumps(body, separators=(",", ":")).encode()
    )
    path.write_bytes(b"".join(line + b"\n" for line in (*lines[:3], forged)))
    head(path).write_bytes(forged + b"\n")

    assert "the signature in" in refusal(path)


@pytest.mark.parametrize("content", [b"", b"canary\n", b"{}\n"])
def test_refuses_a_head_file_that_is_none(path: Path, content: bytes) -> None:
    """It is written whole or not at all: somebody else was there."""
    written(path, record(1))
    head(path).write_bytes(content)

    assert "or its checkpoint file is damaged" in refusal(path)


def test_says_so_when_the_head_file_is_gone(path: Path) -> None:
    """It goes on, and the log and its verifier tell that a cut would not have shown."""
    written(path, record(1))
    head(path).unlink()
    written(path, record(2))
    report = checked(path)

    assert "absent" == objects(path)[5]["anchor"]
    assert report.bad is None
    assert "checkpoint file was gone" in report.remarks[0]


def test_goes_on_with_another_key(path: Path) -> None:
    """A key that was replaced signs from then on; each checkpoint names its own."""
    written(path, record(1))
    key_path(path).unlink()
    another = AuditKey.load_or_create(key_path(path))
    written(path, record(2))

    assert another.public == load_public_key(public_path(key_path(path)))
    assert 2 == len({line["key_id"] for line in objects(path) if line["type"] == "checkpoint"})


@pytest.mark.parametrize("missing", ["", "audit.jsonl", "audit.jsonl.head"])
def test_refuses_to_make_a_key_anew(path: Path, missing: str) -> None:
    """A key that was lost is missed, where the log or its head file tells that there was one."""
    written(path, record(1))
    key = AuditKey.load_or_create(key_path(path))
    key_path(path).unlink()
    if missing:
        path.with_name(missing).unlink()
    text = refusal(path)

    assert f"the audit key {key_path(path)} is gone, and the log {path} was signed by {key.key_id}: put it back" in text
    assert not key_path(path).exists()


@pytest.mark.parametrize("content", [b"", b"canary"])
def test_the_public_key_beside_the_key_is_its_own(path: Path, content: bytes) -> None:
    """Auditors are never given a stale one."""
    written(path, record(1))
    public = public_path(key_path(path))
    before = public.read_bytes()
    public.write_bytes(content)
    written(path, record(2))

    assert before == public.read_bytes()


@pytest.mark.parametrize(
    ("missing", "event"),
    [("audit.jsonl.head", "audit.head_file_absent"), ("audit.jsonl", "audit.earlier_records_elsewhere")],
)
def test_warns_of_what_may_be_somebodys_doing(
    path: Path, events: list[MutableMapping[str, Any]], missing: str, event: str
) -> None:
    """In the operational log, once: a head file that is gone, and a log that is though its head file is there."""
    written(path, record(1))
    path.with_name(missing).unlink()
    written(path, record(2))
    written(path, record(3))

    assert [(event, str(path), 5)] == [
        (each["event"], each["path"], each["count"]) for each in events if each["log_level"] == "warning"
    ]


def test_goes_on_where_a_rotation_was_cut_short(path: Path) -> None:
    """Killed after the file had got its other name and before a new one was begun."""
    written(path, record(1))
    moved = path.rename(path.with_name("audit-x.jsonl"))
    path.write_bytes(b'{"seq":7,"prev":"ab')
    written(path, record(2))

    assert "continued" == types(path)[0]
    assert "torn" in objects(path)[0]
    assert checked(path, moved).bad is None


def test_a_start_that_failed_leaves_nothing_open(path: Path) -> None:
    """The file is free for the next attempt in the same process."""

    async def attempt(disk: FaultyDisk) -> None:
        async with running(path, disk=disk) as log:
            await log.append(record(1))

    full = FaultyDisk()
    full.fill()
    with pytest.raises(AuditLogError):
        asyncio.run(attempt(full))
    asyncio.run(attempt(FaultyDisk()))

    assert ["call-1"] == calls(path)
