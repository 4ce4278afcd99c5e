"""What is sealed in a store in memory: functions over its dictionaries."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from tokenauthority.domain.sealed import SealedBlob, SealedCount, SealedKind


if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, MutableMapping, Sequence

    from tokenauthority.domain.key import StoredKey
    from tokenauthority.domain.project import Project


def sealed_in(
    keys: Mapping[str, StoredKey], projects: Mapping[str, Project], kinds: Iterable[SealedKind]
) -> Sequence[SealedBlob]:
    """The envelopes of these kinds, by owner and id."""
    found = []
    for kind in kinds:
        if kind is SealedKind.SIGNING_KEY:
            found += [SealedBlob(kind=kind, owner=k.key_id, object_id=k.key_id, sealed=k.sealed) for k in keys.values()]
        else:
            found += [
                SealedBlob(kind=kind, owner=project.project_id, object_id=c.credential_id, sealed=c.sealed)
                for project in projects.values()
                for c in project.credentials
            ]
    return sorted(found, key=lambda blob: (blob.owner, blob.object_id))


def counted(blobs: Iterable[SealedBlob], length: int) -> Sequence[SealedCount]:
    """How many owners have envelopes with which first bytes."""
    owners: dict[tuple[SealedKind, bytes], set[str]] = {}
    for blob in blobs:
        owners.setdefault((blob.kind, blob.sealed[:length]), set()).add(blob.owner)
    return [
        SealedCount(kind=kind, prefix=prefix, owners=len(found), first=min(found))
        for (kind, prefix), found in sorted(owners.items())
    ]


def replace(
    keys: MutableMapping[str, StoredKey], projects: MutableMapping[str, Project], blob: SealedBlob, envelope: bytes
) -> bool:
    """Put a new envelope in the place of *blob* if it is still there as it was."""
    if blob not in sealed_in(keys, projects, (blob.kind,)):
        return False
    if blob.kind is SealedKind.SIGNING_KEY:
        keys[blob.owner] = attrs.evolve(keys[blob.owner], sealed=envelope)
        return True
    project = projects[blob.owner]
    kept = [attrs.evolve(c, sealed=envelope) if c.credential_id == blob.object_id else c for c in project.credentials]
    projects[blob.owner] = attrs.evolve(project, credentials=tuple(kept))
    return True
