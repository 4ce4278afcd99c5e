"""What RPCs answer when the store is down, and when several servers share one."""

from __future__ import annotations

import asyncio

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import grpc
import jwt
import pytest

from tests.service.api import PUBLISH, Connect, failure, reason_of, wanted
from tests.support.authority import RunningAuthority, StartAuthority, absent_session, eventually
from tests.support.faulty_store import FaultyStore
from tokenauthority.service import paging
from tokenauthority.signing.sealing import MasterKey, Sealer
from tokenauthority.storage.migrate import migrate
from tokenauthority.storage.sql import open_store
from tokenauthority.storage.store import Store
from tokenauthority.v1 import project_pb2, role_pb2, session_pb2, token_pb2


LISTEN = {"grpc": "127.0.0.1:0", "http": "127.0.0.1:0", "ops": "127.0.0.1:0"}
NEEDED = ("get_project", "create_project", "list_roles", "get_session", "create_session", "end_session")
"""What the calls below ask of the store."""


@pytest.fixture
def open_shared(tmp_path: Path) -> Iterator[Callable[[], Store]]:
    """Opens a SQLite store, the same each time; closes what it opened."""
    url = f"sqlite:///{tmp_path}/shared/authority.db"
    migrate(url)
    opened: list[Store] = []

    def open_one() -> Store:
        opened.append(open_store(url))
        return opened[-1]

    yield open_one
    for store in opened:
        asyncio.run(store.close())


