"""`tokenauthority audit`: verify and search audit logs. Needs the files alone, and no running server."""

from __future__ import annotations

import itertools
import json
import math
import sys

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from heapq import merge
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import click

from tokenauthority.cli.failures import ConfigurationFailure, Failure, NotIntactFailure
from tokenauthority.cli.options import Group, current
from tokenauthority.cli.output import Record, print_text, show_list, show_record, to_json
from tokenauthority.cli.values import MOMENT
from tokenauthority.domain.counts import counted


if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from tokenauthority.audit.reading.files import Line
    from tokenauthority.audit.reading.report import Report
    from tokenauthority.audit.reading.selection import LoggedRecord
    from tokenauthority.audit.reading.trusted_checkpoint import TrustedCheckpoint


T = TypeVar("T")

_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)
_COLUMNS: Final = ("seq", "time", "outcome", "method", "caller", "project", "session", "role", "tokens")
_FEW_TOKENS: Final = 3
_MAX_DIGITS: Final = 1000
_OTHER_ARCHIVES: Final = frozenset({".xz", ".bz2", ".zst", ".lz4", ".zip"})
"""Endings of what logrotate can compress a log to, and which is not read."""

_AUDIT_REASONS: Final = frozenset({"OPENED", "NOT_DELIVERED"})
"""Reasons that only the audit log uses: for a stream that has opened, and for an answer whose caller had left."""


def _known_outcome(_: click.Context, __: click.Parameter, value: str) -> str:
    if value:
        from grpc import StatusCode

        from tokenauthority.domain.errors import Reason
        from tokenauthority.domain.token import InactiveReason

        known = {*StatusCode.__members__, *Reason.__members__, *InactiveReason.__members__, *_AUDIT_REASONS}
        if value.upper() not in known:
            raise click.BadParameter(
                f"{value!r} is neither a gRPC status nor a reason; valid are names such as OK and ROLE_NOT_GRANTED"
            )
    return value


@click.group(cls=Group)
def audit() -> None:
    """Verify and search audit logs."""


@audit.command()
@click.argument("files", nargs=-1, required=True, type=_FILE, metavar="FILE...")
@click.option(
    "--public-key",
    "key_files",
    multiple=True,
    type=_FILE,
    metavar="FILE",
    help="Verify signatures with this key (PEM); may recur.",
)
@click.option("--anchor", "trusted_file", type=_FILE, metavar="FILE", help="File with the trusted checkpoint.")
@click.option("--partial", is_flag=True, help="Accept a log whose earlier files are missing.")
def verify(*, files: tuple[Path, ...], key_files: tuple[Path, ...], trusted_file: Path | None, partial: bool) -> None:
    """Find any changed, missing, reordered, doubled or cut-off record.

    FILE... are the files of one log, in any order. A name that ends in .gz is that of a compressed file.

    The log must hold a trusted checkpoint. This is the newest checkpoint in the log's checkpoint files, which are in
    the directories of FILE and end in .head. With --anchor it is the last checkpoint in another file: a copy of a
    checkpoint file, or the server's operational log in JSON, which has `audit.checkpoint` events.

    Exit code 1: a file is not an audit log. Exit code 5: the log is not as it was written, and the first bad line is
    named; or the file of the trusted checkpoint has no valid one.
    """
    from tokenauthority.audit.reading.verify import verify_log

    keys = [_public_key(path) for path in key_files]
    with _report_bad_archives():
        logs = _only_logs(files)
        trusted = _trusted_checkpoint(logs, trusted_file, keys)
        checkpoint = trusted.checkpoint if trusted else None
        with _progress(logs) as progress:
            report = verify_log(logs, keys=keys, trusted=checkpoint, partial=partial, progress=progress)
    show_record(_summary(report, trusted, signed=bool(keys)), as_json=current().as_json)
    if report.bad is not None:
        raise NotIntactFailure(str(report.bad))


@audit.command()
@click.argument("files", nargs=-1, required=True, type=_FILE, metavar="FILE...")
@click.option("--caller", default="", help="The caller's name or identity.")
@click.option("--session", "session_id", default="", metavar="ID", help="A session, also one of a batch.")
@click.option("--token-id", default="", metavar="ID", help="A token, also one of a batch.")
@click.option("--project", "project_id", default="", metavar="ID", help="A project, also one of a batch.")
@click.option("--method", default="", help="Such as GenerateToken.")
@click.option("--request-id", default="", metavar="ID", help="The call's request id.")
@click.option("--trace-id", default="", metavar="ID", help="The trace that the call belongs to.")
@click.option(
    "--outcome", default="", callback=_known_outcome, help="A status or reason, such as OK or ROLE_NOT_GRANTED."
)
@click.option("--since", type=MOMENT, metavar="MOMENT", help="Records of that time and later.")
@click.option("--until", type=MOMENT, metavar="MOMENT", help="Records before that time.")
@click.option("--limit", type=click.IntRange(0), default=100, show_default=True, help="The newest so many; 0 for all.")
def show(
    *, files: tuple[Path, ...], since: int | datetime | None, until: int | datetime | None, limit: int, **fields: str
) -> None:
    """Show records, oldest first, also of the logs of several servers. Verifies nothing: see `verify`.

    Prints a table; with --json a list of the records as they stand in the log.
    """
    from tokenauthority.audit.reading.files import logs_in_order, read_lines
    from tokenauthority.audit.reading.selection import Selection, select_records

    selection = Selection(since=_moment(since), until=_moment(until), **fields)
    with _report_bad_archives():
        counter = itertools.count()
        found: Iterable[tuple[Line, LoggedRecord]] = _counted(
            # Each log is in its own order. Logs of several servers are merged by the times of their records.
            merge(
                *(select_records(read_lines(log), selection) for log in logs_in_order(_only_logs(files))),
                key=lambda found: found[1].time,
            ),
            counter,
        )
        if limit:
            found = deque(found, limit)
        if current().as_json:
            _print_json(line for line, _ in found)
        else:
            show_list([_row(record) for _, record in found], _COLUMNS, as_json=False)
    total = next(counter)
    if limit and total > limit:
        print_text(f"{counted(total - limit, 'older one')} not shown: --limit 0", err=True)
    elif not total:
        print_text("no records", err=True)


