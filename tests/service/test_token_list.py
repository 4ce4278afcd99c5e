"""The encoded answer of a batch is what protobuf reads as its tokens."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tokenauthority.domain.times import Seconds
from tokenauthority.domain.token import MAX_TOKEN, GeneratedToken, TokenClaims
from tokenauthority.domain.token_format import TokenFormat
from tokenauthority.service import token_mapping
from tokenauthority.service.token_list import encode_token_list
from tokenauthority.v1 import token_pb2 as pb


def made(size: int, role: str) -> GeneratedToken:
    """A token of so many characters."""
    claims = TokenClaims(session_id="s", role=role, issue_time=Seconds(1), expire_time=Seconds(86_401))
    return GeneratedToken(
        token="t" * size, token_id=f"{size}", format=TokenFormat.OPENTOK_T1, key_id="k", claims=claims
    )


@given(st.lists(st.builds(made, st.sampled_from([1, 127, 128, 500, 16_384, MAX_TOKEN]), st.text(max_size=3))))
async def test_encodes_what_protobuf_would(tokens: list[GeneratedToken]) -> None:
    """Byte for byte, in their order, on the same terms or on others."""
    expected = pb.BatchGenerateTokensResponse(tokens=map(token_mapping.token_message, tokens))

    assert expected.SerializeToString() == await encode_token_list(tokens)


async def test_keeps_no_token() -> None:
    """What is encoded is not in memory once more."""
    tokens = [made(500, "moderator")] * 3
    await encode_token_list(tokens)

    assert not tokens
