"""Records that come together share a commit, and none waits for long."""

from __future__ import annotations

import asyncio

from pathlib import Path

import pytest

from tests.audit.logs import FaultyDisk, calls, record, running
from tests.support.authority import WAIT
from tokenauthority.audit.writing.log import LogOptions


async def turns() -> None:
    """As many turns of the event loop as the log needs to begin a commit, and more."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_records_that_come_together_share_a_commit(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each waits for those that are about to come, and the last one, which waits for nobody, lets all be written."""
    monkeypatch.setattr("tokenauthority.audit.writing.gathering._PAUSE", 10 * WAIT)
    disk = FaultyDisk()
    async with running(path, LogOptions(watch=10 * WAIT), disk) as log:
        await log.append(record(0))
        before = disk.writes
        first = [asyncio.ensure_future(log.append(record(number), more=True)) for number in range(1, 32)]
        await turns()
        await log.append(record(32))
        await asyncio.gather(*first)

        assert before + 1 == disk.writes
        assert [f"call-{number}" for number in range(33)] == calls(path)


async def test_a_lone_record_waits_for_no_other(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is written at once, also after records that came together."""
    monkeypatch.setattr("tokenauthority.audit.writing.gathering._PAUSE", 10 * WAIT)
    async with running(path, LogOptions(watch=10 * WAIT)) as log:
        await asyncio.gather(*(log.append(record(number), more=number < 9) for number in range(10)))
        await asyncio.wait_for(log.append(record(10)), WAIT)

    assert [f"call-{number}" for number in range(11)] == calls(path)


async def test_a_record_does_not_wait_for_one_that_never_comes(path: Path) -> None:
    """A pause in which none comes is enough."""
    async with running(path, LogOptions(watch=10 * WAIT)) as log:
        await asyncio.wait_for(log.append(record(1), more=True), WAIT)

        assert ["call-1"] == calls(path)


async def test_a_record_waits_while_others_come(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each pause in which one comes is followed by another."""
    for name, seconds in (("_PAUSE", 0.0), ("_LATE", 10 * WAIT), ("_LONGEST", 10 * WAIT)):
        monkeypatch.setattr(f"tokenauthority.audit.writing.gathering.{name}", seconds)
    disk = FaultyDisk()
    async with running(path, LogOptions(watch=10 * WAIT), disk) as log:
        await log.append(record(0))
        before = disk.writes
        coming = []
        for number in range(1, 21):
            coming.append(asyncio.ensure_future(log.append(record(number), more=True)))
            await asyncio.sleep(0)
        await asyncio.gather(*coming)

        assert before + 1 == disk.writes


async def test_a_record_does_not_wait_while_more_and_more_come(path: Path) -> None:
    """All pauses together have a bound."""
    async with running(path, LogOptions(watch=10 * WAIT)) as log:
        first = asyncio.ensure_future(log.append(record(0), more=True))
        others: list[asyncio.Future[None]] = []
        while not first.done():
            others.append(asyncio.ensure_future(log.append(record(len(others) + 1), more=True)))
            await asyncio.sleep(0)

        assert not others[-1].done()
        await asyncio.gather(*others)


async def test_a_pause_of_a_busy_loop_does_not_end_the_wait(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop may be late because of the calls whose records are about to come."""
    for name, seconds in (("_PAUSE", 0.0), ("_LATE", -1.0), ("_LONGEST", 10 * WAIT)):
        monkeypatch.setattr(f"tokenauthority.audit.writing.gathering.{name}", seconds)
    disk = FaultyDisk()
    async with running(path, LogOptions(watch=10 * WAIT), disk) as log:
        before = disk.writes
        first = asyncio.ensure_future(log.append(record(0), more=True))
        await turns()

        assert before == disk.writes
        await log.append(record(1))
        await first
