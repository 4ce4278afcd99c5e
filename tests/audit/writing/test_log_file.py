"""A log that cannot be written fails every call at once, loses no committed record, and recovers by itself."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import shutil
import subprocess
import sys
import threading

from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any

import pytest

from tests.audit.logs import (
    FaultyDisk,
    calls,
    checked,
    fill,
    objects,
    record,
    running,
    small_disk,
    text_lines,
    types,
    until,
    until_recovered,
)
from tokenauthority.audit.errors import AuditLogError
from tokenauthority.audit.writing.log import FileAuditLog, LogOptions
from tokenauthority.domain.errors import Reason, UnavailableError


async def refused(log: FileAuditLog, number: int) -> UnavailableError:
    """Append a record that cannot be written."""
    with pytest.raises(UnavailableError) as caught:
        await log.append(record(number))
    assert Reason.AUDIT_UNAVAILABLE == caught.value.reason
    return caught.value


async def test_a_full_disk_fails_all_that_wait_and_all_that_come(
    path: Path, events: list[MutableMapping[str, Any]]
) -> None:
    """They fail at once; the cause is logged once; the log recovers by itself."""
    disk = FaultyDisk()
    async with running(path, disk=disk) as log:
        await log.append(record(1))
        disk.fill()
        outcomes = await asyncio.gather(*(log.append(record(n)) for n in range(2, 52)), return_exceptions=True)
        problem, later = log.problem, await refused(log, 52)
        disk.repair()
        await until_recovered(log)
        await log.append(record(53))

    assert {UnavailableError} == {type(outcome) for outcome in outcomes}
    assert (errno.ENOSPC, "No space left on device") == (getattr(later.__cause__, "errno", None), problem)
    assert ["call-1", "call-53"] == calls(path)
    assert ["start", "checkpoint", "rpc", "recovered", "checkpoint", "rpc", "stop", "checkpoint"] == types(path)
    assert "No space left on device" == objects(path)[3]["cause"]
    assert checked(path).bad is None
    assert 1 == sum(event["event"] == "audit.unavailable" for event in events)
    assert 1 == sum(event["event"] == "audit.recovered" for event in events)


@pytest.mark.parametrize("whole", [0, 1, 2])
async def test_a_torn_batch_leaves_whole_lines_only(path: Path, whole: int) -> None:
    """Of a commit that the disk took in part, whole lines stay; the rest is quarantined, and the log says so."""
    disk = FaultyDisk()
    async with running(path, disk=disk) as log:
        await log.append(record(1))
        length = len(text_lines(path)[-1]) + 1
        disk.fill(takes=whole * length + 100)
        batch = await asyncio.gather(*(log.append(record(number)) for number in (2, 3, 4)), return_exceptions=True)
        with pytest.raises(UnavailableError):
            await log.append(record(5))
        disk.repair()
        await until_recovered(log)
        await log.append(record(6))
    (quarantined,) = path.parent.glob("audit.jsonl.torn-*")
    line = next(line for line in objects(path) if line["type"] == "recovered")

    assert [UnavailableError] * 3 == [type(outcome) for outcome in batch]
    assert ["call-1", *(f"call-{number}" for number in range(2, 2 + whole)), "call-6"] == calls(path)
    assert {
        "file": quarantined.name,
        "bytes": 100,
        "sha256": hashlib.sha256(quarantined.read_bytes()).hexdigest(),
    } == line["torn"]
    assert quarantined.read_text().startswith(f'{{"seq":{4 + whole},')
    assert 0o600 == quarantined.stat().st_mode & 0o777
    report = checked(path)
    assert (None, 1) == (report.bad, len(report.remarks))


async def test_no_record_counts_after_a_failed_sync(path: Path) -> None:
    """Lines that may not be on the disk are written again, so that the chain is valid for every reader."""
    disk = FaultyDisk()
    async with running(path, disk=disk) as log:
        await log.append(record(1))
        disk.sync_failure = errno.EIO
        await refused(log, 2)
        seen = text_lines(path)
        disk.repair()
        await until_recovered(log)
        await log.append(record(3))

    assert seen == text_lines(path)[: len(seen)]
    assert ["call-1", "call-2", "call-3"] == calls(path)
    assert "Input/output error" == objects(path)[len(seen)]["cause"]
    assert checked(path).bad is None


async def test_fails_again_while_it_recovers(path: Path) -> None:
    """A disk that fills up over and over, at any byte, never breaks the chain."""
    disk = FaultyDisk()
    async with running(path, disk=disk) as log:
        for takes in range(0, 900, 43):
            disk.fill(takes)
            await refused(log, 1)
            # Attempts to recover fail in the middle too.
            writes = disk.writes
            disk.takes = takes // 2
            await until(lambda: disk.writes > writes, "nothing was attempted")  # noqa: B023 - awaited here
            disk.repair()
            await until_recovered(log)
            await log.append(record(takes))

    assert checked(path).bad is None
    assert {f"call-{takes}" for takes in range(0, 900, 43)} <= set(calls(path))


def _delete(path: Path) -> None:
    path.unlink()


def _replace_by_copy(path: Path) -> None:
    copy = path.with_name("copy")
    shutil.copy(path, copy)
    copy.rename(path)


def _replace_by_other(path: Path) -> None:
    other = path.with_name("other")
    other.write_text("canary\n")
    other.rename(path)


def _put_another_beside(path: Path) -> None:
    path.rename(path.with_name("moved"))
    path.write_text("canary\n")


def _truncate(path: Path) -> None:
    os.truncate(path, 0)


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 10)


def _write_into(path: Path) -> None:
    with path.open("a") as file:
        file.write("canary")


CHANGES = [_delete, _replace_by_copy, _replace_by_other, _put_another_beside, _truncate, _cut, _write_into]


@pytest.mark.parametrize("change", CHANGES)
async def test_the_next_call_notices_a_changed_file(path: Path, change: Callable[[Path], None]) -> None:
    """Deleted, replaced, cut or written to by others: no answer leaves, and the log continues under its old name."""
    async with running(path, LogOptions(retry=0.01, watch=60)) as log:
        await log.append(record(1))
        change(path)
        await refused(log, 2)
        await until_recovered(log)
        await log.append(record(3))

        assert "call-3" == calls(path)[-1]
        assert objects(path)[-1]["seq"] in {6, 7}

    assert "recovered" in types(path)
    assert b"canary" not in path.read_bytes()


@pytest.mark.parametrize("change", CHANGES)
async def test_a_changed_file_is_noticed_without_calls(path: Path, change: Callable[[Path], None]) -> None:
    """Within a second, so that the next call finds a log that works."""
    async with running(path) as log:
        await log.append(record(1))
        change(path)
        await until(lambda: path.exists() and b"recovered" in path.read_bytes(), "nobody noticed")
        await until_recovered(log)
        await log.append(record(2))

        assert "call-2" == calls(path)[-1]


@pytest.mark.parametrize("change", [_delete, _replace_by_copy, _replace_by_other, _truncate, _cut])
async def test_verification_finds_what_was_removed(path: Path, change: Callable[[Path], None]) -> None:
    """The verifier names the place, although the log continues after it."""
    async with running(path) as log:
        await log.append(record(1))
        change(path)
        await until(lambda: path.exists() and b"recovered" in path.read_bytes(), "nobody noticed")
        await until_recovered(log)
    bad = checked(path).bad

    assert bad is not None
    assert "missing" in bad.reason or "not in these files" in bad.reason


async def test_quarantines_what_others_wrote(path: Path) -> None:
    """The bytes are stored as evidence, outside of the log."""
    async with running(path) as log:
        await log.append(record(1))
        _write_into(path)
        await until(lambda: b"recovered" in path.read_bytes(), "nobody noticed")
    (quarantined,) = path.parent.glob("audit.jsonl.torn-*")

    assert "canary" == quarantined.read_text()
    assert checked(path).bad is None


async def test_moves_a_file_in_its_place_away(path: Path) -> None:
    """The other file gets another name."""
    async with running(path) as log:
        _replace_by_other(path)
        await until(lambda: b"recovered" in path.read_bytes(), "nobody noticed")
        await until_recovered(log)
    (quarantined,) = path.parent.glob("audit.jsonl.replaced-*")

    assert "canary\n" == quarantined.read_text()


async def test_a_file_that_was_moved_during_a_failure_ends_with_a_whole_line(path: Path) -> None:
    """An incomplete line is cut off there too, whatever has the file's name now."""
    disk = FaultyDisk()
    async with running(path, disk=disk) as log:
        await log.append(record(1))
        disk.fill(takes=100)
        await refused(log, 2)
        moved = path.rename(path.with_name("moved"))
        path.write_text("canary\n")
        disk.repair()
        await until_recovered(log)
        await log.append(record(3))

    assert (["call-1"], ["call-3"]) == (calls(moved), calls(path))
    assert checked(path, moved).bad is None


