"""A private key is destroyed when it is over, or nothing names it, and never because its row is absent."""

from __future__ import annotations

from unittest import mock

import attrs
import pytest

from tests.authority.test_sealed_ring import ACTIVE, CREDENTIALS, LATER, PREPARED, RETIRED, RING, WHOLE
from tests.authority.world import NOW, PERIOD, ROTATION
from tests.support.logs import capture_logs
from tests.support.memory_store import MemoryStore
from tokenauthority.authority.key_destruction import EXPIRED, NEVER_STORED, KeyDestruction, keys_to_destroy
from tokenauthority.authority.remote_signing import KeyPlace
from tokenauthority.authority.signing_keys import SigningKeyManager
from tokenauthority.domain.key import Algorithm, KeyState
from tokenauthority.domain.times import Millis
from tokenauthority.signing.key_provider import KeyProviderError


OVER = Millis(LATER + 2 * PERIOD)


def test_names_what_a_change_has_left_out_and_why() -> None:
    """A RETIRED key that is over."""
    found = list(keys_to_destroy((RETIRED,), WHOLE, (ACTIVE, PREPARED), NOW))

    assert [(RETIRED, EXPIRED)] == found


@pytest.mark.parametrize(("now", "expected"), [(NOW, []), (OVER, [(RETIRED, EXPIRED)])])
def test_an_absent_row_proves_nothing(now: Millis, expected: list[object]) -> None:
    """Of the keys that were known here, one is destroyed that is over by what its seal said."""
    assert expected == list(keys_to_destroy((), WHOLE, (), now))
    assert [] == list(keys_to_destroy((), WHOLE, RING, now))


async def test_logs_each_key_once() -> None:
    """With the reason; a failure in place of it."""
    destruction = KeyDestruction(CREDENTIALS, KeyPlace())
    far = attrs.evolve(PREPARED, location="pkcs11:token=x")
    with capture_logs() as logs:
        await destruction.destroy(PREPARED, NEVER_STORED)
        await destruction.destroy(far, NEVER_STORED)
        with mock.patch.object(CREDENTIALS, "destroy_signing_key", side_effect=KeyProviderError("away")):
            destruction.destroy_now(far, EXPIRED)

    assert [
        ("keys.destroyed", PREPARED.key_id, NEVER_STORED),
        ("keys.not_destroyed", far.key_id, None),
        ("keys.not_destroyed", far.key_id, None),
    ] == [(line["event"], line["key_id"], line.get("reason")) for line in logs]


async def test_a_clock_that_was_set_ahead_deletes_nothing() -> None:
    """It rotates by the clock, and deletes by the time that has passed; nor does it look again without end."""
    store, late = MemoryStore(), Millis(NOW + 10**12)
    keys = SigningKeyManager(store, CREDENTIALS, Algorithm.ES256, ROTATION, deletes_by=lambda _: NOW)
    await keys.load(NOW)
    first = keys.ring.active.key_id
    for now in (late, Millis(late + PERIOD), Millis(late + 4 * PERIOD)):
        await keys.maintain(now)
    stored = {key.key_id: key.state for key in await store.list_keys()}

    assert KeyState.RETIRED is stored[first]
    assert keys.seconds_to_next_look(Millis(late + 4 * PERIOD)) > 1
