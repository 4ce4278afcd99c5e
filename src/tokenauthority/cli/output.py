r"""Print all that a command says: as tables and lines for a person, as JSON for a program.

Anyone may have written a token's data or a comment, so a character that moves the cursor, hides text or turns its
direction is printed as an escape such as `\u202e`, and so is one that the encoding of the output lacks. The escapes in
JSON are those of JSON.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import sys

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO, cast

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp


if TYPE_CHECKING:
    from rich.table import Table


Record = dict[str, object]
"""Field names to values: text, numbers, booleans, times, lifetimes, None, records, and lists of them."""

_WIDE: Final = 100_000
"""Columns of a table outside a terminal, where an id must not be broken."""

_LONGEST_WORD: Final = 200
"""Columns for which a table is made wider than the terminal: more than any id, and no text without an end."""

_GAP: Final = 2
"""Blanks between two columns."""

_INVISIBLE: Final = frozenset(
    map(
        chr,
        (
            *(0x34F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0),
            *range(0x180B, 0x1810),
            *range(0xFE00, 0xFE10),
            *range(0xE0100, 0xE01F0),
        ),
    )
)
"""Characters without a glyph that Python calls printable: fillers, joiners and variation selectors."""


def print_text(text: str, *, err: bool = False, end: str = "\n") -> None:
    """Print lines, on standard error with *err*."""
    _write("\n".join(map(printable, text.split("\n"))) + end, err=err)


def record(message: Message) -> Record:
    """Return *message* by its field names: enum values by their short names, None for an unset time or message."""
    fields = cast("Sequence[FieldDescriptor]", message.DESCRIPTOR.fields)
    return {field.name: _field_value(message, field) for field in fields}


def show_record(values: Record, *, as_json: bool, err: bool = False) -> None:
    """Print one object; with *err* on standard error, because standard output has the answer proper."""
    if as_json:
        print_text(to_json(values), err=err)
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in values.items():
        table.add_row(name, Text(_encodable(human(value), err=err)))
    _print_table(table, err=err)


def show_list(records: Sequence[Record], columns: Sequence[str], *, as_json: bool) -> None:
    """Print objects: the table has only these *columns*, JSON has all fields."""
    if as_json:
        print_text(to_json(records))
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    rows = [[_encodable(human(values[column]), err=False) for column in columns] for values in records]
    width = 0
    for index, column in enumerate(columns):
        # An id that is broken in two cannot be copied: a terminal that is too narrow wraps whole lines instead.
        longest = min(_LONGEST_WORD, max(len(word) for row in [columns, *rows] for word in row[index].split()))
        table.add_column(column, overflow="fold", min_width=longest)
        width += longest + _GAP
    for row in rows:
        table.add_row(*map(Text, row))
    _print_table(table, err=False, least=width)


def print_styled(lines: Sequence[tuple[str, str]], *, err: bool = False) -> None:
    """Print each text in its style of rich, such as `green`: a terminal without NO_COLOR shows it."""
    from rich.console import Console
    from rich.text import Text

    stream = sys.stderr if err else sys.stdout
    console = Console(stderr=err, highlight=False, force_terminal=stream is not None and stream.isatty())
    with console.capture() as captured:
        for text, style in lines:
            console.print(Text(_encodable(printable(text), err=err), style), soft_wrap=True)
    _write(captured.get(), err=err)


def to_json(value: Record | Sequence[Record]) -> str:
    """Return *value* as indented JSON: times in RFC 3339, lifetimes in whole seconds."""
    return _escape_json(json.dumps(value, indent=2, ensure_ascii=False, default=_json_value))


def event_line(message: Message, *, as_json: bool) -> str:
    """Return one message of a stream on one line: as JSON, or the kind of its event and the event's fields."""
    values = record(message)
    if as_json:
        return _escape_json(json.dumps(values, ensure_ascii=False, default=_json_value))
    kind = message.WhichOneof("event") or ""
    return f"{kind} {human(values.get(kind))}".rstrip()


