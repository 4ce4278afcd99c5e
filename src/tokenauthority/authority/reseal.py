"""Change the master key of a store in use, or the version of its envelopes: seal everything again.

An envelope of version 1 can be moved to another row. So it is opened here alone, only by a previous master key, and
only in a store in which no later one opens. In any other store somebody has put it there. The master key that sealed
version 1 ends with it: once it is removed, old envelopes that are put back never open again.
"""

from __future__ import annotations

import asyncio
import contextlib

from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final, TypeAlias

import attrs

from tokenauthority.authority.credential_sealer import CredentialSealer
from tokenauthority.domain.key import StoredKey
from tokenauthority.domain.project import Project
from tokenauthority.domain.sealed import SealedBlob, SealedCount, SealedKind
from tokenauthority.signing.sealing import HEADER_BYTES, SealBrokenError, is_version_1, sealed_under
from tokenauthority.storage.store import SealedStore, Store


_PAGE: Final = 100
_PAUSE: Final = 0.02
"""Seconds between two pages, in which the servers of the store can write."""

_PASSES: Final = 10
_SHOWN: Final = 10

_MANY: Final = 10
"""One owner in so many, if more than one, must not be under a missing master key."""

_Owner: TypeAlias = StoredKey | Project
_Change: TypeAlias = tuple[SealedBlob, bytes]

_NOUNS: Final = {SealedKind.SIGNING_KEY: "signing key", SealedKind.PROJECT_CREDENTIAL: "project"}