async def test_fails_until_it_can_recover(path: Path) -> None:
    """Where no file can be created, no record is written and no call hangs; then the log recovers."""
    async with running(path) as log:
        path.unlink()
        path.mkdir()
        await until(lambda: bool(log.problem), "nobody noticed")
        for number in range(3):
            await refused(log, number)
        path.rmdir()
        await until_recovered(log)
        await log.append(record(3))

    assert ["call-3"] == calls(path)


class _HangingDisk(FaultyDisk):
    """Hangs in sync until `go` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.hang = False
        self.go = threading.Event()

    def sync(self, descriptor: int) -> None:
        """See `Disk`."""
        if self.hang:
            assert self.go.wait(60)
        super().sync(descriptor)


async def test_bounds_how_long_a_call_waits_for_the_disk(path: Path) -> None:
    """Waiting calls fail after the limit and new ones at once; a record that reaches the disk later stays."""
    disk = _HangingDisk()
    options = LogOptions(stall=0.05, retry=0.01, watch=60)
    async with running(path, options, disk) as log:
        disk.hang = True
        first = asyncio.ensure_future(refused(log, 1))
        await until(lambda: calls(path) == ["call-1"], "nothing was written")
        second = asyncio.ensure_future(refused(log, 2))
        error = await first
        await second
        await refused(log, 2)
        problem = log.problem
        disk.hang = False
        disk.go.set()
        await until_recovered(log)
        await log.append(record(3))

    assert "the disk hangs" == problem == str(error.__cause__)
    assert ["call-1", "call-3"] == calls(path)
    assert checked(path).bad is None


async def test_stops_although_the_disk_hangs(path: Path, events: list[MutableMapping[str, Any]]) -> None:
    """The stop is bounded, and an event says that the log has no stop line."""
    disk = _HangingDisk()
    async with running(path, LogOptions(stall=0.05, retry=0.01, watch=60), disk) as log:
        disk.hang = True
        await refused(log, 1)
    disk.go.set()

    assert "audit.not_ended" in [event["event"] for event in events]


async def test_a_bug_in_the_writer_is_a_failure_like_any_other(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is raised, no call waits forever."""
    async with running(path, LogOptions(retry=0.01, watch=60)) as log:
        with monkeypatch.context() as patched:
            patched.setattr("tokenauthority.audit.writing.writer.chain_line", None)
            await refused(log, 1)
            problem = log.problem
        await until_recovered(log)
        await log.append(record(2))

    assert "TypeError" == problem
    assert checked(path).bad is None


