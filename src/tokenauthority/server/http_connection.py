"""Read HTTP/1.1 strictly on one connection, and end the connection in time.

llhttp, the parser of Node.js, refuses whatever two servers could read differently: both a length and an encoding, two
lengths, folded or malformed headers, bare line feeds. This module refuses content, where no request has any; elsewhere
it takes the content of a POST, PUT, PATCH or DELETE, by a length or in chunks, without trailers. So where one request
ends is never in doubt, and nothing can be smuggled behind it.
"""

from __future__ import annotations

import asyncio

from typing import Final, cast

import attrs
import uvicorn

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from tokenauthority.contract import MAX_REQUEST_BYTES
from tokenauthority.web.bodies import ABORT


_MAX_HEAD: Final = 16 * 1024
"""Bytes of a request without its content."""

_PIECE: Final = 4 * 1024
"""Bytes that are parsed at once until the content of a request begins."""

_MAX_CONTENT: Final = 2 * MAX_REQUEST_BYTES
"""Bytes of the content of a request, with what divides its chunks. Whoever asks for the content has limits below it."""

_MAX_PIPELINED: Final = 8
"""Requests of one connection that wait for the answers before them. Where requests have content, none waits."""

_UNREAD: Final = 20.0
"""Seconds after which a connection ends whose client takes nothing of an answer."""

_WITH_CONTENT: Final = frozenset({b"POST", b"PUT", b"PATCH", b"DELETE"})
"""Methods whose requests may have content. All but POST are those of OpenTok SDKs, and answered 404."""

_VERSIONS: Final = frozenset({"1.0", "1.1"})


@attrs.frozen(kw_only=True)
class ConnectionTimes:
    """How long a connection may last, in seconds."""

    first_request: float = 5.0
    """Time from the connection to the end of its first request. The TLS handshake has the same time before that."""
    age: float = 60.0
    """Time after which a connection is closed, once its answer has been sent within `last_answer`."""
    last_answer: float = 5.0
    """Time from that age to the end of the connection."""


class _RefusedError(Exception):
    """The request is valid for the parser and not for this server."""


class HttpConnection(HttpToolsProtocol):
    """One connection to *server*, whose requests may have *content* or not. `lost` is set when it has ended."""

    def __init__(self, server: uvicorn.Server, times: ConnectionTimes, *, content: bool = False) -> None:
        super().__init__(server.config, server.server_state, {})
        self.lost = asyncio.Event()
        self._times = times
        self._takes_content = content
        self._timers: list[asyncio.TimerHandle] = []
        self._rest: asyncio.TimerHandle | None = None
        self._stuck: asyncio.TimerHandle | None = None
        self._in_content = False
        self._unread = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn narrows asyncio's parameter in the same way
        """Begin to count the time."""
        super().connection_made(transport)
        self._timers = [
            self.loop.call_later(self._times.first_request, transport.abort),
            self.loop.call_later(self._times.age, self._grow_old),
        ]

    def data_received(self, data: bytes) -> None:
        """Parse *data*, unless the request that it belongs to is too long."""
        while data and not self.transport.is_closing():
            size = len(data) if self._in_content else _PIECE
            piece, data = data[:size], data[size:]
            self._unread += len(piece)
            limit = _MAX_CONTENT if self._in_content else _MAX_HEAD
            if self._unread > limit:
                self.send_400_response(f"A request has at most {limit} bytes.")
                return
            super().data_received(piece)

    def on_message_begin(self) -> None:
        """Give the application a way to end the connection."""
        super().on_message_begin()
        self.scope["extensions"] = {ABORT: {"abort": self.transport.abort}}

    def on_header(self, name: bytes, value: bytes) -> None:
        """Refuse trailers: they would become headers of a request that is being answered."""
        if self._in_content:
            raise _RefusedError
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Refuse what would leave the end or the place of a request in doubt; an error here is answered with 400."""
        self._unread = 0
        hosts = 0
        lengths, encodings = [], []
        for name, value in self.headers:
            hosts += name == b"host"
            if name == b"content-length":
                lengths.append(value)
            elif name == b"transfer-encoding":
                encodings.append(value.lower())
        version = self.parser.get_http_version()
        if version not in _VERSIONS or hosts > 1 or (not hosts and version == "1.1"):
            raise _RefusedError
        content = bool(encodings) or lengths not in ([], [b"0"])
        if content and not (self._takes_content and self._is_readable(encodings, version)):
            raise _RefusedError
        if self._takes_content:
            if self._answers:
                raise _RefusedError
        elif len(self.pipeline) >= _MAX_PIPELINED:
            raise _RefusedError
        super().on_headers_complete()
        self._in_content = content
        self._timers[0].cancel()

    @property
    def _answers(self) -> bool:
        """Whether a request is not answered yet."""
        cycle = cast("RequestResponseCycle | None", self.cycle)
        return cycle is not None and not cycle.response_complete

    def _is_readable(self, encodings: list[bytes], version: str) -> bool:
        if self.parser.get_method() not in _WITH_CONTENT or self.parser.should_upgrade():
            return False
        return not encodings or (encodings == [b"chunked"] and version == "1.1")

    def on_message_complete(self) -> None:
        """Expect the next request."""
        self._in_content = False
        self._unread = 0
        if self._rest is not None:
            self._rest.cancel()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Read the rest of a content that nobody wanted, so that the client can read the answer; not for long."""
        super().on_response_complete()
        if self._in_content:
            self._rest = self.loop.call_later(self._times.first_request, self.transport.abort)

    def send_400_response(self, msg: str) -> None:
        """Answer 400 and close; an answer that has begun ends as it is."""
        if self._answers and self.cycle.response_started:
            self.transport.abort()
            return
        super().send_400_response(msg)

    def pause_writing(self) -> None:
        """Begin to wait for a client that does not read."""
        super().pause_writing()
        self._stuck = self._stuck or self.loop.call_later(_UNREAD, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on: the client reads."""
        super().resume_writing()
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Set `lost`."""
        for timer in (*self._timers, self._rest, self._stuck):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)
        self.lost.set()

    def _unsupported_upgrade_warning(self) -> None:
        # The request is answered as one without Upgrade, and what follows it is not read.
        self.cycle.keep_alive = False

    def _grow_old(self) -> None:
        # A client that does not read its answer, or that stops within a later request, gets no more time than others.
        self._timers.append(self.loop.call_later(self._times.last_answer, self.transport.abort))
        self.shutdown()
