"""The Python client of Token Authority, blocking and for asyncio.

    with Authority("authority.example:50051", api_key=key) as authority:
        session = authority.create_session(media_mode="routed")
        token = session.generate_token(role="moderator", data="username=bob")

It knows the contract and nothing of the server, and needs only grpcio, protobuf and googleapis-common-protos.
`scripts/blocking.py` generates the blocking client from the asyncio one.
"""

from __future__ import annotations

from tokenauthority.client.aio.authority import AsyncAuthority, AsyncSession
from tokenauthority.client.aio.watch import AsyncRevocationWatch
from tokenauthority.client.connection import ConnectionOptions
from tokenauthority.client.errors import (
    AlreadyExists,
    AuthorityError,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
    Violation,
    translated_errors,
)
from tokenauthority.client.requests import RevokeOptions, SessionOptions, TokenOptions, TokenRequest
from tokenauthority.client.revocations import Heartbeat, Revocation, RevocationEvent, SessionEnd, SnapshotEnd
from tokenauthority.client.service_config import SERVICE_CONFIG
from tokenauthority.client.values import Claims, DeletedProject, RoleData, Token, TurnCredentials, Verification


try:
    from tokenauthority.client.blocking.authority import Authority, Session
    from tokenauthority.client.blocking.watch import RevocationWatch
except ModuleNotFoundError as error:
    if not (error.name or "").startswith("tokenauthority.client.blocking"):
        raise
    raise ModuleNotFoundError(
        "the blocking client is not generated: run scripts/blocking.py, or `make protos`", name=error.name
    ) from error


__all__ = [
    "SERVICE_CONFIG",
    "AlreadyExists",
    "AsyncAuthority",
    "AsyncRevocationWatch",
    "AsyncSession",
    "Authority",
    "AuthorityError",
    "Claims",
    "ConnectionOptions",
    "DeadlineExceeded",
    "DeletedProject",
    "FailedPrecondition",
    "Heartbeat",
    "InvalidArgument",
    "NotFound",
    "PermissionDenied",
    "ResourceExhausted",
    "Revocation",
    "RevocationEvent",
    "RevocationWatch",
    "RevokeOptions",
    "RoleData",
    "Session",
    "SessionEnd",
    "SessionOptions",
    "SnapshotEnd",
    "Token",
    "TokenOptions",
    "TokenRequest",
    "TurnCredentials",
    "Unauthenticated",
    "Unavailable",
    "Verification",
    "Violation",
    "translated_errors",
]
