"""Reads `callers.toml`: who may call and what each may do. All errors at once, each with its line, or all callers."""

from __future__ import annotations

import os
import re
import tomllib

from typing import TYPE_CHECKING, Final, TypeAlias

from tokenauthority.callers.file_callers import read_callers
from tokenauthority.callers.file_issuers import read_issuers
from tokenauthority.callers.registry import CallerRegistry
from tokenauthority.callers.regular_file import open_regular
from tokenauthority.callers.toml_fields import Problem, Table
from tokenauthority.callers.toml_lines import locate


if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from tokenauthority.callers.toml_lines import Path as TomlPath


MAX_FILE: Final = 1_048_576
"""Bytes of a callers file."""

_QUOTED: Final = re.compile(r"'[^' ]{9,}'")

_Signature: TypeAlias = tuple[int, ...]


class CallersFileError(Exception):
    """The file is not valid; `problems` names every one, by line, and never a secret."""

    def __init__(self, path: Path, problems: Iterable[Problem]) -> None:
        self.path = path
        self.problems = tuple(sorted(problems))
        super().__init__(f"callers file {path}: " + "; ".join(map(str, self.problems)))


def load_callers(path: Path, own_issuer: str = "") -> CallerRegistry:
    """The callers of the file, once; see `CallersFile.load`."""
    return CallersFile(path, own_issuer).load()


class CallersFile:
    """The callers file, which tells whether it has changed since it was last read.

    *own_issuer* is the authority's own, whose tokens are never a caller's credential.
    """

    def __init__(self, path: Path, own_issuer: str) -> None:
        self.path = path
        self._own_issuer = own_issuer
        self._seen: _Signature | None = None

    def changed(self) -> bool:
        """Whether its time, size or inode are other than when it was last read; also if it has gone or come."""
        try:
            signature = _signature(self.path.stat())
        except OSError:
            signature = None
        return signature != self._seen

    def load(self) -> CallerRegistry:
        """The callers that it holds now.

        Raises:
            CallersFileError: it cannot be read, is not TOML, or any entry is wrong.
        """
        self._seen = None
        try:
            with open_regular(self.path) as file:
                self._seen = _signature(os.fstat(file.fileno()))
                data = file.read(MAX_FILE + 1)
        except OSError as error:
            raise self._error([Problem(0, f"cannot be read: {error.strerror}")]) from error
        if len(data) > MAX_FILE:
            raise self._error([Problem(0, f"is larger than {MAX_FILE} bytes")])
        try:
            text = data.decode("utf-8")
            document = tomllib.loads(text)
            lines = locate(text)
        except RecursionError:
            raise self._error([Problem(0, "is nested too deep")]) from None
        except ValueError as error:
            # The parser quotes keys, and one of them may be an API key in the wrong place.
            said = _QUOTED.sub("'…'", str(error))
            raise self._error([Problem(0, f"is not valid TOML: {said}")]) from None
        return self._book(document, lines)

    def _book(self, document: Mapping[str, object], lines: Mapping[TomlPath, int]) -> CallerRegistry:
        problems: list[Problem] = []
        root = Table("", document, (), lines, problems)
        root.refuse_unknown(("callers", "issuers"))
        issuer_tables = _tables("issuer", document.get("issuers", []), lines, problems)
        issuers = read_issuers(issuer_tables, self.path.parent, self._own_issuer)
        caller_tables = _tables("caller", document.get("callers", []), lines, problems)
        # An issuer that is itself wrong is one problem, not one more for each of its callers.
        named = {issuer for table in issuer_tables if isinstance(issuer := table.value("issuer"), str)}
        entries = read_callers(caller_tables, named)
        if not document.get("callers"):
            problems.append(Problem(0, "has no [[callers]]"))
        if problems:
            raise self._error(problems)
        return CallerRegistry(entries, issuers)

    def _error(self, problems: Iterable[Problem]) -> CallersFileError:
        return CallersFileError(self.path, problems)


def _tables(kind: str, value: object, lines: Mapping[TomlPath, int], problems: list[Problem]) -> list[Table]:
    name = f"{kind}s"
    found = []
    for index, values in enumerate(value if isinstance(value, list) else [value]):
        if isinstance(value, list) and isinstance(values, dict):
            found.append(Table(f"{kind} {index + 1}", values, (name, index), lines, problems))
        else:
            line = lines.get((name, index), lines.get((name,), 0))
            problems.append(Problem(line, f"{kind} {index + 1}: must be a table under [[{name}]]"))
    return found


def _signature(status: os.stat_result) -> _Signature:
    return (status.st_mtime_ns, status.st_size, status.st_ino, status.st_dev)
