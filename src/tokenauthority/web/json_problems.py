"""Say what is wrong with a JSON object that is no message of a kind, field by field."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message_factory import GetMessageClass

from tokenauthority.domain.errors import FieldViolation


_MAX_NAME: Final = 64
"""Characters of an unknown name that the error repeats."""

_MOST: Final = 50
"""Problems that are named at once."""

_FORMS: Final = {
    "google.protobuf.Timestamp": "a text such as 2030-01-31T12:00:00Z",
    "google.protobuf.Duration": "a text of seconds such as 3600s",
    "google.protobuf.FieldMask": "a text of field names with commas such as displayName,maxTtl",
}
"""How the messages are written that JSON has as a text."""

_KINDS: Final = {
    FieldDescriptor.CPPTYPE_BOOL: "true or false",
    FieldDescriptor.CPPTYPE_STRING: "a text",
    FieldDescriptor.CPPTYPE_INT32: "a whole number",
    FieldDescriptor.CPPTYPE_INT64: "a whole number",
    FieldDescriptor.CPPTYPE_UINT32: "a whole number from 0",
    FieldDescriptor.CPPTYPE_UINT64: "a whole number from 0",
}


def problems_of(kind: Descriptor, value: object, place: str = "") -> list[FieldViolation]:
    """Return the first problems of *value*, which stands at *place* and is no message of *kind*; at least one.

    No problem repeats a value, which can be a secret.
    """
    return list(islice(_problems(kind, value, place), _MOST)) or [FieldViolation(place, f"is not a {kind.name}")]


def _problems(kind: Descriptor, value: object, place: str) -> Iterator[FieldViolation]:
    if not isinstance(value, dict):
        yield FieldViolation(place, "must be an object")
        return
    fields = {name: field for field in kind.fields for name in (field.json_name, field.name)}
    given: dict[str, str] = {}
    for name, part in value.items():
        field = fields.get(name)
        if field is None:
            yield FieldViolation(_below(place, _shown(name)), f"is not a field of {kind.name}")
            continue
        path = _below(place, field.name)
        group = field.name if field.containing_oneof is None else field.containing_oneof.name
        if part is None:
            continue
        if group in given:
            yield FieldViolation(path, f"is given beside {given[group]}")
        given[group] = name
        if not field.is_repeated:
            yield from _problems_of_value(field, part, path)
        elif not isinstance(part, list):
            yield FieldViolation(path, "must be a list")
        else:
            for index, item in enumerate(part):
                yield from _problems_of_value(field, item, f"{path}[{index}]")


def _problems_of_value(field: FieldDescriptor, value: Any, path: str) -> Iterator[FieldViolation]:
    message = field.message_type
    if message is not None and message.full_name not in _FORMS:
        yield from _problems(message, value, path)
        return
    try:
        ParseDict(
            {field.name: [value] if field.is_repeated else value},
            GetMessageClass(cast("Descriptor", field.containing_type))(),
        )
    except ParseError:
        yield FieldViolation(path, f"must be {_form(field)}")


def _form(field: FieldDescriptor) -> str:
    if field.message_type is not None:
        return _FORMS[field.message_type.full_name]
    if field.enum_type is not None:
        return "one of " + ", ".join(value.name for value in field.enum_type.values)
    return _KINDS.get(field.cpp_type, "another kind of value")


def _below(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _shown(name: str) -> str:
    """Return an unknown name in a form that can do no harm where the error is shown."""
    return "".join(char if " " < char <= "~" else "?" for char in name[:_MAX_NAME])
