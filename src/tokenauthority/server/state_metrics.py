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
    gauges: dict[str, tuple[str, Callable[[], float]]] = {
        "signing_key_end_seconds": (
            "When the key that signs must stop, in Unix time.",
            lambda: (core.keys.ring.sign_until or 0) / 1000,
        ),
        "revocations": ("Revocations in force.", lambda: len(core.revocations.index)),
        "watchers": ("Open streams of WatchRevocations.", lambda: core.watch.watchers),
        "store_age_seconds": (
            "Seconds since the store's changes were last read: how old cached data may be.",
            core.follower.age,
        ),
    }
    for name, (meaning, read) in gauges.items():
        Gauge(f"tokenauthority_{name}", meaning, registry=registry).set_function(read)


def _count(keys: SigningKeyManager, state: KeyState) -> Callable[[], float]:
    return lambda: sum(entry.stored.state is state for entry in keys.ring.entries)
