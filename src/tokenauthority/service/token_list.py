"""Encode the answer of a batch token by token: what its tokens have in common is encoded once."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from tokenauthority.authority.time_slice import TimeSlice
from tokenauthority.domain.token import GeneratedToken
from tokenauthority.service import token_mapping
from tokenauthority.v1 import token_pb2 as pb


_LENGTH_DELIMITED: Final = 2
"""The wire type of texts and messages (see protobuf's encoding)."""


async def encode_token_list(generated: list[GeneratedToken]) -> bytes:
    """Return *generated* as an encoded BatchGenerateTokensResponse, and let other calls run in between.

    The list is emptied, so that the tokens are not in memory once more.
    """
    time_slice = TimeSlice()
    encoded_terms: dict[token_mapping.Terms, bytes] = {}
    parts: list[bytes] = []
    generated.reverse()
    while generated:
        token = generated.pop()
        terms = token_mapping.terms(token)
        rest = encoded_terms.get(terms)
        if rest is None:
            message = pb.Token()
            token_mapping.fill_terms(message, terms)
            rest = encoded_terms[terms] = message.SerializeToString()
        text, token_id = token.token.encode(), token.token_id.encode()
        before, between = _head(_TOKEN, len(text)), _head(_TOKEN_ID, len(token_id))
        length = len(before) + len(text) + len(between) + len(token_id) + len(rest)
        parts += (_head(_TOKENS, length), before, text, between, token_id, rest)
        await time_slice.yield_if_due()
    return b"".join(parts)


def _tag(message: type[pb.Token | pb.BatchGenerateTokensResponse], field: str) -> int:
    return message.DESCRIPTOR.fields_by_name[field].number << 3 | _LENGTH_DELIMITED


_TOKENS: Final = _tag(pb.BatchGenerateTokensResponse, "tokens")
_TOKEN: Final = _tag(pb.Token, "token")
_TOKEN_ID: Final = _tag(pb.Token, "token_id")


# The tokens of a batch have much the same lengths.
@lru_cache(maxsize=1024)
def _head(tag: int, length: int) -> bytes:
    """Return what stands before a value of *length* bytes; a tag of this contract has one byte."""
    head = [tag]
    while length > 0x7F:  # noqa: PLR2004 - seven bits of a number in each byte, see protobuf's encoding
        head.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes((*head, length))
