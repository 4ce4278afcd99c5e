"""Reach the collector: send it a request in a bounded time, and say what its refusal means."""

from __future__ import annotations

from functools import partial
from typing import Final

import grpc
import grpc.aio

from tokenauthority.config.telemetry import read_headers
from tokenauthority.config.telemetry_settings import TelemetrySettings
from tokenauthority.threads import BlockingPool, PoolError


_MAX_ANSWER: Final = 65_536
"""Bytes."""

MAX_DETAILS: Final = 300
"""Characters of what the collector says about a failure."""

_PASSING: Final = frozenset(
    {
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DATA_LOSS,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.UNAVAILABLE,
    }
)
"""What OTLP allows to send again. https://opentelemetry.io/docs/specs/otlp/#failures"""

_OPTIONS: Final = (
    # The settings alone say where telemetry goes: neither the variable `https_proxy` nor a record of the DNS.
    ("grpc.enable_http_proxy", 0),
    ("grpc.service_config_disable_resolution", 1),
    ("grpc.enable_retries", 0),
    ("grpc.max_receive_message_length", _MAX_ANSWER),
)


class CollectorError(Exception):
    """The collector has not accepted a request. `passing` says whether the same request may succeed later."""

    def __init__(self, problem: str, *, passing: bool) -> None:
        super().__init__(problem)
        self.passing = passing


class Collector:
    """A connection to the collector, made at the first request and, with files read anew, after each failure."""

    def __init__(self, settings: TelemetrySettings, pool: BlockingPool) -> None:
        self._settings = settings
        self._pool = pool
        self._channel: grpc.aio.Channel | None = None
        self._headers: tuple[tuple[str, str], ...] = ()

    async def send(self, path: str, request: bytes) -> bytes:
        """Return the answer to *request*; raise CollectorError after `telemetry.timeout` at the latest."""
        try:
            if self._channel is None:
                credentials, self._headers = await self._pool.run(
                    partial(_read_files, self._settings), patience=self._settings.timeout
                )
                self._channel = _open(self._settings.endpoint, credentials)
            call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(path)
            return await call(request, timeout=self._settings.timeout, metadata=self._headers)
        except grpc.aio.AioRpcError as error:
            await self.close()
            problem = f"{error.code().name}: {(error.details() or '')[:MAX_DETAILS]}"
            raise CollectorError(problem, passing=error.code() in _PASSING) from None
        except OSError as error:
            raise CollectorError(f"{error.filename} cannot be read: {error.strerror}", passing=True) from None
        except PoolError as error:
            raise CollectorError(f"files of the settings cannot be read: {error}", passing=True) from None

    async def close(self) -> None:
        """Close the connection."""
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()


def _read_files(settings: TelemetrySettings) -> tuple[grpc.ChannelCredentials | None, tuple[tuple[str, str], ...]]:
    """Return the credentials, None for plaintext, and the headers; raise OSError or CollectorError."""
    headers, problems = read_headers(settings.headers_file)
    if problems:
        raise CollectorError("; ".join(problems), passing=True)
    if settings.endpoint.startswith("http://"):
        return None, headers
    files = (settings.ca_file, settings.key_file, settings.cert_file)
    roots, key, chain = (None if path is None else path.read_bytes() for path in files)
    return grpc.ssl_channel_credentials(roots, key, chain), headers


def _open(endpoint: str, credentials: grpc.ChannelCredentials | None) -> grpc.aio.Channel:
    address = endpoint.partition("://")[2]
    if credentials is None:
        return grpc.aio.insecure_channel(address, options=_OPTIONS)
    return grpc.aio.secure_channel(address, credentials, options=_OPTIONS)
