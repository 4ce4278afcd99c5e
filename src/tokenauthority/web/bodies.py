"""Read the content of an HTTP request up to its limit, and write an answer that its client has to read in time."""

from __future__ import annotations

import asyncio

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Final, cast

import attrs

from starlette.types import Receive, Scope, Send

from tokenauthority.domain.errors import FieldViolation, InvalidRequestError
from tokenauthority.interceptors.direct import ClientLeftError


ABORT: Final = "tokenauthority.abort"
"""The extension of a scope by which an application ends the connection."""

_PIECE: Final = 64 * 1024
"""Bytes of an answer that are handed over at once. An answer is written once all but the last ones are read."""

_PATIENCE: Final = 20.0
"""Seconds that an answer may wait for its reader."""


_DIGITS: Final = 20
"""Digits of a length that are read as a number."""


@attrs.frozen
class Body:
    """The content of one request, of which *method* takes at most *limit* bytes."""

    _receive: Receive
    _method: str
    _limit: int
    _length: str | None

    async def read(self) -> bytes:
        """Return the content, once.

        Raises:
            InvalidRequestError: it is too large.
            ClientLeftError: the client has left before its end.
        """
        if self._length is not None and len(self._length) < _DIGITS and int(self._length) > self._limit:
            raise self._too_large(f"has {int(self._length)} bytes")
        content = bytearray()
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientLeftError
            content += message.get("body", b"")
            more = message.get("more_body", False)
            if len(content) > self._limit:
                raise self._too_large(f"has more than {self._limit} bytes")
        return bytes(content)

    async def left(self) -> None:
        """Return once the client has left; to be called after `read`."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    def _too_large(self, problem: str) -> InvalidRequestError:
        text = f"the request {problem}, and {self._method} takes at most {self._limit}"
        return InvalidRequestError([FieldViolation("", text)])


@attrs.frozen
class ApiAnswer:
    """An answer; its length is not among the *headers*."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes | bytearray = attrs.field(repr=False)

    async def send(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Write the answer; end the connection if its client does not read it in time."""
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in self.headers]
        if self.status != HTTPStatus.NO_CONTENT:
            # An answer without content must not state its length (RFC 9110, section 8.6).
            headers.append((b"content-length", str(len(self.body)).encode()))
        whole = memoryview(self.body)
        try:
            async with asyncio.timeout(_PATIENCE):
                await send({"type": "http.response.start", "status": self.status, "headers": headers})
                for start in range(0, len(whole), _PIECE):
                    await send({"type": "http.response.body", "body": whole[start : start + _PIECE], "more_body": True})
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        except TimeoutError:
            cast("Callable[[], None]", scope["extensions"][ABORT]["abort"])()
            # Until uvicorn knows of it, it would log an answer without its end.
            await receive()
