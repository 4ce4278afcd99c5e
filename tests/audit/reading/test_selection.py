"""Lines are picked by who asked, what for, when, and how it ended."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.audit.logs import RECORD, changed, written
from tokenauthority.audit.reading.files import read_lines
from tokenauthority.audit.reading.selection import Selection, select_records
from tokenauthority.audit.record import AuditedToken, AuditRecord


BARE = AuditRecord(
    time="2023-11-14T22:14:20.000Z",
    request_id="bare",
    method="/x.Y/Other",
    peer="ipv4:10.0.0.1:1",
    code="UNAUTHENTICATED",
)
BATCH = changed(
    RECORD,
    request_id="batch",
    time="2023-11-14T22:15:20.000Z",
    session_id="",
    project_id="",
    token_ids=(),
    tokens=(AuditedToken("inside", "48", "2_inside", "subscriber", "SESSION_JWT", 60, ""),),
    code="OK",
    reason="",
    trace_id="",
)


def at(millis: int) -> datetime:
    """The moment."""
    return datetime.fromtimestamp(millis / 1000, UTC)


@pytest.mark.parametrize(
    ("selection", "wanted"),
    [
        (Selection(), ["call-1", "bare", "batch"]),
        (Selection(caller="room-service"), ["call-1", "batch"]),
        (Selection(caller="sha256:test"), ["call-1", "batch"]),
        (Selection(caller="room"), []),
        (Selection(request_id="bare"), ["bare"]),
        (Selection(trace_id="0af7651916cd43dd8448eb211c80319c"), ["call-1"]),
        (Selection(session_id="2_abc"), ["call-1"]),
        (Selection(session_id="2_inside"), ["batch"]),
        (Selection(token_id="token-2"), ["call-1"]),
        (Selection(token_id="inside"), ["batch"]),
        (Selection(project_id="48"), ["batch"]),
        (Selection(method="GenerateToken"), ["call-1", "batch"]),
        (Selection(method="/x.Y/Other"), ["bare"]),
        (Selection(outcome="ok"), ["batch"]),
        (Selection(outcome="ROLE_NOT_GRANTED"), ["call-1"]),
        (Selection(since=at(1_700_000_060_000)), ["bare", "batch"]),
        (Selection(until=at(1_700_000_060_000)), ["call-1"]),
        (Selection(caller="room-service", outcome="OK"), ["batch"]),
    ],
)
def test_picks_what_fits(path: Path, selection: Selection, wanted: list[str]) -> None:
    """Every condition must hold; a batch is found by what is in it."""
    written(path, RECORD, BARE, BATCH)
    with path.open("a") as file:
        file.write("no record\n")
    found = [
        line.content.decode() for line, entry in select_records(read_lines([path]), selection) if entry.type == "rpc"
    ]

    assert wanted == [
        call for text in found for call in ("call-1", "bare", "batch") if f'"request_id":"{call}"' in text
    ]


def test_shows_the_life_of_the_log_and_no_checkpoints(path: Path) -> None:
    """Where nothing is asked for, starts and stops are there too."""
    written(path, RECORD)

    assert ["start", "rpc", "stop"] == [entry.type for _, entry in select_records(read_lines([path]), Selection())]
