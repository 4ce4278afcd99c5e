"""One authority for all tests of the RPCs, with callers of every kind; tests keep apart by projects of their own."""

from __future__ import annotations

import contextlib

from collections.abc import Iterator

import attrs
import pytest

from tests.service.api import Api, Connect
from tests.support.authority import EVERYTHING, Clock, RunningAuthority, _running, make_caller
from tests.support.logs import SHARED
from tests.support.memory_store import MemoryStore
from tests.support.turn import turn_settings
from tokenauthority.callers.api_keys import digest, new_api_key
from tokenauthority.config.settings import Settings
from tokenauthority.domain.caller import ANY, Action, Grant, Rate
from tokenauthority.domain.times import Millis, Seconds
from tokenauthority.domain.token_format import TokenFormat
from tokenauthority.signing.sealing import MasterKey, Sealer
from tokenauthority.v1 import project_pb2


HOME = "47000001"
"""A project that every restricted caller may use."""

AWAY = "47000002"
"""A project that exists and that the restricted callers may not use, but for `two-projects`."""

NOWHERE = "47000003"
"""A project that does not exist."""

FOUNDED = "47000004"
"""A project that `founder` may make."""

NOW = Millis(1_800_000_000_123)
"""What a clock says that a test has set."""

HOUR = Seconds(3600)

_ONLY_HOME = Grant(projects=frozenset({HOME}), actions=EVERYTHING.actions, roles=frozenset({ANY}))

GRANTS = {
    "tester": EVERYTHING,
    "colleague": EVERYTHING,
    "home": _ONLY_HOME,
    "two-projects": Grant(
        projects=frozenset({HOME, AWAY}), actions=EVERYTHING.actions, roles=frozenset({"publisher", "cameraman"})
    ),
    "limited": Grant(
        projects=frozenset({HOME}),
        actions=EVERYTHING.actions,
        roles=frozenset({"subscriber", "publisher"}),
        max_ttl=HOUR,
    ),
    "native": Grant(
        projects=frozenset({HOME}),
        actions=EVERYTHING.actions,
        roles=frozenset({ANY}),
        formats=frozenset({TokenFormat.SESSION_JWT}),
    ),
    "founder": Grant(projects=frozenset({FOUNDED}), actions=EVERYTHING.actions, roles=frozenset({ANY})),
    "slow": Grant(
        projects=frozenset({ANY}),
        actions=EVERYTHING.actions,
        roles=frozenset({ANY}),
        rate=Rate(per_second=1000, burst=2),
    ),
    "generator": attrs.evolve(_ONLY_HOME, projects=frozenset({ANY}), actions=frozenset({Action.TOKENS_GENERATE})),
    "relay": Grant(projects=frozenset({HOME}), actions=frozenset({Action.TURN_CREATE}), max_ttl=Seconds(60)),
    "hourly": attrs.evolve(_ONLY_HOME, rate=Rate(per_second=1 / HOUR, burst=1)),
    "idle": Grant(projects=frozenset({ANY}), actions=frozenset(), roles=frozenset({ANY})),
}


@pytest.fixture(scope="session")
def api_keys() -> dict[str, str]:
    """The callers' keys, by name."""
    return {name: new_api_key() for name in GRANTS}


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, api_keys: dict[str, str]) -> Iterator[RunningAuthority]:
    """The authority that the tests share, over a store in memory."""
    values = {
        "dev": True,
        "data_dir": tmp_path_factory.mktemp("authority"),
        "listen": {"grpc": "127.0.0.1:0", "http": "127.0.0.1:0", "ops": "127.0.0.1:0"},
        "database": {"poll_interval": 0.05},
        "turn": turn_settings(tmp_path_factory.mktemp("turn")),
    }
    callers = {digest(api_keys[name]): make_caller(name, grant) for name, grant in GRANTS.items()}
    settings = Settings.model_validate(values)
    sealer = Sealer(MasterKey.generate())
    with _running(settings, MemoryStore(), sealer, callers, api_keys["tester"], thread_name=SHARED) as authority:
        founding = Api(authority, api_keys["tester"])
        for project_id in (HOME, AWAY):
            founding.projects.CreateProject(project_pb2.CreateProjectRequest(project_id=project_id))
        founding.close()
        yield authority


@pytest.fixture
def connect(shared: RunningAuthority, api_keys: dict[str, str]) -> Iterator[Connect]:
    """Opens stubs; the end of the test closes them."""
    with contextlib.ExitStack() as opened:

        def open_one(name: str = "tester", *, authority: RunningAuthority | None = None, api_key: str = "") -> Api:
            target = authority or shared
            key = api_key or (target.api_key if authority else api_keys[name])
            one = Api(target, key)
            opened.callback(one.close)
            return one

        yield open_one


@pytest.fixture
def api(connect: Connect) -> Api:
    """The stubs of a caller who may do everything."""
    return connect()


@pytest.fixture
def created(api: Api) -> project_pb2.CreateProjectResponse:
    """A project of this test alone, with its secret."""
    return api.projects.CreateProject(project_pb2.CreateProjectRequest())


@pytest.fixture
def project_id(created: project_pb2.CreateProjectResponse) -> str:
    """The id of a project of this test alone."""
    return created.project.project_id


@pytest.fixture
def session_id(api: Api, project_id: str) -> str:
    """A session in that project."""
    return api.new_session(project_id).session_id


@pytest.fixture
def clock(shared: RunningAuthority) -> Iterator[Clock]:
    """The authority's clock, stopped at NOW; it goes again after the test."""
    shared.clock.fixed = NOW
    # That is weeks from now, past the end of the key that was made at the start.
    shared.do(shared.app.keys.maintain(NOW))
    yield shared.clock
    shared.clock.fixed = None
