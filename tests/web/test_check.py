"""A proxy or a media server asks over HTTP whether to let the bearer of a token in."""

from __future__ import annotations

import base64
import json

from typing import Any
from urllib.parse import quote

import attrs
import httpx
import pytest

from tests.service.api import Api
from tests.service.test_projects import fresh_application, fresh_id, import_vonage
from tests.support.authority import (
    NO_TRUST,
    WAIT,
    RunningAuthority,
    StartAuthority,
    absent_session,
    eventually,
    make_caller,
)
from tests.support.faulty_store import FaultyStore
from tests.support.wire import records
from tokenauthority.callers.api_keys import new_api_key
from tokenauthority.domain.caller import Action, Grant, Rate
from tokenauthority.domain.times import Millis
from tokenauthority.v1 import token_pb2


FORMATS = [each for each in token_pb2.TokenFormat.values() if each != token_pb2.TOKEN_FORMAT_UNSPECIFIED]
VERIFY_ONLY = Grant(projects=frozenset({"*"}), actions=frozenset({Action.TOKENS_VERIFY}))


@attrs.frozen(kw_only=True)
class Edge:
    """An authority with a session, and an asker of it that may verify tokens and nothing else."""

    authority: RunningAuthority
    api: Api
    key: str
    session_id: str

    def token(self, role: str = "publisher", **fields: Any) -> str:
        """A token for the session."""
        return self.api.generate(self.session_id, role=role, **fields).token

    def get(
        self, token: str | None, *, key: str | None = None, query: str | None = None, **headers: str
    ) -> httpx.Response:
        """Ask as nginx does: may the token's bearer subscribe in the session?"""
        asked = f"session_id={self.session_id}&permission=subscribe" if query is None else query
        given = {"x-api-key": self.key if key is None else key, **headers}
        if token is not None:
            given["authorization"] = f"Bearer {token}".strip()
        sent = {name.encode(): value.encode("latin-1") for name, value in given.items()}
        return httpx.get(f"{self.authority.api_url}/check?{asked}", headers=sent, timeout=WAIT, verify=NO_TRUST)

    def hook(self, token: str, *, auth: tuple[str, str] | None = None, **changes: Any) -> httpx.Response:
        """Ask as MediaMTX does: may the token's bearer publish in the session?"""
        asked = {"action": "publish", "path": self.session_id, "token": token, "ip": "127.0.0.1", "id": None, **changes}
        return self.post(json.dumps(asked).encode(), auth=auth or ("check", self.key))

    def post(self, body: bytes, *, auth: tuple[str, str] | None, **headers: str) -> httpx.Response:
        """Send *body* to the hook."""
        url = f"{self.authority.api_url}/check/mediamtx"
        sent = {name.encode(): value.encode("latin-1") for name, value in headers.items()}
        return httpx.post(url, content=body, auth=auth, headers=sent, timeout=WAIT, verify=NO_TRUST)


def open_edge(authority: RunningAuthority, key: str) -> Edge:
    """Make the session."""
    api = Api(authority, authority.api_key)
    session = api.new_session(authority.project_id, name="standup")
    return Edge(authority=authority, api=api, key=key, session_id=session.session_id)


def open_vonage_edge(edge: Edge) -> Edge:
    """Import an application of Vonage, and make the session in its project."""
    project = import_vonage(edge.api, fresh_application(), project_id=fresh_id())
    session = edge.api.new_session(project.project_id, name="standup")
    return attrs.evolve(edge, session_id=session.session_id)


def start_edge(start_authority: StartAuthority, grant: Grant = VERIFY_ONLY, **options: Any) -> Edge:
    """Start an authority whose asker has *grant*."""
    key = new_api_key()
    return open_edge(start_authority(callers={key: make_caller("edge", grant)}, **options), key)


@pytest.fixture
def edge(start_authority: StartAuthority) -> Edge:
    """An authority and an asker."""
    return start_edge(start_authority)


@pytest.mark.parametrize("token_format", FORMATS, ids=token_pb2.TokenFormat.Name)
def test_a_valid_token_of_each_format_passes(edge: Edge, token_format: token_pb2.TokenFormat.ValueType) -> None:
    """With an answer that has no content, for the session by its id and by its name."""
    if token_format == token_pb2.TOKEN_FORMAT_VONAGE_JWT:
        edge = open_vonage_edge(edge)
    token = edge.token(format=token_format)

    by_id, by_name = edge.get(token), edge.get(token, query="permission=subscribe&session_id=standup")

    assert [(204, b"")] * 2 == [(answer.status_code, answer.content) for answer in (by_id, by_name)]
    assert "no-store" == by_id.headers["cache-control"]
    assert "content-length" not in by_id.headers
    assert [204, 204] == [edge.hook(token, path=path).status_code for path in (edge.session_id, "standup")]


def test_a_token_that_has_percent_signs_of_its_own_passes(edge: Edge) -> None:
    """As tokens for Janus escape their subject; also where nginx has copied one from a URL as it stands there."""
    token = edge.token(format=token_pb2.TOKEN_FORMAT_JANUS, subject="alice@example.com", data="50 %")

    assert [204, 204] == [edge.get(text).status_code for text in (token, quote(token, safe=""))]


