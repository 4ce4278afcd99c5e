"""The gRPC service config: which calls a client repeats by itself, when, and how it spreads them.

`SERVICE_CONFIG` is plain JSON (gRPC's service_config.md), so that clients in every language can use the
same document. A server that drains answers some calls of its last moments with CANCELLED, before they
reached it; so calls that are safe to repeat are repeated on CANCELLED too, not only on UNAVAILABLE. One
deadline covers all attempts.
"""

from __future__ import annotations

import json

from collections.abc import Mapping
from typing import Final


MAX_BATCH: Final = 1000
"""Tokens in one batch, by the contract."""

MAX_TOKEN_BYTES: Final = 40_960
"""Bytes of one token, by the contract (VerifyToken)."""

_MAX_TOKEN_FIELDS_BYTES: Final = 1024
"""Bytes of the other fields of an answered token: ids, role and times have fewer."""

MAX_RECEIVE_BYTES: Final = MAX_BATCH * (MAX_TOKEN_BYTES + _MAX_TOKEN_FIELDS_BYTES)
"""Bytes of the largest legal answer, a full batch; gRPC's default of 4 MiB would lose it."""

REPEATABLE: Final = {
    "tokenauthority.v1.SessionService": ("CreateSession", "GetSession", "ListSessions", "EndSession"),
    "tokenauthority.v1.TokenService": (
        "GenerateToken",
        "BatchGenerateTokens",
        "VerifyToken",
        "RevokeTokens",
        "WatchRevocations",
    ),
    "tokenauthority.v1.RoleService": ("ListRoles", "GetRole", "UpdateRole"),
    "tokenauthority.v1.ProjectService": ("GetProject", "ListProjects", "UpdateProject"),
    "tokenauthority.v1.KeyService": ("GetJsonWebKeySet", "ListSigningKeys"),
    "grpc.health.v1.Health": ("Check",),
}
"""Calls that do no more when done twice; CreateSession by its `request_id`, which the client sets."""

NAMED: Final = {
    "tokenauthority.v1.RoleService": ("CreateRole", "DeleteRole"),
    "tokenauthority.v1.ProjectService": ("ImportProject", "RetireProjectSecret"),
    "tokenauthority.v1.KeyService": ("ActivateSigningKey", "RevokeSigningKey"),
}
"""Calls about an object that the request names: done twice, the second answers that it was done already."""

UNREPEATABLE: Final = {
    "tokenauthority.v1.ProjectService": ("CreateProject", "RotateProjectSecret"),
    "tokenauthority.v1.KeyService": ("PrepareSigningKey",),
}
"""Calls that make something new each time; a lost answer is for the caller to look into."""


def _method_config(methods: Mapping[str, tuple[str, ...]], *statuses: str) -> dict[str, object]:
    return {
        "name": [{"service": service, "method": name} for service, names in methods.items() for name in names],
        "retryPolicy": {
            "maxAttempts": 5,
            "initialBackoff": "0.1s",
            "maxBackoff": "2s",
            "backoffMultiplier": 2,
            "retryableStatusCodes": list(statuses),
        },
    }


SERVICE_CONFIG: Final = json.dumps(
    {
        "loadBalancingConfig": [{"round_robin": {}}],
        "methodConfig": [
            _method_config(REPEATABLE, "UNAVAILABLE", "CANCELLED"),
            _method_config(NAMED, "UNAVAILABLE"),
        ],
        "retryThrottling": {"maxTokens": 10, "tokenRatio": 0.1},
    }
)
