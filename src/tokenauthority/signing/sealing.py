"""Sealing: encryption at rest by AES-256-GCM under a master key that can be changed, each blob bound to its object.

An envelope is a version byte (2), 8 bytes that name the master key, a random nonce of 12 bytes, and the ciphertext with
its tag. The associated data are the first 9 bytes and a JSON array of the purpose, the object's id and its facts. So a
blob opens under no other header, for no other object, and not after a fact of its object was changed. Random nonces are
safe for 2**32 blobs under one master key (NIST SP 800-38D); projects and signing keys are some thousands.

Version 1 bound the purpose and the id alone. Only `open_version_1` opens it, for `authority/reseal.py`.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final, TypeAlias

import attrs
import msgspec

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM


MASTER_KEY_BYTES: Final = 32

HEADER_BYTES: Final = 9
"""The first bytes of an envelope, which name its master key; see `sealed_under`."""

Facts: TypeAlias = Mapping[str, str | int | Sequence[str] | None]
"""What an envelope is bound to beside purpose and id, by name."""

_VERSION: Final = b"\x02"
_VERSION_1: Final = b"\x01"
_KEY_ID_BYTES: Final = HEADER_BYTES - len(_VERSION)
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
_KEY_ID_LABEL: Final = b"tokenauthority master key id\x00"
_HEX: Final = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]{43}=?", re.ASCII)


def _checked(value: bytes) -> bytes:
    if len(value) != MASTER_KEY_BYTES:
        raise ValueError(f"a master key has {MASTER_KEY_BYTES} bytes, not {len(value)}")
    return value


class SealProblem(StrEnum):
    """Why a blob cannot be opened."""

    OTHER_MASTER_KEY = "other_master_key"
    EARLIER_VERSION = "earlier_version"
    DAMAGED = "damaged"
    """Or its object is another one, or was changed, since it was sealed."""
    PUT_BACK = "put_back"
    """It opens, and is an earlier one of its object."""


class SealBrokenError(Exception):
    """A sealed blob cannot be opened. The message names the object and the cause, never the content."""

    def __init__(self, purpose: str, object_id: str, problem: SealProblem, detail: str) -> None:
        super().__init__(f"{purpose} {object_id}: {detail}")
        self.purpose = purpose
        self.object_id = object_id
        self.problem = problem


@attrs.frozen
class MasterKey:
    """A 256-bit key that seals others. `key_id` names it in envelopes and messages, and does not reveal it.

    Raises:
        ValueError: *value* has not 32 bytes.
    """

    value: bytes = attrs.field(converter=_checked, repr=False)
    key_id: str = attrs.field(init=False)
    cipher: AESGCM = attrs.field(init=False, repr=False, eq=False)

    @key_id.default
    def _named(self) -> str:
        return hashlib.sha256(_KEY_ID_LABEL + self.value).digest()[:_KEY_ID_BYTES].hex()

    @cipher.default
    def _prepared(self) -> AESGCM:
        return AESGCM(self.value)

    @classmethod
    def generate(cls) -> MasterKey:
        """Generate a random key."""
        return cls(os.urandom(MASTER_KEY_BYTES))

    @classmethod
    def parse(cls, text: str) -> MasterKey:
        """Parse *text*: 64 hex characters, or base64 or base64url; white space around it is ignored.

        Raises:
            ValueError: it is none of them. The message does not show *text*.
        """
        stripped = text.strip()
        if _HEX.fullmatch(stripped):
            return cls(bytes.fromhex(stripped))
        if _BASE64.fullmatch(stripped):
            standard = stripped.rstrip("=").translate(str.maketrans("-_", "+/"))
            value = base64.b64decode(standard + "=")
            if base64.b64encode(value).decode().rstrip("=") == standard:
                return cls(value)
        raise ValueError("a master key is 32 random bytes as 64 hex characters or in base64")

    def reveal(self) -> str:
        """Return the key in base64, for the person who stores it; `parse` reads it."""
        return base64.b64encode(self.value).decode()


class Sealer:
    """Seal under the first of some master keys and open under any, so that the master key can be changed."""

    def __init__(self, *master_keys: MasterKey) -> None:
        if not master_keys:
            raise ValueError("sealing needs a master key")
        self._first = master_keys[0]
        self._header = _VERSION + bytes.fromhex(self._first.key_id)
        self._by_id = {bytes.fromhex(key.key_id): key for key in master_keys}

    @property
    def key_ids(self) -> tuple[str, ...]:
        """Return the ids of its master keys; it seals with the first."""
        return tuple(key.key_id for key in self._by_id.values())

    def seal(self, plaintext: bytes, *, purpose: str, object_id: str, facts: Facts) -> bytes:
        """Return the envelope of *plaintext*, which opens only for the same *purpose*, *object_id* and *facts*."""
        nonce = os.urandom(_NONCE_BYTES)
        bound = _associated(self._header, purpose, object_id, facts)
        return self._header + nonce + self._first.cipher.encrypt(nonce, plaintext, bound)

    def open(self, sealed: bytes, *, purpose: str, object_id: str, facts: Facts) -> bytes:
        """Return the plaintext that `seal` was given.

        Raises:
            SealBrokenError: this sealer lacks the master key; an earlier version made the envelope; or it is damaged,
                another object's, or bound to other facts.
        """
        header = sealed[:HEADER_BYTES]
        return self._open(sealed, _VERSION, _associated(header, purpose, object_id, facts), purpose, object_id)

    def open_version_1(self, sealed: bytes, *, purpose: str, object_id: str) -> bytes:
        """Return the plaintext of an envelope of version 1, which is bound to no facts; raise as `open`.

        Only a previous master key opens it: the key that seals may have sealed later versions already, and then old
        envelopes of its first version are put back by somebody.
        """
        if sealed[:HEADER_BYTES] == _VERSION_1 + self._header[1:]:
            detail = (
                "an earlier version of this program sealed it under the present master key, which no longer opens it"
            )
            raise SealBrokenError(purpose, object_id, SealProblem.EARLIER_VERSION, detail)
        name = purpose.encode()
        bound = sealed[:HEADER_BYTES] + len(name).to_bytes(2, "big") + name + object_id.encode()
        return self._open(sealed, _VERSION_1, bound, purpose, object_id)

    def _open(self, sealed: bytes, version: bytes, bound: bytes, purpose: str, object_id: str) -> bytes:
        header, rest = sealed[:HEADER_BYTES], sealed[HEADER_BYTES:]
        nonce, ciphertext = rest[:_NONCE_BYTES], rest[_NONCE_BYTES:]
        if is_version_1(header) and version != _VERSION_1:
            detail = "an earlier version of this program sealed it"
            raise SealBrokenError(purpose, object_id, SealProblem.EARLIER_VERSION, detail)
        if header[:1] != version or len(ciphertext) < _TAG_BYTES:
            raise _damaged(purpose, object_id)
        key = self._by_id.get(header[1:])
        if key is None:
            detail = f"sealed under the master key {header[1:].hex()}, which is not among those given"
            raise SealBrokenError(purpose, object_id, SealProblem.OTHER_MASTER_KEY, detail)
        try:
            return key.cipher.decrypt(nonce, ciphertext, bound)
        except InvalidTag:
            raise _damaged(purpose, object_id) from None

    def is_current(self, sealed: bytes) -> bool:
        """Return whether *sealed* is under the master key that this sealer seals with; if not, seal it again."""
        return sealed[:HEADER_BYTES] == self._header


def sealed_under(header: bytes) -> str | None:
    """Return the id of the master key that the first bytes of an envelope name; None where they are no envelope's."""
    if len(header) < HEADER_BYTES or header[:1] not in {_VERSION, _VERSION_1}:
        return None
    return header[1:HEADER_BYTES].hex()


def is_version_1(header: bytes) -> bool:
    """Return whether an envelope that begins with *header* is of version 1."""
    return header[:1] == _VERSION_1


def _associated(header: bytes, purpose: str, object_id: str, facts: Facts) -> bytes:
    # JSON can be read in one way only: no two objects have the same bytes.
    return header + msgspec.json.encode((purpose, object_id, facts), order="deterministic")


def _damaged(purpose: str, object_id: str) -> SealBrokenError:
    detail = "the sealed data are damaged, or another object's, or what they are bound to was changed"
    return SealBrokenError(purpose, object_id, SealProblem.DAMAGED, detail)
