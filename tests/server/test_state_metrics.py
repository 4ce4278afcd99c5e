"""The metrics show the key ring, the revocations, the watchers, and how old cached data is."""

from __future__ import annotations

from collections.abc import Mapping

import httpx

from prometheus_client.parser import text_string_to_metric_families

from tests.support.authority import NO_TRUST, RunningAuthority, StartAuthority, eventually
from tests.support.faults import break_audit_log
from tests.support.faulty_store import FaultyStore
from tests.support.wire import LIST_PROJECTS, Wire
from tokenauthority import __version__
from tokenauthority.client import Authority
from tokenauthority.contract import SERVICES
from tokenauthority.server.health import PARTS, WHOLE, Health
from tokenauthority.server.state_metrics import StateCollector


def gauges(authority: RunningAuthority) -> dict[str, float]:
    """The values of all metrics, by name and the state of a key or the kind of an object."""
    families = text_string_to_metric_families(httpx.get(authority.ops_url + "/metrics", verify=NO_TRUST).text)
    return {
        " ".join([sample.name.removeprefix("tokenauthority_"), *_label(sample.labels)]): sample.value
        for family in families
        for sample in family.samples
    }


def _label(labels: Mapping[str, str]) -> list[str]:
    return [labels[name] for name in ("state", "kind", "version", "service") if name in labels]


def test_shows_the_key_that_signs(running_authority: RunningAuthority) -> None:
    """How many keys there are in each state, and when the one that signs must stop."""
    shown = gauges(running_authority)

    assert [1, 0] == [shown[f"signing_keys {state}"] for state in ("active", "revoked")]
    assert running_authority.clock() / 1000 < shown["signing_key_end_seconds"]


def test_one_scrape_is_of_one_moment(running_authority: RunningAuthority) -> None:
    """All gauges are of one health, which is computed once: else they could contradict each other."""
    app, asked = running_authority.app, []

    def health() -> Health:
        asked.append(1)
        return app.readiness.health()

    shown = {
        f"{family.name} {','.join(sample.labels.values())}"
        for family in StateCollector(app.readiness._core, health, app.audit_log, app.store).collect()
        for sample in family.samples
    }

    assert [1] == asked
    assert {f"tokenauthority_failing {part}" for part in PARTS} < shown
    assert {f"tokenauthority_serving {service}" for service in (WHOLE, *SERVICES)} < shown


def test_every_part_of_readyz_has_a_metric(running_authority: RunningAuthority) -> None:
    """A part that fails without a metric would wake nobody."""
    assert {*running_authority.app.readiness._others(), "keys", "signing", "projects"} <= set(PARTS)


def test_shows_revocations_and_watchers(running_authority: RunningAuthority) -> None:
    """Both count what there is now."""
    before = gauges(running_authority)
    with Authority.from_environment(running_authority.environment) as client:
        client.revoke_tokens(subject="bob")
        with client.watch_revocations() as watch:
            next(watch)
            during = gauges(running_authority)
    eventually(lambda: gauges(running_authority)["watchers"] == 0, "the watcher is still counted")

    assert [(0, 0), (1, 1)] == [(shown["revocations"], shown["watchers"]) for shown in (before, during)]


def test_shows_what_is_cached(running_authority: RunningAuthority) -> None:
    """An operator sees whether the caches are full: until then the memory of a server grows."""
    with Authority.from_environment(running_authority.environment) as client:

        def cached() -> bool:
            # A change that arrives meanwhile, such as that of the new project, lets a cache take nothing or less.
            client.create_session().generate_token()
            shown = gauges(running_authority)
            return shown["cached session"] > 0 and shown["cached project"] == 1

        eventually(cached, "nothing is cached")


def test_shows_how_old_cached_data_is(start_authority: StartAuthority) -> None:
    """The age grows while the store cannot be read."""
    store = FaultyStore()
    authority = start_authority(store=store)
    store.fail("changes_after")

    eventually(lambda: gauges(authority)["store_age_seconds"] > 0.2, "the age does not grow")


def test_counts_the_records_and_commits_of_the_audit_log(running_authority: RunningAuthority, wire: Wire) -> None:
    """One call at a time has a commit of its own."""
    before = gauges(running_authority)
    for _ in range(3):
        wire.call(LIST_PROJECTS)
    after = gauges(running_authority)

    assert [3, 3] == [after[name] - before[name] for name in ("audit_records_total", "audit_commits_total")]


def test_shows_the_version_and_whether_the_server_serves(running_authority: RunningAuthority) -> None:
    """A fleet in an upgrade has two versions; a server that cannot record is not ready."""
    before = gauges(running_authority)
    break_audit_log(running_authority.audit_path)
    eventually(lambda: gauges(running_authority)["serving "] == 0, "the server still serves")

    assert [1, 1] == [before[name] for name in (f"build_info {__version__}", "serving ")]


def test_times_the_reads_and_writes_of_the_store(running_authority: RunningAuthority) -> None:
    """A slow store is seen before it is lost."""

    def units() -> list[float]:
        shown = gauges(running_authority)
        return [shown[f"store_seconds_count {kind}"] for kind in ("read", "write")]

    read, written = units()
    with Authority.from_environment(running_authority.environment) as client:
        client.create_session()

    assert written < units()[1]
    eventually(lambda: read < units()[0], "the follower's reads are not counted")


def test_shows_what_waits_for_the_disk(running_authority: RunningAuthority) -> None:
    """Nothing waits while nobody calls."""

    def waiting() -> list[float]:
        shown = gauges(running_authority)
        return [shown[f"audit_waiting_{what}"] for what in ("lines", "bytes", "seconds")]

    eventually(lambda: waiting() == [0, 0, 0], "something waits")
