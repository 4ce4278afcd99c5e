"""Count the removals, and show how far behind the enforcer is."""

from __future__ import annotations

from functools import partial
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


_SECONDS: Final = (0.1, 0.25, 0.5, 1, 2, 5, 15, 60, 300, 900, 3600)
_PREFIX: Final = "tokenauthority_enforcer_"


class EnforcerMetrics:
    """The metrics of one process; `server` is the name in its settings."""

    def __init__(self, registry: CollectorRegistry) -> None:
        counter, gauge = partial(Counter, registry=registry), partial(Gauge, registry=registry)
        self.removals = counter(
            _PREFIX + "removals",
            "Removals by outcome: `removed`; `gone`, nobody was there any more; `asked`, the server does not say "
            "whether anybody was there; `failed`.",
            ("server", "outcome"),
        )
        self.seconds = Histogram(
            _PREFIX + "removal_seconds",
            "Seconds from a revocation, by the clock of the authority, to the first removal that it causes.",
            ("server",),
            buckets=_SECONDS,
            registry=registry,
        )
        text = "Turns in which a real-time server did not do what it was asked."
        self.failures = counter(_PREFIX + "server_failures", text, ("server",))
        text = "Webhooks by outcome: `accepted`, or `refused` for what LiveKit did not sign."
        self.webhooks = counter(_PREFIX + "webhooks", text, ("server", "outcome"))
        text = "Revocations whose people are still removed if they return."
        self.pending = gauge(_PREFIX + "pending", text, ("server",))
        text = "Whether the stream of revocations is open and complete."
        self.connected = gauge(_PREFIX + "stream_connected", text)
        text = "The moment up to which nothing is missing, by the authority's clock, in seconds since 1970; 0 at first."
        self.complete_to = gauge(_PREFIX + "stream_complete_to_seconds", text)
