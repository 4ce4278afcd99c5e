"""Envelopes of the master key: what `SealedStore` promises, held for every store."""

from __future__ import annotations

import asyncio

import attrs

from tests.storage.builders import PROJECT, make_credential, make_key, make_project
from tokenauthority.domain.credential import CredentialKind
from tokenauthority.domain.sealed import SealedBlob, SealedCount, SealedKind
from tokenauthority.storage.store import Store


KEY, CREDENTIAL = SealedKind.SIGNING_KEY, SealedKind.PROJECT_CREDENTIAL
OLD, NEW = b"\x01\x00\xff\x80old-one", b"\x01\x00\xff\x80new-one"


async def _fill(store: Store) -> None:
    """A signing key and two projects: the first with two envelopes, one of them of other first bytes."""
    await store.update_keys(lambda _: [make_key(sealed=OLD)])
    other = make_credential("b", kind=CredentialKind.VONAGE_KEY, sealed=NEW)
    await store.create_project(make_project("90", credentials=(make_credential("a", sealed=OLD), other)))
    await store.create_project(make_project("1000", credentials=(make_credential("a", sealed=OLD),)))


def _key(sealed: bytes) -> SealedBlob:
    return SealedBlob(kind=KEY, owner="key-1", object_id="key-1", sealed=sealed)


def _credential(owner: str, object_id: str, sealed: bytes) -> SealedBlob:
    return SealedBlob(kind=CREDENTIAL, owner=owner, object_id=object_id, sealed=sealed)


async def _envelopes(store: Store, project_id: str) -> dict[str, bytes]:
    project = await store.get_project(project_id)
    return {} if project is None else {c.credential_id: c.sealed for c in project.credentials}


async def test_counts_owners_by_the_first_bytes(store: Store) -> None:
    """Each project once for each beginning that its envelopes have; the first by id is named."""
    await _fill(store)
    await store.create_project(make_project("91", credentials=(make_credential("c", sealed=b""),)))

    def of(kind: SealedKind, prefix: bytes, owners: int, first: str) -> SealedCount:
        return SealedCount(kind=kind, prefix=prefix, owners=owners, first=first)

    whole, short = await store.count_sealed(7), await store.count_sealed(4)
    empty = of(CREDENTIAL, b"", 1, "91")

    assert {
        of(KEY, OLD[:7], 1, "key-1"),
        of(CREDENTIAL, OLD[:7], 2, "1000"),
        of(CREDENTIAL, NEW[:7], 1, "90"),
        empty,
    } == set(whole)
    assert {of(KEY, OLD[:4], 1, "key-1"), of(CREDENTIAL, OLD[:4], 2, "1000"), empty} == set(short)


async def test_an_empty_store_holds_nothing_sealed(store: Store) -> None:
    """There is nothing to count."""
    assert [] == list(await store.count_sealed(9))


async def test_replaces_only_the_envelope(store: Store, second_store: Store) -> None:
    """Nothing else of the key and the project changes, other objects stay, and no change is appended."""
    await _fill(store)
    project, untouched = await store.get_project("90"), await store.get_project("1000")
    assert project is not None
    before = await store.last_change()
    replaced = await store.replace_sealed([(_key(OLD), NEW), (_credential("90", "a", OLD), NEW)])

    assert 2 == replaced
    assert [make_key(sealed=NEW)] == await second_store.list_keys()
    expected = tuple(attrs.evolve(c, sealed=NEW) for c in project.credentials)
    assert attrs.evolve(project, credentials=expected) == await second_store.get_project("90")
    assert untouched == await second_store.get_project("1000")
    assert before == await second_store.last_change()


async def test_replaces_nothing_that_has_changed_or_was_deleted(store: Store) -> None:
    """An envelope that is another by now is not overwritten, nor does one that was deleted come back."""
    await _fill(store)
    await store.replace_sealed([(_key(OLD), NEW)])
    second = make_project(credentials=(make_credential("second", sealed=NEW),))
    await store.update_credentials("1000", lambda _: second)
    late = [(_key(OLD), b"late"), (_credential("1000", "a", OLD), b"late"), (_credential("90", "a", OLD), NEW)]
    replaced = await store.replace_sealed(late)

    assert 1 == replaced
    assert [NEW] == [key.sealed for key in await store.list_keys()]
    assert {"second": NEW} == await _envelopes(store, "1000")
    assert {"a": NEW, "b": NEW} == await _envelopes(store, "90")


async def test_of_replacements_at_once_one_succeeds(store: Store, second_store: Store) -> None:
    """However many servers change the same envelope, it is changed once."""
    await store.create_project(make_project(credentials=(make_credential(sealed=OLD),)))
    blob = _credential(PROJECT, "secret-1", OLD)
    stores = (store, second_store)
    counts = await asyncio.gather(*(stores[n % 2].replace_sealed([(blob, NEW + bytes([n]))]) for n in range(8)))
    stored = await store.get_project(PROJECT)

    assert 1 == sum(counts)
    assert stored is not None
    assert [NEW + bytes([counts.index(1)])] == [c.sealed for c in stored.credentials]
