"""Single lines are found in a file of any length."""

from __future__ import annotations

import os

from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryFile

import pytest

from hypothesis import given
from hypothesis import strategies as st

from tokenauthority.audit.chain import DamagedLineError, Position, chain_line
from tokenauthority.audit.writing import tail


@contextmanager
def opened(content: bytes) -> Iterator[tuple[int, int]]:
    """A descriptor of a file with that content, and its size."""
    with TemporaryFile() as file:
        file.write(content)
        file.flush()
        yield file.fileno(), len(content)


@given(st.lists(st.integers(0, 100_000), min_size=1, max_size=12), st.integers(1, 1000), st.binary(max_size=200))
def test_finds_every_line_by_its_number(lengths: list[int], first: int, torn: bytes) -> None:
    """Lines of any length, from any number on, before any torn end; a number that is not there is not found."""
    torn = torn.replace(b"\n", b"")
    position, lines = Position(first - 1), []
    for length in lengths:
        line, position = chain_line(position, "rpc", b'{"x":"%b"}' % (b"a" * length))
        lines.append(line)
    content = b"".join(line + b"\n" for line in lines)
    with opened(content + torn) as (descriptor, size):
        whole = tail.whole_length(descriptor, size)

        assert len(content) == whole
        assert (lines[0], lines[-1]) == (tail.first_line(descriptor, whole), tail.last_line(descriptor, whole))
        assert lines == [tail.find_line(descriptor, whole, first + number) for number in range(len(lines))]
        assert [None, None] == [tail.find_line(descriptor, whole, n) for n in (first - 1, first + len(lines))]


def test_a_line_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of another kind, one endless line, is not read into memory."""
    monkeypatch.setattr(tail, "MAX_LINE", 100_000)
    with opened(b"x" * 200_000 + b"\n") as (descriptor, size):
        for look in (tail.first_line, tail.last_line):
            with pytest.raises(DamagedLineError):
                look(descriptor, size)


def test_a_file_without_a_line_has_no_whole_ones() -> None:
    """Its end is not found in any of it."""
    with opened(os.urandom(300_000).replace(b"\n", b"")) as (descriptor, size):
        assert 0 == tail.whole_length(descriptor, size)
