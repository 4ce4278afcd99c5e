"""The use cases put together over a store in memory, without a server."""

from __future__ import annotations

import base64
import functools
import secrets

from collections.abc import Callable, Sequence

import attrs

from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from prometheus_client import CollectorRegistry

from tests.support.authority import EVERYTHING, WAIT, make_caller
from tests.support.memory_store import MemoryStore
from tokenauthority.authority.credential_sealer import CredentialSealer
from tokenauthority.authority.event_buffer import EventBuffer
from tokenauthority.authority.generate import Generate
from tokenauthority.authority.key_checks import KeyChecks
from tokenauthority.authority.project_secrets import ProjectSecrets
from tokenauthority.authority.project_spec import ProjectSpec
from tokenauthority.authority.projects import Projects
from tokenauthority.authority.revocations import Revocations
from tokenauthority.authority.revoke import Revoke
from tokenauthority.authority.sessions import Sessions
from tokenauthority.authority.signing_keys import SigningKeyManager
from tokenauthority.authority.store_follower import StoreFollower
from tokenauthority.authority.tenant_cache import TenantCache
from tokenauthority.authority.verify import Verify
from tokenauthority.authority.watch import Watch
from tokenauthority.domain.credential import PlainCredential
from tokenauthority.domain.key import Algorithm, StoredKey
from tokenauthority.domain.project import Project
from tokenauthority.domain.role import Permission, Role
from tokenauthority.domain.rotation import Rotation
from tokenauthority.domain.session import SessionSpec, StoredSession
from tokenauthority.domain.times import DAY, MAX_TTL, Millis, Seconds
from tokenauthority.domain.token_format import TokenFormat
from tokenauthority.platforms.sessions import PlatformOptions, PlatformSessions
from tokenauthority.signing.sealing import MasterKey, Sealer
from tokenauthority.storage.store import Store


NOW = Millis(1_800_000_000_123)
ISSUER = "https://authority.example"
LEEWAY = Seconds(30)
PERIOD = Millis(30 * 24 * 3600 * 1000)
PUBLICATION = Millis(300_000)
ROTATION = Rotation(period=PERIOD, publication=PUBLICATION)


@attrs.frozen(kw_only=True)
class World:
    """One server's use cases, with a project and a session."""

    store: MemoryStore
    sealer: Sealer
    server: Server
    tenants: TenantCache
    keys: SigningKeyManager
    projects: Projects
    secrets: ProjectSecrets
    sessions: Sessions
    generate: Generate
    verify: Verify
    project_id: str
    secret: str
    session: StoredSession


@attrs.frozen(kw_only=True)
class Server:
    """What one server has cached of a store."""

    tenants: TenantCache
    keys: SigningKeyManager
    revocations: Revocations
    event_buffer: EventBuffer
    follower: StoreFollower
    projects: Projects
    secrets: ProjectSecrets
    sessions: Sessions
    generate: Generate
    verify: Verify
    revoke: Revoke
    watch: Watch


def make_server(
    store: Store,
    sealer: Sealer,
    *,
    interval: float = WAIT,
    heartbeat: float = WAIT,
    clock: Callable[[], Millis] = lambda: NOW,
    buffer: int = 100,
) -> Server:
    """A server of *store*, which has not read anything yet."""
    credentials, checks = CredentialSealer(sealer), KeyChecks()
    tenants, keys = TenantCache(store, credentials), SigningKeyManager(store, credentials, Algorithm.ES256, ROTATION)
    revocations, event_buffer = Revocations(store, 1000), EventBuffer(buffer)
    follower = StoreFollower(
        store, tenants, keys, revocations, event_buffer, clock=clock, interval=interval, heartbeat=heartbeat
    )
    verify = Verify(tenants, keys, revocations, follower, issuer=ISSUER, leeway=LEEWAY, max_staleness=86_400)
    return Server(
        tenants=tenants,
        keys=keys,
        revocations=revocations,
        event_buffer=event_buffer,
        follower=follower,
        projects=Projects(store, tenants, credentials, checks),
        secrets=ProjectSecrets(store, tenants, credentials, checks),
        sessions=Sessions(store, tenants, PlatformSessions(PlatformOptions(), CollectorRegistry()), follower.wake),
        generate=Generate(tenants, keys, ISSUER),
        verify=verify,
        revoke=Revoke(store, tenants, verify, revocations, follower.wake),
        watch=Watch(store, event_buffer, clock),
    )


