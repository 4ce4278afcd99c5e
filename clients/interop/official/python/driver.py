"""Do with the official Python SDK what each line of standard input asks for; README.md has the protocol."""

from __future__ import annotations

import json
import os
import sys

from collections.abc import Callable
from typing import Any

from opentok import ArchiveModes, Client, MediaModes, Roles


CLIENT: Any = Client(
    os.environ["OPENTOK_API_KEY"], os.environ["OPENTOK_API_SECRET"], api_url=os.environ["OPENTOK_API_URL"]
)
CALLS = {
    "signal": lambda session_id: CLIENT.signal(session_id, {"type": "chat", "data": "hi"}),
    "disconnect": lambda session_id: CLIENT.force_disconnect(session_id, "connection"),
    "mute": lambda session_id: CLIENT.mute_stream(session_id, "stream"),
    "mute_all": lambda session_id: CLIENT.mute_all(session_id, []),
    "archive": CLIENT.start_archive,
}


def create(options: dict[str, Any]) -> dict[str, str]:
    """Create a session."""
    enums = {"media_mode": MediaModes, "archive_mode": ArchiveModes}
    given = {name: enums[name][value] if name in enums else value for name, value in options.items()}
    return {"session_id": CLIENT.create_session(**given).session_id}


def token(session_id: str, *, legacy: bool, options: dict[str, Any]) -> dict[str, str]:
    """Make a token in this process."""
    given = {**options, "role": Roles(options["role"])}
    return {"token": CLIENT.generate_token(session_id, use_jwt=not legacy, **given)}


def call(what: str, session_id: str) -> dict[str, str]:
    """Make another call of the REST API."""
    CALLS[what](session_id)
    return {}


OPERATIONS: dict[str, Callable[..., dict[str, str]]] = {"create": create, "token": token, "call": call}

for line in sys.stdin:
    request = json.loads(line)
    operation = OPERATIONS[request.pop("op")]
    try:
        answer: dict[str, Any] = {"ok": operation(**request)}
    except Exception as error:  # noqa: BLE001 - reports every exception that a user of the SDK would see
        answer = {"error": {"code": type(error).__name__, "message": str(error)}}
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
