"""Prometheus metrics of the server's state, computed together when they are scraped."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from tokenauthority.audit.writing.log import FileAuditLog
from tokenauthority.authority.tenant_cache import MAX_PROJECTS, MAX_SESSIONS
from tokenauthority.domain.key import KeyState
from tokenauthority.server.core import Core
from tokenauthority.server.health import PARTS, Health


_PREFIX: Final = "tokenauthority_"

_CACHED: Final = (
    f"Objects of the store that are cached: at most {MAX_SESSIONS:,} sessions, and {MAX_PROJECTS:,} of each other kind."
)


class StateCollector(Collector):
    """The health, the key ring, the revocations, the watchers, the age of cached data, and the audit log."""

    def __init__(self, core: Core, health: Callable[[], Health], audit_log: FileAuditLog) -> None:
        self._core = core
        self._health = health
        self._audit_log = audit_log

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics, by one health: a part that fails and the services that it stops are of one moment."""
        core, health = self._core, self._health()
        yield _gauges(
            "failing",
            "1 while the part fails: /readyz then says why, in `problems` or `details`.",
            "part",
            {part: health.fails(part) for part in PARTS},
        )
        yield _gauges(
            "serving",
            "1 while the probes say that the server (the empty name) or the service serves.",
            "service",
            health.serving,
        )
        states = [entry.stored.state for entry in core.keys.ring.entries]
        yield _gauges(
            "signing_keys",
            "Signing keys of the ring, by state.",
            "state",
            {state.value: states.count(state) for state in KeyState},
        )
        yield _gauges(
            "unopened",
            "What is sealed and does not open on this server.",
            "kind",
            {"signing_key": core.keys.unopened, "project": core.tenants.unopened},
        )
        yield _gauges("cached", _CACHED, "kind", core.tenants.sizes)
        end = (core.keys.ring.sign_until or 0) / 1000
        yield _gauge("signing_key_end_seconds", "When the key that signs must stop, in Unix time.", end)
        yield _gauge("revocations", "Revocations in force.", len(core.revocations.index))
        yield _gauge("watchers", "Open streams of WatchRevocations.", core.watch.watchers)
        age = "Seconds since the store's changes were last read: how old cached data may be."
        yield _gauge("store_age_seconds", age, core.follower.age())
        records = "Records written to the audit log."
        yield CounterMetricFamily(_PREFIX + "audit_records", records, self._audit_log.written)
        commits = "Commits of such records: those that come together share one."
        yield CounterMetricFamily(_PREFIX + "audit_commits", commits, self._audit_log.commits)


def _gauge(name: str, meaning: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(_PREFIX + name, meaning, value)


def _gauges(name: str, meaning: str, label: str, values: Mapping[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(_PREFIX + name, meaning, labels=(label,))
    for labelled, value in values.items():
        family.add_metric((labelled,), value)
    return family
