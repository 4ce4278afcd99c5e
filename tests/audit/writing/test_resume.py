"""A server continues where the log ends, and refuses a log with missing or damaged lines."""

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
from tokenauthority.audit.chain import Position, chain_line, hash_line
from tokenauthority.audit.checkpoint import Checkpoint
from tokenauthority.audit.errors import AuditLogError
from tokenauthority.audit.keys import AuditKey, load_public_key, public_path


def checkpoint_file(path: Path) -> Path:
    """Return the path of the checkpoint file."""
    return path.with_name("audit.jsonl.head")


def refusal(path: Path) -> str:
    """Why a server does not start; it changes nothing."""
    before = {file: file.read_bytes() for file in path.parent.iterdir()}
    with pytest.raises(AuditLogError) as caught:
        written(path, RECORD)
    assert before == {file: file.read_bytes() for file in before}
    return str(caught.value)


def killed(path: Path, *numbers: int) -> None:
    """Write a log whose server was killed after these records."""

    async def run() -> None:
        async with running(path) as log:
            for number in numbers:
                await log.append(record(number))
            content, beside = path.read_bytes(), checkpoint_file(path).read_bytes()
        path.write_bytes(content)
        checkpoint_file(path).write_bytes(beside)

    asyncio.run(run())


def test_continues_after_a_kill(path: Path) -> None:
    """The chain is unbroken and nothing is lost."""
    killed(path, 1, 2)
    written(path, record(3))

    assert ["call-1", "call-2", "call-3"] == calls(path)
    assert ["rpc", "rpc", "start", "checkpoint", "rpc"] == types(path)[2:7]
    assert "matched" == objects(path)[4]["anchor"]
    assert checked(path).bad is None


@pytest.mark.parametrize("cut", [1, 2, 10, 300, 500])
def test_quarantines_an_incomplete_last_line(path: Path, cut: int) -> None:
    """And the start says how long it was and what its hash is."""
    killed(path, 1, 2)
    os.truncate(path, path.stat().st_size - cut)
    torn = path.read_bytes().rpartition(b"\n")[2]
    written(path, record(3))
    (quarantined,) = path.parent.glob("audit.jsonl.torn-*")

    assert ["call-1", "call-3"] == calls(path)
    assert torn == quarantined.read_bytes()
    assert {"file": quarantined.name, "bytes": len(torn), "sha256": hashlib.sha256(torn).hexdigest()} == objects(path)[
        3
    ]["torn"]
    assert checked(path).bad is None


def test_quarantines_an_incomplete_first_line(path: Path) -> None:
    """A log can be opened after a server was killed while it wrote the first line."""
    path.write_bytes(b'{"seq":1,"prev":"000')
    written(path, RECORD)

    assert ["start", "checkpoint", "rpc", "stop", "checkpoint"] == types(path)
    assert checked(path).bad is None


@pytest.mark.parametrize(
    "line", [b"canary", b"{}", b'{"seq":3}', b"\x00" * 200, b'{"seq":"x","prev":7,"type":"rpc","crc":"00000000"}', b""]
)
def test_refuses_an_invalid_last_line(path: Path, line: bytes) -> None:
    """What follows it would be chained to nothing; the message shows none of it."""
    killed(path, 1)
    with path.open("ab") as file:
        file.write(line + b"\n")
    text = refusal(path)

    assert "the last line of the audit log" in text
    assert "audit.jsonl is not a valid record" in text
    assert "canary" not in text


def test_refuses_a_last_line_that_was_changed(path: Path) -> None:
    """Its checksum shows the damage, though no other line holds its hash yet."""
    killed(path, 1)
    path.write_bytes(path.read_bytes().replace(b"user-7", b"user-8"))

    assert "its checksum is wrong" in refusal(path)


def test_refuses_a_log_of_another_kind(path: Path) -> None:
    """Such as that of a version before the chain."""
    path.write_text('{"time":"2026-01-01T00:00:00.000Z","code":"OK"}\n')

    assert "the first line of the audit log" in refusal(path)


