"""Call the admin API of one real-time server: bounded in time, bytes and calls at once. No error shows a credential."""

from __future__ import annotations

import asyncio
import ssl

from collections.abc import Mapping
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from cachetools import TTLCache

from tokenauthority.clocks import monotonic
from tokenauthority.http_request import HttpRequest, HttpRequestError, describe, make_tls_context, send_request
from tokenauthority.threads import BlockingPool, PoolError


MAX_ANSWER: Final = 32 * 1024 * 1024
"""Bytes of an answer: LiveKit lists all people of a room at once."""

_CA_LIFE: Final = 60.0
"""Seconds after which the CA file is read again."""

T = TypeVar("T")


class AdminApiError(Exception):
    """The server does not do what it was asked; the message quotes nothing of its answer."""


class AdminApi:
    """The API at *url* of one server, which gets at most *places* requests at the same time.

    Each request goes over a new connection and has *timeout* seconds.
    """

    def __init__(self, url: str, *, ca_file: Path | None, timeout: float, places: int) -> None:
        self._url = url
        self._ca_file = ca_file
        self._timeout = timeout
        self._places = asyncio.Semaphore(places)
        self._thread = BlockingPool("enforcer", threads=2)
        self._contexts: TTLCache[None, ssl.SSLContext] = TTLCache(1, _CA_LIFE, timer=monotonic)

    async def post(
        self, path: str, headers: Mapping[str, str], message: Mapping[str, object], answer: type[T]
    ) -> T | None:
        """Send *message* as JSON; see `request`."""
        headers = {"content-type": "application/json", **headers}
        return await self.request("POST", path, headers, answer, msgspec.json.encode(message))

    async def request(
        self, method: str, path: str, headers: Mapping[str, str], answer: type[T], body: bytes = b""
    ) -> T | None:
        """Return the JSON that the server answers, as *answer*; None if it does not know what *path* or *body* names.

        Raises:
            AdminApiError: it cannot be reached, refuses the request, or answers something else.
        """
        request = HttpRequest(method=method, url=self._url + path, headers=headers, body=body)
        try:
            async with self._places:
                context = await self._tls_context()
                found = await send_request(
                    request, context=context, thread=self._thread, max_body=MAX_ANSWER, timeout=self._timeout
                )
        except HttpRequestError as error:
            raise AdminApiError(str(error)) from error
        except (OSError, PoolError) as error:
            raise AdminApiError(describe(error)) from error
        if found.status == HTTPStatus.NOT_FOUND:
            return None
        if found.status != HTTPStatus.OK:
            raise AdminApiError(f"{path}: the answer has status {found.status}")
        try:
            return msgspec.json.decode(found.body or b"{}", type=answer)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise AdminApiError(f"{path}: the answer is not as documented") from None

    async def _tls_context(self) -> ssl.SSLContext:
        context = self._contexts.get(None)
        if context is None:
            context = self._contexts[None] = await self._thread.run(partial(make_tls_context, self._ca_file))
        return context
