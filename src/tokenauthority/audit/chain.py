"""The format of a line: each line holds its number, the SHA-256 of the line before it and a checksum of itself.

A line is one JSON object that begins `{"seq":7,"prev":"<64 hex>","type":"rpc"` and ends `,"crc":"<8 hex>"}`. The hash
shows that a line was changed. The checksum (CRC-32, no protection by itself) shows which of two neighbours was changed,
and whether the last line is damaged, whose hash no other line holds yet.
"""

from __future__ import annotations

import zlib

from hashlib import sha256
from typing import Final, NamedTuple

import msgspec


GENESIS: Final = "0" * 64
"""`prev` of a log's first line."""

MAX_LINE: Final = 16 * 1024 * 1024
"""Bytes of a line with its newline. The record of a batch of 1000 tokens has at most about 2 million bytes."""

_CRC: Final = b',"crc":"%08x"}'
_CRC_LENGTH: Final = len(_CRC % 0)


class Position(NamedTuple):
    """The end of a chain: how many lines it has, which is the number of its last line, and the hash of that line."""

    seq: int = 0
    chain_hash: str = GENESIS


class Link(msgspec.Struct, frozen=True):
    """What chains a line: its number, from 1, the hash of the line before it, and its type."""

    seq: int
    prev: str
    type: str


class FileStart(Link, frozen=True):
    """What chains the first line of a file, which also names the log."""

    log_id: str


class DamagedLineError(Exception):
    """The bytes are not a line as a server wrote it; the message says why and quotes none of the bytes."""


_links: Final = msgspec.json.Decoder(Link)
_starts: Final = msgspec.json.Decoder(FileStart)


def chain_line(position: Position, kind: str, body: bytes) -> tuple[bytes, Position]:
    """Return the line of the type *kind* that comes after *position*, without newline, and the position after it.

    *body* is a JSON object without white space around it and without the names seq, prev, type and crc.
    """
    start = _line_start(position.seq + 1, position.chain_hash, kind)
    if len(body) > len(b"{}"):
        start += b","
    # The record of a batch is long: it is copied once.
    rest = memoryview(body)[1:-1]
    line = b"".join((start, rest, _CRC % zlib.crc32(rest, zlib.crc32(start))))
    return line, Position(position.seq + 1, hash_line(line))


def parse_link(line: bytes) -> Link:
    """Return what chains *line* (without newline), or raise DamagedLineError."""
    if len(line) >= MAX_LINE:
        raise DamagedLineError("it is longer than a record can be")
    content = line[:-_CRC_LENGTH]
    if line[-_CRC_LENGTH:] != _CRC % zlib.crc32(content):
        raise DamagedLineError("it was changed or damaged: its checksum is wrong")
    try:
        link = _links.decode(line)
    except (msgspec.MsgspecError, RecursionError):
        raise DamagedLineError("it is not a record of an audit log") from None
    # Another JSON reader must not find other values in the same bytes, such as those of a repeated name.
    if not content.startswith(_line_start(link.seq, link.prev, link.type)):
        raise DamagedLineError("it does not begin as a record of an audit log does")
    return link


def parse_file_start(line: bytes) -> FileStart:
    """Return what chains *line*, the first of a file, and the log that it names; raise as `parse_link`."""
    parse_link(line)
    try:
        return _starts.decode(line)
    except (msgspec.MsgspecError, RecursionError):
        raise DamagedLineError("it is not the first line of a file: lines before it are missing") from None


def hash_line(line: bytes) -> str:
    """Return the hash of *line* (without newline) that the next line holds as `prev`."""
    return sha256(line).hexdigest()


def _line_start(seq: int, prev: str, kind: str) -> bytes:
    return b'{"seq":%d,"prev":"%b","type":"%b"' % (seq, prev.encode(), kind.encode())
