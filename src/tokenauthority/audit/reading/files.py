"""Read the files of a log in their order, line by line, in bounded memory.

A file that cannot be read raises OSError, a compressed one that is cut off EOFError.
"""

from __future__ import annotations

import gzip
import re

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple, cast

import attrs

from tokenauthority.audit.chain import MAX_LINE, DamagedLineError, parse_file_start, parse_link


Progress = Callable[[int], None]
"""Receives how many more bytes of the files (compressed, where they are) have been read."""

_REPORT_EVERY: Final = 1_048_576
_COMPANION: Final = re.compile(r"\.head$|\.(torn-\d+|replaced)-\d{8}T[\d.]+Z$")


@attrs.frozen
class LogFilePart:
    """One file of a log: the number of its first line, and the id of its log."""

    path: Path
    first: int
    log_id: str


class Line(NamedTuple):
    """A line of a file, without newline; `whole` says that it had one."""

    path: Path
    number: int
    content: bytes
    whole: bool


class FirstLineError(Exception):
    """The first line of a file is not valid."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(reason)
        self.path = path


def in_order(paths: Iterable[Path]) -> Sequence[LogFilePart]:
    """Return the files by the numbers of their first lines, without empty ones; raise FirstLineError."""
    parts = []
    for path in dict.fromkeys(paths):
        with path.open("rb") as raw, _decompressed(path, raw) as file:
            line = file.readline(MAX_LINE)
        if not line:
            continue
        try:
            start = parse_file_start(line.removesuffix(b"\n"))
        except DamagedLineError as error:
            raise FirstLineError(path, str(error)) from error
        parts.append(LogFilePart(path, start.seq, start.log_id))
    return sorted(parts, key=lambda part: part.first)


def logs_in_order(paths: Sequence[Path]) -> Sequence[Sequence[Path]]:
    """Return the files of each log in order; all of them as they were given where a first line is not valid."""
    logs: dict[str, list[Path]] = {}
    try:
        for part in in_order(paths):
            logs.setdefault(part.log_id, []).append(part.path)
    except FirstLineError:
        return [paths]
    return [*logs.values()]


def is_companion(path: Path) -> bool:
    """Return whether a server gives such a name to a file beside its log: a checkpoint file or quarantined bytes."""
    return _COMPANION.search(path.name) is not None


def is_log(path: Path) -> bool:
    """Return whether the file is an audit log, even a damaged one: one of its first two lines looks like a record."""
    with path.open("rb") as raw, _decompressed(path, raw) as file:
        first, second = file.readline(MAX_LINE), file.readline(MAX_LINE)
    if not first or first.startswith(b'{"seq":'):
        return True
    try:
        parse_link(second.removesuffix(b"\n"))
    except DamagedLineError:
        return False
    return True


def read_lines(paths: Iterable[Path], progress: Progress = lambda _: None) -> Iterator[Line]:
    """Yield the lines of the files, one file after the other."""
    for path in paths:
        # The position of the raw file says how much of a compressed file has been read.
        with path.open("rb") as raw, _decompressed(path, raw) as file:
            reported, number = 0, 0
            while content := file.readline(MAX_LINE):
                number += 1
                whole = content.endswith(b"\n")
                yield Line(path, number, content[:-1] if whole else content, whole)
                if number % 1024 == 0 and (position := raw.tell()) - reported >= _REPORT_EVERY:
                    progress(position - reported)
                    reported = position
            progress(raw.tell() - reported)


def _decompressed(path: Path, raw: BinaryIO) -> BinaryIO:
    return cast("BinaryIO", gzip.open(raw, "rb")) if path.suffix == ".gz" else raw
