"""The audit key is created once, is read by nobody else, and publishes its public half."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.audit.logs import RECORD, key_path, objects, record, running, written
from tokenauthority.audit.errors import AuditLogError
from tokenauthority.audit.keys import public_path


def test_creates_its_key_once(path: Path) -> None:
    """A restart signs with the same key."""
    written(path, RECORD)
    key = key_path(path).read_bytes()
    written(path, RECORD)

    assert key == key_path(path).read_bytes()
    assert 1 == len({line["key_id"] for line in objects(path) if line["type"] == "checkpoint"})


@pytest.mark.parametrize(
    "content", [b"", b"canary", b"-----BEGIN PRIVATE KEY-----\ncanary\n-----END PRIVATE KEY-----\n"]
)
async def test_refuses_an_invalid_key(path: Path, content: bytes) -> None:
    """It names the file and shows nothing of it; no other key is created in its place."""
    key_path(path).write_bytes(content)
    with pytest.raises(AuditLogError) as caught:
        async with running(path):
            pass

    assert f"the audit key {key_path(path)} is not an unencrypted Ed25519 private key in PEM" in str(caught.value)
    assert "canary" not in str(caught.value)
    assert content == key_path(path).read_bytes()


@pytest.mark.parametrize("content", [b"", b"canary"])
def test_the_public_key_beside_the_key_is_its_own(path: Path, content: bytes) -> None:
    """Auditors are never given a stale one."""
    written(path, record(1))
    public = public_path(key_path(path))
    before = public.read_bytes()
    public.write_bytes(content)
    written(path, record(2))

    assert before == public.read_bytes()
