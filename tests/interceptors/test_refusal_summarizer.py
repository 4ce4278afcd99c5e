"""Refused calls cannot fill the audit log, from however many addresses they come, and none of them goes uncounted."""

from __future__ import annotations

import asyncio

from collections.abc import Mapping
from typing import cast

import attrs
import pytest

from prometheus_client import CollectorRegistry

from tests.support.authority import WAIT, Clock, make_caller
from tests.support.background import supervised
from tokenauthority.audit.record import AuditRecord
from tokenauthority.domain.caller import Caller, Rate
from tokenauthority.domain.errors import UnavailableError
from tokenauthority.domain.times import Millis
from tokenauthority.interceptors.refusal_summarizer import RefusalSummarizer
from tokenauthority.server import background_tasks as tasks_module
from tokenauthority.server.background_tasks import summaries_task


NOW = Millis(1_700_000_000_000)


class Memory:
    """An audit log that stores what it is given, or fails, and shows summaries."""

    def __init__(self) -> None:
        self.failing = False
        self.records: list[AuditRecord] = []
        self.summaries: list[dict[str, object]] = []
        self.noted = asyncio.Event()
        self.noting = asyncio.Event()
        self.open = asyncio.Event()
        self.open.set()

    async def append(self, record: AuditRecord, *, more: bool = False) -> None:
        """See `AuditLog`."""
        self.records.append(record)

    async def note(self, kind: str, fields: Mapping[str, object]) -> None:
        """See `AuditLog`."""
        self.noting.set()
        await self.open.wait()
        if self.failing:
            raise UnavailableError.audit()
        self.summaries.append({"type": kind, **fields})
        self.noted.set()

    def counted(self) -> int:
        """Calls in all summaries."""
        return sum(cast("int", summary["count"]) for summary in self.summaries)


@attrs.define
class Log:
    """RefusalSummarizer before a log in memory, at a moment that stands still."""

    memory: Memory
    clock: Clock
    refusals: RefusalSummarizer

    async def refuse(
        self, peer: str, code: str = "UNAUTHENTICATED", caller: Caller | None = None, reason: str = ""
    ) -> None:
        """A call ends."""
        record = AuditRecord(time="", request_id="r", method="/a/B", peer=peer, code=code, reason=reason)
        if caller is not None:
            record.identify(caller)
        await self.refusals.append(record)


@pytest.fixture
def log() -> Log:
    """Each address has 5 lines, all together have 40."""
    memory, clock = Memory(), Clock()
    clock.fixed = NOW
    each, together = Rate(0.001, 5), Rate(0.001, 40)
    return Log(memory, clock, RefusalSummarizer(memory, CollectorRegistry(), clock, each=each, together=together))


async def test_many_addresses_write_no_more_than_all_together_may(log: Log) -> None:
    """10,000 addresses leave 40 lines and 33 summaries, which count all others."""
    for number in range(10_000):
        await log.refuse(f"ipv4:10.0.{number // 256}.{number % 256}:1")
    await log.refusals.flush()

    assert 40 == len(log.memory.records)
    assert 33 == len(log.memory.summaries)
    assert 10_000 - 40 == log.memory.counted()
    assert "others" == log.memory.summaries[-1]["peer"]


async def test_a_summary_says_who_when_how_often_and_how_it_ended(log: Log) -> None:
    """Addresses apart, statuses apart."""
    for _ in range(8):
        await log.refuse("ipv4:192.0.2.1:1")
    log.clock.fixed = Millis(NOW + 1500)
    await log.refuse("ipv4:192.0.2.1:2", "CANCELLED")
    for _ in range(6):
        await log.refuse("ipv6:[2001:db8::1]:1", "RESOURCE_EXHAUSTED")
    await log.refusals.flush()

    assert [
        {
            "type": "summary",
            "peer": "192.0.2.1",
            "since": "2023-11-14T22:13:20.000Z",
            "until": "2023-11-14T22:13:21.500Z",
            "count": 4,
            "codes": {"UNAUTHENTICATED": 3, "CANCELLED": 1},
        },
        {
            "type": "summary",
            "peer": "2001:db8::/64",
            "since": "2023-11-14T22:13:21.500Z",
            "until": "2023-11-14T22:13:21.500Z",
            "count": 1,
            "codes": {"RESOURCE_EXHAUSTED": 1},
        },
    ] == log.memory.summaries


