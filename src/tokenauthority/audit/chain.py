"""The chain: every line holds its number, the SHA-256 of the line before it, and a check sum of itself.

A line is one JSON object that begins `{"seq":7,"prev":"<64 hex>","type":"rpc"` and ends `,"crc":"<8 hex>"}`. The hash
shows that any line was touched; the check sum (CRC-32, no protection by itself) says which of two neighbours it was,
and tells a damaged last line, which no other line vouches for yet, from a whole one.
"""

from __future__ import annotations

import zlib

from hashlib import sha256
from typing import Final, NamedTuple

import msgspec


GENESIS: Final = "0" * 64
"""`prev` of a log's first line."""

MAX_LINE: Final = 16 * 1024 * 1024
"""Bytes of a line, its newline included. The record of a batch of 1000 tokens has about 2 million at most."""

_CRC: Final = b',"crc":"%08x"}'
_CRC_LENGTH: Final = len(_CRC % 0)


class Position(NamedTuple):
    """A place in a log: the number of the line before it, which is also how many there are, and its hash."""

    seq: int = 0
    head: str = GENESIS


class Link(msgspec.Struct, frozen=True):
    """What chains a line: its number from 1, the hash of the line before, and its type."""

    seq: int
    prev: str
    type: str


class DamagedLineError(Exception):
    """These bytes are no line of an audit log, or not as they were written; the text says why, and none of them."""


_links: Final = msgspec.json.Decoder(Link)


def seal(position: Position, kind: str, body: bytes) -> tuple[bytes, Position]:
    """The line (without newline) of *kind* at *position* with the fields of *body*, and the position after it.

    *body* is a JSON object without white space around it and without the names seq, prev, type and crc.
    """
    start = _start(position.seq + 1, position.head, kind)
    line = b"%b,%b" % (start, body[1:-1]) if len(body) > len(b"{}") else start
    line += _CRC % zlib.crc32(line)
    return line, Position(position.seq + 1, digest(line))


def read(line: bytes) -> Link:
    """What chains *line* (without newline).

    Raises:
        DamagedLineError: it is no line of an audit log, or was damaged.
    """
    if len(line) >= MAX_LINE:
        raise DamagedLineError("it is longer than a record can be")
    content = line[:-_CRC_LENGTH]
    if line[-_CRC_LENGTH:] != _CRC % zlib.crc32(content):
        raise DamagedLineError("it was changed or damaged: its check sum does not fit")
    try:
        link = _links.decode(line)
    except (msgspec.MsgspecError, RecursionError):
        raise DamagedLineError("it is no record of an audit log") from None
    # Another reader of JSON must not find other values in the same bytes, such as a name that stands there twice.
    if not content.startswith(_start(link.seq, link.prev, link.type)):
        raise DamagedLineError("it does not begin as a record of an audit log does")
    return link


def digest(line: bytes) -> str:
    """The hash by which the next line vouches for *line* (without newline)."""
    return sha256(line).hexdigest()


def _start(seq: int, prev: str, kind: str) -> bytes:
    return b'{"seq":%d,"prev":"%b","type":"%b"' % (seq, prev.encode(), kind.encode())