async def test_a_checkpoint_file_that_cannot_be_written_is_a_failure(path: Path) -> None:
    """Without that file a tail that was cut off would not show."""
    async with running(path, LogOptions(retry=0.01, watch=60, checkpoint_interval=0.01)) as log:
        checkpoint_file = path.with_name("audit.jsonl.head")
        checkpoint_file.unlink()
        checkpoint_file.mkdir()
        await log.append(record(1))
        await until(lambda: bool(log.problem), "nobody noticed")
        checkpoint_file.rmdir()
        await until_recovered(log)

    assert checked(path).holds_trusted


async def test_a_start_on_a_full_disk_is_refused(path: Path) -> None:
    """The error names the file and the cause; the next start quarantines what was left and continues."""
    disk = FaultyDisk()
    disk.fill(takes=50)
    with pytest.raises(AuditLogError, match=r"audit.jsonl cannot be written: No space left on device"):
        async with running(path, disk=disk):
            pass
    async with running(path) as log:
        await log.append(record(1))

    assert 50 == objects(path)[0]["torn"]["bytes"]  # type: ignore[index]  # an object
    assert checked(path).bad is None


FILE_SIZE = """
import asyncio, resource, sys
from pathlib import Path
from tests.audit.logs import FAST, calls, record, running, until_recovered
from tokenauthority.domain.errors import UnavailableError

async def main():
    path = Path(sys.argv[1])
    async with running(path) as log:
        await log.append(record(1))
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 100, resource.RLIM_INFINITY))
        for number in (2, 3):
            try:
                await log.append(record(number))
                print("committed")
            except UnavailableError as error:
                print(error.reason)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        await until_recovered(log)
        await log.append(record(4))

asyncio.run(main())
"""


