"""Find the lines of the tables, keys and array items of a valid TOML document, which `tomllib` does not report."""

from __future__ import annotations

import re
import tomllib

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from typing import Final, TypeAlias

from tokenauthority.toml_text import TomlTextError


Path: TypeAlias = tuple[str | int, ...]
"""The way to a value: keys of tables, and indexes of arrays from 0."""

_GAP: Final = re.compile(r"(?:[ \t\r\n,]+|#[^\n]*)*")
_KEY: Final = re.compile(r"[A-Za-z0-9_-]+|\"(?:[^\"\\\n]|\\.)*\"|'[^'\n]*'")
_HEADER_OR_KEY: Final = re.compile(
    rf"(\[\[?)?[ \t]*((?:{_KEY.pattern})(?:[ \t]*\.[ \t]*(?:{_KEY.pattern}))*)[ \t]*(?:\]\]?|=[ \t]*)"
)
_SCALAR: Final = re.compile(
    r'"""(?:\\.|[^\\])*?"""(?:"{0,2})'
    r"|'''.*?'''(?:'{0,2})"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'"
    r"|[^,\]}#\r\n]+",
    re.DOTALL,
)


def locate(text: str) -> Mapping[Path, int]:
    """Return the line, from 1, of each key, table and array item of *text*, which `tomllib` must have accepted.

    A table that several headers or dotted keys open has the line of the first.
    """
    return _Locator(text).locate_all()


class _Locator:
    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0
        self._line_ends = [match.start() for match in re.finditer("\n", text)]
        self._lines: dict[Path, int] = {}
        self._last: dict[Path, int] = {}
        """The index of the last table of each array of tables."""

    def locate_all(self) -> Mapping[Path, int]:
        table: Path = ()
        self._match_next(_GAP)
        while self._position < len(self._text):
            table = self._locate_header_or_key(table)
            self._match_next(_GAP)
        return self._lines

    def _locate_header_or_key(self, table: Path) -> Path:
        """Return the table that the next keys belong to: that of the header, else *table*."""
        line = self._line()
        match = self._match_next(_HEADER_OR_KEY)
        opening, keys = match[1], [*_unquoted(match[2])]
        path = () if opening else table
        for depth, key in enumerate(keys, start=1):
            path = (*path, key)
            self._lines.setdefault(path, line)
            if opening == "[[" and depth == len(keys):
                self._last[path] = self._last.get(path, -1) + 1
            if opening and path in self._last:
                path = (*path, self._last[path])
                self._lines.setdefault(path, line)
        if opening:
            return path
        self._locate_value(path)
        return table

    def _locate_value(self, path: Path) -> None:
        if self._text.startswith("[", self._position):
            self._position += 1
            index = 0
            while not self._skip_gap_and("]"):
                self._lines[(*path, index)] = self._line()
                self._locate_value((*path, index))
                index += 1
        elif self._text.startswith("{", self._position):
            self._position += 1
            while not self._skip_gap_and("}"):
                self._locate_header_or_key(path)
        else:
            self._match_next(_SCALAR)

    def _skip_gap_and(self, end: str) -> bool:
        """Skip blanks, comments and commas, and also *end* if it follows; return whether it did."""
        self._match_next(_GAP)
        found = self._text.startswith(end, self._position)
        self._position += len(end) if found else 0
        return found

    def _line(self) -> int:
        return bisect_left(self._line_ends, self._position) + 1

    def _match_next(self, pattern: re.Pattern[str]) -> re.Match[str]:
        match = pattern.match(self._text, self._position)
        if match is None:
            raise TomlTextError(self._line(), "holds TOML that this server cannot read")
        self._position = match.end()
        return match


def _unquoted(keys: str) -> Iterator[str]:
    for match in _KEY.finditer(keys):
        key = match[0]
        yield next(iter(tomllib.loads(f"{key} = 0"))) if key[0] in "\"'" else key
