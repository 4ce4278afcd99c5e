"""The use cases put together over a store in memory, without a server."""

from __future__ import annotations

import base64
import functools

import attrs

from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.authority import EVERYTHING, make_caller
from tokenauthority.authority.catalog import Catalog
from tokenauthority.authority.generate import Generate
from tokenauthority.authority.keys import Keys
from tokenauthority.authority.project_spec import ProjectSpec
from tokenauthority.authority.projects import Projects
from tokenauthority.authority.sessions import Sessions
from tokenauthority.authority.vault import Vault
from tokenauthority.authority.verify import Verify
from tokenauthority.domain.key import Algorithm
from tokenauthority.domain.session import Session, SessionSpec
from tokenauthority.domain.times import Millis, Seconds
from tokenauthority.signing.sealing import MasterKey, Sealer
from tokenauthority.storage.memory import MemoryStore


NOW = Millis(1_800_000_000_123)
ISSUER = "https://authority.example"
LEEWAY = Seconds(30)


@attrs.frozen(kw_only=True)
class World:
    """One server's use cases, with a project and a session."""

    store: MemoryStore
    sealer: Sealer
    catalog: Catalog
    keys: Keys
    projects: Projects
    sessions: Sessions
    generate: Generate
    verify: Verify
    project_id: str
    secret: str
    session: Session


def parts(store: MemoryStore, sealer: Sealer) -> tuple[Catalog, Keys, Projects, Sessions]:
    """What a server builds over *store*."""
    vault = Vault(sealer)
    catalog = Catalog(store, vault)
    return catalog, Keys(store, vault, Algorithm.ES256), Projects(store, catalog, vault), Sessions(store, catalog)


async def make_world(store: MemoryStore | None = None, sealer: Sealer | None = None) -> World:
    """A world as of NOW."""
    store, sealer = store or MemoryStore(), sealer or Sealer(MasterKey.generate())
    catalog, keys, projects, sessions = parts(store, sealer)
    await keys.load(NOW)
    project, secret = await projects.create(ProjectSpec(), EVERYTHING, NOW)
    session = await sessions.create(project.project_id, SessionSpec(), "", make_caller(), NOW)
    return World(
        store=store,
        sealer=sealer,
        catalog=catalog,
        keys=keys,
        projects=projects,
        sessions=sessions,
        generate=Generate(catalog, keys, ISSUER),
        verify=Verify(catalog, keys, ISSUER, LEEWAY),
        project_id=project.project_id,
        secret=secret.value,
        session=session,
    )


@functools.cache
def rsa_pem(number: int = 0) -> str:
    """An RSA key of 2048 bits as Vonage hands it out; *number* tells several apart."""
    key = generate_private_key(65537, 2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def platform_session(owner: str) -> str:
    """A session id as the platform makes them, of a project or an application."""
    fields = f"1~{owner}~~1726462588647~AAAABBBBCCCCDDDD11112222~~~"
    return "1_" + base64.urlsafe_b64encode(fields.encode()).rstrip(b"=").decode()
