"""Janus itself, from its Debian package: run with the secret of a project, and its VideoRoom joined."""

from __future__ import annotations

import contextlib
import itertools
import json

from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import attrs

from media.programs import free_ports, installed, listens, serving
from tests.support.authority import WAIT


PLUGIN = "janus.plugin.videoroom"
_API_SECRET = "for-everyone"


class RefusedError(Exception):
    """Janus refused; the code is that of its error."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code} {text}")
        self.code = code


@attrs.frozen(kw_only=True)
class Joined:
    """What Janus says to whoever joins a room as a publisher."""

    room: str
    person_id: str
    private_id: int


@attrs.frozen
class Janus:
    """A running Janus."""

    url: str

    @contextlib.asynccontextmanager
    async def attached(self, token: str = "") -> AsyncIterator[Handle]:
        """Attach to the VideoRoom until the end of the block, with *token* as that of the API; raise RefusedError."""
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None, connect=WAIT)) as session,
            session.ws_connect(self.url, protocols=["janus-protocol"]) as socket,
        ):
            credential = {"token": token} if token else {"apisecret": _API_SECRET}
            handle = Handle(socket, credential)
            made = await handle.call({"janus": "create"})
            handle.address["session_id"] = made["data"]["id"]
            made = await handle.call({"janus": "attach", "plugin": PLUGIN})
            handle.address["handle_id"] = made["data"]["id"]
            yield handle

    async def join(self, room: str, token: str = "") -> Joined:
        """Join *room* as a publisher, and leave; raise RefusedError."""
        async with self.attached() as handle:
            return await handle.join(room, token)


@attrs.define
class Handle:
    """A handle of the VideoRoom plugin: one person."""

    _socket: aiohttp.ClientWebSocketResponse
    _credential: Mapping[str, str]
    address: dict[str, int] = attrs.field(factory=dict)
    _numbers: Iterator[int] = attrs.field(factory=lambda: itertools.count(1))

    async def join(self, room: str, token: str = "") -> Joined:
        """Join *room* as a publisher; raise RefusedError."""
        data = await self.ask({"request": "join", "ptype": "publisher", "room": room, "token": token})
        return Joined(room=data["room"], person_id=data["id"], private_id=data["private_id"])

    async def ask(self, body: Mapping[str, object]) -> dict[str, Any]:
        """Send a request to the plugin; what it answers. Raise RefusedError."""
        message = {"janus": "message", "body": {name: value for name, value in body.items() if value != ""}}
        answer = await self.call(message)
        data: dict[str, Any] = answer["plugindata"]["data"]
        if "error_code" in data:
            raise RefusedError(data["error_code"], data["error"])
        return data

    async def call(self, message: Mapping[str, object]) -> dict[str, Any]:
        """Send a message to Janus; what it answers. Raise RefusedError."""
        transaction = f"t{next(self._numbers)}"
        await self._socket.send_json({**message, **self.address, **self._credential, "transaction": transaction})
        while True:
            frame = await self._socket.receive(WAIT)
            assert frame.type is aiohttp.WSMsgType.TEXT, frame.type
            answer: dict[str, Any] = json.loads(frame.data)
            if answer.get("transaction") == transaction and answer["janus"] != "ack":
                if answer["janus"] == "error":
                    raise RefusedError(answer["error"]["code"], answer["error"]["reason"])
                return answer


@contextlib.contextmanager
def running(directory: Path, secret: str, rooms: Mapping[str, Mapping[str, object]]) -> Iterator[Janus]:
    """Janus on loopback alone, whose tokens *secret* signs, with *rooms*: the settings of each by its id."""
    program = installed("janus", "janus")
    (port,) = free_ports(1)
    files: dict[str, dict[str, Mapping[str, object]]] = {
        "janus": {
            "general": {
                "token_auth": True,
                "token_auth_secret": secret,
                "api_secret": _API_SECRET,
            },
            "media": {"rtp_port_range": "20000-40000"},
            "plugins": {"disable": _others("plugins", "libjanus_videoroom.so")},
            "transports": {"disable": _others("transports", "libjanus_websockets.so")},
        },
        "janus.transport.websockets": {"general": {"ws": True, "ws_port": port, "ws_ip": "127.0.0.1", "wss": False}},
        "janus.plugin.videoroom": {
            "general": {"admin_key": "of-the-operator", "string_ids": True},
            **{f"room-{room}": {"room": room, **settings} for room, settings in rooms.items()},
        },
    }
    for name, sections in files.items():
        (directory / f"{name}.jcfg").write_text(_jcfg(sections), encoding="utf-8")
        (directory / f"{name}.jcfg").chmod(0o600)
    command: list[str | Path] = [
        program,
        f"--configs-folder={directory}",
        f"--config={directory / 'janus.jcfg'}",
        "--disable-colors",
    ]
    with serving(command, directory / "janus.log", lambda: listens(port)):
        yield Janus(f"ws://127.0.0.1:{port}")


def _jcfg(sections: Mapping[str, Mapping[str, object]]) -> str:
    return "".join(
        f"{section}: {{\n" + "".join(f"  {name} = {json.dumps(value)}\n" for name, value in values.items()) + "}\n"
        for section, values in sections.items()
    )


def _others(kind: str, used: str) -> str:
    found = {path.name for path in Path("/usr/lib").glob(f"*/janus/{kind}/*.so")}
    return ",".join(sorted(found - {used}))
