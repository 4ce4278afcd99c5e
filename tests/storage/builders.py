"""Values to store: each builder has a sensible default for every field."""

from __future__ import annotations

from typing import Any

from tokenauthority.domain.credential import Credential, CredentialKind
from tokenauthority.domain.key import Algorithm, KeyState, StoredKey
from tokenauthority.domain.project import Project
from tokenauthority.domain.revocation import StoredRevocation, TargetKind
from tokenauthority.domain.role import Permission, Role
from tokenauthority.domain.session import IdempotencyKey, SessionSpec, StoredSession
from tokenauthority.domain.times import Millis, Seconds
from tokenauthority.domain.token_format import TokenFormat


NOW = Millis(1_800_000_000_123)
DAY = 24 * 60 * 60 * 1000
PROJECT = "47000000"


def later(milliseconds: int) -> Millis:
    """NOW and so many milliseconds; fewer than none is before it."""
    return Millis(NOW + milliseconds)


def make_credential(credential_id: str = "secret-1", **overrides: Any) -> Credential:
    """A sealed project secret."""
    values = {"kind": CredentialKind.SECRET, "create_time": NOW, "sealed": b"\x00sealed\xff"}
    return Credential(credential_id=credential_id, **{**values, **overrides})


def make_project(project_id: str = PROJECT, **overrides: Any) -> Project:
    """A project with one secret."""
    values = {
        "display_name": "Café ✓ 🎥",
        "default_format": TokenFormat.SESSION_JWT,
        "default_ttl": Seconds(3600),
        "max_ttl": Seconds(86400),
        "external_sessions": False,
        "create_time": NOW,
        "credentials": (make_credential(),),
    }
    return Project(project_id=project_id, **{**values, **overrides})


def make_role(name: str = "host", **overrides: Any) -> Role:
    """A role of PROJECT."""
    values = {
        "permissions": (Permission.SUBSCRIBE, Permission.FORCE_MUTE),
        "project_id": PROJECT,
        "description": "runs the room",
        "create_time": NOW,
        "update_time": NOW,
    }
    return Role(name=name, **{**values, **overrides})


def make_session(session_id: str = "2_session", **overrides: Any) -> StoredSession:
    """An active session of PROJECT."""
    values = {"project_id": PROJECT, "spec": SessionSpec(), "create_time": NOW}
    return StoredSession(session_id=session_id, **{**values, **overrides})


def make_idempotency_key(**overrides: Any) -> IdempotencyKey:
    """A key that makes it safe to repeat CreateSession."""
    values = {"caller": "room-service", "request_id": "6f1c0a52-0000-4000-8000-000000000001", "body_digest": "d1"}
    return IdempotencyKey(**{**values, **overrides})


def make_key(key_id: str = "key-1", **overrides: Any) -> StoredKey:
    """An ACTIVE signing key."""
    values = {
        "algorithm": Algorithm.ES256,
        "state": KeyState.ACTIVE,
        "create_time": NOW,
        "activate_time": NOW,
        "sealed": b"\x00sealed key\xff",
    }
    return StoredKey(key_id=key_id, **{**values, **overrides})


def make_revocation(revocation_id: str = "rev_1", **overrides: Any) -> StoredRevocation:
    """A revocation of one token of PROJECT."""
    values = {
        "project_id": PROJECT,
        "kind": TargetKind.TOKEN,
        "target": "token-1",
        "issued_before": Seconds(1_800_000_000),
        "comment": "läuft aus",
        "create_time": NOW,
    }
    return StoredRevocation(revocation_id=revocation_id, **{**values, **overrides})