class TestDown:
    """The store cannot be reached."""

    def test_what_needs_it_is_unavailable_and_says_when_to_try_again(
        self, start_authority: StartAuthority, connect: Connect
    ) -> None:
        """UNAVAILABLE with RetryInfo, and no cause; afterwards all is as before."""
        store = FaultyStore()
        authority = start_authority(store=store)
        api, project_id = connect(authority=authority), authority.project_id
        other = api.projects.CreateProject(project_pb2.CreateProjectRequest(project_id="7")).project.project_id
        unread = api.new_session(other).session_id
        calls: list[Callable[[], object]] = [
            partial(api.new_session, project_id),
            partial(api.end, unread),
            partial(api.projects.CreateProject, project_pb2.CreateProjectRequest()),
            partial(api.roles.ListRoles, role_pb2.ListRolesRequest(project_id=project_id)),
            partial(api.projects.GetProject, project_pb2.GetProjectRequest(project_id="8")),
            partial(api.generate, absent_session(other)),
            partial(api.batch, [wanted(unread), wanted(absent_session(other))]),
        ]
        store.fail(*NEEDED)
        failures = [failure(call) for call in calls]
        store.recover()

        assert [(grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE", 1.0)] * len(calls) == [
            (*failed.outcome, failed.retry_after) for failed in failures
        ]
        assert 1 == len({failed.message for failed in failures})
        assert api.new_session(project_id).session_id

    def test_cached_data_still_makes_and_verifies_tokens(
        self, start_authority: StartAuthority, connect: Connect
    ) -> None:
        """Tokens for known sessions do not wait for the store."""
        store = FaultyStore()
        authority = start_authority(store=store)
        api = connect(authority=authority)
        session_id = api.new_session(authority.project_id).session_id
        # The making of the project is a change too, which would take it out of the hand again.
        authority.do(authority.app.follower.catch_up())
        api.generate(session_id)
        store.fail(*NEEDED)

        token = api.generate(session_id).token

        assert "ACTIVE" == reason_of(api.verify(token, session_id=session_id))


def test_a_token_of_a_session_that_no_store_can_look_for_is_malformed(
    start_authority: StartAuthority, connect: Connect, postgres_url: str
) -> None:
    """PostgreSQL takes no U+0000: a well-signed token that has it gets a verdict, not an error."""
    migrate(postgres_url)
    authority = start_authority(store=open_store(postgres_url))
    api = connect(authority=authority)
    made = api.projects.CreateProject(project_pb2.CreateProjectRequest())
    good = api.generate(
        api.new_session(made.project.project_id).session_id, format=token_pb2.TOKEN_FORMAT_OPENTOK_JWT
    ).token
    claims = jwt.decode(good, made.secret.secret, algorithms=["HS256"], options={"verify_aud": False})
    bad = jwt.encode({**claims, "session_id": claims["session_id"] + "\0"}, made.secret.secret, "HS256")

    assert ["ACTIVE", "MALFORMED"] == [reason_of(api.verify(token)) for token in (good, bad)]
    authority.do(authority.app.store.close())


class TestSeveralServers:
    """Two servers, one SQLite file."""

    @pytest.fixture
    def servers(
        self, open_shared: Callable[[], Store], start_authority: StartAuthority
    ) -> tuple[RunningAuthority, RunningAuthority]:
        """Both under one master key."""
        sealer = Sealer(MasterKey.generate())
        first = start_authority(store=open_shared(), sealer=sealer)
        return first, start_authority(store=open_shared(), sealer=sealer)

    def test_a_session_ended_at_one_is_over_at_the_other(
        self, servers: tuple[RunningAuthority, RunningAuthority], connect: Connect
    ) -> None:
        """Once it has caught up, it makes no tokens and calls those that there are SESSION_ENDED."""
        here, there = (connect(authority=server) for server in servers)
        session_id = here.new_session(servers[0].project_id).session_id
        token = there.generate(session_id).token
        here.end(session_id)
        servers[1].do(servers[1].app.follower.catch_up())

        assert "SESSION_ENDED" == reason_of(there.verify(token))
        assert "SESSION_ENDED" == failure(lambda: there.generate(session_id)).reason

    def test_it_catches_up_by_itself(
        self, servers: tuple[RunningAuthority, RunningAuthority], connect: Connect
    ) -> None:
        """Nobody needs to ask."""
        here, there = (connect(authority=server) for server in servers)
        session_id = here.new_session(servers[0].project_id).session_id
        token = there.generate(session_id).token
        here.end(session_id)

        eventually(lambda: reason_of(there.verify(token)) == "SESSION_ENDED", "the other server never heard of it")

    def test_tokens_of_one_are_valid_at_the_other(
        self, servers: tuple[RunningAuthority, RunningAuthority], connect: Connect
    ) -> None:
        """They share the signing key, the secrets and the sessions at once."""
        here, there = (connect(authority=server) for server in servers)
        session_id = here.new_session(servers[0].project_id).session_id

        tokens = [here.generate(session_id, format=token_format).token for token_format in (1, 2, 3)]

        assert ["ACTIVE"] * 3 == [reason_of(there.verify(token)) for token in tokens]

    def test_a_secret_retired_at_one_is_gone_at_the_other(
        self, servers: tuple[RunningAuthority, RunningAuthority], connect: Connect
    ) -> None:
        """So are changed projects and roles."""
        here, there = (connect(authority=server) for server in servers)
        project_id = servers[0].project_id
        session_id = here.new_session(project_id).session_id
        old = there.generate(session_id, format=2)
        here.roles.CreateRole(role_pb2.CreateRoleRequest(project_id=project_id, name="host", permissions=[PUBLISH]))
        here.projects.RotateProjectSecret(project_pb2.RotateProjectSecretRequest(project_id=project_id))
        request = project_pb2.RetireProjectSecretRequest(project_id=project_id, secret_id=old.key_id)
        here.projects.RetireProjectSecret(request)
        servers[1].do(servers[1].app.follower.catch_up())

        assert "SIGNATURE_INVALID" == reason_of(there.verify(old.token))
        assert "host" == there.generate(session_id, role="host").role

    def test_a_request_id_holds_at_both(
        self, servers: tuple[RunningAuthority, RunningAuthority], connect: Connect
    ) -> None:
        """A retry that reaches the other server makes no second session."""
        here, there = (connect(authority=server) for server in servers)
        repeat = "6f1c0a52-0000-4000-8000-000000000001"
        project_id = servers[0].project_id

        first, second = (api.new_session(project_id, request_id=repeat) for api in (here, there))

        assert first == second

    def test_a_forged_page_token_is_the_callers_error(
        self, servers: tuple[RunningAuthority, RunningAuthority], connect: Connect
    ) -> None:
        """A number that no column holds does not reach the database."""
        api, project_id = connect(authority=servers[0]), servers[0].project_id
        token = paging.next_token(f"sessions/{project_id}/0", (10**30, "x"))
        request = session_pb2.ListSessionsRequest(project_id=project_id, page_token=token)

        assert ["page_token"] == failure(lambda: api.sessions.ListSessions(request)).fields

    def test_what_one_has_just_made_is_valid_at_the_other(
        self, open_shared: Callable[[], Store], start_authority: StartAuthority, connect: Connect
    ) -> None:
        """Before the other has heard of it: no role, and no token under a new secret, is refused for that."""
        sealer, rare = Sealer(MasterKey.generate()), {"database": {"poll_interval": 60}}
        first, second = (
            start_authority(store=open_shared(), sealer=sealer, settings={**rare, "listen": LISTEN}) for _ in range(2)
        )
        here, there = connect(authority=first), connect(authority=second)
        session_id = here.new_session(first.project_id).session_id
        known = there.generate(session_id, format=2).token
        here.roles.CreateRole(
            role_pb2.CreateRoleRequest(project_id=first.project_id, name="host", permissions=[PUBLISH])
        )
        here.projects.RotateProjectSecret(project_pb2.RotateProjectSecretRequest(project_id=first.project_id))
        fresh = here.generate(session_id, format=2).token

        assert "host" == there.generate(session_id, role="host").role
        assert ["ACTIVE", "ACTIVE"] == [reason_of(there.verify(token)) for token in (known, fresh)]
