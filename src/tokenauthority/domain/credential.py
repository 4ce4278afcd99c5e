"""Credentials of a project, sealed as they are stored."""

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
    """A project secret or a Vonage application key, sealed under the master key."""

    credential_id: str
    kind: CredentialKind
    create_time: Millis
    sealed: bytes = attrs.field(repr=False)
