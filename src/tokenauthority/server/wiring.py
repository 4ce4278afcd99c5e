"""Build a server from settings: the one place that knows every part."""

from __future__ import annotations

import time

from collections.abc import Awaitable, Callable, Mapping

import attrs
import grpc
import grpc.aio

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from tokenauthority.audit.writing.log import FileAuditLog, LogOptions
from tokenauthority.authority.agreement import Agreement
from tokenauthority.authority.caller_leases import CallerLeases
from tokenauthority.authority.generate import Generate
from tokenauthority.authority.projects import Projects
from tokenauthority.authority.revocations import Revocations
from tokenauthority.authority.signing_keys import SigningKeyManager
from tokenauthority.authority.store_follower import StoreFollower
from tokenauthority.callers.authenticator import Authenticator
from tokenauthority.callers.bearer import BearerAuthenticator
from tokenauthority.callers.file import CallersFile
from tokenauthority.callers.issuer_keys import IssuerKeyCaches
from tokenauthority.callers.jwt import JwtVerifier
from tokenauthority.callers.opentok import OpentokAuthenticator
from tokenauthority.callers.registry import CurrentCallers
from tokenauthority.config.listeners import serves_https
from tokenauthority.config.loading import common_settings
from tokenauthority.config.settings import Settings
from tokenauthority.contract import METHODS, SERVICES
from tokenauthority.domain.caller import Caller, Rate
from tokenauthority.domain.times import Millis
from tokenauthority.interceptors.admission import Admission, AdmissionInterceptor
from tokenauthority.interceptors.audit import AuditInterceptor
from tokenauthority.interceptors.auth_failures import AuthFailureLimiter
from tokenauthority.interceptors.authentication import AuthenticationInterceptor
from tokenauthority.interceptors.authorization import (
    HEALTH_METHODS,
    PUBLIC,
    AuthorizationInterceptor,
    required_actions,
)
from tokenauthority.interceptors.call import Interceptor
from tokenauthority.interceptors.chain import InterceptorChain, Translation
from tokenauthority.interceptors.decision_log import DecisionLog
from tokenauthority.interceptors.deliveries import Deliveries
from tokenauthority.interceptors.direct import DirectCalls
from tokenauthority.interceptors.errors import ErrorsInterceptor
from tokenauthority.interceptors.metrics import MetricsInterceptor
from tokenauthority.interceptors.rate_limiter import CallerRateLimiter
from tokenauthority.interceptors.refusal_summarizer import RefusalSummarizer
from tokenauthority.interceptors.request import RequestInterceptor
from tokenauthority.server.callers_reloader import CallersReloader
from tokenauthority.server.clock_watch import ClockWatch
from tokenauthority.server.core import Core, build_core
from tokenauthority.server.descriptors import ConnectionLimits, connection_limits, open_files
from tokenauthority.server.file_modes import FileModes
from tokenauthority.server.generic_handlers import add_health, add_reflection
from tokenauthority.server.grpc_options import grpc_options
from tokenauthority.server.health_servicer import SERVICE_NAME, HealthServicer
from tokenauthority.server.http_certificate import HttpCertificate
from tokenauthority.server.key_expiry import KeyExpiry
from tokenauthority.server.listeners import Listener, listeners_of
from tokenauthority.server.messages import message_interceptors
from tokenauthority.server.readiness import Readiness
from tokenauthority.server.state_metrics import StateCollector
from tokenauthority.server.telemetry import Telemetry, telemetry_of
from tokenauthority.server.tls_credentials import CertificateMetrics
from tokenauthority.service.check import VERIFY_TOKEN
from tokenauthority.service.ext_authz import CHECK, EnvoyCoding
from tokenauthority.service.keys import KeyServicer
from tokenauthority.service.projects import ProjectServicer
from tokenauthority.service.roles import RoleServicer
from tokenauthority.service.rpc import bind_servicers
from tokenauthority.service.sessions import SessionServicer
from tokenauthority.service.tokens import TokenServicer
from tokenauthority.signing.sealing import Sealer
from tokenauthority.storage.store import Store


