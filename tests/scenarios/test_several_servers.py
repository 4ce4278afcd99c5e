"""Several servers on one PostgreSQL are one authority: what one of them does, the others know."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from google.protobuf.field_mask_pb2 import FieldMask

from tests.support.authority import eventually
from tests.support.production import Production, Server
from tokenauthority.client import Authority, AuthorityError, Token
from tokenauthority.config.settings import Settings
from tokenauthority.server.main import upgrade_database
from tokenauthority.v1 import project_pb2, token_pb2


@pytest.fixture
def two(production: Production, postgres_url: str) -> tuple[Server, Server]:
    """Two servers on a database that was brought up to date for them."""
    upgrade_database(Settings.model_validate({"database": {"url": postgres_url}}))
    servers = [production.launch(DATABASE__URL=postgres_url) for _ in range(2)]
    for server in servers:
        eventually(lambda server=server: bool(server.events("server.started")), server.log())  # type: ignore[misc]  # mypy cannot infer a lambda with a default
    return servers[0], servers[1]


def test_several_servers_are_one_authority(production: Production, two: tuple[Server, Server]) -> None:
    """Keys, projects, sessions and secrets of one serve on the other; an end on one is an end on the other."""
    one, other = two
    with production.client(one.address) as client:
        project_id = client.projects.CreateProject(project_pb2.CreateProjectRequest()).project.project_id
    with production.client(one.address, project_id) as here, production.client(other.address, project_id) as there:
        session = here.create_session()
        tokens = [client.generate_token(session.session_id, format=form)
                  for client in (here, there) for form in ("session_jwt", "opentok_t1")]  # fmt: skip
        assert [True] * 8 == [client.verify_token(token).active for client in (here, there) for token in tokens]
        there.end_session(session.session_id)
        eventually(lambda: not here.verify_token(tokens[0]).active, "the other server does not learn of the end")
        reasons = {client.verify_token(token).reason for client in (here, there) for token in tokens}
        with pytest.raises(AuthorityError) as caught:
            here.generate_token(session.session_id)

    assert {"SESSION_ENDED"} == reasons
    assert ("FAILED_PRECONDITION", "SESSION_ENDED") == (caught.value.code.name, caught.value.reason)
    assert keys_of(one) == keys_of(other)
    assert 2 == len(keys_of(one))
    assert (0, 0) == (one.stop(), other.stop())


def test_a_session_ended_elsewhere_is_known_where_it_is_cached(
    production: Production, two: tuple[Server, Server]
) -> None:
    """A server that has just used the session does not go on with what it remembers."""
    one, other = two
    with production.client(one.address) as client:
        project_id = client.projects.CreateProject(project_pb2.CreateProjectRequest()).project.project_id
    with production.client(one.address, project_id) as here, production.client(other.address, project_id) as there:
        session = here.create_session()
        token: Token = session.generate_token()
        assert there.verify_token(token).active
        here.end_session(session.session_id)
        eventually(
            lambda: (
                there.tokens.VerifyToken(token_pb2.VerifyTokenRequest(token=token.token)).reason
                == token_pb2.INACTIVE_REASON_SESSION_ENDED
            ),
            "the session is not ended there",
        )


def test_a_project_is_disabled_enabled_and_deleted_at_all_servers(
    production: Production, two: tuple[Server, Server]
) -> None:
    """Each server refuses its tokens, also where it has just used them; and all have a second project of the id."""
    one, other = two
    with production.client(one.address) as client:
        project_id = client.projects.CreateProject(project_pb2.CreateProjectRequest()).project.project_id
    with production.client(one.address, project_id) as here, production.client(other.address, project_id) as there:
        token = here.create_session().generate_token()
        assert there.verify_token(token).active

        def becomes(client: Authority, reason: str) -> None:
            eventually(lambda: client.verify_token(token).reason == reason, f"the other server never says {reason!r}")

        for disabled, reason in ((True, "PROJECT_DISABLED"), (False, "")):
            project = project_pb2.Project(project_id=project_id, disabled=disabled)
            mask = FieldMask(paths=["disabled"])
            here.projects.UpdateProject(project_pb2.UpdateProjectRequest(project=project, update_mask=mask))
            becomes(there, reason)
        here.projects.DeleteProject(project_pb2.DeleteProjectRequest(project_id=project_id))
        becomes(there, "PROJECT_UNKNOWN")
        again = project_pb2.CreateProjectRequest(project_id=project_id, external_sessions=True)
        there.projects.CreateProject(again)
        becomes(here, "REVOKED")
        with pytest.raises(AuthorityError) as caught:
            there.get_session(token.session_id)

    assert "SESSION_NOT_FOUND" == caught.value.reason


def test_servers_with_different_issuers_say_so(
    production: Production, two: tuple[Server, Server], postgres_url: str
) -> None:
    """In the log of both and in their readiness, which does not fail; and that it is over when one of them stops."""
    one, _ = two
    other = production.start(DATABASE__URL=postgres_url, ISSUANCE__ISSUER="https://other.example")
    for server in (one, other):
        eventually(lambda server=server: bool(server.events("settings.differ")), server.log())  # type: ignore[misc]  # mypy cannot infer a lambda with a default
    said, ready = other.events("settings.differ")[0], other.get("/readyz")
    other.stop()
    eventually(lambda: bool(one.events("settings.agree")), "the difference does not end")

    assert ("TOKENAUTHORITY_ISSUANCE__ISSUER", "https://other.example") == (said["setting"], said["here"])
    assert (200, True) == (ready.status_code, "TOKENAUTHORITY_ISSUANCE__ISSUER" in ready.text)


def test_a_database_must_be_brought_up_to_date_first(production: Production, postgres_url: str) -> None:
    """A shared store is its operator's to change: the server says which command does it, and does not start."""
    status, log = production.fail(DATABASE__URL=postgres_url)

    assert 2 == status
    assert "tokenauthority db upgrade" in log
    assert "Traceback" not in log


def keys_of(server: Server) -> list[dict[str, str]]:
    """The published keys."""
    keys: list[dict[str, str]] = server.get("/.well-known/jwks.json").json()["keys"]
    return keys


def test_of_two_imports_of_one_key_at_once_one_succeeds(production: Production, two: tuple[Server, Server]) -> None:
    """At two servers: one has the project, the other says that it exists."""
    secrets = ("a" * 40, "b" * 40)

    def imported(client: Authority, api_key: str, secret: str) -> str:
        source = project_pb2.OpenTokCredential(api_key=api_key, api_secret=secret)
        request = project_pb2.ImportProjectRequest(opentok=source)
        try:
            client.projects.ImportProject(request)
        except grpc.RpcError as error:
            return error.code().name
        return "OK"

    with (
        production.client(two[0].address) as here,
        production.client(two[1].address) as there,
        ThreadPoolExecutor(2) as threads,
    ):
        for api_key in ("47000011", "47000012", "47000013"):
            outcomes = list(threads.map(imported, (here, there), (api_key, api_key), secrets))
            assert ["ALREADY_EXISTS", "OK"] == sorted(outcomes)
