"""Credentials of a project, sealed as they are stored, and in the clear."""

from __future__ import annotations

from enum import StrEnum

import attrs

from tokenauthority.domain.times import Millis


class CredentialKind(StrEnum):
    """What a project's credential is."""

    SECRET = "secret"  # noqa: S105 - the name of a kind, not a secret
    VONAGE_KEY = "vonage_key"


@attrs.frozen(kw_only=True)
class Credential:
    """A project secret or a Vonage application key, sealed under the master key for its project."""

    credential_id: str
    kind: CredentialKind
    create_time: Millis
    sealed: bytes = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class PlainCredential:
    """A credential in the clear. `value` is the text of a secret in UTF-8, or the DER of a key."""

    credential_id: str
    kind: CredentialKind
    create_time: Millis
    value: bytes = attrs.field(repr=False)
