"""A real nginx and a real Envoy let in whom the authority says, and after a revocation nobody at once."""

from __future__ import annotations

import contextlib
import time

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import attrs
import jwt
import pytest

from media.proxies import Proxy, running_envoy, running_nginx
from tests.service.api import Api
from tests.support.authority import make_caller
from tokenauthority.callers.api_keys import digest, new_api_key
from tokenauthority.callers.identity import ApiKeyIdentity
from tokenauthority.callers.registry import CallerEntry, CallerRegistry
from tokenauthority.domain.caller import Action, Grant
from tokenauthority.v1 import project_pb2, token_pb2


FORMATS = [
    each
    for each in token_pb2.TokenFormat.values()
    # A project needs an imported application for Vonage; tests/web/test_check.py has that.
    if each not in {token_pb2.TOKEN_FORMAT_UNSPECIFIED, token_pb2.TOKEN_FORMAT_VONAGE_JWT}
]
EVERY_FORMAT = pytest.mark.parametrize("token_format", FORMATS, ids=token_pb2.TokenFormat.Name)


@attrs.frozen(kw_only=True)
class Gate:
    """A proxy, and a project of the authority that it asks. One session has the name `standup`."""

    proxy: Proxy
    api: Api
    project: project_pb2.CreateProjectResponse
    session_id: str
    other: str

    def token(self, role: str = "publisher", **fields: Any) -> str:
        """A token for the session."""
        return self.api.generate(self.session_id, role=role, **fields).token

    def statuses(self, token: str | None, session: str = "") -> tuple[int, int]:
        """How somebody with *token* is answered who wants to watch, and who wants to publish."""
        path = f"{session or self.session_id}/index.m3u8"
        return self.proxy.status(f"/live/{path}", token), self.proxy.status(f"/ingest/{path}", token)


@contextlib.contextmanager
def running(name: str, api: Api, directory: Path, key: str, sessions: tuple[str, ...] = ()) -> Iterator[Proxy]:
    """The proxy called *name*."""
    authority = api.authority
    with (
        running_nginx(directory, authority.api_url.removeprefix("http://"), key, sessions)
        if name == "nginx"
        else running_envoy(directory, authority.address, key)
    ) as proxy:
        yield proxy