def test_a_file_that_may_not_grow_is_a_full_disk(path: Path) -> None:
    """A limit of the operating system, met in the middle of a line, in a real process."""
    done = subprocess.run(
        [sys.executable, "-c", FILE_SIZE, path], check=True, capture_output=True, text=True, timeout=60
    )

    assert ["AUDIT_UNAVAILABLE"] * 2 == [
        line for line in done.stdout.split() if line in {"AUDIT_UNAVAILABLE", "committed"}
    ]
    assert ["call-1", "call-4"] == calls(path)
    assert checked(path).bad is None


async def test_a_real_disk_fills_up_and_is_freed_again(tmp_path: Path) -> None:
    """Over and over: committed records are there, refused ones may be, and the chain is valid."""
    disk = tmp_path / "disk"
    path, filler = disk / "audit.jsonl", disk / "filler"
    committed: set[str] = set()
    with small_disk(disk, "256k"):
        async with running(path) as log:
            for turn in range(8):
                fill(filler)
                committed |= await until_full(log, turn)
                filler.unlink()
                await until_recovered(log)
                await log.append(record(turn))
                committed.add(f"call-{turn}")

        assert committed <= set(calls(path))
        assert checked(path).bad is None


async def until_full(log: FileAuditLog, turn: int) -> set[str]:
    """Append records, three at a time, until one is refused; the ids of those that were committed."""
    committed = set()
    for begin in range(1000 * (turn + 1), 1000 * (turn + 2), 3):
        numbers = range(begin, begin + 3)
        outcomes = await asyncio.gather(*(log.append(record(number)) for number in numbers), return_exceptions=True)
        committed |= {f"call-{number}" for number, outcome in zip(numbers, outcomes, strict=True) if outcome is None}
        if any(outcomes):
            return committed
    raise AssertionError("the disk does not fill up")


async def test_attempts_to_recover_add_nothing_to_the_log(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint file that cannot be written fails every attempt, and no attempt leaves a line."""
    attempts = 0
    checkpoint_file = path.with_name("audit.jsonl.head")
    async with running(path, LogOptions(retry=0.001, watch=0.001)) as log:
        await log.append(record(1))
        recover = log._writer.recover

        async def counted(cause: str) -> None:
            nonlocal attempts
            attempts += 1
            await recover(cause)

        monkeypatch.setattr(log._writer, "recover", counted)
        checkpoint_file.unlink()
        checkpoint_file.mkdir()
        log._on_checkpoint_due()
        await until(lambda: attempts > 0, "nothing failed")
        before, size = attempts, path.stat().st_size
        await until(lambda: attempts > before + 5, "it is not tried again")
        grown = path.stat().st_size - size
        checkpoint_file.rmdir()
        await until_recovered(log)
        await log.append(record(2))

    assert 0 == grown
    assert ["call-1", "call-2"] == calls(path)
    assert checked(path).bad is None


async def test_a_full_file_that_cannot_be_renamed_is_written_on(
    path: Path, monkeypatch: pytest.MonkeyPatch, events: list[MutableMapping[str, Any]]
) -> None:
    """Such as a mounted one: that is logged, and no call fails for it."""
    rename = Path.rename

    def busy(self: Path, target: Path) -> Path:
        if self == path:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", busy)
    async with running(path, LogOptions(max_bytes=1, watch=60)) as log:
        for number in range(20):
            await log.append(record(number))

    assert [f"call-{number}" for number in range(20)] == calls(path)
    assert ["audit.not_rotated"] == [event["event"] for event in events if event["event"] == "audit.not_rotated"]
    assert checked(path).bad is None
