"""What servers need to run beside each other, and who calls them: certificates, a callers file, API keys, callers."""

from __future__ import annotations

import contextlib
import uuid

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

import attrs
import trustme

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from benchmarks.chaos.disks import SmallDisk
from benchmarks.chaos.ledger import Ledger
from benchmarks.chaos.load import Caller
from benchmarks.chaos.oracle import ISSUER, Keys, key_set_of
from benchmarks.chaos.servers import ChaosServer
from benchmarks.chaos.world import MAX_STALENESS, KnownSession, World
from tests.support.authority import WAIT
from tests.support.cable import cable_to
from tests.support.production import Production
from tokenauthority.callers.api_keys import digest, new_api_key
from tokenauthority.client import Authority
from tokenauthority.v1 import key_pb2, project_pb2, session_pb2


PROJECT: Final = "47000001"
VONAGE_PROJECT: Final = "47000002"
ADMIN: Final = "admin"

_NOWHERE: Final = 9
"""A port that leads nowhere, for the time before a server has one."""

_GRANT: Final = f"""
projects = ["{PROJECT}", "{VONAGE_PROJECT}"]
actions = ["*"]
roles = ["publisher", "subscriber"]
"""


@attrs.define(kw_only=True)
class Deployment:
    """A directory with all that servers need, and the callers that ask now."""

    production: Production
    certificates: trustme.CA
    ledger: Ledger = attrs.Factory(Ledger)
    keys: dict[str, str] = attrs.field(factory=dict, repr=False)
    """API keys, by the names of the callers."""

    callers: list[Caller] = attrs.Factory(list)
    problems: list[str] = attrs.Factory(list)
    """What went wrong that is no answer to a caller."""

    def client(self, address: str, name: str = ADMIN) -> Authority:
        """A client with the API key of the caller *name*, which need not be in the callers file."""
        return Authority(
            address,
            api_key=self.keys.setdefault(name, new_api_key()),
            root_certificates=self.production.root_certificates,
            tls_server_name="localhost",
        )

    def write_callers(self, names: Iterable[str]) -> None:
        """Write the callers file: the admin, and callers of these *names* with one grant."""
        tables = [("admin", 'projects = ["*"]\nactions = ["*"]\nroles = ["*"]\n'), *((name, _GRANT) for name in names)]
        text = "".join(
            f'[[callers]]\nname = "{name}"\napi_key_sha256 = "{digest(self.keys.setdefault(name, new_api_key()))}"\n'
            f"{grant}"
            for name, grant in tables
        )
        replace(self.production.directory / "callers.toml", text.encode())

    def add_callers(self, names: Iterable[str], world: World, address: str, server: str, pause: float) -> list[Caller]:
        """Start callers of one *address*; *server* is the only one there, or empty."""
        made = [
            Caller(
                name=name,
                client=self.client(address, name),
                stranger=self.client(address, f"nobody-{name}"),
                world=world,
                ledger=self.ledger,
                server=server,
                pause=pause,
            )
            for name in names
        ]
        for caller in made:
            caller.start()
        self.callers += made
        return made

    def first_sessions(self, world: World, server: ChaosServer) -> None:
        """Create some sessions, so that there is one to ask for."""
        with self.client(server.address) as admin:
            for project_id in (PROJECT, VONAGE_PROJECT) * 10:
                request = session_pb2.CreateSessionRequest(project_id=project_id)
                created = admin.sessions.CreateSession(request, timeout=WAIT)
                world.add_session(KnownSession(created.session.session_id, project_id))

    def remove_callers(self, callers: Iterable[Caller]) -> None:
        """Stop callers."""
        for caller in callers:
            self.callers.remove(caller)
            caller.stop()

    def remove_all_callers(self) -> None:
        """Stop all callers."""
        self.remove_callers(list(self.callers))


@contextlib.contextmanager
def server_in(
    production: Production, name: str, make_disk: Callable[[Path], SmallDisk] = SmallDisk.at, **variables: str
) -> Iterator[ChaosServer]:
    """A server that was not started yet, with a disk that *make_disk* makes; it ends with the block."""
    home = production.directory
    with contextlib.ExitStack() as stack:
        cable = stack.enter_context(cable_to(_NOWHERE))
        disk = make_disk(home / name)
        stack.callback(disk.unmount)
        settings = {"LOGGING__LEVEL": "info", "ISSUANCE__MAX_STALENESS": str(MAX_STALENESS), **variables}
        made = ChaosServer(name=name, home=home, disk=disk, cable=cable, variables=settings)
        stack.callback(made.kill)
        yield made


def populate(site: Deployment, server: ChaosServer) -> World:
    """Make the two projects in the store of *server*, and return what verifies their tokens."""
    private = rsa.generate_private_key(65537, 2048)
    application_id = str(uuid.uuid4())
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    with site.client(server.address) as admin:
        created = admin.projects.CreateProject(project_pb2.CreateProjectRequest(project_id=PROJECT), timeout=WAIT)
        credential = project_pb2.VonageCredential(application_id=application_id, private_key=pem)
        imported = project_pb2.ImportProjectRequest(project_id=VONAGE_PROJECT, vonage=credential)
        admin.projects.ImportProject(imported, timeout=WAIT)
        found = admin.keys.GetJsonWebKeySet(key_pb2.GetJsonWebKeySetRequest(), timeout=WAIT)
    assert found.issuer == ISSUER, found.issuer
    keys = Keys(
        project_id=PROJECT,
        secret=created.secret.secret,
        vonage_project_id=VONAGE_PROJECT,
        application_id=application_id,
        application_key=private.public_key(),
        key_set=key_set_of(found.json),
    )
    return World(keys)


def replace(path: Path, content: bytes) -> None:
    """Write a file as tools that replace files do: whole, under another name, then in its place."""
    new = path.with_suffix(".new")
    new.write_bytes(content)
    new.replace(path)
