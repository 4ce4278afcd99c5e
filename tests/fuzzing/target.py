"""What is fuzzed: the use case VerifyToken over a store in memory, with keys and sessions that are always the same."""

from __future__ import annotations

import hashlib
import hmac
import json

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import attrs
import jwt

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePrivateKey, derive_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from tests.authority.world import NOW, World, make_world, platform_session
from tests.support.authority import EVERYTHING, make_caller
from tests.support.memory_store import MemoryStore
from tokenauthority.authority.credential_sealer import CredentialSealer, new_secret
from tokenauthority.authority.project_spec import OpenTokImport, ProjectSpec, VonageImport
from tokenauthority.domain.ids import make_session_id
from tokenauthority.domain.key import Algorithm, KeyState
from tokenauthority.domain.project import Project
from tokenauthority.domain.revocation import StoredRevocation, TargetKind
from tokenauthority.domain.session import SessionSpec, StoredSession
from tokenauthority.domain.times import Millis, Seconds
from tokenauthority.signing.sealing import MasterKey, Sealer
from tokenauthority.signing.signing_key import SigningKey


VECTORS: Final[Mapping[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "vectors" / "opentok_tokens.json").read_text(encoding="utf-8")
)

SECOND: Final = NOW // 1000
OWN: Final = "47000001"
"""A project of the caller, with two secrets; only sessions that were made here count."""

APPLICATION: Final = "47000002"
"""A project of the caller that stands for a Vonage application."""

PLATFORM: Final = "47000003"
"""A project of the caller that takes the platform's sessions too."""

FOREIGN: Final = "47000004"
"""A project that the caller may not see."""

SECRETS: Final = {
    OWN: ("0123456789abcdef0123456789abcdef01234567", "89abcdef0123456789abcdef0123456789abcdef"),
    PLATFORM: ("a" * 40,),
    FOREIGN: ("b" * 40,),
}
APPLICATION_ID: Final[str] = VECTORS["vonage"]["application_id"]
VONAGE_PEM: Final[str] = VECTORS["vonage"]["rsa_test_private_key_pem"]
GRANT: Final = attrs.evolve(EVERYTHING, projects=frozenset({OWN, APPLICATION, PLATFORM}))


def _session(project_id: str, number: int) -> StoredSession:
    random = bytes([number]) * 18
    session_id = make_session_id(project_id, "", relayed=True, now=Millis(NOW - number), random=random)
    return StoredSession(session_id=session_id, project_id=project_id, spec=SessionSpec(), create_time=NOW)


LIVE: Final = {project: _session(project, 1) for project in (OWN, APPLICATION, PLATFORM, FOREIGN)}
ENDED: Final = {project: _session(project, 2).ended(NOW) for project in (OWN, APPLICATION, PLATFORM)}
REVOKED: Final = {project: _session(project, 3) for project in (OWN, APPLICATION, PLATFORM)}
"""Sessions whose tokens were all revoked."""

ELSEWHERE: Final = {
    OWN: platform_session(OWN),
    APPLICATION: platform_session(APPLICATION_ID),
    PLATFORM: platform_session(PLATFORM),
}
"""Sessions that the platform made and nobody here has seen."""

_EC: Final = {state: derive_private_key(7_000_001 + n, SECP256R1()) for n, state in enumerate(KeyState)}
RING: Final = {
    KeyState.ACTIVE: SigningKey.local(Algorithm.ES256, _EC[KeyState.ACTIVE]),
    KeyState.RETIRED: SigningKey.local(Algorithm.EDDSA, Ed25519PrivateKey.from_private_bytes(bytes(range(32)))),
    KeyState.REVOKED: SigningKey.local(Algorithm.ES256, _EC[KeyState.REVOKED]),
}
STRANGER: Final = SigningKey.local(Algorithm.ES256, _EC[KeyState.PREPARED])
"""A key that the ring has never had."""

_ES256: Final = ECDSA(SHA256(), deterministic_signing=True)
_RS256: Final = jwt.get_algorithm_by_name("RS256")
VONAGE_KEY: Final = _RS256.prepare_key(VONAGE_PEM)


def secret_id(secret: str) -> str:
    """The id of a secret, which is the same each time."""
    return f"sec_{secret[:16]}"


def _with_secrets(credentials: CredentialSealer, project: Project, values: Sequence[str]) -> Project:
    made = [
        attrs.evolve(new_secret(each, Millis(NOW + n)), credential_id=secret_id(each)) for n, each in enumerate(values)
    ]
    return credentials.sealed_project(project, made)


async def make_target() -> World:
    """A world with the projects, sessions and keys above."""
    store, sealer = MemoryStore(), Sealer(MasterKey.generate())
    credentials = CredentialSealer(sealer)
    prepared = {state: credentials.seal_signing_key(key, create_time=NOW) for state, key in RING.items()}
    ring = [
        credentials.resealed_key(key, attrs.evolve(key, state=state, activate_time=NOW))
        for state, key in prepared.items()
    ]
    await store.update_keys(lambda _: ring)
    world = await make_world(store, sealer)
    for project, values in SECRETS.items():
        source = OpenTokImport(api_key=project, api_secret=values[0])
        await world.projects.import_opentok(ProjectSpec(external_sessions=project != OWN), source, EVERYTHING, NOW)
        await store.update_credentials(project, partial(_with_secrets, credentials, values=values))
    application = VonageImport(application_id=APPLICATION_ID, private_key=VONAGE_PEM)
    await world.projects.import_vonage(ProjectSpec(project_id=APPLICATION), application, make_caller(), NOW)
    for session in (*LIVE.values(), *ENDED.values(), *REVOKED.values()):
        await store.create_session(session, None)
    for project, session in REVOKED.items():
        revocation = StoredRevocation(
            revocation_id=f"rev_{project}",
            project_id=project,
            kind=TargetKind.SESSION,
            target=session.session_id,
            issued_before=Seconds(SECOND + 300),
            comment="",
            create_time=NOW,
        )
        world.server.revocations.apply([await store.create_revocation(revocation)])
    return world


def sign_es256(key: EllipticCurvePrivateKey, data: bytes) -> bytes:
    """A signature that is the same each time, so that a seed makes the same token each time."""
    r, s = decode_dss_signature(key.sign(data, _ES256))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def sign_with(key: SigningKey, data: bytes) -> bytes:
    """The signature of a key of the ring, or of the stranger's."""
    private = key.private_key
    if isinstance(private, EllipticCurvePrivateKey):
        return sign_es256(private, data)
    assert isinstance(private, Ed25519PrivateKey)
    return private.sign(data)


def sign_hs256(secret: str, data: bytes) -> bytes:
    """The MAC of an OPENTOK_JWT."""
    return hmac.digest(secret.encode(), data, hashlib.sha256)


def sign_t1(secret: str, data: bytes) -> str:
    """The MAC of an OPENTOK_T1, in hex."""
    return hmac.digest(secret.encode(), data, hashlib.sha1).hex()


def sign_rs256(data: bytes) -> bytes:
    """The signature of the Vonage application."""
    return _RS256.sign(data, VONAGE_KEY)
