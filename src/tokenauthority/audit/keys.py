"""The audit key: an Ed25519 key that signs checkpoints and nothing else, apart from the keys that sign tokens."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os

from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from tokenauthority.audit.checkpoint import Checkpoint
from tokenauthority.audit.disk import sync_directory, write_whole
from tokenauthority.audit.errors import AuditLogError


if TYPE_CHECKING:
    from tokenauthority.audit.chain import Position


_MAX_PEM: Final = 16_384


@attrs.frozen
class AuditKey:
    """Signs checkpoints. `key_id` is the first 16 hex digits of the SHA-256 of the 32 bytes of the public key."""

    _private: Ed25519PrivateKey = attrs.field(repr=False)
    key_id: str

    @classmethod
    def of(cls, private: Ed25519PrivateKey) -> AuditKey:
        """The key with its id."""
        return cls(private, key_id(private.public_key()))

    @classmethod
    def open(cls, path: Path) -> AuditKey:
        """The key in the PEM file (PKCS#8); made with mode 0600 where there is none, the public key beside it.

        Servers that start at once in one directory agree on one key.

        Raises:
            AuditLogError: the file holds another kind of key or none, or cannot be read or made.
        """
        try:
            if not path.exists():
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                made = Ed25519PrivateKey.generate()
                _put(path, made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
            with path.open("rb") as file:
                pem = file.read(_MAX_PEM)
        except OSError as error:
            raise AuditLogError(f"the audit key {path} cannot be used: {error.strerror}") from error
        try:
            private = load_pem_private_key(pem, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            private = None
        if not isinstance(private, Ed25519PrivateKey):
            raise AuditLogError(f"the audit key {path} is no unencrypted Ed25519 private key in PEM (PKCS#8)")
        # A key that was brought along may lie where nothing can be written.
        with contextlib.suppress(OSError):
            _publish(public_path(path), private.public_key())
        return cls.of(private)

    @property
    def public(self) -> Ed25519PublicKey:
        """What verifies its checkpoints."""
        return self._private.public_key()

    def checkpoint(self, position: Position, *, time: str, log_id: str, reason: str) -> Checkpoint:
        """The signed statement that the log stood at *position*."""
        plain = Checkpoint(
            time=time, log_id=log_id, count=position.seq, head=position.head, reason=reason, key_id=self.key_id
        )
        signature = base64.b64encode(self._private.sign(plain.signed())).decode()
        return Checkpoint(
            time=time,
            log_id=log_id,
            count=position.seq,
            head=position.head,
            reason=reason,
            key_id=self.key_id,
            signature=signature,
        )


def key_id(public: Ed25519PublicKey) -> str:
    """How checkpoints name the key."""
    return hashlib.sha256(public.public_bytes_raw()).hexdigest()[:16]


def public_path(path: Path) -> Path:
    """Where the public key of the key file *path* is: `audit-key.pub.pem` beside `audit-key.pem`."""
    return path.with_name(f"{path.name.removesuffix('.pem')}.pub.pem")


def load_public_key(path: Path) -> Ed25519PublicKey:
    """The public key in the PEM file.

    Raises:
        ValueError: it holds none.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        pem = file.read(_MAX_PEM)
    try:
        public = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        public = None
    if isinstance(public, Ed25519PublicKey):
        return public
    raise ValueError(f"{path} holds no Ed25519 public key in PEM")


def _publish(path: Path, public: Ed25519PublicKey) -> None:
    """Make the public key's file, or bring it up to date."""
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    if not path.exists():
        _put(path, pem)
        return
    with path.open("rb") as file:
        there = file.read(_MAX_PEM)
    if there != pem:
        write_whole(path, pem)


def _put(path: Path, pem: bytes) -> None:
    """Make the file, whole and with mode 0600, unless another server has made it by now."""
    new = path.with_name(f"{path.name}.{os.getpid()}")
    write_whole(new, pem)
    try:
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(new)
    finally:
        new.unlink()
    sync_directory(path.parent)
