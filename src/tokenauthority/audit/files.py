"""The files of a log in their order, and their lines, in bounded memory."""

from __future__ import annotations

import gzip
import re

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, BinaryIO, Final, NamedTuple, cast

import attrs
import msgspec

from tokenauthority.audit.chain import MAX_LINE, DamagedLineError, read


if TYPE_CHECKING:
    from pathlib import Path


Progress = Callable[[int], None]
"""Told how many more bytes of the files (compressed, where they are) have been read."""

_REPORT_EVERY: Final = 1_048_576
_BESIDE: Final = re.compile(r"\.head$|\.(torn-\d+|replaced)-\d{8}T[\d.]+Z$")


class _First(msgspec.Struct):
    seq: int
    log_id: str


@attrs.frozen
class LogFilePart:
    """One file of a log: the number of its first line, and the log that it belongs to."""

    path: Path
    first: int
    log_id: str


class Line(NamedTuple):
    """A line where it stands; without newline, `whole` says that there was one."""

    path: Path
    number: int
    content: bytes
    whole: bool


def in_order(paths: Iterable[Path]) -> Sequence[LogFilePart]:
    """The files by the numbers of their first lines; empty ones are left out.

    Raises:
        FirstLineError: a first line is no beginning of a file of a log.
        OSError: a file cannot be read.
    """
    parts = []
    for path in dict.fromkeys(paths):
        with opened(path) as file:
            line = file.readline(MAX_LINE)
        if not line:
            continue
        try:
            read(line.removesuffix(b"\n"))
            first = msgspec.json.decode(line, type=_First)
        except DamagedLineError as error:
            raise FirstLineError(path, str(error)) from error
        except (msgspec.MsgspecError, RecursionError):
            raise FirstLineError(
                path, "it does not begin a file of an audit log: lines before it are missing"
            ) from None
        parts.append(LogFilePart(path, first.seq, first.log_id))
    return sorted(parts, key=lambda part: part.first)


def is_beside(path: Path) -> bool:
    """Whether the name is that of what a server keeps beside a log: a head file, or bytes that it has put aside."""
    return _BESIDE.search(path.name) is not None


def is_log(path: Path) -> bool:
    """Whether the file is an audit log at all, if maybe a damaged one: one of its first two lines looks like it.

    Raises:
        OSError: it cannot be read.
        EOFError: it is compressed, and cut off.
    """
    with opened(path) as file:
        first, second = file.readline(MAX_LINE), file.readline(MAX_LINE)
    if not first or first.startswith(b'{"seq":'):
        return True
    try:
        read(second.removesuffix(b"\n"))
    except DamagedLineError:
        return False
    return True


class FirstLineError(Exception):
    """The first line of a file cannot be one."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(reason)
        self.path = path


def lines(paths: Iterable[Path], progress: Progress = lambda _: None) -> Iterator[Line]:
    """The lines of the files, one after the other.

    Raises:
        OSError: a file cannot be read.
        EOFError: a compressed file is cut off.
    """
    for path in paths:
        with path.open("rb") as raw, _decompressed(path, raw) as file:
            told, number = 0, 0
            while content := file.readline(MAX_LINE):
                number += 1
                whole = content.endswith(b"\n")
                yield Line(path, number, content[:-1] if whole else content, whole)
                if number % 1024 == 0 and (position := raw.tell()) - told >= _REPORT_EVERY:
                    progress(position - told)
                    told = position
            progress(raw.tell() - told)


def opened(path: Path) -> BinaryIO:
    """The file for reading, decompressed if its name ends in .gz.

    Raises:
        OSError: it cannot be read.
    """
    return cast("BinaryIO", gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")


def _decompressed(path: Path, raw: BinaryIO) -> BinaryIO:
    return cast("BinaryIO", gzip.open(raw, "rb")) if path.suffix == ".gz" else raw
