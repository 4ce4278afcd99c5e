"""The event buffer keeps the newest events for all who watch, and says when some are not there any more."""

from __future__ import annotations

from typing import Final

import pytest

from hypothesis import given
from hypothesis import strategies as st

from tests.authority.world import NOW
from tests.storage.builders import PROJECT, make_project, make_revocation, make_session
from tests.support.memory_store import MemoryStore
from tokenauthority.authority.event_buffer import BufferedEvent, EventBuffer, buffered_events
from tokenauthority.domain.change import Cursor
from tokenauthority.domain.errors import ExhaustedError, Reason, UnavailableError


START: Final = 10


def entry(sequence: int) -> BufferedEvent:
    """An event at *sequence*."""
    return BufferedEvent(Cursor(sequence, sequence), make_revocation(f"rev_{sequence}"))


def feed_at(size: int) -> EventBuffer:
    """A buffer that begins at START."""
    event_buffer = EventBuffer(size)
    event_buffer.begin(Cursor(START, START))
    return event_buffer


@given(
    size=st.integers(1, 6),
    batches=st.lists(st.lists(st.booleans(), max_size=5), max_size=6),
    back=st.integers(0, 12),
)
def test_lists_all_after_a_place_or_that_it_cannot(size: int, batches: list[list[bool]], back: int) -> None:
    """Never some of them: what fell out of the buffer is missed loudly."""
    event_buffer, sequence, all_events = feed_at(size), START, []
    for batch in batches:
        found = []
        for is_event in batch:
            sequence += 1
            if is_event:
                found.append(entry(sequence))
        event_buffer.publish(found, Cursor(sequence, sequence))
        all_events += found
    place = max(START, sequence - back)
    wanted = [event for event in all_events if event.cursor.sequence > place]

    assert Cursor(sequence, sequence) == event_buffer.cursor
    if len(wanted) > size:
        with pytest.raises(ExhaustedError) as dropped:
            event_buffer.after(place)
        assert Reason.READER_TOO_SLOW is dropped.value.reason
    else:
        assert wanted == event_buffer.after(place)


async def test_wakes_those_who_wait_at_an_event_and_at_a_beat() -> None:
    """A change that is none of theirs lets them sleep."""
    event_buffer = feed_at(3)
    quiet = event_buffer.woken()
    event_buffer.publish([], Cursor(START + 1, 1))
    asleep = not quiet.is_set()
    event_buffer.publish([entry(START + 2)], Cursor(START + 2, 2))
    beating, beats = event_buffer.woken(), event_buffer.beats
    event_buffer.beat(NOW)

    assert (True, True, True, beats + 1) == (asleep, quiet.is_set(), beating.is_set(), event_buffer.beats)
    assert not event_buffer.woken().is_set()


async def test_a_new_beginning_wakes_everyone_and_voids_what_was_sent() -> None:
    """Readers of the history before have to begin anew."""
    event_buffer = feed_at(3)
    event_buffer.publish([entry(START + 1)], Cursor(START + 1, 1))
    generation, waiting = event_buffer.generation, event_buffer.woken()
    event_buffer.require_generation(generation)
    event_buffer.begin(Cursor(START - 5, 7))

    assert waiting.is_set()
    assert [] == event_buffer.after(START - 5)
    with pytest.raises(UnavailableError):
        event_buffer.require_generation(generation)
    event_buffer.require_generation(event_buffer.generation)


def test_knows_nothing_before_it_begins() -> None:
    """Unavailable, and not an empty answer."""
    with pytest.raises(UnavailableError):
        _ = EventBuffer(3).cursor


async def test_only_revocations_and_ends_are_events_and_expired_ones_are_left_out() -> None:
    """In the order of the changes, each at its own place."""
    store = MemoryStore()
    await store.create_project(make_project())
    await store.create_revocation(make_revocation("rev_1", target="a"))
    await store.end_session(make_session("2_s", project_id=PROJECT), NOW)
    await store.create_revocation(make_revocation("rev_2", target="b"))
    store.execute("DELETE FROM revocations WHERE revocation_id = 'rev_1'")
    changes = await store.changes_after(Cursor(), 100)

    entries = await buffered_events(store, changes)

    assert [changes[-2].cursor, changes[-1].cursor] == [found.cursor for found in entries]
    assert ["StoredSessionEnd", "StoredRevocation"] == [type(found.event).__name__ for found in entries]
