"""Read the callers file: all of its callers, or all of its problems."""

from __future__ import annotations

import os
import re

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from tokenauthority.callers.file_checks import IDENTITIES, Problem, Table, check_document, identities_of, tables_of
from tokenauthority.callers.registry import CallerEntry, CallerRegistry
from tokenauthority.callers.toml_lines import Path as TomlPath
from tokenauthority.callers.toml_lines import locate
from tokenauthority.domain.caller import Caller
from tokenauthority.files import open_regular, signature_of
from tokenauthority.toml_text import TomlTextError, parse_toml


MAX_FILE: Final = 1_048_576
"""Bytes of a callers file: 1 MiB."""

_QUOTED: Final = re.compile(r"'[^' ]{9,}'")


class CallersFileError(Exception):
    """The file is invalid; `problems` has every problem by line, and never a secret."""

    def __init__(self, path: Path, problems: Iterable[Problem]) -> None:
        self.path = path
        self.problems = tuple(sorted(problems))
        super().__init__(f"callers file {path}: " + "; ".join(map(str, self.problems)))


class CallersFileUnreadableError(CallersFileError):
    """The file cannot be read: whether it is valid is unknown."""


def load_callers(path: Path, own_issuer: str = "") -> CallerRegistry:
    """Return the callers of the file, read once; see `CallersFile.load`."""
    return CallersFile(path, own_issuer).load()


class CallersFile:
    """The callers file, which notices changes since it was last read.

    *own_issuer* is the authority's own issuer, whose tokens are never a caller's credential.
    """

    def __init__(self, path: Path, own_issuer: str) -> None:
        self.path = path
        self._own_issuer = own_issuer
        self._seen: tuple[int, ...] | None = None

    def changed(self) -> bool:
        """Return whether time, size or inode differ from those when the file was last read, or it came or went."""
        try:
            signature = signature_of(self.path.stat())
        except OSError:
            signature = None
        return signature != self._seen

    def load(self) -> CallerRegistry:
        """Return the callers that the file has now.

        Raises:
            CallersFileError: the file cannot be read, is not TOML, or any entry is invalid.
        """
        self._seen = None
        try:
            with open_regular(self.path) as file:
                self._seen = signature_of(os.fstat(file.fileno()))
                data = file.read(MAX_FILE + 1)
        except OSError as error:
            problem = Problem(0, f"cannot be read: {error.strerror}")
            raise CallersFileUnreadableError(self.path, [problem]) from error
        return self.parse(data)

    def parse(self, data: bytes) -> CallerRegistry:
        """Return the callers that the file would have if *data* were its content; raise CallersFileError as `load`."""
        if len(data) > MAX_FILE:
            raise self._error([Problem(0, f"is larger than {MAX_FILE} bytes")])
        try:
            text, document = parse_toml(data)
            lines = locate(text)
        except TomlTextError as error:
            # The parser quotes keys, and one of them may be an API key in the wrong place.
            raise self._error([Problem(error.line, _QUOTED.sub("'…'", str(error)))]) from None
        except RecursionError:
            raise self._error([Problem(0, "is nested too deep")]) from None
        return self._build_registry(document, lines)

    def _build_registry(self, document: Table, lines: Mapping[TomlPath, int]) -> CallerRegistry:
        found, problems = check_document(document, lines, self._own_issuer)
        if found is None or problems:
            raise self._error(problems)
        entries = []
        for model, (path, table) in zip(found.callers, tables_of(document, "callers"), strict=True):
            grant = model.to_grant()
            field_lines = {field: lines[(*path, field)] for field in table}
            for number, (field, identity) in enumerate(identities_of(table)):
                caller = Caller(name=model.name, kind=IDENTITIES[field][0], identity=str(identity), grant=grant)
                expires, created = (model.moment_of_key(each, number) for each in (model.expires, model.created))
                entries.append(CallerEntry(caller, identity, lines[path], field_lines, expires, created))
        return CallerRegistry(entries, (model.to_issuer(self.path.parent) for model in found.issuers))

    def _error(self, problems: Iterable[Problem]) -> CallersFileError:
        return CallersFileError(self.path, problems)
