"""Records that come together share a commit, and none waits for long."""

from __future__ import annotations

import asyncio

from pathlib import Path

import pytest

from tests.audit.logs import FaultyDisk, calls, record, running
from tests.support.authority import WAIT
from tokenauthority.audit.writing import gathering
from tokenauthority.audit.writing.log import FileAuditLog, LogOptions


LONG = 10 * WAIT
NO_WATCH = LogOptions(watch=LONG)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A pause, and all pauses together, are longer than the test: only a record can end the wait."""
    for name in ("_PAUSE", "_SILENCE", "_LONGEST", "_RECENT"):
        monkeypatch.setattr(gathering, name, LONG)
    # Whether the loop has rested depends on the machine.
    monkeypatch.setattr(gathering, "_BUSY", 0.0)
    return monkeypatch


async def turns() -> None:
    """As many turns of the event loop as the log needs to begin a commit, and more."""
    for _ in range(20):
        await asyncio.sleep(0)


def begin(log: FileAuditLog, numbers: range, *, more: bool) -> list[asyncio.Future[None]]:
    """Append records at once."""
    return [asyncio.ensure_future(log.append(record(number), more=more)) for number in numbers]


@pytest.mark.usefixtures("patient")
async def test_records_that_come_together_share_a_commit(path: Path) -> None:
    """Each waits for those that are about to come, and the last one, which waits for nobody, lets all be written."""
    disk = FaultyDisk()
    async with running(path, NO_WATCH, disk) as log:
        await log.append(record(0))
        before = disk.writes
        first = begin(log, range(1, 9), more=True)
        await turns()
        await log.append(record(9))
        await asyncio.gather(*first)

        assert before + 1 == disk.writes
        assert [f"call-{number}" for number in range(10)] == calls(path)


@pytest.mark.usefixtures("patient")
async def test_records_that_are_enough_wait_for_no_other(path: Path) -> None:
    """More of them would hardly make a call cheaper."""
    async with running(path, NO_WATCH) as log:
        await asyncio.wait_for(asyncio.gather(*begin(log, range(gathering._ENOUGH), more=True)), WAIT)


@pytest.mark.usefixtures("patient")
async def test_as_many_records_are_expected_as_came_last(path: Path) -> None:
    """Who has an answer often calls again, and nothing says so before gRPC has passed the call on."""
    disk = FaultyDisk()
    async with running(path, NO_WATCH, disk) as log:
        await asyncio.gather(*begin(log, range(8), more=False))
        before = disk.writes
        again = begin(log, range(8, 15), more=False)
        await turns()
        assert before == disk.writes

        await log.append(record(15))
        await asyncio.gather(*again)
        assert before + 1 == disk.writes
        assert [f"call-{number}" for number in range(16)] == calls(path)


async def test_records_are_expected_for_a_short_time_only(path: Path, patient: pytest.MonkeyPatch) -> None:
    """Later nobody knows whether the callers of then come again."""
    async with running(path, NO_WATCH) as log:
        patient.setattr(gathering, "_RECENT", -1.0)
        await asyncio.gather(*begin(log, range(8), more=False))

        await asyncio.wait_for(log.append(record(8)), WAIT)


@pytest.mark.usefixtures("patient")
async def test_a_lone_record_waits_for_no_other(path: Path) -> None:
    """It is written at once, also after one that was alone as well."""
    async with running(path, NO_WATCH) as log:
        for number in range(3):
            await asyncio.wait_for(log.append(record(number)), WAIT)

    assert ["call-0", "call-1", "call-2"] == calls(path)


async def test_a_record_does_not_wait_for_one_that_never_comes(path: Path) -> None:
    """A pause in which none comes is enough."""
    async with running(path, NO_WATCH) as log:
        await asyncio.wait_for(log.append(record(1), more=True), WAIT)

        assert ["call-1"] == calls(path)


async def test_a_record_waits_while_others_come(path: Path, patient: pytest.MonkeyPatch) -> None:
    """Each pause in which one comes is followed by another."""
    patient.setattr(gathering, "_PAUSE", 0.0)
    patient.setattr(gathering, "_LATE", LONG)
    disk = FaultyDisk()
    async with running(path, NO_WATCH, disk) as log:
        await log.append(record(0))
        before = disk.writes
        coming = []
        for number in range(1, gathering._ENOUGH):
            coming += begin(log, range(number, number + 1), more=True)
            await asyncio.sleep(0)
        await asyncio.gather(*coming)

        assert before + 1 == disk.writes


@pytest.mark.parametrize(
    ("paused", "worked", "came", "silence", "goes_on"),
    [
        # Some pauses are a millisecond longer: so is the clock of uvloop.
        pytest.param(0.002, 0.0011, True, 0.001, True, id="a busy loop"),
        pytest.param(0.002, 0.0009, True, 0.001, False, id="a loop that rests"),
        pytest.param(0.0029, 0.0014, True, 0.001, False, id="a loop that rests, some clock later"),
        pytest.param(0.002, 0.002, False, 0.002, False, id="no record"),
        pytest.param(0.0031, 0.0, True, 0.001, True, id="late, without the processor"),
        pytest.param(0.0031, 0.0031, False, 0.0099, True, id="late, no record"),
        pytest.param(0.0031, 0.0031, False, 0.0101, False, id="late, no record for long"),
    ],
)
def test_what_a_pause_says(paused: float, worked: float, *, came: bool, silence: float, goes_on: bool) -> None:
    """One on time says whether the loop rests; a late one says nothing, for 10 ms."""
    assert goes_on is gathering._goes_on(paused, worked, came=came, silence=silence)


async def test_a_pause_in_which_the_loop_rests_ends_the_wait(path: Path, patient: pytest.MonkeyPatch) -> None:
    """Also if a record came in it: nothing that has come waits for the loop, so no other record is on its way."""
    patient.setattr(gathering, "_PAUSE", 0.0)
    patient.setattr(gathering, "_LATE", LONG)
    patient.setattr(gathering, "_BUSY", LONG)
    async with running(path, LogOptions(watch=LONG, durable=False)) as log:
        await log.append(record(0))
        coming: list[asyncio.Future[None]] = []
        while not any(each.done() for each in coming):
            coming += begin(log, range(len(coming) + 1, len(coming) + 2), more=True)
            await asyncio.sleep(0)

        assert gathering._ENOUGH > len(coming)
        await asyncio.gather(*coming)


async def test_a_record_does_not_wait_while_more_and_more_come(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All pauses together have a bound."""
    monkeypatch.setattr(gathering, "_ENOUGH", 1_000_000)
    async with running(path, NO_WATCH) as log:
        first = asyncio.ensure_future(log.append(record(0), more=True))
        others: list[asyncio.Future[None]] = []
        while not first.done():
            others += begin(log, range(len(others) + 1, len(others) + 2), more=True)
            await asyncio.sleep(0)

        assert not others[-1].done()
        await asyncio.gather(*others)


async def test_a_pause_of_a_busy_loop_does_not_end_the_wait(path: Path, patient: pytest.MonkeyPatch) -> None:
    """The loop may be late because of the calls whose records are about to come."""
    patient.setattr(gathering, "_PAUSE", 0.0)
    patient.setattr(gathering, "_LATE", -1.0)
    disk = FaultyDisk()
    async with running(path, NO_WATCH, disk) as log:
        before = disk.writes
        first = asyncio.ensure_future(log.append(record(0), more=True))
        await turns()

        assert before == disk.writes
        await log.append(record(1))
        await first


async def test_silence_ends_the_wait_of_a_busy_loop(path: Path, patient: pytest.MonkeyPatch) -> None:
    """What the loop is busy with need not be calls whose records come, such as a large batch."""
    patient.setattr(gathering, "_PAUSE", 0.0)
    patient.setattr(gathering, "_LATE", -1.0)
    patient.setattr(gathering, "_SILENCE", 0.0)
    async with running(path, NO_WATCH) as log:
        await asyncio.wait_for(log.append(record(0), more=True), WAIT)