def _counted(found: Iterable[T], counter: Iterator[int]) -> Iterator[T]:
    for each in found:
        next(counter)
        yield each


def _public_key(path: Path) -> Ed25519PublicKey:
    from tokenauthority.audit.keys import load_public_key

    try:
        return load_public_key(path)
    except ValueError as error:
        raise Failure(str(error)) from error


def _only_logs(files: Sequence[Path]) -> Sequence[Path]:
    """Return the files that are logs: a pattern such as audit.jsonl* also matches the files that belong to a log."""
    from tokenauthority.audit.reading.files import is_companion, is_log

    logs = [path for path in files if not is_companion(path)]
    for path in files:
        if is_companion(path):
            print_text(f"{path}: skipped, as it belongs to a log and is not one", err=True)
        elif path.suffix in _OTHER_ARCHIVES:
            raise Failure(f"{path} is compressed in another way than gzip: decompress it first")
        elif not is_log(path):
            raise Failure(f"{path} is not an audit log")
    if not logs:
        raise ConfigurationFailure("none of these files is an audit log")
    return logs


def _trusted_checkpoint(
    files: Sequence[Path], given: Path | None, keys: Sequence[Ed25519PublicKey]
) -> TrustedCheckpoint | None:
    """Return the checkpoint that the log must hold: the one in *given*, else the newest in its checkpoint files."""
    from tokenauthority.audit.reading.trusted_checkpoint import (
        TrustedCheckpointError,
        find_trusted_checkpoint,
        read_trusted_checkpoint,
    )

    def report_skipped(path: Path) -> None:
        print_text(f"{path}: skipped, as no checkpoint can be read from it", err=True)

    try:
        trusted = read_trusted_checkpoint(given) if given else find_trusted_checkpoint(files, report_skipped)
        if trusted is not None and keys:
            trusted.require_signature(keys)
    except TrustedCheckpointError as error:
        raise NotIntactFailure(str(error)) from error
    return trusted


def _summary(report: Report, trusted: TrustedCheckpoint | None, *, signed: bool) -> Record:
    from tokenauthority.audit.reading.report import describe_result, describe_trusted

    checkpoint, bad = report.checkpoint, report.bad
    return {
        "result": describe_result(report, signed=signed),
        "bad": None if bad is None else {"file": str(bad.file), "line": bad.line, "reason": bad.reason},
        "log_id": report.log_id,
        "files": [str(path) for path in report.files],
        "first_record": report.first,
        "last_record": report.last,
        "records": report.kinds.total(),
        "types": dict(sorted(report.kinds.items())),
        "signatures": report.signatures if signed else "not checked: give --public-key",
        "last_checkpoint": checkpoint.seq if checkpoint else None,
        "last_checkpoint_time": checkpoint.time if checkpoint else None,
        "after_last_checkpoint": report.uncovered,
        "anchor": describe_trusted(report, trusted),
        "remarks": list(report.remarks),
    }


def _row(record: LoggedRecord) -> Record:
    tokens = list(record.token_ids)
    more = len(tokens) - _FEW_TOKENS
    return {
        "seq": record.seq,
        "time": record.time,
        "outcome": " ".join(filter(None, (record.code, record.reason, record.credential_problem))),
        "method": record.method.rpartition("/")[2] or f"({record.type})",
        "caller": record.caller or record.peer,
        "project": record.project_id,
        "session": record.session_id,
        "role": record.role,
        "tokens": [*tokens[:_FEW_TOKENS], f"and {more} more"] if more > 0 else tokens,
    }


def _print_json(lines: Iterable[Line]) -> None:
    """Print a JSON list line by line, as it may be larger than the memory."""
    print_text("[", end="")
    for number, line in enumerate(lines):
        print_text(",\n" if number else "\n", end="")
        print_text(to_json(json.loads(line.content, parse_int=_whole_number, parse_float=_real_number)), end="")
    print_text("\n]")


def _whole_number(digits: str) -> int | str:
    """Return a number of a record; one with more digits than Python converts stays text."""
    return int(digits) if len(digits) <= _MAX_DIGITS else digits


def _real_number(digits: str) -> float | str:
    """Return a number of a record; one beyond the range of a float stays text, as JSON has no infinity."""
    return number if math.isfinite(number := float(digits)) else digits


def _moment(value: int | datetime | None) -> datetime | None:
    return datetime.fromtimestamp(value, UTC) if isinstance(value, int) else value


@contextmanager
def _report_bad_archives() -> Iterator[None]:
    """Report a compressed file that is cut off or damaged as a log that is not intact."""
    from zlib import error as damaged

    try:
        yield
    except (EOFError, damaged) as error:
        raise NotIntactFailure(f"a compressed file is cut off or damaged: {error}") from error


@contextmanager
def _progress(files: Sequence[Path]) -> Iterator[Callable[[int], None]]:
    """Show a bar on standard error, if that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("verify", total=sum(file.stat().st_size for file in files))
        yield lambda count: bar.advance(task, count)
