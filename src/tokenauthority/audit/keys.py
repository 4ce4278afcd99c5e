"""The audit key: an Ed25519 key that signs checkpoints and nothing else, apart from the keys that sign tokens."""

from __future__ import annotations

import base64
import contextlib
import hashlib

from pathlib import Path
from typing import Final

import attrs
import msgspec

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

from tokenauthority.audit.chain import Position
from tokenauthority.audit.checkpoint import Checkpoint
from tokenauthority.audit.errors import AuditLogError
from tokenauthority.files import create_file, replace_file


_MAX_PEM: Final = 16_384


@attrs.frozen
class AuditKey:
    """A private key that signs checkpoints."""

    _private: Ed25519PrivateKey = attrs.field(repr=False)

    @classmethod
    def load_or_create(cls, path: Path) -> AuditKey:
        """Return the key in the PEM file (PKCS#8) at *path*, and write its public key beside it.

        Where there is no file, create one with mode 0600. Servers that start at the same time in one directory end up
        with the same key.

        Raises:
            AuditLogError: The file holds no Ed25519 key, or cannot be read or created.
        """
        try:
            if not path.exists():
                new = Ed25519PrivateKey.generate()
                create_file(path, new.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
            pem = _read_pem(path)
        except OSError as error:
            raise AuditLogError(f"the audit key {path} cannot be used: {error.strerror}") from error
        try:
            private = load_pem_private_key(pem, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            private = None
        if not isinstance(private, Ed25519PrivateKey):
            raise AuditLogError(f"the audit key {path} is not an unencrypted Ed25519 private key in PEM (PKCS#8)")
        # A key that the operator supplies may lie in a directory that is read-only.
        with contextlib.suppress(OSError):
            _write_public_key(public_path(path), private.public_key())
        return cls(private)

    @property
    def public(self) -> Ed25519PublicKey:
        """The key that verifies the checkpoints."""
        return self._private.public_key()

    @property
    def key_id(self) -> str:
        """The id by which checkpoints name the key."""
        return key_id(self.public)

    def sign_checkpoint(self, position: Position, *, time: str, log_id: str, reason: str) -> Checkpoint:
        """Return the signed statement that the log *log_id* ended at *position*."""
        checkpoint = Checkpoint(
            time=time,
            log_id=log_id,
            count=position.seq,
            chain_hash=position.chain_hash,
            reason=reason,
            key_id=self.key_id,
        )
        signature = base64.b64encode(self._private.sign(checkpoint.signed_bytes())).decode()
        return msgspec.structs.replace(checkpoint, signature=signature)


def key_id(public: Ed25519PublicKey) -> str:
    """Return the id by which checkpoints name the key: 16 hex digits of the SHA-256 of its 32 bytes."""
    return hashlib.sha256(public.public_bytes_raw()).hexdigest()[:16]


def public_path(path: Path) -> Path:
    """Return the path of the public key of the key file *path*: `audit-key.pub.pem` beside `audit-key.pem`."""
    return path.with_name(f"{path.name.removesuffix('.pem')}.pub.pem")


def load_public_key(path: Path) -> Ed25519PublicKey:
    """Return the Ed25519 public key in the PEM file; raise ValueError if it holds none."""
    try:
        public = load_pem_public_key(_read_pem(path))
    except (ValueError, UnsupportedAlgorithm):
        public = None
    if isinstance(public, Ed25519PublicKey):
        return public
    raise ValueError(f"{path} holds no Ed25519 public key in PEM")


def _write_public_key(path: Path, public: Ed25519PublicKey) -> None:
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    if not path.exists():
        create_file(path, pem)
    elif _read_pem(path) != pem:
        replace_file(path, pem)


def _read_pem(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_MAX_PEM)
