"""Read a request that is a list without decoding it as a whole: count its items, and decode them piece by piece.

A decoded list can take hundred times the bytes that it had on the wire. Protobuf holds Python's lock while it decodes,
so that a thread does not help other calls; small pieces do.
"""

from __future__ import annotations

import bisect

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Final, Generic, TypeVar, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from tokenauthority.authority.time_slice import TimeSlice
from tokenauthority.contract import DEFAULT_REQUEST_BYTES
from tokenauthority.domain.errors import FieldViolation, InvalidRequestError


_Item = TypeVar("_Item", bound=Message)

_MORE: Final = 0x80
"""The bit of a number's byte that another one follows."""

_RUN: Final = 16_384
"""Bytes of items that are decoded without a look at the time, unless one item alone has more."""

_LENGTH_DELIMITED: Final = 2
"""The wire type of a message in a field (see protobuf's encoding)."""


class EncodedItems(Generic[_Item]):
    """The items of a request of one repeated field of messages. `len()` is their number."""

    def __init__(self, request: bytes, ends: list[int], decode: Callable[[bytes], Iterable[_Item]]) -> None:
        self._request = request
        self._ends = ends
        self._decode = decode

    def __len__(self) -> int:
        return len(self._ends)

    async def decoded(self, time_slice: TimeSlice) -> AsyncIterator[Iterable[_Item]]:
        """Yield the items in runs, each of one item or of at most 16 KiB; other calls run in between.

        Raises:
            DecodeError: an item is no valid message.
        """
        begin = number = 0
        while number < len(self._ends):
            await time_slice.yield_if_due()
            number = max(number + 1, bisect.bisect_right(self._ends, begin + _RUN))
            end = self._ends[number - 1]
            yield self._decode(self._request[begin:end])
            begin = end


def items_reader(kind: Descriptor, max_items: int) -> Callable[[bytes], EncodedItems[Message]]:
    """Return what finds the items in the bytes of a request of *kind*, whose only field is repeated.

    It raises DecodeError for bytes that are no such request, and InvalidRequestError for more than *max_items* and for
    an item that is longer than a request of one item.
    """
    (field,) = kind.fields
    if field.message_type is None:
        raise TypeError(f"the field of {kind.full_name} has no messages")
    tag, name, message = list_tag(field), field.name, GetMessageClass(kind)

    def decode(request: bytes) -> Iterable[Message]:
        return cast("Iterable[Message]", getattr(message.FromString(request), name))

    def read_items(request: bytes) -> EncodedItems[Message]:
        ends: list[int] = []
        for begin, end in list_items(request, tag):
            if len(ends) == max_items:
                raise InvalidRequestError([FieldViolation(name, f"must have 1 to {max_items} items, has more")])
            if end - begin > DEFAULT_REQUEST_BYTES:
                problem = f"must have at most {DEFAULT_REQUEST_BYTES} bytes, has {end - begin}"
                raise InvalidRequestError([FieldViolation(f"{name}[{len(ends)}]", problem)])
            ends.append(end)
        return EncodedItems(request, ends, decode)

    return read_items


def list_tag(field: FieldDescriptor) -> int:
    """Return what stands before each item of the list *field*."""
    return field.number << 3 | _LENGTH_DELIMITED


def list_items(message: bytes, expected: int) -> Iterator[tuple[int, int]]:
    """Yield where the content of each field of *message* begins and ends; raise DecodeError.

    All fields must have the tag *expected*. An unknown field of a later contract is refused, and not passed over: its
    count would have no limit.
    """
    position, size = 0, len(message)
    # The first byte of a longer tag can have the value of the whole tag: 130 is written as 130, 1.
    short_tag = expected if expected < _MORE else None
    while position < size:
        try:
            # A number of one byte, as most are, is read here: to call what reads all takes twice as long.
            tag, position = (expected, position + 1) if message[position] == short_tag else _number(message, position)
            length = message[position]
            length, position = (length, position + 1) if length < _MORE else _number(message, position)
        except IndexError:
            raise DecodeError("not a number") from None
        end = position + length
        if tag != expected or end > size:
            raise DecodeError("not a list of items")
        yield position, end
        position = end


def _number(message: bytes, position: int) -> tuple[int, int]:
    """Return the number at *position* and where it ends; a tag or a length has at most five bytes.

    Raises:
        IndexError: the message ends before the number does.
        DecodeError: the number has more than five bytes.
    """
    value = message[position]
    if value < _MORE:
        return value, position + 1
    value &= ~_MORE
    for place in range(1, 5):
        byte = message[position + place]
        value |= (byte & ~_MORE) << 7 * place
        if byte < _MORE:
            return value, position + place + 1
    raise DecodeError("not a number")
