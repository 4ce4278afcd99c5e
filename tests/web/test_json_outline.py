"""A JSON text is bounded before anything is made of it, and its parts make the same text."""

from __future__ import annotations

import asyncio
import json
import re

from typing import Any

import pytest

from hypothesis import given
from hypothesis import strategies as st

from tokenauthority.authority.time_slice import TimeSlice
from tokenauthority.contract import DEFAULT_REQUEST_BYTES
from tokenauthority.domain.errors import InvalidRequestError
from tokenauthority.web import json_outline
from tokenauthority.web.json_outline import MAX_DEPTH, MAX_PARTS, PARTS_AN_ITEM, _Reader, outline


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.lists(JSON, max_size=10), st.booleans())
async def test_the_items_are_those_of_the_decoder(items: list[object], ascii_only: bool) -> None:  # noqa: FBT001 - pytest passes it by name
    """Whatever is in them: brackets in texts, escapes, lists in lists."""
    text = json.dumps({"requests": items}, ensure_ascii=ascii_only).encode()
    found = await outline(text, "requests", 1000)

    assert items == [json.loads(bytes(item)) for item in found.items]
    assert {"requests": []} == json.loads(found.frame)


@pytest.mark.parametrize("text", [b'{"a":[1,{"b":"]"}]}', b'"', b"]]]}}}", b"", b"\xff[\x00", b'{"a":[1'])
async def test_a_text_without_a_list_stays_whole(text: bytes) -> None:
    """What is not JSON is for the decoder to refuse, but for a text that has no end."""
    if text == b'"':
        with pytest.raises(InvalidRequestError, match="a text does not end"):
            await outline(text)
    else:
        assert (text, 0) == ((await outline(text)).frame, len((await outline(text)).items))


@pytest.mark.parametrize(
    ("text", "field"),
    [
        (b"[" * (MAX_DEPTH + 1), ""),
        (b'{"a":' * (MAX_DEPTH + 1), ""),
        (b"[" + b"0," * MAX_PARTS, ""),
        (b'"a" ' * (MAX_PARTS + 1), ""),
        (b'{"requests":[{},{"a":[' + b"0," * MAX_PARTS, "requests[1]"),
        (b'{"requests":[' + b"{}," * 3, "requests"),
        (b'{"requests":[{}', ""),
    ],
)
async def test_refuses_what_is_too_deep_or_has_too_much(text: bytes, field: str) -> None:
    """Before it is known whether it is JSON."""
    with pytest.raises(InvalidRequestError) as refused:
        await outline(text, "requests", 3)

    assert [field] == [violation.field for violation in refused.value.violations]


class _Watched:
    """A pattern, and how many bytes each of its searches may look at."""

    def __init__(self, pattern: re.Pattern[bytes]) -> None:
        self._pattern = pattern
        self.looked: list[int] = []

    def search(self, text: bytes, start: int, end: int) -> re.Match[bytes] | None:
        self.looked.append(min(end, len(text)) - start)
        return self._pattern.search(text, start, end)


@pytest.mark.parametrize("filling", [b" ", b"1", b"a", b"\\u0061"], ids=["space", "digit", "text", "escape"])
@pytest.mark.parametrize(
    ("before", "field"), [(b"", ""), (b'{"requests":[', "requests[0]"), (b'{"requests":[{},{"data":', "requests[1]")]
)
async def test_refuses_a_long_part_before_it_looks_through_it(
    before: bytes, field: str, filling: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A search that nothing interrupts would stop all other calls for a tenth of a second."""
    text = before + (b"" if filling in b" 1" else b'"') + filling * 1_000_000
    watched = _Watched(json_outline._TOKEN)
    monkeypatch.setattr(json_outline, "_TOKEN", watched)
    with pytest.raises(InvalidRequestError) as refused:
        await outline(text, "requests", 3)

    (violation,) = refused.value.violations
    assert (field, f"must have at most {DEFAULT_REQUEST_BYTES} bytes") == (violation.field, violation.problem)
    assert max(watched.looked) == DEFAULT_REQUEST_BYTES + 1


@pytest.mark.parametrize("item", [b'"' + b"a" * (DEFAULT_REQUEST_BYTES - 2) + b'"', b" " * DEFAULT_REQUEST_BYTES])
async def test_an_item_may_have_all_its_bytes_in_one_part(item: bytes) -> None:
    """Whether the last byte of the text follows the item, or another item does."""
    for text, count in ((b'{"requests":[' + item + b",1]}", 2), (b'{"requests":[1,' + item + b"]}", 2)):
        assert count == len((await outline(text, "requests", 3)).items)


async def test_each_item_may_have_as_many_parts() -> None:
    """A large batch of small items is no large item."""
    items = [list(range(250))] * 20
    found = await outline(json.dumps({"requests": items}).encode(), "requests", 20)

    assert 20 == len(found.items)


async def test_many_small_values_cost_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """What all items of a list may have together is less than each of them may have: the work ends there."""
    read = 0
    real = _Reader.read

    def counted(*arguments: Any) -> None:
        nonlocal read
        read += 1
        real(*arguments)

    monkeypatch.setattr(_Reader, "read", counted)
    items = [[0] * (MAX_PARTS - 100)] * 50
    most = MAX_PARTS + 50 * PARTS_AN_ITEM
    with pytest.raises(InvalidRequestError, match=f"requests: has more than {most} texts, brackets and commas"):
        await outline(json.dumps({"requests": items}).encode(), "requests", 50)

    assert most == read


async def test_a_short_text_does_not_wait_for_the_long_work_of_others() -> None:
    """Each call over HTTP has one."""
    long_work = asyncio.ensure_future(TimeSlice().next())
    await asyncio.sleep(0)
    await outline(b'{"token": "x"}', "", 0)

    assert not long_work.done()
    await long_work
