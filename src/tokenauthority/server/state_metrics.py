"""Prometheus gauges of the server's state, computed when they are scraped."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Gauge

from tokenauthority.authority.signing_keys import SigningKeyManager
from tokenauthority.domain.key import KeyState
from tokenauthority.server.core import Core


def register_state(registry: CollectorRegistry, core: Core) -> None:
    """Register gauges of the key ring, the revocations, the watchers, and the age of cached data."""
    ring = Gauge("tokenauthority_signing_keys", "Signing keys of the ring, by state.", ("state",), registry=registry)
    for state in KeyState:
        ring.labels(state.value).set_function(_count(core.keys, state))

    def register(name: str, meaning: str, read: Callable[[], float]) -> None:
        Gauge(f"tokenauthority_{name}", meaning, registry=registry).set_function(read)

    end = "When the key that signs must stop, in Unix time."
    register("signing_key_end_seconds", end, lambda: (core.keys.ring.sign_until or 0) / 1000)
    register("revocations", "Revocations in force.", lambda: len(core.revocations.index))
    register("watchers", "Open streams of WatchRevocations.", lambda: core.watch.watchers)
    age = "Seconds since the store's changes were last read: how old cached data may be."
    register("store_age_seconds", age, core.follower.age)


def _count(keys: SigningKeyManager, state: KeyState) -> Callable[[], float]:
    return lambda: sum(entry.stored.state is state for entry in keys.ring.entries)
