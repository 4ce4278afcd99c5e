"""A log continues over many files as one chain, whoever moves them and whenever."""

from __future__ import annotations

import asyncio

from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

from tests.audit.logs import RECORD, calls, checked, objects, record, running, types, until, written
from tokenauthority.audit.writing.log import LogOptions


SMALL = LogOptions(max_bytes=5_000, watch=60)


def files(path: Path) -> list[Path]:
    """All files of the log, as a shell would name them."""
    return [path, *sorted(file for file in path.parent.glob("audit*.jsonl") if file != path)]


async def test_a_full_file_gets_another_name(path: Path) -> None:
    """Each file ends with a checkpoint and each begins with what came before; nothing is lost between them."""
    async with running(path, SMALL) as log:
        for number in range(30):
            await log.append(record(number))
    every = files(path)
    report = checked(*every)
    recorded = {call for file in every for call in calls(file)}

    assert len(every) > 3
    assert {f"call-{number}" for number in range(30)} == recorded
    assert ["checkpoint"] * len(every) == [types(file)[-1] for file in every]
    assert {"rotation", "stop"} == {str(objects(file)[-1]["reason"]) for file in every}
    assert {"start", "continued"} == {types(file)[0] for file in every}
    assert all(file.stat().st_size < 8_000 for file in every)
    assert (None, 1, True, 0) == (report.bad, report.first, report.holds_trusted, report.uncovered)


async def test_the_first_line_of_a_file_says_where_it_stands(path: Path) -> None:
    """Number and hash of the line before, and the log's id."""
    async with running(path, SMALL) as log:
        for number in range(6):
            await log.append(record(number))
    (old,) = [file for file in files(path) if file != path]
    first, last = objects(path)[0], objects(old)[-1]

    assert ("continued", last["seq"], first["prev"], last["log_id"]) == (
        first["type"],
        first["count"],
        first["head"],
        first["log_id"],
    )
    assert old.name.endswith(f"Z-{last['seq']}.jsonl")


async def test_under_load_no_call_notices(path: Path) -> None:
    """Records that come while a file is changed wait a little, and none fails."""
    async with running(path, SMALL) as log:
        await asyncio.gather(*(log.append(record(number)) for number in range(200)))
        for turn in range(20):
            await asyncio.gather(*(log.append(record(1000 * turn + number)) for number in range(20)))

    assert checked(*files(path)).bad is None


async def test_after_logrotate_moved_the_file(path: Path, events: list[MutableMapping[str, Any]]) -> None:
    """Calls between the move and SIGHUP are answered and in the old file; then a new one is begun at the old name."""
    async with running(path, LogOptions(watch=60)) as log:
        await log.append(record(1))
        moved = path.rename(path.with_name("audit.jsonl.1"))
        log.reopen()
        await until(path.exists, "no new file was begun")
        await until(lambda: len(types(path)) == 2, "the new file has no beginning")
        await log.append(record(2))

    assert (["call-1"], ["call-2"]) == (calls(moved), calls(path))
    assert ["start", "checkpoint", "rpc", "checkpoint"] == types(moved)
    assert ["continued", "checkpoint", "rpc", "stop", "checkpoint"] == types(path)
    assert checked(path, moved).bad is None
    assert "audit.rotated" in [event["event"] for event in events]
    assert "audit.unavailable" not in [event["event"] for event in events]


async def test_a_move_is_noticed_without_sighup(path: Path) -> None:
    """The next call notices it and is recorded: the file has another name, and is whole."""
    async with running(path, LogOptions(watch=60)) as log:
        await log.append(record(1))
        moved = path.rename(path.with_name("audit.jsonl.1"))
        await log.append(record(2))
        await log.append(record(3))

    assert (["call-1", "call-2"], ["call-3"]) == (calls(moved), calls(path))
    assert checked(path, moved).bad is None


async def test_continues_in_an_empty_file_in_its_place(path: Path) -> None:
    """The tool logrotate creates one with `create`, with its own mode."""
    async with running(path, LogOptions(watch=60)) as log:
        moved = path.rename(path.with_name("audit.jsonl.1"))
        path.touch(mode=0o640)
        await log.append(record(1))
        await log.append(record(2))

    assert (["call-1"], ["call-2"]) == (calls(moved), calls(path))
    assert checked(path, moved).bad is None


async def test_sighup_alone_changes_nothing(path: Path) -> None:
    """It has other uses too."""
    async with running(path, LogOptions(watch=60)) as log:
        log.reopen()
        await log.append(RECORD)
        log.reopen()
        await log.append(RECORD)

    assert ["start", "checkpoint", "rpc", "rpc", "stop", "checkpoint"] == types(path)


def test_a_file_that_was_moved_while_no_server_ran(path: Path) -> None:
    """After an orderly stop the checkpoint file is enough to continue in a new file."""
    written(path, record(1))
    moved = path.rename(path.with_name("audit.jsonl.1"))
    written(path, record(2))

    assert ["continued", "checkpoint", "rpc", "stop", "checkpoint"] == types(path)
    assert checked(path, moved).bad is None
