"""`make chaos`: servers under load while one fault after another happens around them, and what their callers saw.

    make chaos ARGS="--short"                   some seconds for each fault
    make chaos ARGS="--only failover --only disk"

Two servers share a PostgreSQL, one of them behind PgBouncer; a third has SQLite. Callers request tokens of all formats,
verify, revoke and are refused, and judge each answer without the code that made it. In the end every answer must have
its record in the audit logs, which must verify. First, without a fault, three servers have to be as one limit.

Exits with 1 where an answer was wrong or has no record, a caller was without service 30 seconds after a fault, a server
ended by itself, an audit log does not verify, or the limit of a caller did not hold for all servers together. Where CI
is set, a fault that this machine cannot cause counts as a failure too.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import signal
import sys
import tempfile

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn

from benchmarks.chaos import table
from benchmarks.chaos.faults import FAULTS
from benchmarks.chaos.installation import installation
from benchmarks.chaos.ledger import shown
from benchmarks.chaos.one_limit import measure
from benchmarks.chaos.runner import run
from benchmarks.chaos.table import Row
from tests.support.memory_limit import memory_limit
from tests.support.pgbouncer import INSTALL


_LIMIT: Final = 1200
"""Seconds that all may take."""

_SECONDS: Final = 15.0
_SHORT_SECONDS: Final = 1.5

_LIMIT_SECONDS: Final = 60.0
_SHORT_LIMIT: Final = 10.0


def main() -> int:
    """Run the faults; the exit status."""
    options = _options()
    if not shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin"):
        return _fail(INSTALL)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(_LIMIT)
    faults = [fault for fault in FAULTS if fault.name in (options.only or [fault.name])]
    seconds = _SHORT_SECONDS if options.short else options.seconds
    one_limit = None
    if not options.only:
        with tempfile.TemporaryDirectory(prefix="tokenauthority-limits-", dir="/tmp") as name:
            _say("three servers under three times the rate of one caller")
            one_limit = measure(Path(name), _SHORT_LIMIT if options.short else _LIMIT_SECONDS)
            _say(one_limit.as_text())
    with tempfile.TemporaryDirectory(prefix="tokenauthority-chaos-", dir="/tmp") as name:
        _say("starting PostgreSQL, PgBouncer and three servers")
        with installation(Path(name)) as site:
            rows = run(site, faults, seconds, _say)
            with memory_limit(1 << 30) as limit:
                how = f"disks: {site.lite.disk.how}; memory: {limit.how}"
            problems = list(site.problems)
    if os.environ.get("CI"):
        problems += [f"{row.name} was NOT RUN: it needs {row.missing}" for row in rows if row.missing]
    if one_limit is not None and not one_limit.is_right:
        problems.append(one_limit.as_text())
    signal.alarm(0)
    return _report(rows, problems, how)


def _report(rows: Sequence[Row], problems: Sequence[str], how: str) -> int:
    print(table.as_text(rows))
    print(f"limits of this machine: {how}")
    for row in rows:
        for title, lines in row.findings().items():
            for line in shown(lines):
                print(f"{row.name}: {title}: {line}")
    for problem in problems:
        print(f"PROBLEM {problem}")
    return 0 if all(row.is_right for row in rows) and not problems else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.chaos", description="Serve while all around fails.")
    names = [fault.name for fault in FAULTS]
    parser.add_argument("--only", action="append", choices=names, help="this fault; may recur; default: all")
    parser.add_argument(
        "--seconds", type=float, default=_SECONDS, metavar="S", help=f"for how long each lasts (default {_SECONDS:.0f})"
    )
    parser.add_argument("--short", action="store_true", help=f"{_SHORT_SECONDS} seconds each, as in CI")
    return parser.parse_args()


def _too_long(*_: object) -> NoReturn:
    raise TimeoutError(f"it took more than {_LIMIT} seconds")


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _fail(text: str) -> int:
    _say(f"chaos: {text}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
