"""Encode answers with tokens, token by token: what the tokens of a batch have in common is encoded once."""

from __future__ import annotations

from contextlib import suppress
from functools import lru_cache, partial
from typing import Final

from tokenauthority.authority.time_slice import TimeSlice
from tokenauthority.domain.token import GeneratedToken, TokenTerms
from tokenauthority.service import mapping
from tokenauthority.threads import BlockingPool, PoolError
from tokenauthority.v1 import token_pb2 as pb


_LOOK: Final = 64
"""Tokens that are encoded without a look at the time: each takes a microsecond, the longest ones ten."""

_LONG: Final = 1024 * 1024
"""The most bytes of an answer that is joined on the event loop."""

_LENGTH_DELIMITED: Final = 2
"""The wire type of texts and messages (see protobuf's encoding)."""


def encode_token(token: GeneratedToken) -> bytes:
    """Return *token* as an encoded GenerateTokenResponse."""
    text, token_id, rest = token.token.encode(), token.token_id.encode(), _encoded(token.terms)
    before, between = _heads(len(text), len(token_id), len(rest))
    return b"".join((before, text, between, token_id, rest))


class BatchAnswers:
    """Encodes the answers of batches. The parts of a long one are joined in a thread, one answer after the other.

    The system gives that thread fresh memory for the answer, page by page, which takes longer than to copy the parts.
    Python lets other threads run while it copies a mebibyte or more.
    """

    def __init__(self) -> None:
        self._thread = BlockingPool("answers")

    async def encode(self, generated: list[GeneratedToken], time_slice: TimeSlice) -> bytes:
        """Return *generated* as an encoded BatchGenerateTokensResponse, and let other calls run in between.

        The list is emptied, so that the tokens are not in memory once more.
        """
        encoded: dict[TokenTerms, bytes] = {}
        terms: TokenTerms | None = None
        rest = b""
        runs: list[bytes] = []
        parts: list[bytes] = []
        generated.reverse()
        while generated:
            token = generated.pop()
            # Tokens of one plan have the same object, so that it is rarely hashed.
            if token.terms is not terms:
                terms = token.terms
                rest = encoded.get(terms) or encoded.setdefault(terms, _encoded(terms))
            text, token_id = token.token.encode(), token.token_id.encode()
            before, between = _heads(len(text), len(token_id), len(rest))
            parts += (before, text, between, token_id, rest)
            if not len(generated) % _LOOK:
                # The parts of a run are freed here, and not those of all runs at once.
                runs.append(b"".join(parts))
                parts.clear()
                await time_slice.yield_if_due()
        join = partial(b"".join, runs)
        if sum(map(len, runs)) > _LONG:
            # Where the system allows no thread, the answer is late, and the tokens that are made are not lost.
            with suppress(PoolError):
                return await self._thread.run(join)
        return join()


def _encoded(terms: TokenTerms) -> bytes:
    """Return what an answer says of a token beside itself and its id."""
    message = pb.Token(
        session_id=terms.session_id,
        project_id=terms.project_id,
        role=terms.role,
        format=mapping.FORMATS_OUT[terms.format],
        key_id=terms.key_id,
    )
    message.issue_time.seconds = terms.issue_time
    message.expire_time.seconds = terms.expire_time
    return message.SerializeToString()


def _tag(message: type[pb.Token | pb.GenerateTokenResponse | pb.BatchGenerateTokensResponse], field: str) -> int:
    return message.DESCRIPTOR.fields_by_name[field].number << 3 | _LENGTH_DELIMITED


_ANSWERED: Final = _tag(pb.BatchGenerateTokensResponse, "tokens")
if _tag(pb.GenerateTokenResponse, "token") != _ANSWERED:
    raise ImportError("the two answers of the contract do not begin alike")
_TOKEN: Final = _tag(pb.Token, "token")
_TOKEN_ID: Final = _tag(pb.Token, "token_id")


# The tokens of a batch have much the same lengths.
@lru_cache(maxsize=1024)
def _heads(text: int, token_id: int, rest: int) -> tuple[bytes, bytes]:
    """Return what stands before a token of *text* bytes, and before its id; *rest* bytes follow."""
    before, between = _head(_TOKEN, text), _head(_TOKEN_ID, token_id)
    return _head(_ANSWERED, len(before) + text + len(between) + token_id + rest) + before, between


def _head(tag: int, length: int) -> bytes:
    """Return what stands before a value of *length* bytes; a tag of this contract has one byte."""
    head = [tag]
    while length > 0x7F:  # noqa: PLR2004 - seven bits of a number in each byte, see protobuf's encoding
        head.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes((*head, length))
