"""Print the contract's messages: as tables for a person, as JSON for a program."""

from __future__ import annotations

import json

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, cast

import click

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


def record(message: Message) -> Record:
    """Return *message* by its field names: enum values by their short names, None for an unset time or message."""
    fields = cast("Sequence[FieldDescriptor]", message.DESCRIPTOR.fields)
    return {field.name: _field_value(message, field) for field in fields}


def show_record(values: Record, *, as_json: bool, err: bool = False) -> None:
    """Print one object; with *err* on standard error, because standard output has the answer proper."""
    if as_json:
        click.echo(to_json(values), err=err)
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in values.items():
        table.add_row(name, Text(human(value)))
    _print_table(table, err=err)


def show_list(records: Sequence[Record], columns: Sequence[str], *, as_json: bool) -> None:
    """Print objects: the table has only these *columns*, JSON has all fields."""
    if as_json:
        click.echo(to_json(records))
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for values in records:
        table.add_row(*(Text(human(values[column])) for column in columns))
    _print_table(table, err=False)


def to_json(value: Record | Sequence[Record]) -> str:
    """Return *value* as indented JSON: times in RFC 3339, lifetimes in whole seconds."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=_json_value)


def event_line(message: Message, *, as_json: bool) -> str:
    """Return one message of a stream on one line: as JSON, or the kind of its event and the event's fields."""
    values = record(message)
    if as_json:
        return json.dumps(values, ensure_ascii=False, default=_json_value)
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
    """Return *text* with control and formatting characters escaped: anyone may have written a token's data."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _print_table(table: Table, *, err: bool) -> None:
    from rich.console import Console

    console = Console(stderr=err, highlight=False)
    if not console.is_terminal:
        console = Console(stderr=err, highlight=False, width=_WIDE)
    with console.capture() as captured:
        console.print(table)
    # rich fills every line up to the table's width.
    click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()), err=err)


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
    if isinstance(value, Timestamp):
        return value.ToDatetime(tzinfo=UTC)
    if isinstance(value, Duration):
        return value.ToTimedelta()
    if field.message_type is not None:
        return record(cast("Message", value))
    if field.enum_type is not None:
        from tokenauthority.client.conversions import to_text

        name = to_text(field.enum_type, cast("int", value))
        return name.upper() if field.enum_type.name.endswith("Reason") else name
    return value
