"""From settings and a store to the use cases: everything that knows neither gRPC nor who is calling."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
from tokenauthority.domain.rotation import Rotation
from tokenauthority.domain.times import Millis, Seconds, in_millis
from tokenauthority.server.key_providers import provider_of


if TYPE_CHECKING:
    from collections.abc import Callable

    from tokenauthority.config import Settings
    from tokenauthority.signing.sealing import Sealer
    from tokenauthority.storage import Store


@attrs.frozen(kw_only=True)
class Core:
    """The use cases, and what they share. `jwks_max_age` answers seconds."""

    catalog: TenantCache
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
    """Put the use cases together; nothing is read yet. *names_role* says whether a caller's grant names a role.

    Raises:
        ConfigError: the provider of the signing keys cannot be used with what is installed.
    """
    issuance, limits = settings.issuance, settings.limits
    vault = CredentialSealer(sealer, provider_of(settings))
    catalog, keys = (
        TenantCache(store, vault),
        SigningKeyManager(store, vault, settings.keys.algorithm, _rotation(settings)),
    )
    feed, revocations = EventBuffer(limits.watch_buffer), Revocations(store, limits.max_revocations)
    follower = StoreFollower(
        store,
        catalog,
        keys,
        revocations,
        feed,
        clock=clock,
        interval=settings.database.poll_interval,
        heartbeat=limits.watch_heartbeat,
    )
    verify = Verify(
        catalog,
        keys,
        revocations,
        follower,
        issuer=issuance.issuer,
        leeway=Seconds(issuance.leeway),
        max_staleness=issuance.max_staleness,
    )
    return Core(
        catalog=catalog,
        keys=keys,
        revocations=revocations,
        follower=follower,
        projects=Projects(store, catalog, vault),
        sessions=Sessions(store, catalog, follower.wake),
        roles=Roles(store, catalog, names_role),
        generate=Generate(catalog, keys, issuance.issuer),
        verify=verify,
        revoke=Revoke(store, catalog, verify, revocations, follower.wake),
        watch=Watch(store, feed, clock),
        # What may be behind the store is not to be kept.
        jwks_max_age=lambda: keys.max_age(issuance.jwks_max_age, clock()) if follower.fresh else 0,
    )


def _rotation(settings: Settings) -> Rotation:
    return Rotation(
        period=in_millis(Seconds(settings.keys.rotation_period)),
        publication=Millis(round(settings.publication * 1000)),
    )
