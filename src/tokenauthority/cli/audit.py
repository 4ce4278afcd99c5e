"""`tokenauthority audit`: check and read audit logs. Talks to no authority: it works on the files alone."""

from __future__ import annotations

import itertools
import json
import sys

from collections import deque
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import click

from tokenauthority.cli.failures import ConfigurationFailure, Failure, NotIntactFailure
from tokenauthority.cli.options import Group, current
from tokenauthority.cli.output import Record, show_list, show_record, to_json
from tokenauthority.cli.values import MOMENT


if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from tokenauthority.audit.anchors import Anchor
    from tokenauthority.audit.files import Line
    from tokenauthority.audit.select import SelectedRecord
    from tokenauthority.audit.verify import Report


T = TypeVar("T")

_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)
_COLUMNS: Final = ("seq", "time", "outcome", "method", "caller", "project", "session", "role", "tokens")
_FEW_TOKENS: Final = 3
_OWN_REASONS: Final = frozenset({"OPENED", "NOT_DELIVERED"})
"""Of a stream that began to tell, and of a call that was done after its caller had left."""


def _known_outcome(_: click.Context, __: click.Parameter, value: str) -> str:
    if value:
        from grpc import StatusCode

        from tokenauthority.domain.errors import Reason
        from tokenauthority.domain.token import InactiveReason

        known = {*StatusCode.__members__, *Reason.__members__, *InactiveReason.__members__, *_OWN_REASONS}
        if value.upper() not in known:
            raise click.BadParameter(f"{value!r} is no gRPC status and no reason, such as OK or ROLE_NOT_GRANTED")
    return value


@click.group(cls=Group)
def audit() -> None:
    """Check and read audit logs."""


@audit.command()
@click.argument("files", nargs=-1, required=True, type=_FILE, metavar="FILE...")
@click.option(
    "--public-key",
    "key_files",
    multiple=True,
    type=_FILE,
    metavar="FILE",
    help="Checks signatures (PEM); may recur.",
)
@click.option("--anchor", "anchor_file", type=_FILE, metavar="FILE", help="Holds a checkpoint kept elsewhere.")
@click.option("--partial", is_flag=True, help="The files may begin after the log's first record.")
def verify(*, files: tuple[Path, ...], key_files: tuple[Path, ...], anchor_file: Path | None, partial: bool) -> None:
    """Find any changed, dropped, reordered, doubled or cut-off record.

    FILE... are the files of one log, in any order; those that end in .gz are compressed. The log must hold the
    newest checkpoint of its head files, which are beside FILE and end in .head, or the last one in the file that
    --anchor names: a copy of a head file, or the server's operational log, which has `audit.checkpoint` events.

    Exit code 1: a file is no audit log. Exit code 5: the log is not as it was written; the first bad line is named.
    """
    from tokenauthority.audit.verify import verify as run

    keys = [_public_key(path) for path in key_files]
    with _readable():
        logs = _logs(files)
        anchor = _anchor(logs, anchor_file, keys)
        checkpoint = anchor.checkpoint if anchor else None
        with _progress(logs) as progress:
            report = run(logs, keys=keys, anchor=checkpoint, partial=partial, progress=progress)
    show_record(_summary(report, anchor, signed=bool(keys)), as_json=current().as_json)
    if report.bad is not None:
        raise NotIntactFailure(str(report.bad))


@audit.command()
@click.argument("files", nargs=-1, required=True, type=_FILE, metavar="FILE...")
@click.option("--caller", default="", help="The caller's name, or its identity.")
@click.option("--session", default="", metavar="ID", help="A session, also one of a batch.")
@click.option("--token-id", default="", metavar="ID", help="A token, also one of a batch.")
@click.option("--project", default="", metavar="ID", help="A project, also one of a batch.")
@click.option("--method", default="", help="Such as GenerateToken.")
@click.option("--request-id", default="", metavar="ID", help="The call's request id.")
@click.option(
    "--outcome", default="", callback=_known_outcome, help="A status or reason, such as OK or ROLE_NOT_GRANTED."
)
@click.option("--since", type=MOMENT, metavar="MOMENT", help="Records of that time and later.")
@click.option("--until", type=MOMENT, metavar="MOMENT", help="Records before that time.")
@click.option("--limit", type=click.IntRange(0), default=100, show_default=True, help="The newest so many; 0 for all.")
def show(
    *,
    files: tuple[Path, ...],
    caller: str,
    session: str,
    token_id: str,
    project: str,
    method: str,
    request_id: str,
    outcome: str,
    since: int | datetime | None,
    until: int | datetime | None,
    limit: int,
) -> None:
    """Show records, oldest first. Checks nothing: see `verify`.

    A table for a person; with --json a list of the records as they stand in the log.
    """
    from tokenauthority.audit.files import lines
    from tokenauthority.audit.select import Selection, selected

    selection = Selection(
        caller=caller,
        session_id=session,
        token_id=token_id,
        project_id=project,
        method=method,
        request_id=request_id,
        outcome=outcome,
        since=_moment(since),
        until=_moment(until),
    )
    with _readable():
        counted = itertools.count()
        found: Iterable[tuple[Line, SelectedRecord]] = _counted(
            selected(lines(_ordered(_logs(files))), selection), counted
        )
        if limit:
            found = deque(found, limit)
        if current().as_json:
            _print_json(line for line, _ in found)
        else:
            show_list([_row(entry) for _, entry in found], _COLUMNS, as_json=False)
    total = next(counted)
    if limit and total > limit:
        _remark(f"{total - limit} older ones not shown: --limit 0")
    elif not total:
        _remark("no records")


