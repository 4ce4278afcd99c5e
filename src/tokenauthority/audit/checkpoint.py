"""Signed checkpoints: each states how many lines a log had at a moment, and the hash of the last of them.

Whoever can write the whole file can also compute a new chain. They cannot sign it: up to the trusted checkpoint, a
changed log shows. `CheckpointFile` stores the newest checkpoint beside the log.
"""

from __future__ import annotations

import base64
import contextlib

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tokenauthority.audit.chain import DamagedLineError, parse_link
from tokenauthority.files import replace_file


DOMAIN: Final = b"tokenauthority audit checkpoint v1\n"
"""The start of the signed bytes: no other signature by the key can pass for that of a checkpoint."""

FINAL_REASONS: Final = frozenset({"stop", "rotation"})
"""Reasons of checkpoints after which the server writes nothing more to the file."""

_MAX_CHECKPOINT: Final = 16_384


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """The signed statement that a log had `count` lines before this one, the last of them with the hash `chain_hash`.

    `time` is RFC 3339 in UTC. `reason` is start, interval, rotation, recovery or stop. `signature` is base64.
    """

    time: str
    log_id: str
    count: int
    chain_hash: str = msgspec.field(name="head")
    reason: str
    key_id: str
    signature: str = ""

    @property
    def seq(self) -> int:
        """The number of the line that holds the checkpoint."""
        return self.count + 1

    def signed_bytes(self) -> bytes:
        """Return the bytes that are signed."""
        fields = (self.log_id, self.count, self.chain_hash, self.time, self.reason, self.key_id)
        return DOMAIN + "".join(f"{field}\n" for field in fields).encode()

    def is_signed_by(self, key: Ed25519PublicKey) -> bool:
        """Return whether *key* verifies the signature."""
        # A newline in a field could move text from one field to the next under the same signature.
        if any("\n" in text for text in (self.log_id, self.chain_hash, self.time, self.reason, self.key_id)):
            return False
        try:
            key.verify(base64.b64decode(self.signature, validate=True), self.signed_bytes())
        except (InvalidSignature, ValueError):
            return False
        return True


_checkpoints: Final = msgspec.json.Decoder(Checkpoint)


def parse_checkpoint(line: bytes) -> Checkpoint:
    """Return the checkpoint in a line of a log, a checkpoint file or a log event, or raise DamagedLineError."""
    try:
        return _checkpoints.decode(line)
    except (msgspec.MsgspecError, RecursionError):
        raise DamagedLineError("it is not a checkpoint") from None


def last_checkpoint(path: Path) -> Checkpoint | None:
    """Return the last checkpoint in a checkpoint file, an audit log or an operational log of JSON lines, if any."""
    found = None
    with path.open("rb") as file:
        while line := file.readline(_MAX_CHECKPOINT):
            if b'"signature"' in line:
                with contextlib.suppress(DamagedLineError):
                    found = parse_checkpoint(line)
    return found


def unknown_key_text(checkpoint: Checkpoint, key_ids: Iterable[str]) -> str:
    """Return the message for a checkpoint whose key is none of those with the ids *key_ids*."""
    return (
        f"the checkpoint is signed by key {checkpoint.key_id}, and you gave {' and '.join(key_ids)}:"
        " another key, or not the authority's log"
    )


class CheckpointFile:
    """`<log>.head`: holds the line of the log's last checkpoint, so that a tail that was cut off the log shows."""

    def __init__(self, log: Path) -> None:
        self.path = log.with_name(f"{log.name}.head")

    def read_checkpoint(self) -> tuple[bytes, Checkpoint] | None:
        """Return the line (without newline) and its checkpoint, None without a file; raise DamagedLineError."""
        try:
            with self.path.open("rb") as file:
                line = file.read(_MAX_CHECKPOINT).removesuffix(b"\n")
        except FileNotFoundError:
            return None
        parse_link(line)
        return line, parse_checkpoint(line)

    def require_writable(self) -> None:
        """Write the present content once more, so that an OSError shows that the file cannot be written."""
        found = self.read_checkpoint()
        if found is not None:
            self.write_checkpoint(found[0])

    def write_checkpoint(self, line: bytes) -> None:
        """Replace the content by *line* (without newline), whole or not at all, also if the machine stops meanwhile."""
        replace_file(self.path, line + b"\n")
