"""Change the text of a callers file: append a caller, or remove one. All other lines stay as they are."""

from __future__ import annotations

import json

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from tokenauthority.callers.file_checks import tables_of
from tokenauthority.callers.toml_lines import locate
from tokenauthority.toml_text import TomlTextError, parse_toml


Value: TypeAlias = "str | int | datetime | Sequence[str] | Mapping[str, str]"

_ENTRY: Final = "[[callers]]"


class CallersEditError(Exception):
    """The text cannot be changed as asked for."""


def format_entry(fields: Mapping[str, Value]) -> str:
    """Return the table of a caller in TOML."""
    width = max(map(len, fields))
    return "".join([f"{_ENTRY}\n", *(f"{name:{width}} = {_format_value(value)}\n" for name, value in fields.items())])


def with_entry(text: str, entry: str) -> str:
    """Return *text* with the table *entry* at its end."""
    return f"{text.rstrip()}\n\n{entry}" if text.strip() else entry


def without_caller(data: bytes, name: str) -> tuple[str, str]:
    """Return the text of *data*, a valid callers file, without the caller *name*, and the lines that it lacks now.

    The comment lines right above the table go with it, but for those at the top of the file.

    Raises:
        CallersEditError: no caller has this name, or its table is no block of lines under `[[callers]]`.
    """
    text, document = parse_toml(data)
    tables = dict(tables_of(document, "callers"))
    path = next((path for path, table in tables.items() if table.get("name") == name), None)
    if path is None:
        raise CallersEditError(f"the file has no caller {name!r}")
    starts = locate(text)
    lines = text.split("\n")
    begin = starts[path] - 1
    # Whatever is not part of the table, and begins after it, is another table: only a header ends a table.
    others = [line - 1 for place, line in starts.items() if place[: len(path)] != path and line - 1 > begin]
    end = _above_comments(lines, min(others), begin) if others else len(lines)
    begin = _above_comments(lines, begin, -1) or begin
    left = "\n".join([*lines[:begin], *lines[end:]])
    wanted: dict[str, Any] = {**document, "callers": [table for place, table in tables.items() if place != path]}
    if not _holds(left, wanted):
        raise CallersEditError(f"line {begin + 1}: this table cannot be removed by a program; edit the file by hand")
    return left, "\n".join(lines[begin:end]).strip("\n") + "\n"


def _above_comments(lines: Sequence[str], line: int, limit: int) -> int:
    """Return the first of the comment lines right above *line*, or *line* itself."""
    while line - 1 > limit and lines[line - 1].lstrip().startswith("#"):
        line -= 1
    return line


def _holds(text: str, document: Mapping[str, object]) -> bool:
    """Return whether *text* says *document*, in which an array without tables counts as absent."""
    try:
        found = parse_toml(text.encode())[1]
    except TomlTextError:
        return False
    return found == {name: value for name, value in document.items() if value != []}


def _format_value(value: Value) -> str:
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{name} = {_format_value(part)}' for name, part in value.items())} }}"
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return json.dumps(value, ensure_ascii=False)