def test_only_the_permission_that_is_asked_for_counts(edge: Edge) -> None:
    """A subscriber may read and not publish; for publisheronly it is the other way round."""
    subscriber, publisher_only = edge.token("subscriber"), edge.token("publisheronly")

    assert [204, 403] == [edge.get(token).status_code for token in (subscriber, publisher_only)]
    assert [403, 204] == [edge.hook(token).status_code for token in (subscriber, publisher_only)]
    assert [204, 403] == [edge.hook(token, action="read").status_code for token in (subscriber, publisher_only)]


def test_a_token_of_another_session_is_refused_as_such(edge: Edge) -> None:
    """403: it is valid elsewhere. So it is for a session that does not exist, or whose name is no name at all."""
    token = edge.api.generate(edge.api.new_session(edge.authority.project_id, name="other").session_id).token
    absent = absent_session(edge.authority.project_id)
    sessions = (edge.session_id, "standup", absent, "%00", "a%26b", "x" * 300)

    answers = [edge.get(token, query=f"session_id={each}&permission=subscribe") for each in sessions]

    assert [(403, "SESSION_MISMATCH")] * 6 == [(each.status_code, each.json()["reason"]) for each in answers]
    assert 403 == edge.hook(token).status_code


def test_what_is_not_valid_is_401(edge: Edge) -> None:
    """No token, two, one that is not a bearer token, and one that was changed."""
    token = edge.token()
    changed = token[:-4] + ("AAAA" if token[-4:] != "AAAA" else "BBBB")
    without = edge.get(None)
    answers = [
        edge.get(changed),
        edge.get(""),
        edge.get("ü" * 100),
        edge.get(None, authorization=f"Basic {token}"),
        edge.get(None, authorization=f"Bearer {token}, Bearer {token}"),
        without,
    ]

    assert [401] * 6 == [answer.status_code for answer in answers]
    assert ("MALFORMED", 'Bearer error="invalid_token"') == (
        without.json()["reason"],
        without.headers["www-authenticate"],
    )
    assert [401, 401] == [edge.hook(each).status_code for each in ("", changed)]


def test_a_revoked_token_is_refused_at_once(edge: Edge) -> None:
    """By the next question, and others are not."""
    token, other = edge.token(), edge.token()
    assert [204, 204] == [edge.get(token).status_code, edge.hook(token).status_code]

    edge.api.tokens.RevokeTokens(token_pb2.RevokeTokensRequest(token=token))

    assert [401, 401] == [edge.get(token).status_code, edge.hook(token).status_code]
    assert ("REVOKED", 204) == (edge.get(token).json()["reason"], edge.get(other).status_code)


def test_an_expired_token_and_one_of_an_ended_session_are_401(edge: Edge) -> None:
    """Neither lets its bearer in anywhere any more."""
    token = edge.token(ttl=60)
    edge.authority.clock.fixed = Millis(edge.authority.clock() + 200_000)
    expired = edge.get(token)
    edge.authority.clock.fixed = None
    edge.api.end(edge.session_id)

    assert [(401, "EXPIRED"), (401, "SESSION_ENDED")] == [
        (answer.status_code, answer.json()["reason"]) for answer in (expired, edge.get(token))
    ]


def test_is_verify_token_of_the_asker_and_recorded_as_that(edge: Edge) -> None:
    """With what VerifyToken's record has, and how it was asked. The token is in no answer and in no record."""
    token = edge.token("subscriber")
    answers = [edge.get(token, **{"x-request-id": "one"}), edge.hook(token)]

    checks = [each for each in records(edge.authority.audit_path) if each.get("caller") == "edge"]
    assert [("check", ""), ("mediamtx", "PERMISSION_MISSING")] == [
        (each["transport"], each.get("reason", "")) for each in checks
    ]
    assert {("/tokenauthority.v1.TokenService/VerifyToken", "tokens.verify", "OK")} == {
        (each["method"], each["action"], each["code"]) for each in checks
    }
    assert ["one", answers[1].headers["x-request-id"]] == [each["request_id"] for each in checks]
    assert [edge.session_id] * 2 == [each["session_id"] for each in checks]
    assert all(token not in answer.text + str(answer.headers) for answer in answers)
    assert token not in edge.authority.audit_path.read_text()


@pytest.mark.parametrize("key", ["", "tak_wrong", "é"])
def test_an_asker_that_is_no_caller_is_400_as_the_token_is_not_to_blame(edge: Edge, key: str) -> None:
    """401 would send people to a login that does not help them."""
    token = edge.token()
    asked = [edge.get(token, key=key), edge.hook(token, auth=("check", key))]

    assert [(400, "unauthenticated")] * 2 == [(answer.status_code, answer.json()["code"]) for answer in asked]
    assert "x-api-key" in asked[0].json()["message"]


def test_the_end_users_header_never_proves_the_asker(edge: Edge) -> None:
    """Not even an API key in it; nor do two of the asker's."""
    headers = {"authorization": f"Bearer {edge.key}"}
    url = f"{edge.authority.api_url}/check?session_id={edge.session_id}&permission=subscribe"
    twice = [("x-api-key", edge.key), ("x-api-key", edge.key)]

    assert 400 == httpx.get(url, headers=headers, verify=NO_TRUST).status_code
    assert 400 == httpx.get(url, headers=twice, verify=NO_TRUST).status_code


