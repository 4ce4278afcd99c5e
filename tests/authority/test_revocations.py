"""What a server knows of revocations: read whole at the start, kept true after, and deleted in time."""

from __future__ import annotations

import asyncio

import pytest

from tests.authority.world import NOW
from tests.storage.builders import make_project, make_revocation
from tests.support.faulty_store import FaultyStore
from tests.support.memory_store import MemoryStore
from tokenauthority.authority import revocations as authority_revocations
from tokenauthority.authority.revocations import Revocations
from tokenauthority.domain.errors import ExhaustedError
from tokenauthority.domain.revocation import RETENTION, TargetKind
from tokenauthority.domain.revocation_index import CLOCK_MARGIN
from tokenauthority.domain.times import Millis, Seconds, in_millis, whole_seconds


def kind_of(revocations: Revocations, token_id: str) -> TargetKind | None:
    """What of a token issued now was revoked."""
    return revocations.index.revoked_by("47000000", token_id=token_id, session_id="", subject="", issue_time=Seconds(0))


async def test_reads_more_than_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are, all are known."""
    monkeypatch.setattr(authority_revocations, "_PAGE", 10)
    store = MemoryStore()
    await store.create_project(make_project("47000000"))
    for n in range(41):
        await store.create_revocation(make_revocation(f"rev_{n:05}", project_id="47000000", target=str(n)))
    revocations = Revocations(store, 10_000)
    await revocations.load(NOW)

    assert 41 == len(revocations.index)
    assert [TargetKind.TOKEN, TargetKind.TOKEN, None] == [kind_of(revocations, target) for target in ("0", "40", "x")]


async def test_no_project_uses_the_room_of_another() -> None:
    """However many each of three greedy ones ask for, there is room for a fourth, and for what is revoked already."""
    revocations = Revocations(MemoryStore(), 1000)
    held = dict.fromkeys(("1", "2", "3"), 0)
    for number in range(1100):
        for project_id in held:
            revocation = make_revocation(f"rev_{number}", project_id=project_id, target=str(number))
            try:
                revocations.require_room(revocation)
            except ExhaustedError:
                continue
            revocations.apply([revocation])
            held[project_id] += 1

    assert {"1": 251, "2": 250, "3": 250} == held
    revocations.require_room(make_revocation("rev_0", project_id="4", target="new"))
    revocations.require_room(make_revocation("rev_0", project_id="1", target="0"))


async def test_a_project_alone_may_hold_half() -> None:
    """The other half is left for all others."""
    revocations = Revocations(MemoryStore(), 1000)
    made = [make_revocation(f"rev_{number}", project_id="1", target=str(number)) for number in range(502)]
    for revocation in made[:-1]:
        revocations.require_room(revocation)
        revocations.apply([revocation])

    with pytest.raises(ExhaustedError, match=r"the project has 501 revocations in force"):
        revocations.require_room(made[-1])


async def test_what_is_revoked_while_all_is_read_anew_stays_revoked() -> None:
    """A server that reads everything anew, at work as it is, loses nothing that it has answered for meanwhile."""
    store = FaultyStore()
    second_page = store.hold("list_revoked", when=lambda call: bool(call.arguments["after"]))
    await store.create_project(make_project("47000000"))
    await store.create_revocation(make_revocation("rev_5", project_id="47000000"))
    revocations = Revocations(store, 10_000)
    loading = asyncio.create_task(revocations.load(NOW))
    await second_page.reached()
    passed_over = await store.create_revocation(make_revocation("rev_1", project_id="47000000", target="other"))
    revocations.apply([passed_over])
    during = kind_of(revocations, "other")
    second_page.release()
    await loading

    assert (TargetKind.TOKEN, TargetKind.TOKEN) == (during, kind_of(revocations, "other"))
    assert TargetKind.TOKEN is kind_of(revocations, "token-1")


async def test_deletes_a_day_after_nothing_can_be_covered() -> None:
    """By its clock: neither the last second of the retention nor the day of margin after it loses anything."""
    store = MemoryStore()
    await store.create_project(make_project("47000000"))
    revocations = Revocations(store, 10_000)
    kept = await store.create_revocation(make_revocation(project_id="47000000", issued_before=whole_seconds(NOW)))
    revocations.apply([kept])
    last = Millis(in_millis(whole_seconds(NOW)) + in_millis(Seconds(RETENTION + CLOCK_MARGIN)))
    went = [
        (await revocations.prune(moment), await store.delete_expired(moment), len(revocations.index))
        for moment in (Millis(last - in_millis(Seconds(CLOCK_MARGIN))), last, Millis(last + 1000))
    ]

    assert [(0, 0, 1), (0, 0, 1), (1, 1, 0)] == went


async def test_others_have_their_turn_while_it_deletes(monkeypatch: pytest.MonkeyPatch) -> None:
    """To delete a million takes time, in which the server must serve."""
    monkeypatch.setattr(authority_revocations, "_PRUNE_STEP", 2)
    revocations = Revocations(MemoryStore(), 10_000)
    revocations.apply([make_revocation(f"rev_{n}", target=str(n), issued_before=Seconds(0)) for n in range(6)])
    forgetting = asyncio.ensure_future(revocations.prune(NOW))
    left = []
    while not forgetting.done():
        await asyncio.sleep(0)
        left.append(len(revocations.index))

    assert [4, 2, 0] == list(dict.fromkeys(left))
    assert 6 == await forgetting
