"""A record is on the disk before its call is answered, calls that wait share a sync, and the chain continues."""

from __future__ import annotations

import asyncio
import stat
import threading

from pathlib import Path

import pytest

from tests.audit.logs import (
    FAST,
    RECORD,
    FaultyDisk,
    calls,
    checked,
    key_path,
    objects,
    record,
    running,
    types,
    until,
    written,
)
from tokenauthority.audit.errors import AuditLogError
from tokenauthority.audit.writing.log import FileAuditLog, LogOptions
from tokenauthority.domain.errors import Reason, UnavailableError
from tokenauthority.domain.times import Millis
from tokenauthority.server.wiring import system_clock


async def test_a_record_is_on_the_disk_before_append_returns(path: Path) -> None:
    """Its line is there, and was synced after it was written."""
    disk = FaultyDisk()
    async with running(path, disk=disk) as log:
        for number in range(5):
            syncs = disk.syncs
            await log.append(record(number))

            assert f"call-{number}" == calls(path)[-1]
            assert disk.syncs > syncs


async def test_waiting_calls_share_a_sync(path: Path) -> None:
    """A thousand calls at once need a handful of syncs, and all are written, in their order."""
    disk = FaultyDisk()
    async with running(path, disk=disk) as log:
        before = disk.syncs
        await asyncio.gather(*(log.append(record(number)) for number in range(1000)))
        needed = disk.syncs - before

    assert needed < 20
    assert [f"call-{number}" for number in range(1000)] == calls(path)


async def test_durability_write_does_not_wait_for_the_disk(path: Path) -> None:
    """Records are with the operating system; only checkpoints are synced."""
    disk = FaultyDisk()
    async with running(path, LogOptions(durable=False, watch=60), disk) as log:
        before = disk.syncs
        for number in range(10):
            await log.append(record(number))

        assert before == disk.syncs
        assert [f"call-{number}" for number in range(10)] == calls(path)


@pytest.mark.parametrize("durable", [True, False])
async def test_only_what_is_synced_waits_for_a_thread(path: Path, *, durable: bool) -> None:
    """The loop does not wait for the disk, and a write without a sync does not wait for a thread."""
    disk = _WhereWritten()
    async with running(path, LogOptions(durable=durable, watch=60), disk) as log:
        disk.threads.clear()
        await log.append(RECORD)

        assert durable is (threading.current_thread() not in disk.threads)


class _WhereWritten(FaultyDisk):
    """Shows which threads wrote."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: set[threading.Thread] = set()

    def write(self, descriptor: int, data: memoryview) -> int:
        """See `Disk`."""
        self.threads.add(threading.current_thread())
        return super().write(descriptor, data)


async def test_a_checkpoint_follows_within_the_interval(path: Path) -> None:
    """Also where no more calls come; without a record there is none."""
    options = LogOptions(checkpoint_interval=0.01)
    async with running(path, options) as log:
        await log.append(RECORD)
        await until(lambda: types(path)[-1] == "checkpoint", "no checkpoint was written")
        await log.append(RECORD)
        await until(lambda: types(path).count("checkpoint") == 3, "no second one was written")

        assert ["start", "checkpoint", "rpc", "checkpoint", "rpc", "checkpoint"] == types(path)
        assert 0 == checked(path).uncovered


async def test_a_checkpoint_follows_also_under_traffic(path: Path) -> None:
    """Calls that never end do not delay it."""
    async with running(path, LogOptions(checkpoint_interval=0.01)) as log:
        for number in range(10_000):
            await log.append(record(number))
            if types(path).count("checkpoint") >= 3:
                break

    assert {"start", "interval", "stop"} == {line["reason"] for line in objects(path) if line["type"] == "checkpoint"}


async def test_writes_lines_of_other_types(path: Path) -> None:
    """A summary of refusals is a line like any other."""
    async with running(path, clock=lambda: Millis(1_700_000_000_123)) as log:
        await log.note("summary", {"peer": "10.0.0.1", "reason": "CREDENTIAL_INVALID", "count": 4711})
    line = objects(path)[2]

    assert {"type": "summary", "time": "2023-11-14T22:13:20.123Z", "peer": "10.0.0.1", "count": 4711} == {
        name: line[name] for name in ("type", "time", "peer", "count")
    }
    assert checked(path).bad is None


def test_only_its_owner_can_read_its_files(path: Path) -> None:
    """Mode 0600 for log, checkpoint file and keys, and 0700 for a new directory."""
    made = path.parent / "made" / "audit.jsonl"
    written(made, RECORD)

    assert 0o700 == stat.S_IMODE(made.parent.stat().st_mode)
    assert {"audit.jsonl": 0o600, "audit.jsonl.head": 0o600, "audit-key.pem": 0o600, "audit-key.pub.pem": 0o600} == {
        file.name: stat.S_IMODE(file.stat().st_mode) for file in made.parent.iterdir()
    }


async def test_two_servers_cannot_share_a_file(path: Path) -> None:
    """The second gets an error that names the file, and the first continues; after its end the file is free."""
    async with running(path) as log:
        with pytest.raises(AuditLogError, match=r"audit\.jsonl is in use by another server"):
            async with running(path):
                pass
        await log.append(RECORD)
    async with running(path) as log:
        await log.append(RECORD)

    assert checked(path).bad is None


@pytest.mark.parametrize("target", ["/dev/null", "/dev/full"])
async def test_refuses_what_is_not_a_regular_file(path: Path, target: str) -> None:
    """What cannot be read back cannot be chained."""
    log = FileAuditLog(Path(target), key_path(path), clock=system_clock)
    with pytest.raises(AuditLogError, match="is not a regular file"):
        async with log.running():
            pass


async def test_refuses_records_before_and_after_it_runs(path: Path) -> None:
    """No answer leaves then, and none waits."""
    log = FileAuditLog(path, key_path(path), clock=system_clock, options=FAST)
    with pytest.raises(UnavailableError):
        await log.append(RECORD)
    async with log.running():
        await log.append(RECORD)
    with pytest.raises(UnavailableError) as caught:
        await log.append(RECORD)

    assert Reason.AUDIT_UNAVAILABLE == caught.value.reason
    assert "closed" == log.problem


async def test_writes_what_waits_at_the_stop(path: Path) -> None:
    """Records that came before the end are written before the line that says so."""
    async with running(path) as log:
        waiting = [asyncio.ensure_future(log.append(record(number))) for number in range(50)]
        await asyncio.sleep(0)
    await asyncio.gather(*waiting)

    assert 50 == len(calls(path))
    assert ["stop", "checkpoint"] == types(path)[-2:]


async def test_a_caller_that_gives_up_leaves_its_record(path: Path) -> None:
    """And those that wait with it are not disturbed."""
    async with running(path) as log:
        gone, stays = (asyncio.ensure_future(log.append(record(number))) for number in (1, 2))
        await asyncio.sleep(0)
        gone.cancel()
        await stays

        assert ["call-1", "call-2"] == calls(path)


async def test_bounds_the_bytes_that_wait(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond so many bytes that wait, records are refused at once, and those that wait are written."""
    monkeypatch.setattr("tokenauthority.audit.writing.log.MAX_PENDING", 10_000)
    async with running(path) as log:
        outcomes = await asyncio.gather(*(log.append(record(n)) for n in range(100)), return_exceptions=True)
        await log.append(record(100))
    accepted = [number for number, outcome in enumerate(outcomes) if outcome is None]

    assert 0 < len(accepted) < 20
    assert [f"call-{number}" for number in (*accepted, 100)] == calls(path)
    assert {UnavailableError} == {type(outcome) for outcome in outcomes if outcome is not None}
