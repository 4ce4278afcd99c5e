"""One real authority with TLS, as it runs in production, and the callers that the clients of all languages are."""

from __future__ import annotations

import contextlib
import itertools
import json
import time

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import attrs
import trustme

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.callers import issuer
from tests.support.production import Production, Server, production_in
from tests.support.spiffe import SpiffeCa
from tests.support.turn import turn_settings
from tokenauthority.callers.api_keys import digest, new_api_key
from tokenauthority.client import Authority
from tokenauthority.domain.role import MAX_ROLES
from tokenauthority.v1 import project_pb2, role_pb2


SETTINGS: Final = {"ISSUANCE__LEEWAY": "0", "ISSUANCE__JWKS_MAX_AGE": "1"}
"""So a key that was just prepared can be activated after a second."""

WORKLOAD: Final = "/ns/video/sa/interop"
SUBJECT: Final = "system:serviceaccount:video:interop"
FOREIGN_PROJECT: Final = "46999999"
"""A project that only `backend` may use."""

OPEN_PROJECT: Final = "46999998"
"""A project whose sessions another system makes."""

FULL_PROJECT: Final = "46999997"
"""A project with as many roles as it may have."""

HELD_ROLE: Final = "held"
"""A role that the grant of a caller names, so nobody can delete it."""

_FIRST_PROJECT: Final = 47_000_001


@attrs.frozen(kw_only=True)
class World:
    """The authority, and what a client needs to be one of its callers.

    The callers are `backend`, who may do everything; `limited`, whose grant is narrow; `slow`, who may make one token
    an hour; and `jwt` and `certificate`, named after what proves them, who may do everything.
    """

    production: Production
    server: Server
    certificates: trustme.CA
    keys: dict[str, str] = attrs.field(repr=False)
    issuer_key: issuer.Key = attrs.field(repr=False)
    _numbers: Iterator[int] = attrs.field(factory=itertools.count)

    @property
    def directory(self) -> Path:
        """Where the files of clients are, beside those of the servers."""
        return self.production.directory

    def environment(self, caller: str = "backend", address: str = "", **more: str) -> dict[str, str]:
        """The variables of a client; *more* without the prefix, an empty one takes a variable away.

        Args:
            caller: `backend`, `limited`, `slow`, `jwt` or `certificate`.
            address: where to call; the one authority by default.
            more: what else to set, or to take away.
        """
        where = "mtls" if caller == "certificate" else "grpc"
        port = self.server.address_of(where).rpartition(":")[2]
        variables = {"ADDRESS": address or f"localhost:{port}", "CA_FILE": str(self.directory / "ca.pem")}
        # A machine that is busy makes a call slow, not wrong.
        variables["TIMEOUT"] = "30"
        match caller:
            case "jwt":
                variables["TOKEN_FILE"] = str(self.new_token_file())
            case "certificate":
                variables["CLIENT_CERT_FILE"] = str(self.directory / "client.pem")
                variables["CLIENT_KEY_FILE"] = str(self.directory / "client.key")
            case _:
                variables["API_KEY"] = self.keys[caller]
        variables |= more
        return {f"TOKENAUTHORITY_{name}": value for name, value in variables.items() if value}

    def start(self) -> Server:
        """Another server of the same store, without a listener for client certificates."""
        return self.production.start(**SETTINGS)

    @contextlib.contextmanager
    def impostor(self) -> Iterator[str]:
        """The address of a server of the same store whose certificate is for another name."""
        certificate = self.certificates.issue_cert("other.example")
        (self.directory / "other.pem").write_bytes(b"".join(part.bytes() for part in certificate.cert_chain_pems))
        (self.directory / "other.key").write_bytes(certificate.private_key_pem.bytes())
        server = self.production.start(**SETTINGS, TLS__CERT_FILE="other.pem", TLS__KEY_FILE="other.key")
        yield f"localhost:{server.address.rpartition(':')[2]}"
        server.stop()

    def new_token_file(self) -> Path:
        """A file with a JWT, as Kubernetes projects it."""
        path = self.directory / f"token-{next(self._numbers)}"
        path.write_text(self.new_jwt() + "\n")
        return path

    def new_jwt(self) -> str:
        """A JWT of the caller `jwt`."""
        now = int(time.time())
        claims = issuer.kubernetes_claims(sub=SUBJECT, iat=now, nbf=now, exp=now + 600)
        return issuer.forge(self.issuer_key, claims=claims)

    def authority(self, project_id: str = "", server: Server | None = None) -> Authority:
        """A client of this process, for what a test prepares."""
        return self.production.client((server or self.server).address, project_id)