def _counted(found: Iterable[T], counted: Iterator[int]) -> Iterator[T]:
    for each in found:
        next(counted)
        yield each


def _public_key(path: Path) -> Ed25519PublicKey:
    from tokenauthority.audit.keys import load_public_key

    try:
        return load_public_key(path)
    except ValueError as error:
        raise Failure(str(error)) from error


def _logs(files: Sequence[Path]) -> Sequence[Path]:
    """Those of the files that are logs: a pattern such as audit.jsonl* also finds what lies beside them."""
    from tokenauthority.audit.files import is_beside, is_log

    logs = [path for path in files if not is_beside(path)]
    for path in files:
        if is_beside(path):
            _remark(f"{path}: passed over, as it is kept beside a log")
        elif not is_log(path):
            raise Failure(f"{path} is no audit log")
    if not logs:
        raise ConfigurationFailure("none of these files is an audit log")
    return logs


def _anchor(files: Sequence[Path], given: Path | None, keys: Sequence[Ed25519PublicKey]) -> Anchor | None:
    """The checkpoint that the log must hold: the newest of its head files, if none is given."""
    from tokenauthority.audit.anchors import AnchorError, find_anchor, read_anchor

    def passed_over(path: Path) -> None:
        _remark(f"{path}: passed over, as no checkpoint can be read from it")

    try:
        anchor = read_anchor(given) if given else find_anchor(files, passed_over)
        if anchor is not None and keys:
            anchor.require_signature(keys)
    except AnchorError as error:
        raise NotIntactFailure(str(error)) from error
    return anchor


def _remark(text: str) -> None:
    click.echo(text, err=True)


def _ordered(files: Sequence[Path]) -> Sequence[Path]:
    """The files by their first records; as they were given, where one of them is damaged."""
    from tokenauthority.audit.files import FirstLineError, in_order

    try:
        return [part.path for part in in_order(files)]
    except FirstLineError:
        return files


def _summary(report: Report, anchor: Anchor | None, *, signed: bool) -> Record:
    from tokenauthority.audit.verdict import anchor_text, result_text

    kinds = {name: report.kinds[name] for name in sorted(report.kinds)}
    checkpoint, bad = report.checkpoint, report.bad
    return {
        "result": result_text(report, signed=signed),
        "bad": None if bad is None else {"file": str(bad.file), "line": bad.line, "reason": bad.reason},
        "log_id": report.log_id,
        "files": [str(path) for path in report.files],
        "first_record": report.first,
        "last_record": report.last,
        "records": report.kinds.total(),
        "types": kinds,
        "signatures": report.signatures if signed else "not checked: give --public-key",
        "last_checkpoint": checkpoint.seq if checkpoint else None,
        "last_checkpoint_time": checkpoint.time if checkpoint else None,
        "after_last_checkpoint": report.uncovered,
        "anchor": anchor_text(report, anchor),
        "remarks": list(report.remarks),
    }


def _row(entry: SelectedRecord) -> Record:
    tokens = list(entry.token_ids)
    more = len(tokens) - _FEW_TOKENS
    return {
        "seq": entry.seq,
        "time": entry.time,
        "outcome": entry.code + (f" {entry.reason}" if entry.reason else ""),
        "method": entry.method.rpartition("/")[2] or f"({entry.type})",
        "caller": entry.caller or entry.peer,
        "project": entry.project_id,
        "session": entry.session_id,
        "role": entry.role,
        "tokens": [*tokens[:_FEW_TOKENS], f"and {more} more"] if more > 0 else tokens,
    }


def _print_json(lines: Iterable[Line]) -> None:
    """A JSON list, printed as it comes, as it may be longer than the memory."""
    click.echo("[", nl=False)
    for number, line in enumerate(lines):
        click.echo(",\n" if number else "\n", nl=False)
        click.echo(to_json(json.loads(line.content)), nl=False)
    click.echo("\n]")


def _moment(value: int | datetime | None) -> datetime | None:
    return datetime.fromtimestamp(value, UTC) if isinstance(value, int) else value


@contextmanager
def _readable() -> Iterator[None]:
    """A compressed file may be cut off or damaged."""
    from zlib import error as damaged

    try:
        yield
    except (EOFError, damaged) as error:
        raise NotIntactFailure(f"a compressed file is cut off or damaged: {error}") from error


@contextmanager
def _progress(files: Sequence[Path]) -> Iterator[Callable[[int], None]]:
    """A bar on standard error, for a person."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("verify", total=sum(file.stat().st_size for file in files))
        yield lambda count: bar.advance(task, count)
