"""Builders of the audit tests: records, logs on the test's own event loop, a disk that fails, whole logs."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import shutil
import subprocess

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import msgspec
import pytest

from tests.support.authority import WAIT
from tokenauthority.audit.checkpoint import CheckpointFile
from tokenauthority.audit.keys import load_public_key
from tokenauthority.audit.reading.report import Report
from tokenauthority.audit.reading.verify import verify_log
from tokenauthority.audit.record import AuditedToken, AuditRecord
from tokenauthority.audit.writing.log import FileAuditLog, LogOptions
from tokenauthority.audit.writing.log_file import Disk
from tokenauthority.domain.caller import Action
from tokenauthority.domain.times import Millis
from tokenauthority.server.wiring import system_clock


RECORD = AuditRecord(
    time="2023-11-14T22:13:20.123Z",
    request_id="call-1",
    method="/tokenauthority.v1.TokenService/GenerateToken",
    peer="ipv4:127.0.0.1:4711",
    user_agent="grpc-python",
    action=Action.TOKENS_GENERATE,
    caller="room-service",
    caller_kind="api_key",
    caller_identity="sha256:test",
    project_id="47000000",
    session_id="2_abc",
    role="publisher",
    format="SESSION_JWT",
    lifetime=3600,
    subject="user-7",
    object_id="object-1",
    key_id="key-1",
    comment="because",
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
    credential_problem="JWT: it has expired",
    transport="connect",
    platform_url="https://api.example",
    trace_id="0af7651916cd43dd8448eb211c80319c",
)

FAST = LogOptions(retry=0.01, watch=0.02)
"""A log that recovers at once."""


class FaultyDisk(Disk):
    """Counts, and fails with `failure` (an errno) while it is set; `takes` bounds the bytes of a failing write."""

    def __init__(self) -> None:
        self.writes = 0
        self.syncs = 0
        self.write_failure = 0
        self.sync_failure = 0
        self.takes = 0

    def write(self, descriptor: int, data: memoryview) -> int:
        """See `Disk`."""
        self.writes += 1
        if self.write_failure:
            if not self.takes:
                raise OSError(self.write_failure, os.strerror(self.write_failure))
            taken, self.takes = min(self.takes, len(data)), 0
            return super().write(descriptor, data[:taken])
        return super().write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        """See `Disk`."""
        self.syncs += 1
        if self.sync_failure:
            raise OSError(self.sync_failure, os.strerror(self.sync_failure))
        super().sync(descriptor)

    def fill(self, takes: int = 0) -> None:
        """Be full from now on, after *takes* more bytes."""
        self.write_failure, self.takes = errno.ENOSPC, takes

    def repair(self) -> None:
        """Work again."""
        self.write_failure = self.sync_failure = self.takes = 0


def record(number: int, **changes: object) -> AuditRecord:
    """A record with an id of its own."""
    return changed(RECORD, request_id=f"call-{number}", **changes)


def changed(given: AuditRecord, **changes: object) -> AuditRecord:
    """A copy of the record with these fields."""
    return msgspec.structs.replace(given, **changes)


@asynccontextmanager
async def running(
    path: Path, options: LogOptions = FAST, disk: Disk | None = None, clock: Callable[[], Millis] = system_clock
) -> AsyncIterator[FileAuditLog]:
    """The log at *path*, its key beside it."""
    log = FileAuditLog(path, key_path(path), clock=clock, options=options, disk=disk)
    async with log.running():
        yield log


async def until(condition: Callable[[], bool], reason: str) -> None:
    """Wait, for a bounded time, until *condition* holds."""
    for _ in range(int(WAIT / 0.005)):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError(reason)


async def until_recovered(log: FileAuditLog) -> None:
    """Wait until records can be written again."""
    await until(lambda: not log.problem, f"the log did not recover: {log.problem}")


@contextmanager
def small_disk(directory: Path, size: str) -> Iterator[None]:
    """Mount a file system of that *size* at *directory*; without the right to mount, skip the test."""
    directory.mkdir()
    mount, umount = shutil.which("mount"), shutil.which("umount")
    if mount is None or umount is None or os.geteuid() != 0:
        pytest.skip("mounting a small tmpfs takes root")
    command = [mount, "-t", "tmpfs", "-o", f"size={size}", "none", str(directory)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a tmpfs")
    try:
        yield
    finally:
        subprocess.run([umount, "--lazy", directory], check=True)


def fill(filler: Path) -> None:
    """Leave no room on the disk that the file is on."""
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))


def key_path(path: Path) -> Path:
    """Where `running` has the key."""
    return path.with_name("audit-key.pem")


def written(path: Path, *records: AuditRecord) -> list[str]:
    """Append the records to a log that is opened and closed for them; the file's lines."""

    async def append() -> None:
        async with running(path) as log:
            for each in records:
                await log.append(each)

    asyncio.run(append())
    return text_lines(path)


def text_lines(path: Path) -> list[str]:
    """The lines of the file, which must end with one if it is not empty."""
    text = path.read_text(encoding="utf-8")
    assert text.endswith("\n") or not text
    return text.split("\n")[:-1]


def types(path: Path) -> list[str]:
    """The types of the lines, in order."""
    return [str(line["type"]) for line in objects(path)]


def objects(path: Path) -> list[dict[str, object]]:
    """The lines as objects."""
    return [json.loads(line) for line in text_lines(path)]


def calls(path: Path) -> list[str]:
    """The request ids of the RPCs' records, in order."""
    return [str(line["request_id"]) for line in objects(path) if line["type"] == "rpc"]


def checked(*paths: Path, partial: bool = False) -> Report:
    """Verify a log with its key and its checkpoint file; the first path is that of the log."""
    found = CheckpointFile(paths[0]).read_checkpoint()
    keys = [load_public_key(key_path(paths[0]).with_name("audit-key.pub.pem"))]
    return verify_log(paths, keys=keys, trusted=found[1] if found else None, partial=partial)
