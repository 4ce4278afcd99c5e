"""Centrifugo itself: built once from its Go module, run with the JWKS of an authority, and connected to."""

from __future__ import annotations

import contextlib
import itertools
import json

from collections.abc import AsyncIterator, Iterator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import aiohttp
import attrs
import httpx

from media.programs import GoProgram, free_ports, serving
from tests.support.authority import NO_TRUST, WAIT


PROGRAM: Final = GoProgram("github.com/centrifugal/centrifugo/v6", "v6.9.1")


class RefusedError(Exception):
    """Centrifugo refused; the code is that of the closed connection, or of the error in the answer."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code} {text}")
        self.code = code


@attrs.frozen(kw_only=True)
class Centrifugo:
    """A running Centrifugo.

    Attributes:
        url: of its HTTP server.
        api_key: the key of its HTTP API, such as for `disconnect`.
    """

    url: str
    api_key: str = attrs.field(repr=False)

    @contextlib.asynccontextmanager
    async def connected(self, token: str) -> AsyncIterator[Person]:
        """Connect as the bearer of *token* until the end of the block; raise RefusedError."""
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None, connect=WAIT)) as session,
            session.ws_connect(f"{self.url}/connection/websocket") as socket,
        ):
            person = Person(socket)
            await person.connect(token)
            yield person


@attrs.define
class Person:
    """Who is connected."""

    _socket: aiohttp.ClientWebSocketResponse
    channels: frozenset[str] = frozenset()
    _ids: Iterator[int] = attrs.field(factory=lambda: itertools.count(1))

    async def connect(self, token: str) -> None:
        """Say the token; Centrifugo then says which channels it has subscribed the person to."""
        answer = await self._call("connect", {"token": token})
        self.channels = frozenset(answer.get("subs", {}))

    async def subscribe(self, channel: str) -> None:
        """Subscribe to a channel that the token does not name; raise RefusedError."""
        await self._call("subscribe", {"channel": channel})

    async def publish(self, channel: str, data: str) -> None:
        """Publish to a channel; raise RefusedError."""
        await self._call("publish", {"channel": channel, "data": data})

    async def received(self) -> tuple[str, str, str]:
        """The channel, the user and the data of the next publication."""
        async for message in self._messages():
            if "pub" in (push := message.get("push", {})):
                return push["channel"], push["pub"]["info"]["user"], push["pub"]["data"]
        raise AssertionError("the connection ended before a publication came")

    async def closed(self) -> int:
        """Wait until Centrifugo ends the connection; the code with which it does."""
        try:
            async for _ in self._messages():
                pass
        except RefusedError as error:
            return error.code
        raise AssertionError("the connection ended without a code")

    async def _call(self, method: str, request: Mapping[str, str]) -> dict[str, Any]:
        number = next(self._ids)
        await self._socket.send_json({"id": number, method: request})
        async for message in self._messages():
            if message.get("id") == number:
                if error := message.get("error"):
                    raise RefusedError(error["code"], error["message"])
                result: dict[str, Any] = message[method]
                return result
        raise AssertionError(f"the connection ended before {method} was answered")

    async def _messages(self) -> AsyncIterator[dict[str, Any]]:
        while True:
            frame = await self._socket.receive(WAIT)
            if frame.type is aiohttp.WSMsgType.CLOSE:
                raise RefusedError(frame.data, frame.extra or "")
            assert frame.type is aiohttp.WSMsgType.TEXT, frame.type
            for line in frame.data.splitlines():
                message = json.loads(line)
                if message:
                    yield message
                else:
                    # An empty object is a ping, which wants a pong.
                    await self._socket.send_json({})


@contextlib.contextmanager
def running(directory: Path, jwks_url: str, issuer: str, audience: str) -> Iterator[Centrifugo]:
    """Centrifugo on loopback alone, which takes tokens of *issuer* for the project *audience*."""
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    api_key = "key-of-the-http-api"
    config = {
        "http_server": {"address": "127.0.0.1", "port": port},
        "client": {
            "token": {"jwks_public_endpoint": jwks_url, "issuer": issuer, "audience": audience},
            # By default, a person may stay for 25 seconds after the expiry.
            "expired_close_delay": "1s",
        },
        "channel": {"without_namespace": {"allow_publish_for_subscriber": True, "presence": True}},
        "http_api": {"key": api_key},
        "health": {"enabled": True},
        "log": {"level": "debug"},
    }
    file = directory / "centrifugo.json"
    file.write_text(json.dumps(config), encoding="utf-8")
    file.chmod(0o600)
    with serving([PROGRAM.path, "--config", file], directory / "centrifugo.log", lambda: _is_healthy(url)):
        yield Centrifugo(url=url, api_key=api_key)


def _is_healthy(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=WAIT, verify=NO_TRUST).status_code == HTTPStatus.OK
    except httpx.TransportError:
        return False
