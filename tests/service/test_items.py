"""A request that is a list is counted on the wire, before any of its items is decoded."""

from __future__ import annotations

import asyncio

import pytest

from google.protobuf.descriptor_pb2 import FieldOptions
from google.protobuf.message import DecodeError, Message
from hypothesis import given
from hypothesis import strategies as st

from tokenauthority.authority import time_slice
from tokenauthority.authority.time_slice import TimeSlice
from tokenauthority.contract import DEFAULT_REQUEST_BYTES
from tokenauthority.domain.errors import InvalidRequestError
from tokenauthority.service import items as reading
from tokenauthority.service.items import items_reader, list_items, list_tag
from tokenauthority.v1 import token_pb2 as pb


KIND = pb.BatchGenerateTokensRequest.DESCRIPTOR


async def decoded(request: bytes, max_items: int = 1000) -> list[Message]:
    """All items of the bytes of a request."""
    return [item async for some in items_reader(KIND, max_items)(request).decoded(TimeSlice()) for item in some]


@given(st.lists(st.text(max_size=300), max_size=20))
async def test_reads_the_items_that_protobuf_reads(roles: list[str]) -> None:
    """In their order, and the empty ones, too."""
    batch = pb.BatchGenerateTokensRequest(requests=[pb.TokenRequest(role=role) for role in roles])

    assert list(batch.requests) == await decoded(batch.SerializeToString())


async def test_reads_lengths_of_one_byte_of_two_and_of_three() -> None:
    """A byte below 128 is a length of its own; 128 and 16384 are the first that take one more."""
    requests = [pb.TokenRequest(data="x" * size) for size in (*range(120, 130), *range(16_376, 16_386))]
    batch = pb.BatchGenerateTokensRequest(requests=requests)

    assert {127, 128, 16_383, 16_384} <= {request.ByteSize() for request in requests}
    assert requests == await decoded(batch.SerializeToString())


def test_reads_items_whose_tag_has_two_bytes() -> None:
    """The first byte of such a tag may have the value of the whole tag, as that of field 20 does."""
    values = [FieldOptions.EditionDefault(value="x" * size) for size in (0, 1, 200)]
    options, field = FieldOptions(edition_defaults=values), FieldOptions.DESCRIPTOR.fields_by_name["edition_defaults"]
    encoded = options.SerializeToString()
    found = [encoded[begin:end] for begin, end in list_items(encoded, list_tag(field))]

    assert 20 == field.number
    assert values == [FieldOptions.EditionDefault.FromString(each) for each in found]


@given(st.binary(max_size=64))
async def test_takes_no_bytes_that_protobuf_refuses(request: bytes) -> None:
    """What it takes, protobuf takes too, with the same items."""
    try:
        items = await decoded(request)
    except DecodeError:
        return

    assert list(pb.BatchGenerateTokensRequest.FromString(request).requests) == items


async def test_decodes_few_items_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other calls run between two runs, and each item is in one run."""
    monkeypatch.setattr(time_slice, "_SHARE", 0.0)
    size = reading._RUN // 4
    requests = [pb.TokenRequest(data="x" * length) for length in (size, size, size, size, 4 * size - 4, 1, 1)]
    batch = pb.BatchGenerateTokensRequest(requests=requests)
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.ensure_future(other())
    runs, seen = [], []
    async for some in items_reader(KIND, 1000)(batch.SerializeToString()).decoded(TimeSlice()):
        runs.append(list(some))
        seen.append(turns)
    beside.cancel()

    assert requests == [item for run in runs for item in run]
    assert [3, 1, 1, 2] == [len(run) for run in runs]
    assert len(seen) == len(set(seen))


async def _other() -> None:
    """What another call does in one turn."""


async def test_has_only_the_time_that_its_call_has_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other calls run once it is used up."""
    monkeypatch.setattr(time_slice, "_SHARE", 3600.0)
    used_up = TimeSlice()
    used_up.end = 0.0
    other = asyncio.ensure_future(_other())

    batch = pb.BatchGenerateTokensRequest(requests=[pb.TokenRequest()])
    runs = [
        (list(run), other.done()) async for run in items_reader(KIND, 1000)(batch.SerializeToString()).decoded(used_up)
    ]

    assert [([pb.TokenRequest()], True)] == runs


def test_refuses_too_many_items_however_small_they_are() -> None:
    """They are counted, and not decoded: one of them is no message."""
    invalid = b"\x0a\x01\xff"
    read = items_reader(KIND, 1000)

    assert 1000 == len(read(invalid * 1000))
    with pytest.raises(InvalidRequestError, match="requests: must have 1 to 1000 items, has more"):
        read(invalid * 1001)


def test_refuses_an_item_that_is_larger_than_a_request_of_one() -> None:
    """A list in an item could else have millions of elements."""
    item = pb.TokenRequest(initial_layout_class_list=[""] * (DEFAULT_REQUEST_BYTES // 2 + 1))
    batch = pb.BatchGenerateTokensRequest(requests=[pb.TokenRequest(), item])

    with pytest.raises(InvalidRequestError, match=r"requests\[1\]: must have at most 65536 bytes"):
        items_reader(KIND, 1000)(batch.SerializeToString())


@pytest.mark.parametrize(
    "request_bytes", [b"\x0a", b"\x0a\x05abc", b"\x12\x00", b"\x0a\xff\xff\xff\xff\xff\x01", b"\x08\x01"]
)
def test_refuses_bytes_that_are_no_list(request_bytes: bytes) -> None:
    """Cut off, of another field, with a length without end, or with a number for an item."""
    with pytest.raises(DecodeError):
        items_reader(KIND, 1000)(request_bytes)
