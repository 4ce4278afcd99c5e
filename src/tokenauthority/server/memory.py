"""Say how much memory a server takes at most, from its settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tokenauthority.authority.tenant_cache import MAX_PROJECTS, MAX_SESSIONS
from tokenauthority.config.listeners import OFF, grpc_listeners
from tokenauthority.config.settings import Settings
from tokenauthority.contract import DEFAULT_REQUEST_BYTES, MAX_REQUEST_BYTES
from tokenauthority.interceptors.admission import MAX_PUBLIC_STREAMS
from tokenauthority.interceptors.message_memory import SMALL
from tokenauthority.server.descriptors import HTTP, HTTP_API, OPS
from tokenauthority.server.messages import MAX_PENDING, MAX_PUBLIC_WAITING, PUBLIC_READS
from tokenauthority.telemetry.call_trace import MAX_SPANS


# Measured with grpcio 1.85 and Python 3.11 on x86-64: the growth of RSS by many of them.
_BASE: Final = 130 * 2**20
_CONNECTION: Final = 48 * 2**10
_HTTP_CONNECTION: Final = 160 * 2**10
_UNREAD_CONTENT: Final = DEFAULT_REQUEST_BYTES + 256 * 2**10
"""Bytes of content that HTTP takes before it is asked for: uvicorn's bound, and one read beyond it."""

_STREAM: Final = 40 * 2**10
_SESSION: Final = 1000
_PROJECT: Final = 6000
_REVOCATION: Final = 110
_SPAN: Final = 2000


def worst_case(settings: Settings) -> Mapping[str, int]:
    """Return the bytes of RSS that each part takes at most.

    Only parts that callers and strangers can fill are counted: not the callers file, not the keys of issuers.
    """
    limits, listeners = settings.limits, grpc_listeners(settings.listen)
    api = 0 if settings.listen.http_api == OFF else HTTP_API
    # What gRPC takes of a request before it is asked for: of calls that wait to be received, and of those in progress.
    unasked = DEFAULT_REQUEST_BYTES * (2 * limits.max_concurrent_rpcs + MAX_PUBLIC_WAITING)
    exports_traces = bool(settings.telemetry.endpoint) and settings.telemetry.traces
    return {
        "an idle server": _BASE,
        "connections": _CONNECTION * limits.max_connections * listeners,
        "HTTP connections": _HTTP_CONNECTION * (HTTP + OPS + api) + _UNREAD_CONTENT * api,
        "streams": _STREAM * (limits.max_streams + MAX_PUBLIC_STREAMS),
        "calls in a burst": (_STREAM + DEFAULT_REQUEST_BYTES) * MAX_PENDING * listeners,
        "messages being received": limits.max_receive_memory + PUBLIC_READS * MAX_REQUEST_BYTES + unasked,
        "messages in progress": limits.max_message_memory + 2 * SMALL * limits.max_concurrent_rpcs,
        "cached sessions and projects": _SESSION * MAX_SESSIONS + _PROJECT * MAX_PROJECTS,
        "revocations": _REVOCATION * limits.max_revocations,
        **({"traces": _SPAN * MAX_SPANS} if exports_traces else {}),
    }


def worst_case_text(parts: Mapping[str, int]) -> str:
    """Return one line about the *parts* of `worst_case`, in MiB."""
    listed = ", ".join(f"{name} {size / 2**20:.0f}" for name, size in parts.items())
    return f"memory in the worst case: {sum(parts.values()) / 2**20:.0f} MiB ({listed})"
