"""Send one HTTP request to a server that is not trusted: bounded in time and bytes, without redirects."""

from __future__ import annotations

import asyncio
import ssl

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import attrs
import httpcore

from tokenauthority.bounded_network import AnswerTooLongError, BoundedNetwork
from tokenauthority.domain.counts import counted
from tokenauthority.domain.one_line import one_line
from tokenauthority.threads import BlockingPool, PoolError


OK: Final = 200

HEADERS_AND_TLS: Final = 65_536
"""Bytes that an answer may have beside its body: status lines, headers and framing, and those of TLS."""

_ERRORS: Final = (
    AnswerTooLongError,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.TimeoutException,
    OSError,
    PoolError,
    ValueError,
)


class HttpRequestError(Exception):
    """There is no whole answer within the bounds. The message quotes nothing of the answer."""


@attrs.frozen(kw_only=True)
class HttpRequest:
    """What is sent. `repr` shows neither headers nor body, which contain credentials."""

    method: str
    url: str
    headers: Mapping[str, str] = attrs.field(repr=False)
    body: bytes = attrs.field(default=b"", repr=False)


@attrs.frozen(kw_only=True)
class HttpAnswer:
    """What came back; the body of a status other than 200 is not read, and empty here."""

    status: int
    content_type: str
    retry_after: str = ""
    body: bytes = attrs.field(repr=False)


def make_tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """Return what verifies servers by the CAs of *ca_file*, else of the system. It reads files; raises OSError."""
    context = ssl.create_default_context(cafile=ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


async def send_request(
    request: HttpRequest,
    *,
    context: ssl.SSLContext,
    thread: BlockingPool,
    max_body: int,
    timeout: float,  # noqa: ASYNC109 - the time is part of what the answer may cost, as the bytes are
) -> HttpAnswer:
    """Send *request* over a new connection, and return the answer; raise HttpRequestError.

    It follows no redirect and uses no proxy of the environment: the answer comes from the host of the URL, or not at
    all. The DNS blocks a thread of *thread*; *timeout* is in seconds, from the look-up to the last byte.
    """
    network = BoundedNetwork(max_body + HEADERS_AND_TLS, thread)
    try:
        async with (
            asyncio.timeout(timeout),
            httpcore.AsyncConnectionPool(ssl_context=context, network_backend=network) as pool,
            pool.stream(
                request.method,
                request.url,
                headers=[*request.headers.items(), ("accept-encoding", "identity")],
                content=request.body or None,
                extensions={"timeout": dict.fromkeys(("connect", "read", "write"), timeout)},
            ) as answer,
        ):
            body = await _read_body(answer, max_body) if answer.status == OK else b""
    except TimeoutError:
        raise HttpRequestError(f"no whole answer within {counted(timeout, 'second')}") from None
    except _ERRORS as error:
        raise HttpRequestError(describe(error)) from error
    return HttpAnswer(
        status=answer.status,
        content_type=_header(answer, b"content-type"),
        retry_after=_header(answer, b"retry-after"),
        body=body,
    )


def _header(answer: httpcore.Response, wanted: bytes) -> str:
    return b", ".join(value for name, value in answer.headers if name.lower() == wanted).decode("latin-1")


async def _read_body(answer: httpcore.Response, max_body: int) -> bytes:
    if any(name.lower() == b"content-encoding" and value != b"identity" for name, value in answer.headers):
        raise HttpRequestError("the answer is compressed")
    data = b""
    async for chunk in answer.aiter_stream():
        data += chunk
        if len(data) > max_body:
            raise HttpRequestError(f"the answer has more than {max_body} bytes")
    return data


def describe(error: Exception) -> str:
    """Return the error with its class: the text of a refused connection alone says too little.

    The text of a protocol error quotes the answer, which is the other server's and not for the log.
    """
    text = "the answer is not valid HTTP/1.1" if isinstance(error, httpcore.ProtocolError) else str(error)
    return f"{type(error).__name__}: {one_line(text)}" if text else type(error).__name__
