"""The encoded answers are what protobuf reads as their tokens."""

from __future__ import annotations

import asyncio

import pytest

from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from tokenauthority.authority import time_slice
from tokenauthority.domain.times import Seconds
from tokenauthority.domain.token import MAX_TOKEN, GeneratedToken, TokenTerms
from tokenauthority.domain.token_format import TokenFormat
from tokenauthority.service import mapping
from tokenauthority.service.token_answers import encode_token, encode_tokens
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
    assert pb.BatchGenerateTokensResponse(tokens=messages).SerializeToString() == await encode_tokens(tokens)


async def test_keeps_no_token() -> None:
    """What is encoded is not in memory once more."""
    tokens = [made(500, "moderator")] * 3
    await encode_tokens(tokens)

    assert not tokens


async def test_lets_others_have_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once in 64 tokens at the latest, if its time is over."""
    monkeypatch.setattr(time_slice, "_SLICE", 0.0)
    turns = 0
    tokens = [made(500, "moderator") for _ in range(64 * 10)]
    encoded = asyncio.create_task(encode_tokens(tokens))
    while not encoded.done():
        turns += 1
        await asyncio.sleep(0)

    assert encoded.result()
    assert turns > 10
