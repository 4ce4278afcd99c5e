"""Read a request that is a list without decoding it as a whole: count its items, and decode them one by one.

A decoded list can take hundred times the bytes that it had on the wire. Protobuf holds Python's lock while it decodes,
so that a thread does not help other calls; small pieces do.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Final, Generic, TypeVar

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from tokenauthority.authority.time_slice import TimeSlice
from tokenauthority.contract import DEFAULT_REQUEST_BYTES
from tokenauthority.domain.errors import FieldViolation, InvalidRequestError


_Item = TypeVar("_Item", bound=Message)

_MORE: Final = 0x80
"""The bit of a number's byte that another one follows."""

_LENGTH_DELIMITED: Final = 2
"""The wire type of a message in a field (see protobuf's encoding)."""


class EncodedItems(Generic[_Item]):
    """The items of a request of one repeated field of messages. `len()` is their number."""

    def __init__(self, items: list[memoryview], decode: Callable[[bytes], _Item]) -> None:
        self._items = items
        self._decode = decode

    def __len__(self) -> int:
        return len(self._items)

    async def decoded(self) -> AsyncIterator[_Item]:
        """Yield each item, and let other calls run in between; raise DecodeError for invalid bytes."""
        time_slice = TimeSlice()
        for item in self._items:
            yield self._decode(bytes(item))
            await time_slice.yield_if_due()


def items_reader(kind: Descriptor, max_items: int) -> Callable[[bytes], EncodedItems[Message]]:
    """Return what finds the items in the bytes of a request of *kind*, whose only field is repeated.

    It raises DecodeError for bytes that are no such request, and InvalidRequestError for more than *max_items* and for
    an item that is longer than a request of one item.
    """
    (field,) = kind.fields
    if field.message_type is None:
        raise TypeError(f"the field of {kind.full_name} has no messages")
    tag = list_tag(field)
    decode = GetMessageClass(field.message_type).FromString

    def read_items(request: bytes) -> EncodedItems[Message]:
        items: list[memoryview] = []
        for item in list_items(memoryview(request), tag):
            if len(items) == max_items:
                raise InvalidRequestError([FieldViolation(field.name, f"must have 1 to {max_items} items, has more")])
            if len(item) > DEFAULT_REQUEST_BYTES:
                problem = f"must have at most {DEFAULT_REQUEST_BYTES} bytes, has {len(item)}"
                raise InvalidRequestError([FieldViolation(f"{field.name}[{len(items)}]", problem)])
            items.append(item)
        return EncodedItems(items, decode)

    return read_items


def list_tag(field: FieldDescriptor) -> int:
    """Return what stands before each item of the list *field*."""
    return field.number << 3 | _LENGTH_DELIMITED


def list_items(message: memoryview, expected: int) -> Iterator[memoryview]:
    """Yield the contents of the fields of *message*, all of which must have the tag *expected*; raise DecodeError.

    An unknown field of a later contract is refused, and not passed over: its count would have no limit.
    """
    position, end = 0, len(message)
    while position < end:
        tag, position = _varint(message, position)
        length, position = _varint(message, position)
        if tag != expected or length > end - position:
            raise DecodeError("not a list of items")
        yield message[position : position + length]
        position += length


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    """Return the number at *position* and where it ends; a tag or a length has at most five bytes."""
    value = 0
    for shift in range(0, 35, 7):
        if position == len(message):
            break
        byte = message[position]
        position += 1
        value |= (byte & ~_MORE) << shift
        if not byte & _MORE:
            return value, position
    raise DecodeError("not a number")
