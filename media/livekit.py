"""LiveKit itself: built once from its Go module, run with the secrets of a project as its keys, and joined."""

from __future__ import annotations

import asyncio
import contextlib
import json

from collections.abc import AsyncIterator, Iterator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Final

import aiohttp
import attrs

from livekit.protocol.models import ParticipantPermission
from livekit.protocol.rtc import SignalResponse

from media.programs import GoProgram, free_ports, listens, serving
from tests.support.authority import WAIT


PROGRAM: Final = GoProgram("github.com/livekit/livekit-server/cmd/server", "v1.13.5")
"""Later versions replace modules, which `go install` refuses."""


class RefusedError(Exception):
    """LiveKit let nobody in; the text is its HTTP status."""


@attrs.frozen(kw_only=True)
class Joined:
    """What LiveKit says to whoever joins, and the copy of the token that it sends."""

    room: str
    identity: str
    metadata: str
    permission: ParticipantPermission
    copy: str = attrs.field(repr=False)


@attrs.frozen
class LiveKit:
    """A running LiveKit."""

    url: str

    def join(self, token: str) -> Joined:
        """Join as the bearer of *token*, and leave; raise RefusedError."""
        return asyncio.run(self._join(token))

    async def copy_of(self, token: str) -> str:
        """The copy of *token* that LiveKit sends to whoever joins with it."""
        return (await self._join(token)).copy

    async def end_of_stay(self, token: str) -> int:
        """Join as the bearer of *token*, and wait until LiveKit ends the stay; the `DisconnectReason` that it says."""
        async with self._signals(token) as signals:
            async for signal in signals:
                if signal.WhichOneof("message") == "leave":
                    return signal.leave.reason
        raise AssertionError("LiveKit has closed the connection without a word")

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
            permission=person.permission,
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


@contextlib.contextmanager
def running(directory: Path, keys: Mapping[str, str], webhook: Mapping[str, object] | None = None) -> Iterator[LiveKit]:
    """LiveKit with *keys*, secrets by their ids, on loopback alone; *webhook* is that part of its configuration."""
    ports = free_ports(3)
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
    with serving([PROGRAM.path, "--config", file], directory / "livekit.log", lambda: listens(ports[0])):
        yield LiveKit(f"http://127.0.0.1:{ports[0]}")
