"""Find the trusted checkpoint: the one that a log must hold, read from outside of the log's own files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import attrs

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tokenauthority.audit.checkpoint import Checkpoint, CheckpointFile, last_checkpoint, unknown_key_text
from tokenauthority.audit.keys import key_id
from tokenauthority.audit.reading.files import FirstLineError, in_order


class TrustedCheckpointError(Exception):
    """A file that must hold a valid checkpoint does not."""


@attrs.frozen
class TrustedCheckpoint:
    """A checkpoint and the file that it was read from."""

    checkpoint: Checkpoint
    path: Path

    def require_signature(self, keys: Sequence[Ed25519PublicKey]) -> None:
        """Raise TrustedCheckpointError if none of *keys* signed it; it says whether key or signature is wrong."""
        if self.checkpoint.key_id not in map(key_id, keys):
            raise TrustedCheckpointError(f"{self.path}: {unknown_key_text(self.checkpoint, map(key_id, keys))}")
        if not any(self.checkpoint.is_signed_by(key) for key in keys):
            raise TrustedCheckpointError(f"{self.path}: the signature of the checkpoint is invalid")


def read_trusted_checkpoint(path: Path) -> TrustedCheckpoint:
    """Return the last checkpoint in the file; raise TrustedCheckpointError if it holds none."""
    checkpoint = last_checkpoint(path)
    if checkpoint is None:
        raise TrustedCheckpointError(
            f"{path}: it holds no checkpoint; of an operational log, only lines in JSON are read"
        )
    return TrustedCheckpoint(checkpoint, path)


def find_trusted_checkpoint(files: Sequence[Path], on_skipped: Callable[[Path], None]) -> TrustedCheckpoint | None:
    """Return the newest checkpoint in the checkpoint files of the log *files*, wherever in their directories, if any.

    A checkpoint file with the name of one of *files* counts in any case: if it is of another log, the file was
    replaced. Any other one that holds no checkpoint is reported to *on_skipped*.

    Raises:
        TrustedCheckpointError: The checkpoint file of one of *files* holds no checkpoint.
    """
    log_id = _log_id(files)
    own = {path for file in files if (path := CheckpointFile(file).path).is_file()}
    found = [read_trusted_checkpoint(path) for path in sorted(own)]
    for path in sorted({path for file in files for path in file.parent.glob("*.head")} - own):
        try:
            trusted = read_trusted_checkpoint(path)
        except (TrustedCheckpointError, OSError):
            on_skipped(path)
            continue
        if trusted.checkpoint.log_id == log_id:
            found.append(trusted)
    return max(found, key=lambda each: (each.checkpoint.log_id != log_id, each.checkpoint.count), default=None)


def _log_id(files: Sequence[Path]) -> str:
    try:
        return next((part.log_id for part in in_order(files)), "")
    except FirstLineError:
        return ""
