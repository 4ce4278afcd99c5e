"""Build a server from settings: the one place that knows every part."""

from __future__ import annotations

import time

from collections.abc import Callable, Mapping
from typing import Final

import attrs
import grpc
import grpc.aio

from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from tokenauthority.audit.writing.log import FileAuditLog, LogOptions
from tokenauthority.authority.projects import Projects
from tokenauthority.authority.revocations import Revocations
from tokenauthority.authority.signing_keys import SigningKeyManager
from tokenauthority.authority.store_follower import StoreFollower
from tokenauthority.callers.bearer import BearerAuthenticator
from tokenauthority.callers.file import CallersFile
from tokenauthority.callers.issuer_keys import IssuerKeyCaches
from tokenauthority.callers.jwt import JwtVerifier
from tokenauthority.callers.registry import CurrentCallers
from tokenauthority.config.settings import Settings
from tokenauthority.contract import METHODS, SERVICES
from tokenauthority.domain.caller import Caller, Rate
from tokenauthority.domain.times import Millis
from tokenauthority.interceptors.admission import AdmissionInterceptor
from tokenauthority.interceptors.audit import AuditInterceptor
from tokenauthority.interceptors.auth_failures import AuthFailureLimiter
from tokenauthority.interceptors.authentication import AuthenticationInterceptor
from tokenauthority.interceptors.authorization import HEALTH_METHODS, PUBLIC, AuthorizationInterceptor, required_actions
from tokenauthority.interceptors.chain import InterceptorChain
from tokenauthority.interceptors.errors import ErrorsInterceptor
from tokenauthority.interceptors.metrics import MetricsInterceptor
from tokenauthority.interceptors.rate_limiter import CallerRateLimiter
from tokenauthority.interceptors.refusal_summarizer import RefusalSummarizer
from tokenauthority.interceptors.request import RequestInterceptor
from tokenauthority.server.callers_reloader import CallersReloader
from tokenauthority.server.core import Core, build_core
from tokenauthority.server.http_certificate import HttpCertificate
from tokenauthority.server.listeners import Listener, listeners_of
from tokenauthority.server.readiness import Readiness
from tokenauthority.server.state_metrics import register_state
from tokenauthority.server.tls_credentials import CertificateMetrics
from tokenauthority.service.keys import KeyServicer
from tokenauthority.service.projects import ProjectServicer
from tokenauthority.service.roles import RoleServicer
from tokenauthority.service.rpc import bind_servicers
from tokenauthority.service.sessions import SessionServicer
from tokenauthority.service.tokens import TokenServicer
from tokenauthority.signing.sealing import Sealer
from tokenauthority.storage.store import Store


MAX_REQUEST: Final = 12 * 1024 * 1024
"""Bytes of a request. The largest legal batch, 1000 items of 4-byte characters, has 9.4 million."""

MAX_STREAMS: Final = 100
"""Concurrent RPCs of one connection."""


@attrs.frozen(kw_only=True)
class App:
    """A server, built and not yet serving."""

    listeners: tuple[tuple[Listener, grpc.aio.Server], ...]
    health: health.aio.HealthServicer
    store: Store
    keys: SigningKeyManager
    projects: Projects
    follower: StoreFollower
    revocations: Revocations
    http_certificate: HttpCertificate | None
    admission: AdmissionInterceptor
    audit: AuditInterceptor
    readiness: Readiness
    callers_reloader: CallersReloader
    registry: CollectorRegistry
    audit_log: FileAuditLog
    refusal_summarizer: RefusalSummarizer
    rate_limiter: CallerRateLimiter
    clock: Callable[[], Millis]


