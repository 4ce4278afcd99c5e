"""The checkpoint that a log must hold, found in the head files beside its files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from tokenauthority.audit.checkpoint import Checkpoint, HeadFile, last_checkpoint, signed_by_another
from tokenauthority.audit.files import FirstLineError, in_order
from tokenauthority.audit.keys import key_id


if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


class AnchorError(Exception):
    """A file that must hold a good checkpoint does not."""


@attrs.frozen
class Anchor:
    """A checkpoint and the file that it stands in."""

    checkpoint: Checkpoint
    path: Path

    def require_signature(self, keys: Sequence[Ed25519PublicKey]) -> None:
        """Refuse one that none of the *keys* signed.

        Raises:
            AnchorError: with the reason.
        """
        if self.checkpoint.key_id not in map(key_id, keys):
            raise AnchorError(f"{self.path}: {signed_by_another(self.checkpoint, map(key_id, keys))}")
        if not any(self.checkpoint.is_signed_by(key) for key in keys):
            raise AnchorError(f"{self.path}: the signature of the checkpoint does not hold")


def read_anchor(path: Path) -> Anchor:
    """The last checkpoint in the file.

    Raises:
        AnchorError: it holds none.
        OSError: it cannot be read.
    """
    checkpoint = last_checkpoint(path)
    if checkpoint is None:
        raise AnchorError(f"{path}: it holds no checkpoint")
    return Anchor(checkpoint, path)


def find_anchor(files: Sequence[Path], passed_over: Callable[[Path], None]) -> Anchor | None:
    """The newest checkpoint in the head files of the log that is in *files*, wherever in their directories.

    A head file with the name of one of *files* counts in any case: with one of another log, the file was replaced. Any
    other one that holds no checkpoint is *passed_over*.

    Raises:
        AnchorError: a head file of one of *files* holds no checkpoint.
        OSError: a file cannot be read.
        EOFError: a compressed file is cut off.
    """
    log_id = _log_id(files)
    own = {head for file in files if (head := HeadFile(file).path).is_file()}
    found = [read_anchor(head) for head in sorted(own)]
    for head in sorted({head for file in files for head in file.parent.glob("*.head")} - own):
        try:
            anchor = read_anchor(head)
        except (AnchorError, OSError):
            passed_over(head)
            continue
        if anchor.checkpoint.log_id == log_id:
            found.append(anchor)
    return max(found, key=lambda each: (each.checkpoint.log_id != log_id, each.checkpoint.count), default=None)


def _log_id(files: Sequence[Path]) -> str:
    try:
        return next((part.log_id for part in in_order(files)), "")
    except FirstLineError:
        return ""