@contextlib.contextmanager
def running_world(directory: Path, names: Sequence[str]) -> Iterator[tuple[World, dict[str, str]]]:
    """An authority in *directory*, with a project for each of *names*, by name."""
    projects = {name: str(_FIRST_PROJECT + number) for number, name in enumerate(names)}
    clients_ca, issuer_key = SpiffeCa(), issuer.Key("k1")
    certificates = trustme.CA()
    with production_in(directory, certificates) as production:
        keys = {"backend": production.api_key, "limited": new_api_key(), "slow": new_api_key()}
        workload = clients_ca.workload(WORKLOAD)
        files = {
            "ca.pem": production.root_certificates,
            "client.pem": workload.chain,
            "client.key": workload.key,
            "clients-ca.pem": clients_ca.bundle,
            "jwks.json": issuer.jwks(issuer_key),
        }
        for name, content in files.items():
            (directory / name).write_bytes(content)
        (directory / "callers.toml").write_text(_callers(keys, [*projects.values(), OPEN_PROJECT]))
        mtls = {"CERT_FILE": "server.pem", "KEY_FILE": "server.key", "BUNDLE_FILE": "clients-ca.pem"}
        variables = {"LISTEN__MTLS": "127.0.0.1:0", **{f"MTLS__{name}": file for name, file in mtls.items()}}
        variables |= {f"TURN__{name}".upper(): value for name, value in turn_settings(directory).items()}
        world = World(
            production=production,
            server=production.start(**SETTINGS, **variables),
            certificates=certificates,
            keys=keys,
            issuer_key=issuer_key,
        )
        _prepare(world, projects.values())
        yield world, projects


def _prepare(world: World, projects: Iterable[str]) -> None:
    with world.authority() as authority:
        for project_id in (*projects, FOREIGN_PROJECT, FULL_PROJECT, OPEN_PROJECT):
            request = project_pb2.CreateProjectRequest(
                project_id=project_id, external_sessions=project_id == OPEN_PROJECT
            )
            authority.projects.CreateProject(request)
        for number in range(MAX_ROLES):
            authority.roles.CreateRole(
                role_pb2.CreateRoleRequest(
                    project_id=FULL_PROJECT, name=f"role-{number}", permissions=[role_pb2.PERMISSION_PUBLISH]
                )
            )


def new_private_key() -> str:
    """The private key of a new Vonage application, in PEM."""
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _callers(keys: dict[str, str], projects: Sequence[str]) -> str:
    """The callers file."""
    everything = 'projects = ["*"]\nactions = ["*"]\nroles = ["*"]'
    narrow = f"projects = {json.dumps(list(projects))}"
    return f"""
        [[issuers]]
        issuer = "{issuer.NAME}"
        audience = "{issuer.AUDIENCE}"
        algorithms = ["ES256"]
        jwks_file = "jwks.json"

        [[callers]]
        name = "backend"
        api_key_sha256 = "{digest(keys["backend"])}"
        {everything}

        [[callers]]
        name = "limited"
        api_key_sha256 = "{digest(keys["limited"])}"
        {narrow}
        actions = ["sessions.create", "sessions.read", "tokens.generate", "tokens.verify"]
        roles = ["subscriber", "publisher", "{HELD_ROLE}"]
        formats = ["SESSION_JWT"]
        max_ttl = "1h"

        [[callers]]
        name = "slow"
        api_key_sha256 = "{digest(keys["slow"])}"
        {everything}
        rate = "1/h"

        [[callers]]
        name = "jwt"
        jwt = {{ issuer = "{issuer.NAME}", subject = "{SUBJECT}" }}
        {everything}

        [[callers]]
        name = "certificate"
        spiffe_id = "spiffe://prod.example{WORKLOAD}"
        {everything}
        """
