"""Change the master key of a store in use: seal everything again under the first master key."""

from __future__ import annotations

import asyncio

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Final

import attrs

from tokenauthority.authority.credential_sealer import CredentialSealer
from tokenauthority.domain.sealed import SealedBlob, SealedCount, SealedKind
from tokenauthority.signing.sealing import HEADER_BYTES, SealBrokenError, sealed_under
from tokenauthority.storage.store import SealedStore


_PAGE: Final = 100
_PAUSE: Final = 0.02
"""Seconds between two pages, in which the servers of the store can write."""

_PASSES: Final = 10
_SHOWN: Final = 10

_NOUNS: Final = {SealedKind.SIGNING_KEY: "signing key", SealedKind.PROJECT_CREDENTIAL: "project"}


class MasterKeyMissingError(Exception):
    """The store contains data that no given master key opens. `problems` has one line for each missing master key."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


class ResealError(Exception):
    """Some data is not under the master key: data that does not open, or that a server has sealed since."""


@attrs.frozen(kw_only=True)
class Resealed:
    """The result: how many blobs of each kind were sealed again, and how many were under the master key already."""

    master_key_id: str
    signing_keys: int
    project_credentials: int
    already: int


@attrs.define
class _Pass:
    """The counts of one pass over every blob."""

    looked_at: int = 0
    outdated: int = 0
    replaced: Counter[SealedKind] = attrs.Factory(Counter)
    broken: list[str] = attrs.Factory(list)


async def require_master_keys(store: SealedStore, credentials: CredentialSealer) -> None:
    """Raise unless every blob in the store names one of the master keys. Opens nothing, so it costs one scan.

    Raises:
        MasterKeyMissingError: a blob names another master key.
        UnavailableError: the store cannot be read.
    """
    missing: dict[str | None, list[SealedCount]] = {}
    for count in await store.count_sealed(HEADER_BYTES):
        master_key_id = sealed_under(count.prefix)
        if master_key_id not in credentials.master_key_ids:
            missing.setdefault(master_key_id, []).append(count)
    if missing:
        given = " and ".join(credentials.master_key_ids)
        shown = [_missing(key_id, counts, given) for key_id, counts in list(missing.items())[:_SHOWN]]
        raise MasterKeyMissingError(shown)


async def reseal(
    store: SealedStore, credentials: CredentialSealer, *, page: int = _PAGE, pause: float = _PAUSE
) -> Resealed:
    """Seal every blob in the store under the first master key, in passes until none is left.

    Servers may run meanwhile, and an interrupted run may be repeated: a blob is replaced only if it has not changed
    since it was read. One transaction replaces *page* blobs; *pause* is the number of seconds between two pages.

    Raises:
        MasterKeyMissingError: a blob is under a master key that is not given; nothing was changed.
        ResealError: a blob is damaged, or servers continue to seal under another master key.
        UnavailableError: the store cannot be read or written; earlier pages stay replaced.
    """
    await require_master_keys(store, credentials)
    replaced: Counter[SealedKind] = Counter()
    for _ in range(_PASSES):
        found = _Pass()
        for kind in SealedKind:
            async for blobs in _pages(store, kind, page):
                await _reseal_page(store, credentials, blobs, found)
                await asyncio.sleep(pause)
        replaced += found.replaced
        if found.outdated:
            continue
        if found.broken:
            raise ResealError(_broken(found))
        return Resealed(
            master_key_id=credentials.master_key_ids[0],
            signing_keys=replaced[SealedKind.SIGNING_KEY],
            project_credentials=replaced[SealedKind.PROJECT_CREDENTIAL],
            already=max(0, found.looked_at - replaced.total()),
        )
    raise ResealError(
        f"after {_PASSES} passes servers still seal under another master key than {credentials.master_key_ids[0]};"
        " give it to all of them first, then repeat this"
    )


async def _pages(store: SealedStore, kind: SealedKind, limit: int) -> AsyncIterator[Sequence[SealedBlob]]:
    after = ("", "")
    while page := await store.list_sealed(kind, after=after, limit=limit):
        yield page
        after = (page[-1].owner, page[-1].object_id)


async def _reseal_page(
    store: SealedStore, credentials: CredentialSealer, blobs: Sequence[SealedBlob], found: _Pass
) -> None:
    changes = []
    for blob in blobs:
        try:
            envelope = credentials.resealed(blob)
        except SealBrokenError as error:
            found.broken.append(f"{_NOUNS[blob.kind]} {blob.owner}: {error}")
            continue
        if envelope is not None:
            changes.append((blob, envelope))
    found.looked_at += len(blobs)
    found.outdated += len(changes)
    if changes:
        found.replaced[blobs[0].kind] += await store.replace_sealed(changes)


def _missing(key_id: str | None, counts: Sequence[SealedCount], given: str) -> str:
    holders = " and ".join(filter(None, (_holders(kind, counts) for kind in SealedKind)))
    if key_id is None:
        return f"the store holds data of {holders} that are damaged, or sealed by a later version"
    sealed = f"sealed under the master key {key_id}, which is not among those given: {given}"
    return f"the store holds data of {holders} {sealed}"


def _holders(kind: SealedKind, counts: Sequence[SealedCount]) -> str:
    of_kind = [count for count in counts if count.kind is kind]
    owners = sum(count.owners for count in of_kind)
    if not owners:
        return ""
    return f"{owners} {_NOUNS[kind]}{'s' * (owners != 1)} (such as {min(count.first for count in of_kind)})"


def _broken(found: _Pass) -> str:
    shown = "; ".join(found.broken[:_SHOWN])
    more = f"; and {len(found.broken) - _SHOWN} more" if len(found.broken) > _SHOWN else ""
    return f"{len(found.broken)} of {found.looked_at} do not open, and everything else was sealed anew: {shown}{more}"
