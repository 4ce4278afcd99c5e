"""Bound a JSON text before it is decoded: how deep it is, how many values it has, and where the items of a list stand.

A decoded text can take a hundred times its bytes, and recursion follows its depth. So the text is looked through once,
without making anything of it. Whether it is JSON at all is for the decoder to say.
"""

from __future__ import annotations

import re

from collections.abc import Sequence
from typing import Final

import attrs

from tokenauthority.authority.time_slice import TimeSlice
from tokenauthority.contract import DEFAULT_REQUEST_BYTES
from tokenauthority.domain.errors import FieldViolation, InvalidRequestError


MAX_DEPTH: Final = 16
"""Objects and lists within each other. The messages of the contract have at most 5."""

MAX_PARTS: Final = 4096
"""Texts, brackets and commas of a request, and of each item of a list."""

PARTS_AN_ITEM: Final = 128
"""Texts, brackets and commas of an item on average: a TokenRequest with every field has about 30."""

_TOKEN: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|["{}\[\],]', re.DOTALL)
"""A text, a quotation mark without its end, or what structures the values. No repetition is tried in two ways."""

_LIST: Final = 2
"""The depth within a list that stands directly in the outermost object."""

_LOOKS: Final = 256
"""Tokens between two looks at the time."""

_WINDOW: Final = DEFAULT_REQUEST_BYTES + 1
"""Bytes that one search looks at."""

_STRETCH: Final = 16 * 1024
"""Bytes between two looks at the time, where a text has few tokens."""


@attrs.frozen
class Outline:
    """A JSON text in parts.

    Attributes:
        frame: The text without the items of its list.
        items: The texts of the items, not looked into; empty where there is no list.
    """

    frame: bytes = attrs.field(repr=False)
    items: Sequence[memoryview] = attrs.field(repr=False)


async def outline(text: bytes, field: str = "", max_items: int = 0) -> Outline:
    """Return the parts of *text*.

    Where *max_items* is not 0, the first list directly in the outermost object is that of *field*, which may have so
    many items.

    Raises:
        InvalidRequestError: it is deeper, or has more parts, items or bytes of an item, than is allowed.
    """
    time_slice = TimeSlice()
    reader = _Reader(field, max_items, in_list=False)
    most = MAX_PARTS + max_items * PARTS_AN_ITEM
    count = position = looked = 0
    # Nothing interrupts a search, so it looks at no more than an item may have and what ends the item.
    while found := _TOKEN.search(text, position, position + _WINDOW):
        if count >= most:
            raise _refusal(field, f"has more than {most} texts, brackets and commas")
        # Not at the first: a short text would else wait for the long work of others.
        if (count and count % _LOOKS == 0) or position - looked > _STRETCH:
            looked = position
            await time_slice.yield_if_due()
        if found[0] == b'"' and position + _WINDOW < len(text):
            raise reader.too_long()
        reader.read(found[0], found.start(), found.end())
        count, position = count + 1, found.end()
    if len(text) - position > DEFAULT_REQUEST_BYTES:
        raise reader.too_long()
    edges = reader.edges
    if reader.in_list:
        raise _refusal("", "is not JSON: a list does not end")
    if not edges:
        return Outline(text, ())
    whole = memoryview(text)
    items = [whole[start:end] for start, end in zip(edges[::2], edges[1::2], strict=True)]
    if len(items) == 1 and not bytes(items[0]).strip():
        items = []
    return Outline(text[: edges[0]] + text[edges[-1] :], items)


@attrs.define
class _Reader:
    """What is found so far; `edges` has the beginning and the end of each item of the list."""

    field: str
    max_items: int
    in_list: bool
    edges: list[int] = attrs.Factory(list)
    depth: int = 0
    parts: int = 0

    def read(self, token: bytes, start: int, end: int) -> None:
        """Read the next token, which stands from *start* to *end*."""
        self.parts += 1
        if self.parts > MAX_PARTS:
            raise _refusal(self._place, f"has more than {MAX_PARTS} texts, brackets and commas")
        if token in b"{[":
            self._open(token, end)
        elif token in b"}]":
            if self.in_list and self.depth == _LIST:
                self.edges.append(start)
                self.in_list = False
            self.depth -= 1
        elif token == b"," and self.in_list and self.depth == _LIST:
            self.parts = 0
            self.edges += (start, end)
            if len(self.edges) > 2 * self.max_items:
                raise _refusal(self.field, f"must have 1 to {self.max_items} items, has more")
        elif token == b'"':
            raise _refusal("", "is not JSON: a text does not end")

    def too_long(self) -> InvalidRequestError:
        """Return the refusal of a part that is too long to be decoded at once."""
        return _refusal(self._place, f"must have at most {DEFAULT_REQUEST_BYTES} bytes")

    @property
    def _place(self) -> str:
        return f"{self.field}[{len(self.edges) // 2}]" if self.in_list else ""

    def _open(self, token: bytes, end: int) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise _refusal("", f"has more than {MAX_DEPTH} objects and lists within each other")
        if self.max_items and token == b"[" and self.depth == _LIST and not self.edges:
            self.edges.append(end)
            self.in_list = True


def _refusal(field: str, problem: str) -> InvalidRequestError:
    return InvalidRequestError([FieldViolation(field, problem)])
