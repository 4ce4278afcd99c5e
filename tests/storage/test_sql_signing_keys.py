"""The ring of signing keys: what `SigningKeyStore` promises, held for every store."""

from __future__ import annotations

import asyncio

from collections.abc import Sequence

import attrs

from tests.storage.builders import (
    later,
    make_key,
)
from tests.storage.contract import changes_of, refusal_of
from tokenauthority.domain.change import ChangeKind
from tokenauthority.domain.errors import (
    PreconditionError,
    Reason,
)
from tokenauthority.domain.key import KeyState, StoredKey
from tokenauthority.storage.store import Store


async def _add_key(store: Store, key: StoredKey) -> Sequence[StoredKey]:
    return await store.update_keys(lambda ring: [*ring, key])


async def _add_first_key(store: Store, key: StoredKey) -> Sequence[StoredKey]:
    return await store.update_keys(lambda ring: ring or [key])


async def test_stores_every_field_of_a_ring(store: Store) -> None:
    """Keys are stored with every field, returned, and created, changed and deleted as the change says."""
    first = make_key(sign_until=later(3), location="pkcs11:id=%01")
    answers = [await store.update_keys(lambda _: [first])]
    retired = attrs.evolve(first, state=KeyState.RETIRED, retire_time=later(1), expire_time=later(2))
    second = make_key("key-2", create_time=later(1))
    answers.append(await store.update_keys(lambda ring: [*(retired for _ in ring), second]))
    answers.append(await store.update_keys(lambda ring: ring[:1]))

    assert [[first], [second, retired], [second]] == [list(answer) for answer in answers]
    assert [second] == list(await store.list_keys())
    assert ["key-1", "key-1", "key-2", "key-1"] == [subject for _, _, subject in await changes_of(store)]


async def test_an_unchanged_ring_appends_no_change(store: Store) -> None:
    """What did not change appends no change, and a change that raises writes nothing."""
    await store.update_keys(lambda _: [make_key()])
    before = await store.last_change()

    def refuse(_: Sequence[StoredKey]) -> Sequence[StoredKey]:
        raise PreconditionError(Reason.KEY_STATE, "key-1", "no")

    await store.update_keys(lambda ring: ring)
    reason = await refusal_of(store.update_keys(refuse), PreconditionError)

    assert Reason.KEY_STATE is reason
    assert before == await store.last_change()


async def test_lists_keys_newest_first(store: Store) -> None:
    """Keys come newest first, ties by descending id."""
    keys = [make_key(name, state=KeyState.PREPARED, activate_time=None) for name in ("a", "B")]
    newest = make_key("0", create_time=later(1))
    for key in (*keys, newest):
        await _add_key(store, key)

    assert [newest, *keys] == list(await store.list_keys())


async def test_has_no_key_at_first(store: Store) -> None:
    """A new store has no keys."""
    assert [] == list(await store.list_keys())


async def test_concurrent_starts_make_one_key(store: Store, second_store: Store) -> None:
    """Servers that start at once agree on one key."""
    answers = await asyncio.gather(
        *(_add_first_key((store, second_store)[n % 2], make_key(f"key-{n}")) for n in range(20))
    )
    [key] = answers[0]

    assert [[key]] * 20 == [list(answer) for answer in answers]
    assert [key] == list(await store.list_keys())
    assert [(ChangeKind.KEY, "", key.key_id)] == await changes_of(store)
