"""Prometheus metrics of the server's state, computed together when they are scraped."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from tokenauthority import __version__
from tokenauthority.audit.writing.log import MAX_PENDING, FileAuditLog
from tokenauthority.authority.tenant_cache import MAX_PROJECTS, MAX_SESSIONS
from tokenauthority.domain.key import KeyState
from tokenauthority.server.core import Core
from tokenauthority.server.health import PARTS, Health
from tokenauthority.storage.store import Store


_PREFIX: Final = "tokenauthority_"

_CACHED: Final = (
    f"Objects of the store that are cached: at most {MAX_SESSIONS:,} sessions, and {MAX_PROJECTS:,} of each other kind."
)


class StateCollector(Collector):
    """The version, the health, the key ring, the revocations, the watchers, the store, and the audit log."""

    def __init__(self, core: Core, health: Callable[[], Health], audit_log: FileAuditLog, store: Store) -> None:
        self._core = core
        self._health = health
        self._audit_log = audit_log
        self._store = store

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics, by one health: a part that fails and the services that it stops are of one moment."""
        core, health = self._core, self._health()
        yield _gauges("build_info", "1, with the version of the program.", "version", {__version__: 1})
        yield _gauges(
            "failing",
            "1 while the part fails: /readyz then says why, in `problems` or `details`.",
            "part",
            {part: health.fails(part) for part in PARTS},
        )
        yield _gauges(
            "serving",
            "1 while the probes say that the server (the empty name, as /readyz) or the service serves.",
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
        yield self._store_seconds()
        yield from self._audit()

    def _store_seconds(self) -> Metric:
        meaning = "Duration of units of work of the store, time in the queue and failures included: `read` or `write`."
        family = HistogramMetricFamily(_PREFIX + "store_seconds", meaning, labels=("kind",))
        for kind, durations in self._store.durations.items():
            family.add_metric((kind,), durations.buckets, durations.seconds)
        return family

    def _audit(self) -> Iterator[Metric]:
        backlog = self._audit_log.backlog
        yield _gauge("audit_waiting_lines", "Lines of the audit log that wait for the disk.", backlog.lines)
        waiting = f"Bytes of these lines; above {MAX_PENDING:,}, calls are refused."
        yield _gauge("audit_waiting_bytes", waiting, backlog.size)
        yield _gauge("audit_waiting_seconds", "Seconds for which the oldest of these lines has waited.", backlog.age)
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
