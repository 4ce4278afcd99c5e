"""Build the use cases from settings and a store: everything that knows neither gRPC nor callers."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from tokenauthority.authority.credential_sealer import CredentialSealer
from tokenauthority.authority.event_buffer import EventBuffer
from tokenauthority.authority.generate import Generate
from tokenauthority.authority.projects import Projects
from tokenauthority.authority.revocations import Revocations
from tokenauthority.authority.revoke import Revoke
from tokenauthority.authority.roles import Roles
from tokenauthority.authority.sessions import Sessions
from tokenauthority.authority.signing_keys import SigningKeyManager
from tokenauthority.authority.store_follower import StoreFollower
from tokenauthority.authority.tenant_cache import TenantCache
from tokenauthority.authority.verify import Verify
from tokenauthority.authority.watch import Watch
from tokenauthority.config.settings import Settings
from tokenauthority.domain.rotation import Rotation
from tokenauthority.domain.times import Millis, Seconds, in_millis
from tokenauthority.server.key_providers import provider_of
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
    sessions: Sessions
    roles: Roles
    generate: Generate
    verify: Verify
    revoke: Revoke
    watch: Watch
    jwks_max_age: Callable[[], int]


def build_core(
    settings: Settings,
    *,
    store: Store,
    sealer: Sealer,
    names_role: Callable[[str, str], bool],
    clock: Callable[[], Millis],
) -> Core:
    """Build the use cases; read nothing yet. *names_role* returns whether a caller's grant names a role."""
    issuance, limits = settings.issuance, settings.limits
    credentials = CredentialSealer(sealer, provider_of(settings))
    tenants = TenantCache(store, credentials)
    keys = SigningKeyManager(store, credentials, settings.keys.algorithm, _rotation(settings))
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
    return Core(
        tenants=tenants,
        keys=keys,
        revocations=revocations,
        follower=follower,
        projects=Projects(store, tenants, credentials),
        sessions=Sessions(store, tenants, follower.wake),
        roles=Roles(store, tenants, names_role),
        generate=Generate(tenants, keys, issuance.issuer),
        verify=verify,
        revoke=Revoke(store, tenants, verify, revocations, follower.wake),
        watch=Watch(store, event_buffer, clock),
        # A key set that may be outdated must not be cached.
        jwks_max_age=lambda: keys.max_age(issuance.jwks_max_age, clock()) if follower.fresh else 0,
    )


def _rotation(settings: Settings) -> Rotation:
    return Rotation(
        period=in_millis(Seconds(settings.keys.rotation_period)), publication=Millis(round(settings.publication * 1000))
    )
