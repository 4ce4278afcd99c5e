"""A turn removes everybody who must not be inside, records each removal, and counts as done only as a whole."""

from __future__ import annotations

import json

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from prometheus_client import CollectorRegistry

from tests.enforcer.stand_ins import SECRET, CentrifugoStandIn, LiveKitStandIn, StandIn
from tests.enforcer.test_pending import LIVEKIT, MINUTE, NOW, RULES, pending
from tokenauthority.audit.writing.log import FileAuditLog
from tokenauthority.domain.times import Millis
from tokenauthority.enforcer.admin_api import AdminApi
from tokenauthority.enforcer.centrifugo import CentrifugoDriver
from tokenauthority.enforcer.driver import Driver
from tokenauthority.enforcer.enforcement import Enforcement
from tokenauthority.enforcer.livekit import LiveKitDriver
from tokenauthority.enforcer.metrics import EnforcerMetrics
from tokenauthority.enforcer.pending import PendingRemovals, Rules
from tokenauthority.server.wiring import system_clock


class World:
    """Enforcements of stand-ins, with a clock that a test sets, and an audit log."""

    def __init__(self, directory: Path, api_of: Callable[[StandIn], AdminApi]) -> None:
        self.now = NOW
        self.registry = CollectorRegistry()
        self.metrics = EnforcerMetrics(self.registry)
        self.removals = PendingRemovals(10)
        self.audit_path = directory / "audit.jsonl"
        self.audit_log = FileAuditLog(self.audit_path, directory / "audit-key.pem", clock=lambda: self.now)
        self._api_of = api_of

    def livekit(self, stand_in: LiveKitStandIn) -> Enforcement:
        """The enforcement of LiveKit."""
        return self._make(LIVEKIT, LiveKitDriver(self._api_of(stand_in), "APIkey", SECRET, system_clock))

    def centrifugo(self, stand_in: CentrifugoStandIn) -> Enforcement:
        """The enforcement of Centrifugo."""
        return self._make(RULES, CentrifugoDriver(self._api_of(stand_in), SECRET))

    def _make(self, rules: Rules, driver: Driver) -> Enforcement:
        return Enforcement(
            rules, driver, self.removals, notes=self.audit_log, metrics=self.metrics, clock=lambda: self.now
        )

    def records(self) -> list[dict[str, object]]:
        """The audit lines of removals, without what chains them."""
        lines = map(json.loads, self.audit_path.read_text(encoding="utf-8").splitlines())
        chained = {"seq", "prev", "type", "crc", "time", "server", "project_id"}
        return [{k: v for k, v in line.items() if k not in chained} for line in lines if line["type"] == "removal"]

    def count(self, outcome: str) -> float:
        """How many removals had that outcome."""
        labels = {"server": "video", "outcome": outcome}
        return self.registry.get_sample_value("tokenauthority_enforcer_removals_total", labels) or 0.0


@pytest.fixture
async def world(tmp_path: Path, api_of: Callable[[StandIn], AdminApi]) -> AsyncIterator[World]:
    """With an audit log that is open."""
    made = World(tmp_path, api_of)
    async with made.audit_log.running():
        yield made


async def test_each_removal_is_recorded_and_counted(world: World, livekit: LiveKitStandIn) -> None:
    """With its cause; a person who returns is removed and recorded again."""
    livekit.inside = {"standup": {"alice", "bob"}, "lobby": {"bob"}}
    world.removals.add(pending(until=NOW + MINUTE))
    enforcement = world.livekit(livekit)

    await enforcement.turn()
    livekit.inside["standup"].add("alice")
    await enforcement.turn()

    assert {"standup": {"bob"}, "lobby": {"bob"}} == livekit.inside
    first = {"cause": "rev_1", "room": "standup", "subject": "alice", "outcome": "removed", "returned": False}
    assert [first, {**first, "returned": True}] == world.records()
    assert 2 == world.count("removed")


async def test_a_turn_that_failed_is_not_done(world: World, livekit: LiveKitStandIn) -> None:
    """However late it is: the removal stays pending until one turn has succeeded."""
    livekit.inside = {"standup": {"alice"}}
    world.removals.add(pending(until=NOW))
    enforcement = world.livekit(livekit)
    livekit.status = 500

    await enforcement.turn()
    world.now = Millis(NOW + 60 * MINUTE)
    await enforcement.turn()
    assert "status 500" in enforcement.problem
    assert 1 == len(world.removals)

    livekit.status = None
    await enforcement.turn()
    assert "" == enforcement.problem
    assert {"standup": set()} == livekit.inside


