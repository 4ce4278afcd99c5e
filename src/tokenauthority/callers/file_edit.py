"""Change the text of a callers file: append, change or remove a caller. All other lines stay as they are."""

from __future__ import annotations

import json
import re

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from tokenauthority.callers.file_checks import Table, tables_of
from tokenauthority.callers.toml_lines import Path, locate
from tokenauthority.domain.similar_names import did_you_mean
from tokenauthority.toml_text import TomlTextError, parse_toml


Value: TypeAlias = "str | int | datetime | Sequence[str | datetime] | Mapping[str, str]"

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


def with_fields(data: bytes, name: str, fields: Mapping[str, Value | None]) -> str:
    """Return the text of *data*, a valid callers file, in which the caller *name* has *fields*; None removes a field.

    The other fields, the place of the table and all comments stay, but for comments within a value that is replaced.

    Raises:
        CallersEditError: no caller has this name, or a field is not a key with its value under `[[callers]]`.
    """
    text, document = parse_toml(data)
    path, table = _find_caller(document, name)
    starts = locate(text)
    lines = text.split("\n")
    spans = {field: _span_of(lines, starts, (*path, field), field) for field in table}
    place = max(end for end, _ in spans.values())
    width = lines[starts[*path, "name"] - 1].find("=") - 1
    added = {field: value for field, value in fields.items() if field not in table and value is not None}
    lines[place:place] = [f"{field:{max(0, width)}} = {_format_value(value)}" for field, value in added.items()]
    # From the last field to the first, so that the numbers of the lines before it stay.
    for field in sorted(table, key=lambda field: starts[*path, field], reverse=True):
        if field in fields:
            begin, (end, comment), value = starts[*path, field] - 1, spans[field], fields[field]
            key = lines[begin][: lines[begin].find("=") + 1]
            lines[begin : end or begin + 1] = [] if value is None else [f"{key} {_format_value(value)}{comment}"]
    left = "\n".join(lines)
    wanted = {field: value for field, value in {**table, **fields}.items() if value is not None}
    if not _holds(left, {**document, "callers": [wanted if each is table else each for each in document["callers"]]}):
        raise CallersEditError(f"line {starts[path]}: this table cannot be changed by a program; edit the file by hand")
    return left


def _span_of(lines: Sequence[str], starts: Mapping[Path, int], path: Path, field: str) -> tuple[int, str]:
    """Return the line where the field at *path* ends, and the comment at its end; 0 if it is no key with its value."""
    begin = starts[path] - 1
    inner = max(line for place, line in starts.items() if place[: len(path)] == path)
    others = [line - 1 for place, line in starts.items() if place[: len(path)] != path and line - 1 >= inner]
    for end in range(inner, min(others, default=len(lines)) + 1):
        value = _value_in(lines[begin:end], field)
        if value is not None:
            break
    else:
        return 0, ""
    last = lines[end - 1]
    for found in re.finditer(r"\s*#", last):
        if _value_in([*lines[begin : end - 1], last[: found.start()]], field) == value:
            return end, last[found.start() :]
    return end, ""


def _value_in(lines: Sequence[str], field: str) -> object:
    """Return the value that *lines* give *field*, and nothing else; None if they are not that."""
    try:
        found = parse_toml("\n".join(lines).encode())[1]
    except TomlTextError:
        return None
    return found[field] if found.keys() == {field} else None


def without_caller(data: bytes, name: str) -> tuple[str, str]:
    """Return the text of *data*, a valid callers file, without the caller *name*, and the lines that it lacks now.

    The comment lines right above the table go with it, but for those at the top of the file.

    Raises:
        CallersEditError: no caller has this name, or its table is no block of lines under `[[callers]]`.
    """
    text, document = parse_toml(data)
    path, _ = _find_caller(document, name)
    tables = dict(tables_of(document, "callers"))
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


def _find_caller(document: Table, name: str) -> tuple[Path, Table]:
    found = next((row for row in tables_of(document, "callers") if row[1].get("name") == name), None)
    if found is None:
        names = [str(table.get("name")) for _, table in tables_of(document, "callers")]
        raise CallersEditError(f"the file has no caller {name!r}{did_you_mean(name, names)}")
    return found


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
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{', '.join(map(_format_value, value))}]"
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    # JSON leaves U+007F as it is, and TOML does not take it.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