def test_refuses_a_log_whose_end_was_cut_off(path: Path) -> None:
    """Continuing would hide it: the checkpoint file would be overwritten."""
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


def test_refuses_a_log_that_was_rewritten(path: Path) -> None:
    """As long as the one before, and without its last checkpoint."""
    written(path, record(1))
    beside = checkpoint_file(path).read_bytes()
    path.unlink()
    checkpoint_file(path).unlink()
    written(path, record(2))
    checkpoint_file(path).write_bytes(beside)

    assert "belongs to another log" in refusal(path)


def test_refuses_a_checkpoint_that_is_another(path: Path) -> None:
    """The line in the place of the stored checkpoint must be that very line."""
    killed(path, 1)
    lines = path.read_bytes().splitlines(keepends=True)
    written(path, record(2))
    newer = checkpoint_file(path).read_bytes()
    path.write_bytes(b"".join(lines))

    async def longer() -> None:
        async with running(path) as log:
            for number in range(9):
                await log.append(record(number))

    checkpoint_file(path).unlink()
    asyncio.run(longer())
    checkpoint_file(path).write_bytes(newer)

    assert "is not the checkpoint in audit.jsonl.head" in refusal(path)


def test_refuses_a_forged_checkpoint_file(path: Path) -> None:
    """Nobody without the audit key can forge a shorter log with a checkpoint file to match."""
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
    checkpoint_file(path).write_bytes(forged + b"\n")

    assert "the signature in" in refusal(path)


@pytest.mark.parametrize("content", [b"", b"canary\n", b"{}\n"])
def test_refuses_an_invalid_checkpoint_file(path: Path, content: bytes) -> None:
    """A server writes that file whole or not at all: somebody else changed it."""
    written(path, record(1))
    checkpoint_file(path).write_bytes(content)

    assert "or its checkpoint file is damaged" in refusal(path)


def test_says_that_the_checkpoint_file_is_gone(path: Path) -> None:
    """It continues, and the log and its verifier say that a cut would not have shown."""
    written(path, record(1))
    checkpoint_file(path).unlink()
    written(path, record(2))
    report = checked(path)

    assert "absent" == objects(path)[5]["anchor"]
    assert report.bad is None
    assert "checkpoint file was gone" in report.remarks[0]


def test_continues_with_another_key(path: Path) -> None:
    """A key that was replaced signs from then on; each checkpoint names its own."""
    written(path, record(1))
    key_path(path).unlink()
    another = AuditKey.load_or_create(key_path(path))
    written(path, record(2))

    assert another.public == load_public_key(public_path(key_path(path)))
    assert 2 == len({line["key_id"] for line in objects(path) if line["type"] == "checkpoint"})


@pytest.mark.parametrize("missing", ["", "audit.jsonl", "audit.jsonl.head"])
def test_refuses_to_create_a_second_key(path: Path, missing: str) -> None:
    """A lost key is reported where the log or its checkpoint file shows that there was one."""
    written(path, record(1))
    key = AuditKey.load_or_create(key_path(path))
    key_path(path).unlink()
    if missing:
        path.with_name(missing).unlink()
    text = refusal(path)

    assert f"the audit key {key_path(path)} is gone, and the log {path} was signed by {key.key_id}: put it back" in text
    assert not key_path(path).exists()


@pytest.mark.parametrize(
    ("missing", "event"),
    [("audit.jsonl.head", "audit.head_file_absent"), ("audit.jsonl", "audit.earlier_records_elsewhere")],
)
def test_warns_of_possible_tampering(
    path: Path, events: list[MutableMapping[str, Any]], missing: str, event: str
) -> None:
    """Once, in the operational log: a checkpoint file that is missing, or a log that is missing without it."""
    written(path, record(1))
    path.with_name(missing).unlink()
    written(path, record(2))
    written(path, record(3))

    assert [(event, str(path), 5)] == [
        (each["event"], each["path"], each["count"]) for each in events if each["log_level"] == "warning"
    ]


def test_continues_where_a_rotation_was_cut_short(path: Path) -> None:
    """Killed after the file was renamed and before a new one was begun."""
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