@attrs.frozen(kw_only=True)
class App:
    """A server, built and not yet serving.

    `bearer` authenticates by API key or JWT, `opentok` the SDKs of OpenTok. `direct_calls`
    returns what answers calls outside of gRPC.
    """

    listeners: tuple[tuple[Listener, grpc.aio.Server], ...]
    health: HealthServicer
    generate: Generate
    store: Store
    keys: SigningKeyManager
    projects: Projects
    follower: StoreFollower
    revocations: Revocations
    bearer: BearerAuthenticator
    opentok: OpentokAuthenticator
    direct_calls: Callable[[Authenticator], DirectCalls]
    http_certificate: HttpCertificate | None
    file_modes: FileModes | None
    connection_limits: ConnectionLimits
    admission: Admission
    audit: AuditInterceptor
    readiness: Readiness
    callers_reloader: CallersReloader
    key_expiry: KeyExpiry
    agreement: Agreement
    registry: CollectorRegistry
    telemetry: Telemetry
    audit_log: FileAuditLog
    refusal_summarizer: RefusalSummarizer
    rate_limiter: CallerRateLimiter
    clock: Callable[[], Millis]
    clock_watch: ClockWatch


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
        ConfigError: the provider of the signing keys needs a package that is not installed, the process may open too
            few files, or the secrets of the TURN servers cannot be read.
    """
    limits, connections, registry = settings.limits, connection_limits(settings, open_files()), CollectorRegistry()
    clock_watch, telemetry = ClockWatch(clock, registry), telemetry_of(settings.telemetry, registry)
    store = telemetry.observed("store", store)
    core = build_core(
        settings,
        store=store,
        sealer=sealer,
        callers_naming=callers.callers_naming,
        clock=clock,
        cautious_clock=clock_watch.cautious,
        registry=registry,
        telemetry=telemetry,
    )
    audit_log = _audit_log(settings, clock)
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    actions = required_actions(METHODS.values())
    each = Rate(limits.failed_auth_rate, limits.failed_auth_burst)
    together = Rate(limits.recorded_refusals_rate, limits.recorded_refusals_burst)
    refusal_summarizer = RefusalSummarizer(audit_log, registry, clock, each=each, together=together)
    throttled = Rate(limits.suspect_rate, limits.suspect_rate)
    auth_failures = AuthFailureLimiter(registry, clock, each=each, throttled=throttled)
    rate_limiter = CallerRateLimiter(
        registry, callers, CallerLeases(store, clock), clock, limits.max_streams_per_caller
    )
    admission = Admission(
        limits.max_concurrent_rpcs,
        min(limits.max_concurrent_rpcs_per_caller, limits.max_concurrent_rpcs),
        limits.max_streams,
    )
    changing = {path for path, method in METHODS.items() if method.has_side_effects}
    observed_log = telemetry.observed("audit", refusal_summarizer)
    audit = AuditInterceptor(observed_log, unrecorded=HEALTH_METHODS, finishing=changing)
    outer = (
        RequestInterceptor(clock, limits.max_deadline),
        *telemetry.outer,
        MetricsInterceptor(registry, METHODS.keys() | PUBLIC),
        audit,
        ErrorsInterceptor(DecisionLog(callers, rate_limiter)),
        AdmissionInterceptor(admission, PUBLIC),
    )
    messages = message_interceptors(settings, admission)
    deliveries = Deliveries()
    served = bind_servicers(_servicers(core, settings, rate_limiter.charge), clock, core.follower.wait_for_read)
    translations = {CHECK: Translation(VERIFY_TOKEN, "envoy", EnvoyCoding())}
    key_caches = IssuerKeyCaches(
        callers, refresh=settings.callers.jwks_refresh, max_stale=settings.callers.jwks_max_stale
    )
    callers_reloader = CallersReloader(callers_file, callers, key_caches, registry, admission.renew_streams)
    bearer = BearerAuthenticator(callers, JwtVerifier(key_caches), clock)
    certificates = CertificateMetrics(registry)
    agreement = Agreement(store, common_settings(settings), clock)
    readiness = Readiness(
        core,
        store,
        audit_log,
        lambda: {
            "certificates": certificates.problem(clock()),
            "clock": clock_watch.problem,
            "settings": agreement.problem,
            **callers_reloader.details(),
        },
        clock,
    )
    health_servicer = HealthServicer(lambda: readiness.health().serving)
    registry.register(StateCollector(core, readiness.health, audit_log, store))
    listeners = []

    def chain_with(authenticator: Authenticator) -> InterceptorChain:
        inner: tuple[Interceptor, ...] = (
            AuthenticationInterceptor(authenticator, PUBLIC, auth_failures),
            *telemetry.inner,
            rate_limiter,
            AuthorizationInterceptor(actions),
            *messages,
        )
        return InterceptorChain((*outer, *inner), deliveries, served, translations)

    for listener in listeners_of(settings, callers, bearer, certificates):
        server = grpc.aio.server(
            interceptors=[chain_with(listener.authenticator)],
            options=grpc_options(settings.limits, listener.max_metadata, connections.grpc),
            # A last bound that calls of strangers do not reach: each step before it bounds how many are open, and for
            # how long. gRPC's own refusal has no details and no audit record.
            maximum_concurrent_rpcs=4 * (limits.max_concurrent_rpcs + limits.max_streams),
        )
        add_health(server, health_servicer)
        if settings.listen.reflection:
            add_reflection(server, (*SERVICES, SERVICE_NAME))
        listeners.append((listener, server))
    return App(
        listeners=tuple(listeners),
        health=health_servicer,
        generate=core.generate,
        store=store,
        keys=core.keys,
        projects=core.projects,
        follower=core.follower,
        revocations=core.revocations,
        bearer=bearer,
        opentok=OpentokAuthenticator(callers, core.tenants, clock, core.follower.wait_for_read),
        direct_calls=lambda authenticator: DirectCalls(chain_with(authenticator), telemetry.headers),
        file_modes=None if settings.dev else FileModes(settings, callers),
        http_certificate=HttpCertificate(settings.tls, certificates) if serves_https(settings) else None,
        connection_limits=connections,
        admission=admission,
        audit=audit,
        readiness=readiness,
        callers_reloader=callers_reloader,
        key_expiry=KeyExpiry(callers, clock),
        agreement=agreement,
        registry=registry,
        telemetry=telemetry,
        audit_log=audit_log,
        refusal_summarizer=refusal_summarizer,
        rate_limiter=rate_limiter,
        clock=clock,
        clock_watch=clock_watch,
    )


def _servicers(
    core: Core, settings: Settings, charge: Callable[[Caller, int], Awaitable[None]]
) -> Mapping[str, object]:
    """Return the servicers, each under the service that it answers."""
    keys = KeyServicer(
        core.keys, settings.issuance.issuer, jwks_max_age=core.jwks_max_age, require_current=core.verify.require_current
    )
    servicers = {
        "SessionService": SessionServicer(core.sessions),
        "TokenService": TokenServicer(core.generate, core.verify, core.revoke, core.watch, core.turn, charge),
        "RoleService": RoleServicer(core.roles),
        "ProjectService": ProjectServicer(core.projects, core.secrets, core.deletion),
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