class MasterKeyMissingError(Exception):
    """The store contains data that no given master key opens. `problems` has one line for each missing master key."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


class ResealError(Exception):
    """Some data is not under the master key: data that does not open, or that a server has sealed since."""


class EarlierVersionError(Exception):
    """An earlier version of this program has sealed the store. `reseal` seals it anew, under another master key."""

    def __init__(self) -> None:
        super().__init__("an earlier version of this program has sealed the store")


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


async def require_master_keys(store: SealedStore, credentials: CredentialSealer) -> Sequence[str]:
    """Return what in the store cannot be opened, by headers, one text for each cause. Opens nothing: it costs one scan.

    A few damaged rows stop no server. These do: no signing key is under a given master key, or more than a tenth of all
    projects and signing keys, and more than one, are under master keys that are not given.

    Raises:
        EarlierVersionError: an earlier version of this program has sealed all signing keys, or all that is sealed.
        MasterKeyMissingError: as above.
        UnavailableError: the store cannot be read.
    """
    counts = await store.count_sealed(HEADER_BYTES)
    first = [count for count in counts if count.kind is SealedKind.SIGNING_KEY] or counts
    if any(is_version_1(count.prefix) for count in first) and not _usable(first, credentials):
        _require_named(counts, credentials)
        raise EarlierVersionError
    return _require_named(counts, credentials)


async def reseal(store: Store, credentials: CredentialSealer, *, page: int = _PAGE, pause: float = _PAUSE) -> Resealed:
    """Seal every blob in the store under the first master key, in passes until none is left.

    Servers may run meanwhile, and an interrupted run may be repeated: a blob is replaced only if it has not changed
    since it was read. One transaction replaces the blobs of *page* owners; *pause* is the number of seconds between two
    pages. One transaction replaces all blobs of version 1.

    Raises:
        EarlierVersionError: the master key that seals has sealed the store in version 1; nothing was changed.
        MasterKeyMissingError: as `require_master_keys`; nothing was changed.
        ResealError: a blob does not open, or servers continue to seal under another master key.
        UnavailableError: the store cannot be read or written; earlier pages stay replaced.
    """
    counts = await store.count_sealed(HEADER_BYTES)
    _require_named(counts, credentials)
    replaced: Counter[SealedKind] = Counter()
    versions = {is_version_1(count.prefix) for count in counts}
    if True in versions and not (False in versions and await _opens_any(store, credentials, page)):
        of_version_1 = {sealed_under(count.prefix) for count in counts if is_version_1(count.prefix)}
        if of_version_1 == {credentials.master_key_ids[0]}:
            raise EarlierVersionError
        replaced += await _leave_version_1(store, credentials, page)
    for _ in range(_PASSES):
        found = _Pass()
        async for owners in _pages(store, page):
            changes = _changes(owners, credentials, _resealed, found)
            if changes:
                found.replaced[changes[0][0].kind] += await store.replace_sealed(changes)
            await asyncio.sleep(pause)
        replaced += found.replaced
        if found.outdated:
            continue
        if found.broken:
            raise ResealError(_broken(found, replaced.total()))
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


async def _leave_version_1(store: Store, credentials: CredentialSealer, page: int) -> Counter[SealedKind]:
    """Seal everything in this version, in one transaction: a store with both versions is never made here."""
    found = _Pass()
    changes: list[_Change] = []
    async for owners in _pages(store, page):
        changes += _changes(owners, credentials, _resealed_version_1, found)
    await store.replace_sealed(changes)
    return Counter(blob.kind for blob, _ in changes)


async def _opens_any(store: Store, credentials: CredentialSealer, page: int) -> bool:
    """Return whether anything opens in this version. Whoever lacks the master key cannot make such an envelope."""
    async for owners in _pages(store, page):
        for owner in owners:
            with contextlib.suppress(SealBrokenError):
                _resealed(owner, credentials)
                return True
    return False


async def _pages(store: Store, limit: int) -> AsyncIterator[Sequence[_Owner]]:
    keys = await store.list_keys()
    for start in range(0, len(keys), limit):
        yield keys[start : start + limit]
    after = 0
    while projects := await store.list_projects(after=after, limit=limit, only=None):
        yield projects
        after = int(projects[-1].project_id)


def _changes(
    owners: Sequence[_Owner],
    credentials: CredentialSealer,
    resealed: Callable[[_Owner, CredentialSealer], _Owner],
    found: _Pass,
) -> list[_Change]:
    """Return the blobs of *owners* that are not current, with the envelopes that *resealed* makes; count in *found*."""
    changes: list[_Change] = []
    for owner in owners:
        before = _blobs(owner)
        found.looked_at += len(before)
        name = f"signing key {owner.key_id}" if isinstance(owner, StoredKey) else f"project {owner.project_id}"
        try:
            after = {blob.object_id: blob.sealed for blob in _blobs(resealed(owner, credentials))}
        except SealBrokenError as error:
            found.broken.append(f"{name}: {error}")
            continue
        for blob in before:
            if blob.object_id not in after:
                found.broken.append(f"{name}: credential {blob.object_id} is not sealed for it")
            elif not credentials.is_current(blob.sealed):
                changes.append((blob, after[blob.object_id]))
    found.outdated += len(changes)
    return changes


def _blobs(owner: _Owner) -> Sequence[SealedBlob]:
    if isinstance(owner, StoredKey):
        key_id = owner.key_id
        return [SealedBlob(kind=SealedKind.SIGNING_KEY, owner=key_id, object_id=key_id, sealed=owner.sealed)]
    return [
        SealedBlob(
            kind=SealedKind.PROJECT_CREDENTIAL,
            owner=owner.project_id,
            object_id=credential.credential_id,
            sealed=credential.sealed,
        )
        for credential in owner.credentials
    ]


def _resealed(owner: _Owner, credentials: CredentialSealer) -> _Owner:
    if isinstance(owner, StoredKey):
        return credentials.resealed_key(owner, owner)
    genuine = credentials.genuine(owner)
    return credentials.sealed_project(genuine, credentials.open_project(genuine))


def _resealed_version_1(owner: _Owner, credentials: CredentialSealer) -> _Owner:
    if isinstance(owner, StoredKey):
        return credentials.resealed_key_of_version_1(owner)
    return credentials.sealed_project(owner, credentials.open_project_of_version_1(owner))


def _require_named(counts: Sequence[SealedCount], credentials: CredentialSealer) -> Sequence[str]:
    """Return what is under no given master key; raise MasterKeyMissingError if that is too much to go on."""
    other: dict[str | None, list[SealedCount]] = {}
    for count in counts:
        master_key_id = sealed_under(count.prefix)
        if master_key_id not in credentials.master_key_ids:
            other.setdefault(master_key_id, []).append(count)
    given = " and ".join(credentials.master_key_ids)
    shown = [_missing(key_id, found, given) for key_id, found in list(other.items())[:_SHOWN]]
    owners = sum(count.owners for count in counts)
    missing = sum(count.owners for key_id, found in other.items() if key_id is not None for count in found)
    keys = [count for count in counts if count.kind is SealedKind.SIGNING_KEY]
    if missing > max(1, owners // _MANY) or (
        keys and not any(sealed_under(count.prefix) in credentials.master_key_ids for count in keys)
    ):
        raise MasterKeyMissingError(shown)
    return shown


def _usable(counts: Sequence[SealedCount], credentials: CredentialSealer) -> bool:
    return any(
        sealed_under(count.prefix) in credentials.master_key_ids and not is_version_1(count.prefix) for count in counts
    )


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


def _broken(found: _Pass, sealed_anew: int) -> str:
    shown = "; ".join(found.broken[:_SHOWN])
    more = f"; and {len(found.broken) - _SHOWN} more" if len(found.broken) > _SHOWN else ""
    return (
        f"{len(found.broken)} of {found.looked_at} do not open; {sealed_anew} were sealed anew, and the others were"
        f" already: {shown}{more}"
    )
