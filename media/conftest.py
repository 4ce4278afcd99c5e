"""One authority and one LiveKit for all tests, which has the two secrets of a project as its keys."""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import pytest

from media import livekit
from tests.conformance.sdk.programs import Announce, announce  # noqa: F401 - pytest finds the fixture announce by its name in this module
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


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningAuthority]:
    """An authority over a store in memory."""
    key = new_api_key()
    values = {
        "dev": True,
        "data_dir": tmp_path_factory.mktemp("authority"),
        "listen": {"grpc": "127.0.0.1:0", "http": "127.0.0.1:0", "ops": "127.0.0.1:0"},
    }
    callers = {digest(key): make_caller()}
    settings = Settings.model_validate(values)
    with _running(settings, MemoryStore(), Sealer(MasterKey.generate()), callers, key) as running:
        yield running


@pytest.fixture(scope="session")
def world(
    authority: RunningAuthority,
    tmp_path_factory: pytest.TempPathFactory,
    announce: Announce,  # noqa: F811 - the parameter asks pytest for the imported fixture
) -> Iterator[World]:
    """The project and its LiveKit; a LiveKit that cannot be built is a failure, not a skip."""
    program = livekit.build(announce)
    api = Api(authority, authority.api_key)
    made = api.projects.CreateProject(project_pb2.CreateProjectRequest())
    project_id = made.project.project_id
    second = api.projects.RotateProjectSecret(project_pb2.RotateProjectSecretRequest(project_id=project_id)).secret
    keys = {secret.secret_id: secret.secret for secret in (made.secret, second)}
    with livekit.running(program, tmp_path_factory.mktemp("livekit"), keys) as server:
        yield World(api=api, livekit=server, project_id=project_id, secrets=(made.secret, second))
    api.close()
