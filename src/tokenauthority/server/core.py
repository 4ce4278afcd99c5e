"""Build the use cases from settings and a store: everything that knows neither gRPC nor callers."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from prometheus_client import CollectorRegistry

from tokenauthority.authority.credential_sealer import CredentialSealer
from tokenauthority.authority.event_buffer import EventBuffer
from tokenauthority.authority.generate import Generate
from tokenauthority.authority.key_checks import KeyChecks
from tokenauthority.authority.project_deletion import ProjectDeletion
from tokenauthority.authority.project_secrets import ProjectSecrets
from tokenauthority.authority.projects import Projects
from tokenauthority.authority.revocations import Revocations
from tokenauthority.authority.revoke import Revoke
from tokenauthority.authority.roles import Roles
from tokenauthority.authority.sessions import Sessions
from tokenauthority.authority.signing_keys import SigningKeyManager
from tokenauthority.authority.store_follower import StoreFollower
from tokenauthority.authority.tenant_cache import TenantCache
from tokenauthority.authority.turn import CreateTurn
from tokenauthority.authority.verify import Verify
from tokenauthority.authority.watch import Watch
from tokenauthority.config.settings import Settings
from tokenauthority.domain.rotation import Rotation
from tokenauthority.domain.times import Millis, Seconds, in_millis
from tokenauthority.platforms.sessions import PlatformOptions, PlatformSessions
from tokenauthority.server.key_providers import provider_of
from tokenauthority.server.telemetry import OFF, Telemetry
from tokenauthority.server.turn_servers import turn_servers_of
from tokenauthority.signing.sealing import Sealer
from tokenauthority.storage.store import Store


@attrs.frozen(kw_only=True)
class Core:
    """The use cases and what they share. `jwks_max_age` returns seconds."""

    tenants: TenantCache
    keys: SigningKeyManager
    revocations: Revocations
    follower: StoreFollower
    projects: Projects
    secrets: ProjectSecrets
    deletion: ProjectDeletion
    sessions: Sessions
    roles: Roles
    generate: Generate
    verify: Verify
    revoke: Revoke
    watch: Watch
    turn: CreateTurn
    jwks_max_age: Callable[[], int]


def build_core(
    settings: Settings,
    *,
    store: Store,
    sealer: Sealer,
    callers_naming: Callable[[str, str], frozenset[str]],
    clock: Callable[[], Millis],
    cautious_clock: Callable[[], Millis],
    registry: CollectorRegistry,
    telemetry: Telemetry = OFF,
) -> Core:
    """Build the use cases; read nothing of the store yet. Raise ConfigError for TURN servers that cannot be used.

    *callers_naming* returns whose grant names a role of a project. *cautious_clock* returns the time by which keys are
    deleted: that of *clock*, or an earlier one if somebody has set that ahead.
    """
    issuance, limits = settings.issuance, settings.limits
    credentials = CredentialSealer(sealer, provider_of(settings))
    tenants = TenantCache(store, credentials)
    keys = SigningKeyManager(
        store,
        credentials,
        settings.keys.algorithm,
        _rotation(settings),
        deletes_by=lambda now: min(now, cautious_clock()),
    )
    event_buffer, revocations = EventBuffer(limits.watch_buffer), Revocations(store, limits.max_revocations)
    follower = StoreFollower(
        store,
        tenants,
        keys,
        revocations,
        event_buffer,
        clock=clock,
        interval=settings.database.poll_interval,
        heartbeat=limits.watch_heartbeat,
    )
    verify = Verify(
        tenants,
        keys,
        revocations,
        follower,
        issuer=issuance.issuer,
        leeway=Seconds(issuance.leeway),
        max_staleness=issuance.max_staleness,
    )
    checks = KeyChecks()
    platforms = telemetry.observed("platform", PlatformSessions(_platform_options(settings), registry))
    return Core(
        tenants=tenants,
        keys=keys,
        revocations=revocations,
        follower=follower,
        projects=Projects(store, tenants, credentials, checks, platforms.urls),
        secrets=ProjectSecrets(store, tenants, credentials, checks),
        deletion=ProjectDeletion(store, tenants, revocations, follower.wake),
        sessions=Sessions(store, tenants, platforms, follower.wake),
        roles=Roles(store, tenants, callers_naming),
        generate=Generate(tenants, keys, issuance.issuer, codec_of=telemetry.codec_of),
        verify=verify,
        revoke=Revoke(store, tenants, verify, revocations, follower.wake),
        watch=Watch(store, event_buffer, clock),
        turn=CreateTurn(tenants, turn_servers_of(settings)),
        # A key set that may be outdated, or lacks a key that other servers may sign with, must not be cached.
        jwks_max_age=lambda: (
            keys.max_age(issuance.jwks_max_age, clock()) if follower.fresh and keys.believed.foreign is None else 0
        ),
    )


def _platform_options(settings: Settings) -> PlatformOptions:
    platform, all_rpcs = settings.platform, settings.limits.max_concurrent_rpcs
    return PlatformOptions(
        urls=platform.allowed_urls,
        ca_file=platform.ca_file,
        attempt_timeout=platform.attempt_timeout,
        # Half of all RPCs, so that a slow platform cannot use all, whatever the two settings are.
        max_concurrent=min(platform.max_concurrent, max(all_rpcs // 2, 1)),
    )


def _rotation(settings: Settings) -> Rotation:
    return Rotation(
        period=in_millis(Seconds(settings.keys.rotation_period)), publication=Millis(round(settings.publication * 1000))
    )
