"""Reads the fields of one table of a TOML file; what is wrong is a problem with its line, and reading goes on."""

from __future__ import annotations

import re

from typing import TYPE_CHECKING, Final

import attrs

from tokenauthority.callers.api_keys import PREFIX
from tokenauthority.domain.times import Seconds


if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from tokenauthority.callers.toml_lines import Path


_LIFETIME: Final = re.compile(r"([0-9]{1,8})([smhd])", re.ASCII)
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_SHOWN: Final = 60
"""Characters of a wrong value that a problem shows."""


@attrs.frozen(order=True)
class Problem:
    """One thing that is wrong with the file; line 0 is the file as a whole."""

    line: int
    text: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.text}" if self.line else self.text


class Table:
    """A table called *where* in problems, which stands at *path* of the document."""

    def __init__(
        self,
        where: str,
        values: Mapping[str, object],
        path: Path,
        lines: Mapping[Path, int],
        problems: list[Problem],
    ) -> None:
        self.where = where
        self._values = values
        self._path = path
        self._lines = lines
        self._problems = problems

    def __contains__(self, field: str) -> bool:
        return field in self._values

    @property
    def line(self) -> int:
        """The line on which it begins."""
        return self._lines.get(self._path, 0)

    @property
    def lines(self) -> Mapping[str, int]:
        """The line of each of its fields."""
        return {field: self._lines.get((*self._path, field), self.line) for field in self._values}

    def refuse(self, field: str, rule: str) -> None:
        """Note that *field* is wrong, on its own line or, where it is missing, on the table's."""
        self.refuse_whole(f"{field} {rule}", field)

    def refuse_whole(self, text: str, field: str = "") -> None:
        """Note that *text* is wrong with the table, on the line of *field* if it has that."""
        line = self._lines.get((*self._path, field), self.line)
        self._problems.append(Problem(line, f"{self.where}: {text}" if self.where else text))

    def refuse_unknown(self, known: Collection[str]) -> None:
        """Note every field that is not *known*."""
        for field in self._values:
            if field not in known:
                self.refuse_whole(f"{shown(field)} is not a field", field)

    def value(self, field: str) -> object:
        """What is written, or None."""
        return self._values.get(field)

    def text(self, field: str, valid: Callable[[str], object], rule: str) -> str:
        """A text that is *valid*; else empty, with a problem that says *rule*."""
        value = self._values.get(field)
        if isinstance(value, str) and valid(value):
            return value
        self.refuse(field, rule)
        return ""

    def names(self, field: str, valid: Callable[[str], bool]) -> frozenset[str]:
        """A list of at least one *valid* name."""
        value = self._values.get(field)
        if not isinstance(value, list) or not value:
            self.refuse(field, "must be a list of at least one name")
            return frozenset()
        for index, item in enumerate(value):
            if not isinstance(item, str) or not valid(item):
                line = self._lines.get((*self._path, field, index), self.line)
                self._problems.append(Problem(line, f"{self.where}: {field} has an unknown entry: {shown(item)}"))
        return frozenset(item for item in value if isinstance(item, str) and valid(item))

    def lifetime(self, field: str, limit: Seconds, rule: str) -> Seconds:
        """A lifetime such as `90s`, `15m`, `1h` or `30d`, from one second to *limit*."""
        value = self._values.get(field)
        match = _LIFETIME.fullmatch(value) if isinstance(value, str) else None
        seconds = int(match[1]) * _UNITS[match[2]] if match else 0
        if not 1 <= seconds <= limit:
            self.refuse(field, rule)
        return Seconds(seconds)

    def count(self, field: str, limit: int) -> int:
        """A whole number from 1 to *limit*."""
        value = self._values.get(field)
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= limit:
            self.refuse(field, f"must be a whole number from 1 to {limit}")
            return 1
        return value


def shown(value: object) -> str:
    """*value* as a problem shows it: on one line, cut off where it is long, and never an API key that strayed."""
    text = repr(value)
    if PREFIX in text:
        return "what looks like an API key"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