def system_clock() -> Millis:
    """Return the time of the wall clock."""
    return Millis(time.time_ns() // 1_000_000)


def build(
    settings: Settings,
    *,
    store: Store,
    sealer: Sealer,
    callers: CurrentCallers,
    callers_file: CallersFile | None = None,
    clock: Callable[[], Millis] = system_clock,
) -> App:
    """Build every part; nothing runs yet. *callers* are reloaded from *callers_file* if there is one.

    Raises:
        AuthorizationTableError: the contract states no action, or an unknown one, for an RPC.
        ServicerTableError: an RPC of the contract has no servicer method.
        ConfigError: the provider of the signing keys needs a package that is not installed.
    """
    limits = settings.limits
    core = build_core(settings, store=store, sealer=sealer, names_role=callers.names_role, clock=clock)
    audit_log = _audit_log(settings, clock)
    registry = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    actions = required_actions(METHODS.values())
    each = Rate(limits.failed_auth_rate, limits.failed_auth_burst)
    together = Rate(limits.recorded_refusals_rate, limits.recorded_refusals_burst)
    refusal_summarizer = RefusalSummarizer(audit_log, registry, clock, each=each, together=together)
    throttled = Rate(limits.suspect_rate, limits.suspect_rate)
    auth_failures = AuthFailureLimiter(registry, clock, each=each, throttled=throttled)
    rate_limiter = CallerRateLimiter(registry, callers, clock, limits.max_streams_per_caller)
    admission = AdmissionInterceptor(
        limits.max_concurrent_rpcs, limits.max_streams, public=PUBLIC, exempt=HEALTH_METHODS
    )
    health_servicer = health.aio.HealthServicer()
    changing = {path for path, method in METHODS.items() if method.has_side_effects}
    audit = AuditInterceptor(refusal_summarizer, unrecorded=HEALTH_METHODS, finishing=changing)
    outer = (
        RequestInterceptor(clock, limits.max_deadline),
        MetricsInterceptor(registry, METHODS.keys() | PUBLIC),
        audit,
        ErrorsInterceptor(),
        admission,
    )
    served = bind_servicers(_servicers(core, settings, rate_limiter.charge), clock)
    register_state(registry, core)

    key_caches = IssuerKeyCaches(
        callers, refresh=settings.callers.jwks_refresh, max_stale=settings.callers.jwks_max_stale
    )
    callers_reloader = CallersReloader(callers_file, callers, key_caches, registry, admission.renew_streams)
    bearer = BearerAuthenticator(callers, JwtVerifier(key_caches), clock)
    certificates = CertificateMetrics(registry)
    plaintext = settings.dev or settings.listen.http_plaintext
    listeners = []
    for listener in listeners_of(settings, callers, bearer, certificates):
        inner = (
            AuthenticationInterceptor(listener.authenticator, PUBLIC, auth_failures),
            rate_limiter,
            AuthorizationInterceptor(actions),
        )
        server = grpc.aio.server(
            interceptors=[InterceptorChain((*outer, *inner), served)],
            options=_options(settings, listener),
            # A last bound, far above that of the admission step: gRPC's own refusal has no details and no audit record.
            maximum_concurrent_rpcs=4 * (limits.max_concurrent_rpcs + limits.max_streams),
        )
        health_pb2_grpc.add_HealthServicer_to_server(health_servicer, server)
        if settings.listen.reflection:
            reflection.enable_server_reflection((*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
        listeners.append((listener, server))
    return App(
        listeners=tuple(listeners),
        health=health_servicer,
        store=store,
        keys=core.keys,
        projects=core.projects,
        follower=core.follower,
        revocations=core.revocations,
        http_certificate=None if plaintext else HttpCertificate(settings.tls, certificates),
        admission=admission,
        audit=audit,
        readiness=Readiness(core, audit_log, callers_reloader.details, clock),
        callers_reloader=callers_reloader,
        registry=registry,
        audit_log=audit_log,
        refusal_summarizer=refusal_summarizer,
        rate_limiter=rate_limiter,
        clock=clock,
    )


def _servicers(core: Core, settings: Settings, charge: Callable[[Caller, int], None]) -> Mapping[str, object]:
    """Return the servicers, each under the service that it answers."""
    keys = KeyServicer(
        core.keys, settings.issuance.issuer, jwks_max_age=core.jwks_max_age, require_current=core.verify.require_current
    )
    servicers = {
        "SessionService": SessionServicer(core.sessions),
        "TokenService": TokenServicer(core.generate, core.verify, core.revoke, core.watch, charge),
        "RoleService": RoleServicer(core.roles),
        "ProjectService": ProjectServicer(core.projects),
        "KeyService": keys,
    }
    return {f"tokenauthority.v1.{name}": servicer for name, servicer in servicers.items()}


def _audit_log(settings: Settings, clock: Callable[[], Millis]) -> FileAuditLog:
    audit = settings.audit
    options = LogOptions(
        durable=audit.durability == "fsync",
        max_bytes=audit.max_bytes or None,
        checkpoint_interval=audit.checkpoint_interval,
    )
    return FileAuditLog(settings.audit_path, settings.audit_key_path, clock=clock, options=options)


def _options(settings: Settings, listener: Listener) -> list[tuple[str, int]]:
    limits = settings.limits
    return [
        ("grpc.max_receive_message_length", MAX_REQUEST),
        ("grpc.max_metadata_size", listener.max_metadata),
        ("grpc.absolute_max_metadata_size", 2 * listener.max_metadata),
        ("grpc.max_concurrent_streams", MAX_STREAMS),
        ("grpc.max_connection_idle_ms", limits.max_connection_idle * 1000),
        ("grpc.max_connection_age_ms", limits.max_connection_age * 1000),
        ("grpc.max_connection_age_grace_ms", 60_000),
        ("grpc.server_handshake_timeout_ms", 10_000),
        # Clients may ping once a minute (ours do); gRPC's own limit of five minutes would cut them off.
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 30_000),
        ("grpc.max_allowed_incoming_connections", limits.max_connections),
        # Two servers on one port would each answer a part of the calls, each with its own store.
        ("grpc.so_reuseport", 0),
    ]
