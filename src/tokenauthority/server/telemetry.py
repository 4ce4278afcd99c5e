"""What telemetry adds to a server: nothing while it is off, and then OpenTelemetry is not imported."""

from __future__ import annotations

import asyncio

from collections.abc import Callable
from typing import Final, Protocol, TypeVar

import attrs
import structlog

from prometheus_client import CollectorRegistry

from tokenauthority.config.telemetry_settings import TelemetrySettings
from tokenauthority.domain.token_format import TokenFormat
from tokenauthority.interceptors.call import Interceptor
from tokenauthority.signing.formats.codec import Codec
from tokenauthority.signing.formats.registry import codec_of


T = TypeVar("T")

_LAST_TURN: Final = 3.0
"""Seconds at a stop for the last exports together."""


class Export(Protocol):
    """What sends one kind of telemetry."""

    async def turn(self) -> None:
        """Send all that there is; raise CollectorError."""

    async def close(self) -> None:
        """Close the connection."""


class WaitingExport(Export, Protocol):
    """An export of what waits for it, which may ask for its turn."""

    @property
    def wake(self) -> asyncio.Event:
        """Set when it asks."""

    @property
    def waiting(self) -> int:
        """How much waits."""


class Observer(Protocol):
    """Returns what stands for an object and times its methods, under the name of a part of the server."""

    def __call__(self, part: str, target: T, /) -> T:
        """Return it."""


def _as_it_is(_: str, target: T, /) -> T:
    return target


@attrs.frozen(kw_only=True)
class Telemetry:
    """The parts that a server gets.

    Attributes:
        outer: Interceptors around all but the one that makes the audit record.
        inner: Interceptors right after authentication.
        headers: Of requests over HTTP, beside those that the interceptors read anyway.
        observed: Times the methods of an object for the calls that use it.
        codec_of: Returns the codec of a format; its signatures are timed.
        interval: Seconds between two exports.
    """

    outer: tuple[Interceptor, ...] = ()
    inner: tuple[Interceptor, ...] = ()
    headers: tuple[str, ...] = ()
    observed: Observer = _as_it_is
    codec_of: Callable[[TokenFormat], Codec] = codec_of
    traces: WaitingExport | None = None
    metrics: Export | None = None
    interval: float = 0.0

    async def close(self) -> None:
        """Export what is left, within 3 seconds, and close the connections."""
        exports = [export for export in (self.traces, self.metrics) if export is not None]
        last = [asyncio.ensure_future(export.turn()) for export in exports]
        if last:
            _, late = await asyncio.wait(last, timeout=_LAST_TURN)
            for turn in late:
                turn.cancel()
            await asyncio.gather(*last, return_exceptions=True)
            await asyncio.gather(*(export.close() for export in exports))
        if self.traces is not None and self.traces.waiting:
            structlog.stdlib.get_logger(__name__).warning("telemetry.not_sent", spans=self.traces.waiting)


OFF: Final = Telemetry()


def telemetry_of(settings: TelemetrySettings, registry: CollectorRegistry) -> Telemetry:
    """Return the parts for *settings*. *registry* has the metrics, and gets those of the exports."""
    if not settings.endpoint:
        return OFF
    from tokenauthority.server.exporting import build_telemetry  # noqa: PLC0415 - 50 ms that only an exporting server needs

    return build_telemetry(settings, registry)
