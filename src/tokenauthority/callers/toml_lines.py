"""Finds the lines on which the keys and tables of a valid TOML document stand, which `tomllib` does not tell."""

from __future__ import annotations

import re
import tomllib

from bisect import bisect_left
from typing import TYPE_CHECKING, Final, TypeAlias


if TYPE_CHECKING:
    from collections.abc import Mapping


Path: TypeAlias = tuple[str | int, ...]
"""The way to a value: keys of tables, and indexes of arrays from 0."""

_SPACE: Final = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_BLANK: Final = re.compile(r"[ \t]*")
_KEY: Final = re.compile(r"[A-Za-z0-9_-]+|\"(?:[^\"\\\n]|\\.)*\"|'[^'\n]*'")
_SCALAR: Final = re.compile(
    r'"""(?:\\.|[^\\])*?"""(?:"{0,2})'
    r"|'''.*?'''(?:'{0,2})"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'"
    r"|[^,\]}#\r\n]+",
    re.DOTALL,
)


def locate(text: str) -> Mapping[Path, int]:
    """The line, from 1, of each key, table and array item of *text*, which `tomllib` must have accepted.

    A table that several headers or dotted keys open has the line of the first.
    """
    return _Scanner(text).scan()


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0
        self._ends = [match.start() for match in re.finditer("\n", text)]
        self._lines: dict[Path, int] = {}
        self._lengths: dict[Path, int] = {}
        """Of arrays of tables: how many tables each has so far."""

    def scan(self) -> Mapping[Path, int]:
        table: Path = ()
        self._skip(_SPACE)
        while self._position < len(self._text):
            if self._take("[["):
                table = self._header(array=True)
            elif self._take("["):
                table = self._header(array=False)
            else:
                self._pair(table)
            self._skip(_SPACE)
        return self._lines

    def _header(self, *, array: bool) -> Path:
        line = self._line()
        *outer, last = self._keys()
        path: Path = ()
        for key in outer:
            path = self._enter((*path, key))
            self._lines.setdefault(path, line)
        path = (*path, last)
        self._lines.setdefault(path, line)
        if array:
            self._lengths[path] = self._lengths.get(path, 0) + 1
        path = self._enter(path)
        self._lines.setdefault(path, line)
        self._take("]]" if array else "]")
        return path

    def _enter(self, path: Path) -> Path:
        """What a header means by *path*: of an array of tables, its last one."""
        return (*path, self._lengths[path] - 1) if path in self._lengths else path

    def _pair(self, table: Path) -> None:
        line = self._line()
        path = table
        for key in self._keys():
            path = (*path, key)
            self._lines.setdefault(path, line)
        self._take("=")
        self._skip(_BLANK)
        self._value(path)

    def _keys(self) -> list[str]:
        keys = []
        while True:
            self._skip(_BLANK)
            written = self._match(_KEY)
            keys.append(next(iter(tomllib.loads(f"{written} = 0"))) if written[0] in "\"'" else written)
            self._skip(_BLANK)
            if not self._take("."):
                return keys

    def _value(self, path: Path) -> None:
        if self._take("["):
            self._skip(_SPACE)
            index = 0
            while not self._take("]"):
                self._lines[(*path, index)] = self._line()
                self._value((*path, index))
                self._next_item()
                index += 1
        elif self._take("{"):
            self._skip(_SPACE)
            while not self._take("}"):
                self._pair(path)
                self._next_item()
        else:
            self._match(_SCALAR)

    def _next_item(self) -> None:
        self._skip(_SPACE)
        self._take(",")
        self._skip(_SPACE)

    def _line(self) -> int:
        return bisect_left(self._ends, self._position) + 1

    def _take(self, literal: str) -> bool:
        if not self._text.startswith(literal, self._position):
            return False
        self._position += len(literal)
        return True

    def _skip(self, pattern: re.Pattern[str]) -> None:
        match = pattern.match(self._text, self._position)
        self._position = self._position if match is None else match.end()

    def _match(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._position)
        if match is None:
            raise ValueError(f"line {self._line()} is no TOML that this reader knows")
        self._position = match.end()
        return match[0]
