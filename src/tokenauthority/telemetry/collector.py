"""Reach the collector: send it a request in a bounded time, and say what its refusal means."""

from __future__ import annotations

import asyncio

from functools import partial
from typing import Final

import grpc
import grpc.aio

from google.rpc.error_details_pb2 import RetryInfo

from tokenauthority.config.telemetry import problems_of_telemetry, read_headers
from tokenauthority.config.telemetry_settings import TelemetrySettings
from tokenauthority.domain.one_line import one_line
from tokenauthority.outage import ExpectedError
from tokenauthority.threads import BlockingPool, PoolError


_MAX_ANSWER: Final = 65_536
"""Bytes."""

_SHORTEST_SECRET: Final = 8
"""Characters of a word in the value of a header that may be a secret."""

_PASSING: Final = frozenset(
    {
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DATA_LOSS,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.UNAVAILABLE,
    }
)
"""What OTLP allows to send again, beside RESOURCE_EXHAUSTED with a time to wait: without one, the request is too large.
https://opentelemetry.io/docs/specs/otlp/#failures"""

_RETRY_INFO: Final = RetryInfo.DESCRIPTOR.full_name.encode()

_OPTIONS: Final = (
    # The settings alone say where telemetry goes: neither the variable `https_proxy` nor a record of the DNS.
    ("grpc.enable_http_proxy", 0),
    ("grpc.service_config_disable_resolution", 1),
    ("grpc.enable_retries", 0),
    ("grpc.max_receive_message_length", _MAX_ANSWER),
)


class CollectorError(ExpectedError):
    """The collector has not accepted a request. `passing` says whether the same request may succeed later."""

    def __init__(self, problem: str, *, passing: bool) -> None:
        super().__init__(problem)
        self.passing = passing


class Collector:
    """A connection to the collector, made at the first request and again after each failure.

    The file of headers is read for each request, so that a token is renewed before it expires, and the files of TLS for
    each connection.
    """

    def __init__(self, settings: TelemetrySettings, pool: BlockingPool) -> None:
        self._settings = settings
        self._pool = pool
        self._channel: grpc.aio.Channel | None = None
        self._headers: tuple[tuple[str, str], ...] = ()

    async def send(self, path: str, request: bytes) -> bytes:
        """Return the answer to *request*; raise CollectorError after `telemetry.timeout` at the latest."""
        loop, patience = asyncio.get_running_loop(), self._settings.timeout
        end = loop.time() + patience
        try:
            self._headers = await self._pool.run(partial(_read_headers, self._settings), patience=patience)
            if self._channel is None:
                credentials = await self._pool.run(partial(_credentials, self._settings), patience=end - loop.time())
                self._channel = _open(self._settings.endpoint, credentials)
            call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(path)
            return await call(request, timeout=end - loop.time(), metadata=self._headers)
        except grpc.aio.AioRpcError as error:
            await self.close()
            problem = f"{error.code().name}: {self.shown(error.details() or '')}"
            raise CollectorError(problem, passing=_is_passing(error)) from None
        except OSError as error:
            raise CollectorError(f"{error.filename} cannot be read: {error.strerror}", passing=True) from None
        except PoolError as error:
            raise CollectorError(f"files of the settings cannot be read: {error}", passing=True) from None

    def shown(self, text: str) -> str:
        """Return *text* of the collector for the log: one line, without the credentials that it may quote."""
        for word in (word for _, value in self._headers for word in value.split() if len(word) >= _SHORTEST_SECRET):
            text = text.replace(word, "…")
        return one_line(text)

    async def close(self) -> None:
        """Close the connection."""
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()


def _read_headers(settings: TelemetrySettings) -> tuple[tuple[str, str], ...]:
    headers, problems = read_headers(settings.headers_file)
    if problems:
        raise CollectorError("; ".join(problems), passing=True)
    return headers


def _credentials(settings: TelemetrySettings) -> grpc.ChannelCredentials | None:
    """Return those of TLS, None for plaintext; raise OSError or CollectorError."""
    if settings.endpoint.startswith("http://"):
        return None
    files = (settings.ca_file, settings.key_file, settings.cert_file)
    roots, key, chain = (None if path is None else path.read_bytes() for path in files)
    problems = problems_of_telemetry(settings)
    # Files may change between the two reads, and gRPC aborts the whole process at an empty certificate or key.
    if problems or b"" in {roots, key, chain}:
        raise CollectorError("; ".join(problems) or "a PEM file is empty", passing=True)
    return grpc.ssl_channel_credentials(roots, key, chain)


def _is_passing(error: grpc.aio.AioRpcError) -> bool:
    if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
        return error.code() in _PASSING
    details = dict(error.trailing_metadata()).get("grpc-status-details-bin", b"")
    return isinstance(details, bytes) and _RETRY_INFO in details


def _open(endpoint: str, credentials: grpc.ChannelCredentials | None) -> grpc.aio.Channel:
    address = endpoint.partition("://")[2]
    if credentials is None:
        return grpc.aio.insecure_channel(address, options=_OPTIONS)
    return grpc.aio.secure_channel(address, credentials, options=_OPTIONS)
