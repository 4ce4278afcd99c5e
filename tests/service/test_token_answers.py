"""The encoded answers are what protobuf reads as their tokens."""

from __future__ import annotations

import asyncio
import math
import threading

from unittest import mock

import pytest

from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from tokenauthority.authority import time_slice
from tokenauthority.authority.time_slice import TimeSlice
from tokenauthority.domain.times import Seconds
from tokenauthority.domain.token import MAX_TOKEN, GeneratedToken, TokenTerms
from tokenauthority.domain.token_format import TokenFormat
from tokenauthority.service import mapping
from tokenauthority.service.token_answers import BatchAnswers, encode_token
from tokenauthority.v1 import token_pb2 as pb


def made(size: int, role: str) -> GeneratedToken:
    """A token of so many characters."""
    terms = TokenTerms(
        format=TokenFormat.OPENTOK_T1,
        key_id="k",
        session_id="s",
        role=role,
        issue_time=Seconds(1),
        expire_time=Seconds(86_401),
    )
    return GeneratedToken("t" * size, f"{size}", "", terms)


def as_message(token: GeneratedToken) -> pb.Token:
    """What an answer says of the token."""
    terms = token.terms
    return pb.Token(
        token=token.token,
        token_id=token.token_id,
        session_id=terms.session_id,
        project_id=terms.project_id,
        role=terms.role,
        format=mapping.FORMATS_OUT[terms.format],
        key_id=terms.key_id,
        issue_time=Timestamp(seconds=terms.issue_time),
        expire_time=Timestamp(seconds=terms.expire_time),
    )


@given(st.lists(st.builds(made, st.sampled_from([1, 127, 128, 500, 16_384, MAX_TOKEN]), st.text(max_size=3))))
async def test_encodes_what_protobuf_would(tokens: list[GeneratedToken]) -> None:
    """Byte for byte, in their order, on the same terms or on others."""
    messages = [as_message(token) for token in tokens]
    each = [pb.GenerateTokenResponse(token=message).SerializeToString() for message in messages]

    assert each == [encode_token(token) for token in tokens]
    encoded = await BatchAnswers().encode(tokens, TimeSlice())
    assert pb.BatchGenerateTokensResponse(tokens=messages).SerializeToString() == encoded


async def test_keeps_no_token() -> None:
    """What is encoded is not in memory once more."""
    tokens = [made(500, "moderator")] * 3
    await BatchAnswers().encode(tokens, TimeSlice())

    assert not tokens


async def test_lets_others_have_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once in 64 tokens at the latest, if its time is over."""
    monkeypatch.setattr(time_slice, "_SHARE", 0.0)
    turns = 0
    tokens = [made(500, "moderator") for _ in range(64 * 10)]
    messages = [as_message(token) for token in tokens]
    encoded = asyncio.create_task(BatchAnswers().encode(tokens, TimeSlice()))
    while not encoded.done():
        turns += 1
        await asyncio.sleep(0)

    assert messages == list(pb.BatchGenerateTokensResponse.FromString(encoded.result()).tokens)
    assert turns > 10


async def _other() -> None:
    """What another call does in one turn."""


async def test_has_only_the_time_that_its_call_has_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """The call may have used it up before, to make the tokens."""
    monkeypatch.setattr(time_slice, "_SHARE", 3600.0)
    used_up = TimeSlice()
    used_up.end = 0.0
    other = asyncio.ensure_future(_other())

    await BatchAnswers().encode([made(500, "moderator")], used_up)

    assert other.done()


_MEBIBYTE = 1024 * 1024


@pytest.mark.parametrize(
    ("length", "expected"), [(_MEBIBYTE, ["answer", "other"]), (_MEBIBYTE + 1, ["other", "answer"])]
)
async def test_joins_an_answer_of_more_than_a_mebibyte_beside_the_event_loop(length: int, expected: list[str]) -> None:
    """To put megabytes together would hold the loop for as long as a thousand signatures of short ones."""
    order: list[str] = []

    async def other() -> None:
        order.append("other")

    tokens = [made(MAX_TOKEN - 200, "moderator") for _ in range(25)]
    others = pb.BatchGenerateTokensResponse(tokens=map(as_message, tokens)).ByteSize()
    last = pb.BatchGenerateTokensResponse(tokens=[as_message(made(20_000, "moderator"))]).ByteSize() - 20_000
    tokens.append(made(length - others - last, "moderator"))
    messages = [as_message(token) for token in tokens]
    unlimited = TimeSlice()
    unlimited.end = math.inf
    beside = asyncio.ensure_future(other())
    encoded = await BatchAnswers().encode(tokens, unlimited)
    order.append("answer")
    await beside

    assert (length, expected) == (len(encoded), order)
    assert messages == list(pb.BatchGenerateTokensResponse.FromString(encoded).tokens)


async def test_joins_a_long_answer_also_where_the_system_allows_no_thread() -> None:
    """The tokens are made and counted by then."""
    tokens = [made(MAX_TOKEN, "moderator") for _ in range(32)]
    messages = [as_message(token) for token in tokens]
    with mock.patch.object(threading.Thread, "start", side_effect=RuntimeError):
        encoded = await BatchAnswers().encode(tokens, TimeSlice())

    assert messages == list(pb.BatchGenerateTokensResponse.FromString(encoded).tokens)