def human(value: object) -> str:
    """Return *value* on one line for a person; characters that move the cursor or hide text are escaped."""
    match value:
        case None | "":
            text = "-"
        case bool():
            text = "yes" if value else "no"
        case datetime():
            text = value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        case timedelta():
            text = _human_lifetime(value)
        case list() | tuple():
            text = ", ".join(map(human, value)) or "-"
        case dict():
            text = " ".join(f"{name}={human(part)}" for name, part in value.items() if part not in {None, ""})
        case _:
            text = printable(str(value))
    return text


def printable(text: str) -> str:
    """Return *text* with control, formatting and invisible characters escaped."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if _is_shown(c, "utf-8") else c.encode("unicode_escape").decode() for c in text)


def _escape_json(text: str) -> str:
    """Return JSON with the characters escaped that `printable` would escape, or that the output lacks."""
    encoding = _encoding(sys.stdout)
    return "".join(c if c == "\n" or _is_shown(c, encoding) else _json_escape(c) for c in text)


def _json_escape(c: str) -> str:
    # `json` leaves U+007F as it is.
    return json.dumps(c)[1:-1] if c != "\x7f" else "\\u007f"


@functools.lru_cache(4096)
def _is_shown(c: str, encoding: str) -> bool:
    return c.isprintable() and c not in _INVISIBLE and c.encode(encoding, "ignore") != b""


def _encoding(stream: TextIO | None) -> str:
    return getattr(stream, "encoding", None) or "utf-8"


def _encodable(text: str, *, err: bool) -> str:
    """Return *text* with what the output lacks escaped."""
    encoding = _encoding(sys.stderr if err else sys.stdout)
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _write(text: str, *, err: bool) -> None:
    stream = sys.stderr if err else sys.stdout
    # None: it was closed before the command began.
    if stream is None:
        return
    try:
        stream.write(_encodable(text, err=err))
        stream.flush()
    except OSError:
        # Else the interpreter would write the rest again at its end, and replace the exit code by 120.
        _discard(stream)
        raise


def _discard(stream: TextIO) -> None:
    with contextlib.suppress(OSError), Path(os.devnull).open("wb") as devnull:
        os.dup2(devnull.fileno(), stream.fileno())


def _print_table(table: Table, *, err: bool, least: int = 0) -> None:
    """Print *table*, as wide as the terminal or *least* columns wide, if that is more."""
    from rich.console import Console

    stream = sys.stderr if err else sys.stdout
    # Not what rich takes for a terminal: FORCE_COLOR makes one of a pipe, where ids must not be broken.
    is_terminal = stream is not None and stream.isatty()
    console = Console(stderr=err, highlight=False, force_terminal=is_terminal, width=None if is_terminal else _WIDE)
    console.width = max(console.width, least)
    with console.capture() as captured:
        console.print(table)
    # rich fills every line up to the table's width.
    lines = captured.get().split("\n")[:-1]
    _write("".join(f"{line.rstrip()}\n" for line in lines) or "\n", err=err)


def _human_lifetime(lifetime: timedelta) -> str:
    left = int(lifetime.total_seconds())
    parts = []
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts) or "0s"


def _json_value(value: object) -> object:
    match value:
        case datetime():
            return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        case timedelta():
            return int(value.total_seconds())
    raise TypeError(type(value).__name__)


def _field_value(message: Message, field: FieldDescriptor) -> object:
    value: object = getattr(message, field.name)
    if field.is_repeated:
        return [_plain_value(field, item) for item in cast("Sequence[object]", value)]
    if field.has_presence and not message.HasField(field.name):
        return None
    return _plain_value(field, value)


def _plain_value(field: FieldDescriptor, value: object) -> object:
    # Here: the commands that call no authority do not load gRPC.
    from tokenauthority.client.conversions import to_text
    from tokenauthority.client.values import read_duration, read_timestamp

    if isinstance(value, Timestamp):
        return read_timestamp(field.name, value)
    if isinstance(value, Duration):
        return read_duration(field.name, value)
    if field.message_type is not None:
        return record(cast("Message", value))
    if field.enum_type is not None:
        name = to_text(field.enum_type, cast("int", value))
        return name.upper() if field.enum_type.name.endswith("Reason") else name
    return value
