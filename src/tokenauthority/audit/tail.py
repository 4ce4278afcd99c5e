"""Reads single lines of a log out of an open file, in bounded memory however long the file is."""

from __future__ import annotations

import os

from typing import Final

from tokenauthority.audit.chain import MAX_LINE, DamagedLineError, read


_CHUNK: Final = 65_536


def whole_length(descriptor: int, size: int) -> int:
    """How many of the first *size* bytes are whole lines."""
    return _after_newline_before(descriptor, size)


def first_line(descriptor: int, size: int) -> bytes:
    """The line (without newline) at the beginning; *size* bytes are whole lines, at least one."""
    return _line_at(descriptor, 0, size)


def last_line(descriptor: int, size: int) -> bytes:
    """The line (without newline) at the end of the first *size* bytes, which are whole lines, at least one.

    Raises:
        DamagedLineError: it is longer than any line.
    """
    begin = _after_newline_before(descriptor, size - 1)
    if size - begin > MAX_LINE:
        raise DamagedLineError("it is longer than a record can be")
    return os.pread(descriptor, size - 1 - begin, begin)


def find_line(descriptor: int, size: int, seq: int) -> bytes | None:
    """The line (without newline) with the number *seq* in the first *size* bytes, which are whole lines.

    Found by halving, as numbers grow from line to line.

    Raises:
        DamagedLineError: a line on the way is no record.
    """
    low, high = 0, size
    while low < high:
        # The line that begins at `low`, or the one that holds the middle, is within the bounds in any case.
        begin = max(low, _after_newline_before(descriptor, (low + high) // 2))
        line = _line_at(descriptor, begin, size)
        found = read(line).seq
        if found == seq:
            return line
        low, high = (begin + len(line) + 1, high) if found < seq else (low, begin)
    return None


def _line_at(descriptor: int, begin: int, size: int) -> bytes:
    parts = []
    for offset in range(begin, min(size, begin + MAX_LINE), _CHUNK):
        part = os.pread(descriptor, min(_CHUNK, size - offset), offset)
        line, newline, _ = part.partition(b"\n")
        parts.append(line)
        if newline:
            return b"".join(parts)
    raise DamagedLineError("it is longer than a record can be")


def _after_newline_before(descriptor: int, end: int) -> int:
    """Where the line begins that *end* lies in or at the end of."""
    for upper in range(end, 0, -_CHUNK):
        lower = max(0, upper - _CHUNK)
        newline = os.pread(descriptor, upper - lower, lower).rfind(b"\n")
        if newline >= 0:
            return lower + newline + 1
    return 0