async def test_a_turn_that_failed_for_an_unforeseen_reason_shows_too(
    world: World, livekit: LiveKitStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the kind of the error alone, whose message may quote anything; the error itself is for the supervisor."""
    livekit.inside = {"standup": {"alice"}}
    world.removals.add(pending(until=NOW))
    enforcement = world.livekit(livekit)
    with monkeypatch.context() as broken:
        broken.setattr(world.audit_log, "note", raising)
        with pytest.raises(LookupError):
            await enforcement.turn()

    failures = world.registry.get_sample_value("tokenauthority_enforcer_server_failures_total", {"server": "video"})
    assert ("unexpected LookupError", 1) == (enforcement.problem, failures)
    await enforcement.turn()
    assert "" == enforcement.problem


async def raising(*_: object) -> None:
    """Fail as nobody foresaw."""
    raise LookupError("a detail")


async def test_whoever_returned_while_the_server_was_away_leaves_however_late_it_is(
    world: World, centrifugo: CentrifugoStandIn
) -> None:
    """One turn before the outage is not enough: a turn must succeed when no token is left to return with."""
    world.removals.add(pending(until=NOW + MINUTE))
    enforcement = world.centrifugo(centrifugo)
    await enforcement.turn()

    centrifugo.status = 500
    centrifugo.inside = {"standup": {"c1": "alice"}}
    world.now = Millis(NOW + 2 * MINUTE)
    await enforcement.turn()
    centrifugo.status = None
    await enforcement.turn()

    assert {"standup": {}} == centrifugo.inside
    assert 0 == len(world.removals)


async def test_one_removal_that_fails_leaves_no_other_undone(
    world: World, livekit: LiveKitStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The turn counts as failed after all others."""
    livekit.inside = {"standup": {"alice", "bob"}}
    world.removals.add(pending("rev_1", subject="alice", until=NOW + MINUTE))
    world.removals.add(pending("rev_2", subject="bob", until=NOW + MINUTE))
    answer = livekit.answer
    monkeypatch.setattr(livekit, "answer", lambda r: (500, {}) if r.message.get("identity") == "alice" else answer(r))

    await (enforcement := world.livekit(livekit)).turn()

    assert {"standup": {"alice"}} == livekit.inside
    assert "status 500" in enforcement.problem
    assert (1, 1) == (world.count("removed"), world.count("failed"))
    assert not any(each.swept for each in world.removals)


async def test_livekit_is_watched_for_eleven_minutes_after_the_last_removal(
    world: World, livekit: LiveKitStandIn
) -> None:
    """Until then whoever was removed may have had a token that LiveKit refreshed."""
    livekit.inside = {"standup": {"alice"}}
    world.removals.add(pending(until=NOW))
    enforcement = world.livekit(livekit)
    await enforcement.turn()

    world.now = Millis(NOW + 11 * MINUTE - 1)
    await enforcement.turn()
    assert 1 == len(world.removals)
    world.now = Millis(NOW + 11 * MINUTE)
    await enforcement.turn()

    assert 0 == len(world.removals)


async def test_without_pending_removals_nothing_is_asked(world: World, livekit: LiveKitStandIn) -> None:
    """Turns come every other second."""
    await world.livekit(livekit).turn()

    assert [] == livekit.requests


@pytest.mark.parametrize(
    ("room", "subject", "leaves"), [("standup", "alice", True), ("lobby", "bob", True), ("standup", "bob", False)]
)
async def test_who_joins_and_must_not_is_removed_at_once(
    world: World, livekit: LiveKitStandIn, room: str, subject: str, *, leaves: bool
) -> None:
    """By one request, without a look at all rooms. Others stay."""
    livekit.inside = {room: {subject}}
    world.removals.add(pending("rev_1", until=NOW + MINUTE))
    world.removals.add(pending("rev_2", subject="", rooms=("lobby",), until=NOW + MINUTE))

    await world.livekit(livekit).joined(room, subject)

    assert {room: set() if leaves else {subject}} == livekit.inside
    assert [True] * leaves == [each["returned"] for each in world.records()]
    assert int(leaves) == len(livekit.requests)


async def test_who_joins_while_livekit_fails_causes_a_turn(world: World, livekit: LiveKitStandIn) -> None:
    """The turn tries again."""
    world.removals.add(pending(until=NOW + MINUTE))
    enforcement = world.livekit(livekit)
    livekit.status = 500

    await enforcement.joined("standup", "alice")

    assert enforcement.wake.is_set()


async def test_a_server_that_says_nothing_of_people_is_recorded_once(
    world: World, centrifugo: CentrifugoStandIn
) -> None:
    """Centrifugo is asked in each turn, and the log has one line for it."""
    centrifugo.inside = {"standup": {"c1": "alice"}}
    world.removals.add(pending(until=NOW + MINUTE))
    enforcement = world.centrifugo(centrifugo)

    await enforcement.turn()
    centrifugo.inside = {"standup": {"c2": "alice"}}
    await enforcement.turn()

    assert {"standup": {}} == centrifugo.inside
    assert [("alice", "asked")] == [(each["subject"], each["outcome"]) for each in world.records()]
    assert 2 == world.count("asked")


async def test_people_are_removed_while_the_audit_log_is_away(
    tmp_path: Path, api_of: Callable[[StandIn], AdminApi], livekit: LiveKitStandIn
) -> None:
    """To let them stay would be worse than a missing line. The log itself reports that."""
    world = World(tmp_path, api_of)
    livekit.inside = {"standup": {"alice"}}
    world.removals.add(pending(until=NOW + MINUTE))

    await world.livekit(livekit).turn()

    assert {"standup": set()} == livekit.inside
