"""One authority for all tests, and one of each server, which has the secrets or the JWKS of a project."""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import jwt
import pytest

from media import centrifugo, livekit
from tests.service.api import Api
from tests.support.authority import RunningAuthority, _running, make_caller
from tests.support.memory_store import MemoryStore
from tokenauthority.callers.api_keys import digest, new_api_key
from tokenauthority.config.settings import Settings
from tokenauthority.signing.sealing import MasterKey, Sealer
from tokenauthority.v1 import project_pb2


@attrs.frozen(kw_only=True)
class World:
    """A project of an authority, and the LiveKit that has its secrets."""

    api: Api
    livekit: livekit.LiveKit
    project_id: str
    secrets: tuple[project_pb2.ProjectSecret, project_pb2.ProjectSecret]


@attrs.frozen(kw_only=True)
class ChannelWorld:
    """A project of an authority, and the Centrifugo that has the JWKS of the authority."""

    api: Api
    centrifugo: centrifugo.Centrifugo
    project_id: str


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningAuthority]:
    """An authority over a store in memory."""
    key = new_api_key()
    values = {
        "dev": True,
        "data_dir": tmp_path_factory.mktemp("authority"),
        "listen": dict.fromkeys(("grpc", "http", "http_api", "ops"), "127.0.0.1:0"),
        # A key may sign when it has been published for as long as both say.
        "issuance": {"jwks_max_age": 1, "leeway": 1},
        "database": {"poll_interval": 0.05},
    }
    callers = {digest(key): make_caller()}
    settings = Settings.model_validate(values)
    with _running(settings, MemoryStore(), Sealer(MasterKey.generate()), callers, key) as running:
        yield running


@pytest.fixture(scope="session")
def api(authority: RunningAuthority) -> Iterator[Api]:
    """Its caller who may do everything."""
    opened = Api(authority, authority.api_key)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def world(api: Api, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The project and its LiveKit; a LiveKit that is not built is a failure, not a skip."""
    made = api.projects.CreateProject(project_pb2.CreateProjectRequest())
    project_id = made.project.project_id
    second = api.projects.RotateProjectSecret(project_pb2.RotateProjectSecretRequest(project_id=project_id)).secret
    keys = {secret.secret_id: secret.secret for secret in (made.secret, second)}
    with livekit.running(tmp_path_factory.mktemp("livekit"), keys) as server:
        yield World(api=api, livekit=server, project_id=project_id, secrets=(made.secret, second))


@pytest.fixture(scope="session")
def channels(api: Api, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChannelWorld]:
    """The project and its Centrifugo; a Centrifugo that is not built is a failure, not a skip."""
    request = project_pb2.CreateProjectRequest(claims_for=[project_pb2.REAL_TIME_SERVER_CENTRIFUGO])
    project_id = api.projects.CreateProject(request).project.project_id
    token = api.generate(api.new_session(project_id).session_id)
    issuer = jwt.decode(token.token, options={"verify_signature": False})["iss"]
    jwks_url = f"{api.authority.http_url}/.well-known/jwks.json"
    with centrifugo.running(tmp_path_factory.mktemp("centrifugo"), jwks_url, issuer, project_id) as server:
        yield ChannelWorld(api=api, centrifugo=server, project_id=project_id)