@pytest.mark.parametrize("scheme", ["Bearer", "x-api-key", "Basic"])
def test_mediamtx_proves_itself_by_its_url_or_by_a_header(edge: Edge, scheme: str) -> None:
    """MediaMTX itself sends the user and password of its URL as Basic; a proxy in front of it may do more."""
    body = json.dumps({"action": "read", "path": "standup", "token": edge.token()}).encode()
    basic = base64.b64encode(f"any:{edge.key}".encode()).decode()
    headers = {
        "Bearer": {"authorization": f"Bearer {edge.key}"},
        "x-api-key": {"x-api-key": edge.key},
        "Basic": {"authorization": f"Basic {basic}"},
    }[scheme]

    assert 204 == edge.post(body, auth=None, **headers).status_code


@pytest.mark.parametrize("authorization", ["Basic !", "Basic é", "Basic", "Basic /w==", "", "é", "Digest x"])
def test_any_other_proof_of_mediamtx_is_no_caller(edge: Edge, authorization: str) -> None:
    """400, whatever stands there."""
    answer = edge.post(b"{}", auth=None, authorization=authorization)

    assert (400, "unauthenticated") == (answer.status_code, answer.json()["code"])


def test_the_grant_of_the_asker_holds(start_authority: StartAuthority) -> None:
    """Without the action it may not ask; the tokens of a project that is not its own are not known to it."""
    edge = start_edge(start_authority, attrs.evolve(VERIFY_ONLY, actions=frozenset({Action.SESSIONS_CREATE})))
    refused = edge.get(edge.token())
    elsewhere = start_edge(start_authority, attrs.evolve(VERIFY_ONLY, projects=frozenset({"1"})))
    unknown = elsewhere.get(elsewhere.token())

    assert (400, "permission_denied") == (refused.status_code, refused.json()["code"])
    assert (401, "PROJECT_UNKNOWN") == (unknown.status_code, unknown.json()["reason"])


def test_beyond_its_rate_an_asker_waits(start_authority: StartAuthority) -> None:
    """Both ways to ask count together; 429, at which nginx and MediaMTX let nobody in."""
    edge = start_edge(start_authority, attrs.evolve(VERIFY_ONLY, rate=Rate(0.5, 1)))
    token = edge.token()
    first, second = edge.get(token), edge.hook(token)

    assert (204, 429, "2") == (first.status_code, second.status_code, second.headers["retry-after"])


def test_a_server_that_may_have_missed_a_revocation_lets_nobody_in(start_authority: StartAuthority) -> None:
    """503, and not a word about the token; afterwards all is as before."""
    store = FaultyStore()
    edge = start_edge(start_authority, store=store, settings={"issuance": {"max_staleness": 1}})
    token = edge.token()
    store.fail("changes_after")
    eventually(lambda: edge.get(token).status_code == 503, "it lets people in without its store")
    answer = edge.hook(token)
    store.recover()
    eventually(lambda: edge.get(token).status_code == 204, "it does not recover")

    assert (503, "unavailable", "1") == (answer.status_code, answer.json()["code"], answer.headers["retry-after"])


@pytest.mark.parametrize(
    "query",
    [
        "",
        "session_id=&permission=subscribe",
        "session_id=standup",
        "session_id=standup&permission=",
        "session_id=standup&permission=read",
        "session_id=standup&permission=subscribe&permission=publish",
        "session_id=other&permission=subscribe&session_id=standup",
        "session_id=standup&permission=subscribe&project_id=1",
        "session_id=%ff&permission=subscribe",
        "session_id=standup&permission=subscribe&" + "x=1&" * 200,
    ],
)
def test_a_question_that_is_not_clear_is_400(edge: Edge, query: str) -> None:
    """Nothing is guessed, and a proxy with a mistake in its configuration lets nobody in."""
    answer = edge.get(edge.token(), query=query)

    assert (400, "invalid_argument") == (answer.status_code, answer.json()["code"])


def test_what_is_too_large_is_refused_before_it_is_read(edge: Edge) -> None:
    """The largest body of the hook passes."""
    token = edge.token()
    padded = json.dumps({"action": "publish", "path": "standup", "token": token, "query": ""})
    room = 16_384 - len(padded)
    largest = padded.replace('"query": ""', f'"query": "{"q" * room}"').encode()

    assert 204 == edge.post(largest, auth=("check", edge.key)).status_code
    assert 400 == edge.post(largest + b" ", auth=("check", edge.key)).status_code


def test_answers_its_own_methods_alone(edge: Edge) -> None:
    """And no path below."""
    url = edge.authority.api_url
    statuses = [
        httpx.request(method, url + path, verify=NO_TRUST).status_code
        for method, path in (("POST", "/check"), ("GET", "/check/mediamtx"), ("GET", "/check/"), ("PUT", "/check"))
    ]

    assert [405, 405, 404, 405] == statuses