async def make_world(store: MemoryStore | None = None, sealer: Sealer | None = None) -> World:
    """A world as of NOW."""
    store, sealer = store or MemoryStore(), sealer or Sealer(MasterKey.generate())
    server = make_server(store, sealer)
    await server.follower.start()
    project, secret = await server.projects.create(ProjectSpec(), EVERYTHING, NOW)
    session = await server.sessions.create(project.project_id, SessionSpec(), "", make_caller(), NOW)
    return World(
        store=store,
        sealer=sealer,
        server=server,
        tenants=server.tenants,
        keys=server.keys,
        projects=server.projects,
        secrets=server.secrets,
        sessions=server.sessions,
        generate=server.generate,
        verify=server.verify,
        project_id=project.project_id,
        secret=secret.value.decode(),
        session=session,
    )


def make_role(project_id: str, *permissions: Permission) -> Role:
    """A role of a project, called `host`, with so many permissions or PUBLISH."""
    granted = permissions or (Permission.PUBLISH,)
    return Role(name="host", permissions=granted, project_id=project_id, create_time=NOW, update_time=NOW)


def make_sealed(
    credentials: CredentialSealer, project_id: str, *plain: PlainCredential, application: str | None = None
) -> Project:
    """A project whose credentials *plain* are sealed for it."""
    project = Project(
        project_id=project_id,
        display_name="",
        default_format=TokenFormat.SESSION_JWT,
        default_ttl=DAY,
        max_ttl=MAX_TTL,
        external_sessions=False,
        create_time=NOW,
        vonage_application_id=application,
    )
    return credentials.sealed_project(project, plain)


def version_1(key: MasterKey, plaintext: bytes, purpose: str, object_id: str) -> bytes:
    """An envelope as the first version of the program made it."""
    header, nonce = b"\x01" + bytes.fromhex(key.key_id), secrets.token_bytes(12)
    bound = header + len(purpose).to_bytes(2, "big") + purpose.encode() + object_id.encode()
    return header + nonce + AESGCM(key.value).encrypt(nonce, plaintext, bound)


async def seal_as_version_1(store: Store, key: MasterKey) -> None:
    """Seal everything in a store as the first version of the program did."""
    credentials = CredentialSealer(Sealer(key))

    def old_ring(ring: Sequence[StoredKey]) -> Sequence[StoredKey]:
        opened = [credentials.open_signing_key(stored) for stored in ring]
        return [
            attrs.evolve(each.stored, sealed=version_1(key, each.key.to_der(), "signing-key", each.stored.key_id))
            for each in opened
        ]

    def old_project(project: Project) -> Project:
        sealed = [
            version_1(key, c.value, "project-credential", c.credential_id) for c in credentials.open_project(project)
        ]
        old = zip(project.credentials, sealed, strict=True)
        return attrs.evolve(project, credentials=tuple(attrs.evolve(c, sealed=each) for c, each in old))

    await store.update_keys(old_ring)
    for project in await store.list_projects(after=0, limit=1000, only=None):
        await store.update_credentials(project.project_id, old_project)


@functools.cache
def rsa_pem(number: int = 0) -> str:
    """An RSA key of 2048 bits as Vonage hands it out; *number* makes several differ."""
    key = generate_private_key(65537, 2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def platform_session(owner: str) -> str:
    """A session id as the platform makes them, of a project or an application."""
    fields = f"1~{owner}~~1726462588647~AAAABBBBCCCCDDDD11112222~~~"
    return "1_" + base64.urlsafe_b64encode(fields.encode()).rstrip(b"=").decode()
