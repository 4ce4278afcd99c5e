"""Define what a store holds sealed, apart from what it is, so that the master key can be changed."""

from __future__ import annotations

from enum import StrEnum

import attrs


class SealedKind(StrEnum):
    """The kind of a sealed object."""

    SIGNING_KEY = "signing_key"
    PROJECT_CREDENTIAL = "project_credential"


@attrs.frozen(kw_only=True)
class SealedBlob:
    """One envelope. `owner` is the project of a credential, and a signing key's own id; `object_id` is its own id."""

    kind: SealedKind
    owner: str
    object_id: str
    sealed: bytes = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class SealedCount:
    """How many owners have envelopes that begin with `prefix`, and the first of them by id."""

    kind: SealedKind
    prefix: bytes
    owners: int
    first: str
