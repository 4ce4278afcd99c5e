"""From settings to a server: the one place that knows every part."""

from __future__ import annotations

import time

from typing import TYPE_CHECKING, Final

import attrs
import grpc
import grpc.aio

from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from tokenauthority.audit.log import FileAuditLog
from tokenauthority.authority.catalog import Catalog
from tokenauthority.authority.follower import Follower
from tokenauthority.authority.generate import Generate
from tokenauthority.authority.keys import Keys
from tokenauthority.authority.projects import Projects
from tokenauthority.authority.roles import Roles
from tokenauthority.authority.sessions import Sessions
from tokenauthority.authority.vault import Vault
from tokenauthority.authority.verify import Verify
from tokenauthority.callers.authenticator import ApiKeyAuthenticator
from tokenauthority.domain.times import Millis, Seconds
from tokenauthority.interceptors.admission import AdmissionInterceptor
from tokenauthority.interceptors.audit import AuditInterceptor
from tokenauthority.interceptors.authentication import AuthenticationInterceptor
from tokenauthority.interceptors.authorization import (
    CHANGING,
    HEALTH_METHODS,
    PUBLIC,
    AuthorizationInterceptor,
    require_complete,
)
from tokenauthority.interceptors.chain import Chain
from tokenauthority.interceptors.errors import ErrorsInterceptor
from tokenauthority.interceptors.metrics import MetricsInterceptor
from tokenauthority.interceptors.request import RequestInterceptor
from tokenauthority.server.readiness import Readiness
from tokenauthority.server.services import SERVICES, methods_of
from tokenauthority.service.keys import KeyServicer
from tokenauthority.service.projects import ProjectServicer
from tokenauthority.service.roles import RoleServicer
from tokenauthority.service.sessions import SessionServicer
from tokenauthority.service.tokens import TokenServicer
from tokenauthority.v1 import (
    key_pb2_grpc,
    project_pb2_grpc,
    role_pb2_grpc,
    session_pb2_grpc,
    token_pb2_grpc,
)


if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tokenauthority.config import Settings
    from tokenauthority.domain.caller import Caller
    from tokenauthority.signing.sealing import Sealer
    from tokenauthority.storage.store import Store


MAX_REQUEST: Final = 12 * 1024 * 1024
"""Bytes of a request. The largest legal batch, 1000 items of 4-byte characters, has 9.4 million."""

MAX_METADATA: Final = 8 * 1024
MAX_STREAMS: Final = 100
"""Concurrent RPCs of one connection."""


@attrs.frozen(kw_only=True)
class App:
    """A server, built and not yet serving."""

    server: grpc.aio.Server
    health: health.aio.HealthServicer
    store: Store
    keys: Keys
    projects: Projects
    follower: Follower
    admission: AdmissionInterceptor
    readiness: Readiness
    registry: CollectorRegistry
    audit_log: FileAuditLog
    clock: Callable[[], Millis]


def system_clock() -> Millis:
    """The wall clock."""
    return Millis(time.time_ns() // 1_000_000)


def build(
    settings: Settings,
    *,
    store: Store,
    sealer: Sealer,
    callers: Mapping[str, Caller],
    clock: Callable[[], Millis] = system_clock,
) -> App:
    """Put all parts together; nothing runs yet. *callers* are by the digest of their API key.

    Raises:
        AuthorizationTableError: a registered method has no row.
        OSError: the audit log cannot be opened.
    """
    issuance, limits = settings.issuance, settings.limits
    vault = Vault(sealer)
    catalog = Catalog(store, vault)
    keys = Keys(store, vault, settings.keys.algorithm)
    projects = Projects(store, catalog, vault)
    follower = Follower(store, catalog, keys, clock, settings.database.poll_interval)
    audit_log = FileAuditLog(settings.audit_path)
    registry = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    methods = methods_of(SERVICES)
    require_complete(methods)
    admission = AdmissionInterceptor(
        limits.max_concurrent_rpcs, limits.max_streams, public=PUBLIC, exempt=HEALTH_METHODS
    )

    server = grpc.aio.server(
        interceptors=[
            Chain(
                [
                    RequestInterceptor(clock, limits.max_deadline),
                    MetricsInterceptor(registry, methods | PUBLIC),
                    AuditInterceptor(audit_log, unrecorded=HEALTH_METHODS, finishing=CHANGING),
                    ErrorsInterceptor(),
                    admission,
                    AuthenticationInterceptor(ApiKeyAuthenticator(callers), PUBLIC),
                    AuthorizationInterceptor(),
                ]
            )
        ],
        options=_options(settings),
        # A last bound, far above what the admission step lets in: gRPC's own refusal has no details and no record.
        maximum_concurrent_rpcs=4 * (limits.max_concurrent_rpcs + limits.max_streams),
    )
    session_pb2_grpc.add_SessionServiceServicer_to_server(SessionServicer(Sessions(store, catalog), clock), server)
    token_pb2_grpc.add_TokenServiceServicer_to_server(
        TokenServicer(
            Generate(catalog, keys, issuance.issuer),
            Verify(catalog, keys, issuance.issuer, Seconds(issuance.leeway)),
            clock,
        ),
        server,
    )
    role_pb2_grpc.add_RoleServiceServicer_to_server(
        RoleServicer(Roles(store, catalog, _named_in_a_grant(callers)), clock), server
    )
    project_pb2_grpc.add_ProjectServiceServicer_to_server(ProjectServicer(projects, clock), server)
    key_pb2_grpc.add_KeyServiceServicer_to_server(KeyServicer(keys, issuance.issuer, issuance.jwks_max_age), server)
    health_servicer = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health_servicer, server)
    if settings.listen.reflection:
        reflection.enable_server_reflection((*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
    return App(
        server=server,
        health=health_servicer,
        store=store,
        keys=keys,
        projects=projects,
        follower=follower,
        admission=admission,
        readiness=Readiness(keys, follower),
        registry=registry,
        audit_log=audit_log,
        clock=clock,
    )


def _options(settings: Settings) -> list[tuple[str, int]]:
    limits = settings.limits
    return [
        ("grpc.max_receive_message_length", MAX_REQUEST),
        ("grpc.max_metadata_size", MAX_METADATA),
        ("grpc.absolute_max_metadata_size", 2 * MAX_METADATA),
        ("grpc.max_concurrent_streams", MAX_STREAMS),
        ("grpc.max_connection_idle_ms", limits.max_connection_idle * 1000),
        ("grpc.max_connection_age_ms", limits.max_connection_age * 1000),
        ("grpc.max_connection_age_grace_ms", 60_000),
        ("grpc.server_handshake_timeout_ms", 10_000),
        # Clients may ping once a minute (ours do); gRPC's own limit of five minutes would cut them off.
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 30_000),
        ("grpc.max_allowed_incoming_connections", limits.max_connections),
        # Two authorities on one port would answer with two minds, each with its own dev project.
        ("grpc.so_reuseport", 0),
    ]


def _named_in_a_grant(callers: Mapping[str, Caller]) -> Callable[[str, str], bool]:
    grants = [caller.grant for caller in callers.values()]

    def named(project_id: str, role: str) -> bool:
        return any(role in grant.roles and grant.allows_project(project_id) for grant in grants)

    return named