@pytest.fixture(scope="module", params=["nginx", "envoy"])
def gate(request: pytest.FixtureRequest, api: Api, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    """A proxy that asks as a caller who may verify tokens of one project, and nothing else."""
    project = api.projects.CreateProject(project_pb2.CreateProjectRequest())
    project_id = project.project.project_id
    named = api.new_session(project_id, name="standup").session_id
    other = api.new_session(project_id).session_id
    key = new_api_key()
    grant = Grant(projects=frozenset({project_id}), actions=frozenset({Action.TOKENS_VERIFY}))
    entry = CallerEntry(make_caller(f"edge-{request.param}", grant), ApiKeyIdentity(digest(key)))
    callers = api.authority.callers
    callers.replace(CallerRegistry((*callers.registry.entries, entry)))
    directory = tmp_path_factory.mktemp(request.param)
    with running(request.param, api, directory, key, (named, other, "standup")) as proxy:
        yield Gate(proxy=proxy, api=api, project=project, session_id=named, other=other)


@EVERY_FORMAT
def test_lets_a_valid_token_of_each_format_in(gate: Gate, token_format: token_pb2.TokenFormat.ValueType) -> None:
    """By the session's id and by its name, and not to another session."""
    token = gate.token(format=token_format)

    assert (200, 200) == gate.statuses(token) == gate.statuses(token, "standup")
    assert (403, 403) == gate.statuses(token, gate.other)


@pytest.mark.parametrize(
    ("role", "expected"), [("subscriber", (200, 403)), ("publisheronly", (403, 200)), ("moderator", (200, 200))]
)
def test_lets_people_do_what_their_role_may(gate: Gate, role: str, expected: tuple[int, int]) -> None:
    """A valid token without the permission is 403."""
    assert expected == gate.statuses(gate.token(role))


def test_asks_for_a_token_where_there_is_none_that_is_valid(gate: Gate) -> None:
    """401: none, a changed one, an expired one, one of another project, and one of another kind."""
    genuine = gate.token(format=token_pb2.TOKEN_FORMAT_OPENTOK_JWT)
    said = jwt.decode(genuine, options={"verify_signature": False})
    past = int(time.time()) - 7200
    expired = jwt.encode({**said, "iat": past, "exp": past + 60}, gate.project.secret.secret, algorithm="HS256")
    stranger = gate.api.projects.CreateProject(project_pb2.CreateProjectRequest()).project.project_id
    elsewhere = gate.api.generate(gate.api.new_session(stranger).session_id).token
    changed = genuine[:-4] + ("AAAA" if genuine[-4:] != "AAAA" else "BBBB")

    assert [(401, 401)] * 5 == [gate.statuses(token) for token in (None, changed, expired, elsewhere, "x")]
    answer = gate.proxy.ask(f"/live/{gate.session_id}/index.m3u8")
    assert 'Bearer error="invalid_token"' == answer.headers["www-authenticate"]


@EVERY_FORMAT
def test_refuses_a_revoked_token_at_once(gate: Gate, token_format: token_pb2.TokenFormat.ValueType) -> None:
    """The next request of somebody who was in is refused; one of somebody else is not."""
    token, other = gate.token(format=token_format, data="a"), gate.token(format=token_format, data="b")
    before = gate.statuses(token)

    gate.api.tokens.RevokeTokens(token_pb2.RevokeTokensRequest(token=token))

    assert ((200, 200), (401, 401), (200, 200)) == (before, gate.statuses(token), gate.statuses(other))


@pytest.mark.parametrize("way", ["..", "%2e%2e", "x/../..", "x%2f..%2f.."])
def test_a_path_that_leads_elsewhere_is_checked_as_that_or_refused(gate: Gate, way: str) -> None:
    """Nobody gets to the files of another session by the name of their own."""
    path = f"/live/{gate.session_id}/{way}/{gate.other}/index.m3u8"

    assert gate.proxy.status(path, gate.token()) in {400, 403, 404}


def test_what_else_people_send_does_not_matter(gate: Gate) -> None:
    """Neither a content nor large headers, nor those by which a proxy proves itself."""
    headers = {f"x-{number}": "x" * 7000 for number in range(3)}
    proof = {"X-Api-Key": gate.api.authority.api_key, "Authorization": f"Bearer {gate.api.authority.api_key}"}
    path = f"/live/{gate.session_id}/index.m3u8"

    assert 200 == gate.proxy.status(path, gate.token(), headers=headers)
    assert 401 == gate.proxy.status(path, None, headers=proof)
    assert 401 == gate.proxy.status(path, None, method="POST", headers={"Content-Length": "0"})


@pytest.mark.parametrize(("name", "status"), [("nginx", 500), ("envoy", 503)])
def test_lets_nobody_in_when_it_cannot_ask(api: Api, tmp_path: Path, name: str, status: int) -> None:
    """Here its API key is no caller's: a valid token does not help."""
    session_id = api.new_session(api.authority.project_id).session_id
    token = api.generate(session_id).token

    with running(name, api, tmp_path, new_api_key(), (session_id,)) as proxy:
        assert status == proxy.status(f"/live/{session_id}/index.m3u8", token)


@pytest.mark.parametrize("gate", ["nginx"], indirect=True)
@EVERY_FORMAT
def test_a_player_that_sends_no_headers_has_the_token_in_its_url(
    gate: Gate, token_format: token_pb2.TokenFormat.ValueType
) -> None:
    """As it is written or percent-encoded; nginx copies it as it stands."""
    token = gate.token(format=token_format)
    path = f"/live/{gate.session_id}/index.m3u8?token="

    assert [200, 200, 401] == [
        gate.proxy.status(path + text) for text in (token, quote(token, safe=""), token[:-4] + "AAAA")
    ]
