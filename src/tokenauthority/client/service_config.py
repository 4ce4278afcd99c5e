"""The gRPC service config: which RPCs a client retries by itself, when, and how it spreads its calls.

`SERVICE_CONFIG` is plain JSON (gRPC's service_config.md), so that clients in every language can use the same document:
the documentation has it as `service-config.json`. Which RPCs are idempotent is read from the contract.

A server that shuts down answers some of its last calls with CANCELLED before they reached it. So idempotent RPCs are
retried on CANCELLED too, not only on UNAVAILABLE. One deadline covers all attempts.

`retryThrottling` ends retries once failures outnumber successes by half of `maxTokens`. It has gRPC's largest number:
the calls under way that one stopped server ends stay below it, and an outage of all servers does not.
"""

from __future__ import annotations

import json

from collections.abc import Iterable
from typing import Final

from tokenauthority.contract import MAX_REQUEST_BYTES, METHODS


MAX_BATCH: Final = 1000
"""Tokens in one batch, by the contract."""

MAX_TOKEN_BYTES: Final = 40_960
"""Bytes of one token, by the contract (VerifyToken)."""

_MAX_TOKEN_FIELDS_BYTES: Final = 1024
"""Bytes of the other fields of an answered token: ids, role and times have fewer."""

MAX_RECEIVE_BYTES: Final = MAX_BATCH * (MAX_TOKEN_BYTES + _MAX_TOKEN_FIELDS_BYTES)
"""Bytes of the largest legal answer, a full batch; gRPC's default of 4 MiB would lose it."""

RETRY_BUFFER_BYTES: Final = MAX_REQUEST_BYTES + 64 * 1024
"""Bytes of a call that gRPC stores for further attempts: the largest legal request, its metadata and framing.

gRPC retries no larger call, and its default is 256 KiB.
"""

_HEALTH_CHECK: Final = ("grpc.health.v1.Health", "Check")


def _method_config(methods: Iterable[tuple[str, str]], *statuses: str) -> dict[str, object]:
    return {
        "name": [{"service": service, "method": name} for service, name in methods],
        "retryPolicy": {
            "maxAttempts": 5,
            "initialBackoff": "0.1s",
            "maxBackoff": "2s",
            "backoffMultiplier": 2,
            "retryableStatusCodes": list(statuses),
        },
    }


def _idempotent_methods(*, retry_on_unavailable_only: bool) -> list[tuple[str, str]]:
    return [
        (method.service, method.name)
        for method in METHODS.values()
        if method.is_idempotent and method.retry_on_unavailable_only is retry_on_unavailable_only
    ]


SERVICE_CONFIG: Final = json.dumps(
    {
        "loadBalancingConfig": [{"round_robin": {}}],
        "methodConfig": [
            _method_config(
                [*_idempotent_methods(retry_on_unavailable_only=False), _HEALTH_CHECK], "UNAVAILABLE", "CANCELLED"
            ),
            _method_config(_idempotent_methods(retry_on_unavailable_only=True), "UNAVAILABLE"),
        ],
        "retryThrottling": {"maxTokens": 1000, "tokenRatio": 1},
    }
)
