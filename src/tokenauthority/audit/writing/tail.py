"""Read single lines at the start, at the end and in the middle of an open log file, in bounded memory.

A line that is longer than `MAX_LINE`, or damaged where it has to be parsed, raises DamagedLineError.
"""

from __future__ import annotations

import os

from typing import Final

from tokenauthority.audit.chain import MAX_LINE, DamagedLineError, parse_link


_CHUNK: Final = 65_536


def whole_length(descriptor: int, size: int) -> int:
    """Return how many of the first *size* bytes are whole lines: the offset of the line that ends or lies there."""
    for upper in range(size, 0, -_CHUNK):
        lower = max(0, upper - _CHUNK)
        newline = os.pread(descriptor, upper - lower, lower).rfind(b"\n")
        if newline >= 0:
            return lower + newline + 1
    return 0


def first_line(descriptor: int, size: int) -> bytes:
    """Return the first line (without newline); *size* bytes are whole lines, at least one."""
    return _line_at(descriptor, 0, size)


def last_line(descriptor: int, size: int) -> bytes:
    """Return the last line (without newline) of the first *size* bytes, which are whole lines, at least one."""
    begin = whole_length(descriptor, size - 1)
    if size - begin > MAX_LINE:
        raise DamagedLineError("it is longer than a record can be")
    return os.pread(descriptor, size - 1 - begin, begin)


def find_line(descriptor: int, size: int, seq: int) -> bytes | None:
    """Return the line (without newline) with the number *seq*, or None, by binary search in the first *size* bytes.

    Those bytes are whole lines, whose numbers grow from line to line.
    """
    low, high = 0, size
    while low < high:
        # The line that begins at `low`, or the one that holds the middle, is within the bounds in any case.
        begin = max(low, whole_length(descriptor, (low + high) // 2))
        line = _line_at(descriptor, begin, size)
        found = parse_link(line).seq
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
