"""Checkpoints are signed, and stand in the log, beside it and in the operational log."""

from __future__ import annotations

import base64

from collections.abc import MutableMapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from tests.audit.logs import RECORD, key_path, objects, text_lines, written


def test_checkpoints_are_signed_over_what_they_say(path: Path) -> None:
    """Count, head, time, log and key, under a prefix of their own, by a key that OpenSSL's tools can read."""
    written(path, RECORD)
    point = objects(path)[-1]
    fields = "".join(f"{point[name]}\n" for name in ("log_id", "count", "head", "time", "reason", "key_id"))
    public = load_pem_public_key(path.with_name("audit-key.pub.pem").read_bytes())
    private = load_pem_private_key(key_path(path).read_bytes(), None)

    public.verify(base64.b64decode(str(point["signature"])), b"tokenauthority audit checkpoint v1\n" + fields.encode())  # type: ignore[union-attr,call-arg]  # an Ed25519 key

    assert public == private.public_key()
    assert (point["seq"], point["prev"]) == (int(str(point["count"])) + 1, point["head"])
    assert sha256(public.public_bytes_raw()).hexdigest()[:16] == point["key_id"]  # type: ignore[union-attr]  # likewise


def test_the_last_checkpoint_is_beside_the_log_and_in_the_operational_log(
    path: Path, events: list[MutableMapping[str, Any]]
) -> None:
    """The checkpoint file holds its very line, and the event all of its fields."""
    written(path, RECORD)
    point = objects(path)[-1]
    logged = [event for event in events if event["event"] == "audit.checkpoint"]

    assert text_lines(path)[-1:] == text_lines(path.with_name("audit.jsonl.head"))
    assert ["start", "stop"] == [event["reason"] for event in logged]
    assert {name: point[name] for name in ("log_id", "count", "head", "time", "reason", "key_id", "signature")} == {
        name: value for name, value in logged[-1].items() if name not in {"event", "log_level"}
    }
