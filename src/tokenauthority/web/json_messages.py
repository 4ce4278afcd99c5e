"""Map the messages of an RPC to and from JSON, as proto3 says, and refuse every field that the contract lacks."""

from __future__ import annotations

import json
import math

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn, TypeVar, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from tokenauthority.authority.time_slice import TimeSlice
from tokenauthority.contract import DEFAULT_REQUEST_BYTES, METHODS, Method
from tokenauthority.domain.errors import FieldViolation, InvalidRequestError
from tokenauthority.service.items import list_items, list_tag
from tokenauthority.web.json_outline import outline
from tokenauthority.web.json_problems import problems_of


Part = TypeVar("Part", bytes, memoryview)


class JsonMessages:
    """The request and the answer of *method* in JSON. Long lists are read and written item by item.

    Every field of an answer is written, also where it has its default; a message that is not there is left out.
    """

    def __init__(self, method: Method) -> None:
        self._request = GetMessageClass(method.descriptor.input_type)
        self._answer = GetMessageClass(method.descriptor.output_type)
        self._max_items = method.max_items

    async def decode(self, message: bytes) -> bytes:
        """Return the request *message*, a JSON text, in protobuf's encoding.

        Raises:
            InvalidRequestError: it is no JSON, too deep or too large, or no request of this method; it names the field.
        """
        list_field = _fields(self._request)[0] if self._max_items else None
        parts = await outline(message, list_field.name if list_field is not None else "", self._max_items)
        frame = _limited(parts.frame, "")
        request = _message(self._request, _decoded(frame, ""), "")
        if list_field is None:
            return request.SerializeToString()
        time_slice = TimeSlice()
        kind, items = GetMessageClass(_kind(list_field)), getattr(request, list_field.name)
        for index, item in enumerate(parts.items):
            place = f"{list_field.name}[{index}]"
            items.append(_message(kind, _decoded(bytes(_limited(item, place)), place), place))
            await time_slice.yield_if_due()
        return request.SerializeToString()

    async def encode(self, message: bytes) -> bytes | bytearray:
        """Return the answer *message* as a JSON text."""
        lists = [field for field in _fields(self._answer) if field.is_repeated and field.message_type]
        if not lists:
            return _dumped(_members(self._answer.FromString(message)))
        (field,) = lists
        if self._max_items:
            # Its answer has the list alone, and is too long to be decoded at once.
            members: dict[str, Any] = {}
            items = _each_decoded(message, field)
        else:
            answer = self._answer.FromString(message)
            items = iter(list(getattr(answer, field.name)))
            answer.ClearField(field.name)
            members = _members(answer)
            del members[field.json_name]
        time_slice = TimeSlice()
        text = bytearray(_dumped(members)[:-1])
        text += (b"," if members else b"") + _dumped(field.json_name) + b":["
        for index, item in enumerate(items):
            text += (b"," if index else b"") + _dumped(_members(item))
            await time_slice.yield_if_due()
        text += b"]}"
        return text


def json_messages() -> Mapping[str, JsonMessages]:
    """Return the JSON of every unary RPC, by its path."""
    return {path: JsonMessages(method) for path, method in METHODS.items() if not method.descriptor.server_streaming}


def _each_decoded(message: bytes, field: FieldDescriptor) -> Iterator[Message]:
    kind = GetMessageClass(_kind(field))
    return (kind.FromString(message[begin:end]) for begin, end in list_items(message, list_tag(field)))


def _message(kind: type[Message], value: object, place: str) -> Message:
    if isinstance(value, dict):
        try:
            return ParseDict(value, kind())
        except ParseError:
            pass
    raise InvalidRequestError(problems_of(_descriptor(kind), value, place))


def _limited(part: Part, place: str) -> Part:
    """Return *part*, an item or all that is beside the items, unless it is too long to be decoded at once."""
    if len(part) > DEFAULT_REQUEST_BYTES:
        problem = f"must have at most {DEFAULT_REQUEST_BYTES} bytes, has {len(part)}"
        raise InvalidRequestError([FieldViolation(place, problem if place else f"{problem} beside its list")])
    return part


def _decoded(text: bytes, place: str) -> object:
    try:
        value: object = json.loads(
            text.decode(), object_pairs_hook=_once, parse_constant=_no_number, parse_float=_finite
        )
        if b"\\u" in text:
            # Only an escape can spell half of a surrogate pair, which is no text for protobuf.
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeDecodeError as error:
        problem = f"is not UTF-8: byte {error.start}"
    except UnicodeEncodeError:
        problem = "has half of a surrogate pair"
    except json.JSONDecodeError as error:
        problem = f"is not JSON: {error.msg}, line {error.lineno}, column {error.colno}"
    except _TwiceError as error:
        problem = str(error)
    except ValueError:
        problem = "has a number that JSON does not have, or that is too large"
    else:
        return value
    raise InvalidRequestError([FieldViolation(place, problem)])


class _TwiceError(Exception):
    """A name is twice in one object, which two readers could understand differently."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Either spelling of a field is its name: `project_id` and `projectId`.
    if len({name.replace("_", "").lower() for name, _ in pairs}) != len(pairs):
        raise _TwiceError("has a name twice in one object")
    return dict(pairs)


def _no_number(_: str) -> NoReturn:
    raise ValueError


def _finite(digits: str) -> float:
    if not math.isfinite(number := float(digits)):
        raise ValueError
    return number


def _members(message: Message) -> dict[str, Any]:
    return MessageToDict(message, always_print_fields_with_no_presence=True)


def _dumped(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _descriptor(kind: type[Message]) -> Descriptor:
    return cast("Descriptor", kind.DESCRIPTOR)


def _fields(kind: type[Message]) -> Sequence[FieldDescriptor]:
    return _descriptor(kind).fields


def _kind(field: FieldDescriptor) -> Descriptor:
    if field.message_type is None:
        raise TypeError(f"{field.full_name} has no messages")
    return field.message_type
