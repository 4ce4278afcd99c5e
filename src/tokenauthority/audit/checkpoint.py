"""Signed checkpoints: how long a log was at a moment, and the hash of its last line.

The chain alone proves nothing against someone who can write the whole file anew; the signature does, up to the last
checkpoint, as long as that checkpoint is known: see `HeadFile`.
"""

from __future__ import annotations

import base64
import contextlib

from typing import TYPE_CHECKING, Final

import msgspec

from cryptography.exceptions import InvalidSignature

from tokenauthority.audit.chain import DamagedLineError, read
from tokenauthority.audit.disk import write_whole


if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


DOMAIN: Final = b"tokenauthority audit checkpoint v1\n"
"""What the signed bytes begin with, so that no other signature of the key can pass for one of a checkpoint."""

ENDS: Final = frozenset({"stop", "rotation"})
"""Reasons of checkpoints after which nothing more is written to the same file by the same server."""

_MAX_HEAD: Final = 16_384


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """The statement: log *log_id* had *count* lines before this one, the last of which has the hash *head*.

    `time` is RFC 3339 in UTC; `reason` is start, interval, rotation, recovery or stop; `signature` is base64.
    """

    time: str
    log_id: str
    count: int
    head: str
    reason: str
    key_id: str
    signature: str = ""

    @property
    def seq(self) -> int:
        """The number of the line that holds it."""
        return self.count + 1

    def signed(self) -> bytes:
        """The bytes that are signed: none of the fields can hold a newline."""
        fields = (self.log_id, self.count, self.head, self.time, self.reason, self.key_id)
        return DOMAIN + "".join(f"{field}\n" for field in fields).encode()

    def is_signed_by(self, key: Ed25519PublicKey) -> bool:
        """Whether *key* verifies the signature."""
        if any("\n" in text for text in (self.log_id, self.head, self.time, self.reason, self.key_id)):
            return False
        try:
            key.verify(base64.b64decode(self.signature, validate=True), self.signed())
        except (InvalidSignature, ValueError):
            return False
        return True


_checkpoints: Final = msgspec.json.Decoder(Checkpoint)


def parse_checkpoint(line: bytes) -> Checkpoint:
    """The checkpoint in a line of the log, in a head file, or in an `audit.checkpoint` event of the operational log.

    Raises:
        DamagedLineError: there is none.
    """
    try:
        return _checkpoints.decode(line)
    except (msgspec.MsgspecError, RecursionError):
        raise DamagedLineError("it is no checkpoint") from None


def last_checkpoint(path: Path) -> Checkpoint | None:
    """The last checkpoint in a head file, or in an operational log of JSON lines; None where there is none.

    Raises:
        OSError: it cannot be read.
    """
    found = None
    with path.open("rb") as file:
        while line := file.readline(_MAX_HEAD):
            if b'"signature"' in line:
                with contextlib.suppress(DamagedLineError):
                    found = parse_checkpoint(line)
    return found


def signed_by_another(checkpoint: Checkpoint, given: Iterable[str]) -> str:
    """What to say of a checkpoint that none of the *given* keys, by their ids, can have signed."""
    return (
        f"the checkpoint is signed by key {checkpoint.key_id}, and you gave {' and '.join(given)}:"
        " another key, or not the authority's log"
    )


class HeadFile:
    """`<log>.head`: the line of the log's last checkpoint, beside the log, so that a tail that was cut off shows."""

    def __init__(self, log: Path) -> None:
        self.path = log.with_name(f"{log.name}.head")

    def read(self) -> tuple[bytes, Checkpoint] | None:
        """The line (without newline) and what it says; None where there is no such file.

        Raises:
            DamagedLineError: it holds no checkpoint.
            OSError: it cannot be read.
        """
        try:
            with self.path.open("rb") as file:
                line = file.read(_MAX_HEAD).removesuffix(b"\n")
        except FileNotFoundError:
            return None
        read(line)
        return line, parse_checkpoint(line)

    def probe(self) -> None:
        """Find out whether `write` would work, by writing what is there once more.

        Raises:
            OSError: it would not.
        """
        found = self.read()
        if found is not None:
            self.write(found[0])

    def write(self, line: bytes) -> None:
        """Put *line* in its place, whole or not at all, also where the machine stops in between.

        Raises:
            OSError: it cannot be written.
        """
        write_whole(self.path, line + b"\n")
