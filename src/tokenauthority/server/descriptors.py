"""Divide the file descriptors of the process: connections never take those of the audit log and the store."""

from __future__ import annotations

import resource

from typing import Final

import attrs

from tokenauthority.config.listeners import OFF, grpc_listeners
from tokenauthority.config.loading import ConfigError
from tokenauthority.config.settings import PREFIX, Settings
from tokenauthority.domain.counts import counted


RESERVED: Final = 128
"""Descriptors for all that is no connection of a listener: the audit log, the store, issuers, an HSM, and what is open
for a moment, such as a connection that is refused."""

HTTP: Final = 256
OPS: Final = 64
HTTP_API: Final = 512
"""Connections of listen.http, of listen.ops and of listen.http_api, where there are descriptors enough."""

_FEWEST: Final = 16
"""Connections that each gRPC listener must be able to have."""

_RAISE: Final = "raise the limit of open files (systemd: LimitNOFILE, docker: --ulimit nofile, a shell: ulimit -n)"


@attrs.frozen(kw_only=True)
class ConnectionLimits:
    """How many connections of each listener may be open at the same time; `grpc` is for each one of gRPC."""

    grpc: int
    http: int
    ops: int
    http_api: int


def raise_limit() -> tuple[int, int]:
    """Raise the soft limit of open files to the hard one; return the soft limit before and now."""
    before, hard = (_finite(limit) for limit in resource.getrlimit(resource.RLIMIT_NOFILE))
    if before < hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):
            # A system that allows no process so many: the limits of connections follow from what it allows.
            return before, before
    return before, hard


def open_files() -> int:
    """Return how many descriptors this process may have now."""
    return _finite(resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def allowed_files() -> int:
    """Return how many descriptors `raise_limit` could allow this process."""
    return _finite(resource.getrlimit(resource.RLIMIT_NOFILE)[1])


def connection_limits(settings: Settings, descriptors: int) -> ConnectionLimits:
    """Return the limits for so many *descriptors*.

    The default of limits.max_connections is lowered to what fits.

    Raises:
        ConfigError: a value that was set does not fit, or too few connections would be left.
    """
    limits, listeners = settings.limits, grpc_listeners(settings.listen)
    available = max(0, descriptors - RESERVED)
    http, ops = min(HTTP, available // 4), min(OPS, available // 8)
    api = 0 if settings.listen.http_api == OFF else min(HTTP_API, available // 4)
    fitting = (available - http - ops - api) // max(1, listeners)
    wanted = limits.max_connections
    if wanted > fitting and "max_connections" in limits.model_fields_set:
        problem = (
            f"{PREFIX}LIMITS__MAX_CONNECTIONS: {wanted} is too many for each of "
            f"{counted(listeners, 'gRPC listener')}: this process may open {descriptors} files, and "
            f"{descriptors - fitting * listeners} of them are for HTTP, the store and the audit log. Set at most "
            f"{fitting}, or {_RAISE}"
        )
        raise ConfigError([problem])
    if fitting < _FEWEST:
        problem = (
            f"this process may open {descriptors} files, which leaves {counted(fitting, 'connection')} for each of "
            f"{counted(listeners, 'gRPC listener')}, and each needs {_FEWEST}: {_RAISE}"
        )
        raise ConfigError([problem])
    return ConnectionLimits(grpc=min(wanted, fitting), http=http, ops=ops, http_api=api)


def _finite(limit: int) -> int:
    return limit if limit != resource.RLIM_INFINITY else 2**31 - 1