@pytest.mark.parametrize("code", ["CANCELLED", "RESOURCE_EXHAUSTED", "UNAVAILABLE", "DEADLINE_EXCEEDED", "OK"])
async def test_whatever_nobody_in_particular_does_is_bounded(log: Log, code: str) -> None:
    """A stream of calls that are reset at once, or refused by a full server, is a flood too."""
    for _ in range(100):
        await log.refuse("ipv4:192.0.2.1:1", code)
    await log.refusals.flush()

    assert (5, 95) == (len(log.memory.records), log.memory.counted())


@pytest.mark.parametrize("reason", ["RATE_LIMIT", "MEMORY_LIMIT"])
async def test_a_caller_beyond_its_limits_is_counted_by_name(log: Log, reason: str) -> None:
    """Not by address, and a flood of strangers takes none of its lines."""
    for number in range(200):
        await log.refuse(f"ipv4:10.0.0.{number}:1")
    caller = make_caller("busy")
    for number in range(12):
        await log.refuse(f"ipv4:192.0.2.{number}:1", "RESOURCE_EXHAUSTED", caller, reason)
    await log.refusals.flush()

    assert 5 == len([record for record in log.memory.records if record.caller == caller.name])
    assert [7] == [summary["count"] for summary in log.memory.summaries if summary.get("caller") == "busy"]


@pytest.mark.parametrize(
    ("code", "reason"),
    [("OK", ""), ("PERMISSION_DENIED", "ACTION_NOT_GRANTED"), ("RESOURCE_EXHAUSTED", "CONCURRENCY_LIMIT")],
)
async def test_every_other_record_of_a_caller_is_written(log: Log, code: str, reason: str) -> None:
    """Whatever a known caller was given or denied has a line of its own."""
    for _ in range(100):
        await log.refuse("ipv4:192.0.2.1:1", code, make_caller(), reason)

    assert 100 == len(log.memory.records)


async def test_what_cannot_be_written_is_counted_on(log: Log) -> None:
    """A full disk loses no count: the next summary has both, since the first."""
    for _ in range(10):
        await log.refuse("unix:")
    log.memory.failing = True
    await log.refusals.flush()
    log.clock.fixed = Millis(NOW + 60_000)
    await log.refuse("unix:")
    log.memory.failing = False
    await log.refusals.flush()

    assert [("unix", 6, "2023-11-14T22:13:20.000Z")] == [
        (summary["peer"], summary["count"], summary["since"]) for summary in log.memory.summaries
    ]


async def test_summaries_are_written_by_themselves(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once in each interval."""
    monkeypatch.setattr(tasks_module, "SUMMARY_INTERVAL", 0.01)
    for _ in range(8):
        await log.refuse("unix:")
    async with supervised(summaries_task(log.refusals)), asyncio.timeout(WAIT):
        await log.memory.noted.wait()

    assert 3 == log.memory.counted()


async def test_a_stop_while_summaries_are_written_loses_and_doubles_nothing(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is under way is finished before the last ones are written."""
    monkeypatch.setattr(tasks_module, "SUMMARY_INTERVAL", 0.01)
    log.memory.open.clear()
    for _ in range(8):
        await log.refuse("unix:")
    async with supervised(summaries_task(log.refusals)):
        async with asyncio.timeout(WAIT):
            await log.memory.noting.wait()
        for _ in range(50):
            await log.refuse("unix:")
    last = asyncio.create_task(log.refusals.flush())
    log.memory.open.set()
    async with asyncio.timeout(WAIT):
        await last

    assert [3, 50] == [summary["count"] for summary in log.memory.summaries]
