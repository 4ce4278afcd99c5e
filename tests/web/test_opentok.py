"""Official SDKs create sessions over HTTP as a caller of one project, and nothing else."""

from __future__ import annotations

import http.client
import time

from typing import Any
from xml.etree import ElementTree as ET

import attrs
import httpx
import pytest

from tests.authority.world import rsa_pem
from tests.callers.opentok import APPLICATION, SDKS, opentok_auth, vonage_bearer
from tests.support.authority import EVERYTHING, NO_TRUST, WAIT, RunningAuthority, StartAuthority
from tests.support.faulty_store import FaultyStore
from tests.support.platform import BROKEN, FORBIDDEN, running_platform
from tests.support.wire import records
from tokenauthority.authority.project_spec import ProjectChanges, ProjectSpec, VonageImport
from tokenauthority.callers.identity import OpentokIdentity
from tokenauthority.callers.registry import CallerEntry, CallerRegistry
from tokenauthority.client import Authority
from tokenauthority.domain.caller import Action, Caller, CallerKind, Grant, Rate
from tokenauthority.domain.ids import project_in_session_id


FORM = "p2p.preference=disabled&archiveMode=always&archiveName=my+%7Earch"
PATHS = ("/session/create", "//session/create", "/pre/session/create", "/pre//session/create", "/hl/session/create")


@attrs.frozen(kw_only=True)
class Shop:
    """An authority with a project whose SDKs may call, and what they call with."""

    authority: RunningAuthority
    project_id: str
    secret: str

    def jwt(self, **changes: Any) -> str:
        """X-OPENTOK-AUTH of now."""
        now = int(time.time())
        return opentok_auth(self.secret, **{"iss": self.project_id, "iat": now, "exp": now + 180, **changes})

    def post(self, path: str = PATHS[0], form: str | bytes = FORM, **headers: str) -> httpx.Response:
        """Call with the JWT, unless a header is given; header names have _ for -."""
        given = {name.replace("_", "-"): value for name, value in headers.items()} or {"x-opentok-auth": self.jwt()}
        kind = {"content-type": "application/x-www-form-urlencoded"}
        return httpx.post(self.authority.api_url + path, content=form, headers={**kind, **given}, verify=NO_TRUST)

    def client(self) -> Authority:
        """A caller over gRPC who may do everything."""
        environment = self.authority.environment | {"TOKENAUTHORITY_PROJECT_ID": self.project_id}
        return Authority.from_environment(environment)


def open_shop(authority: RunningAuthority, **grant: Any) -> Shop:
    """Let the SDKs of a new project in."""
    project, secret = authority.do(authority.app.projects.create(ProjectSpec(), EVERYTHING, authority.clock()))
    let_in(authority, project.project_id, **grant)
    return Shop(authority=authority, project_id=project.project_id, secret=secret.value.decode())


def let_in(authority: RunningAuthority, project_id: str, **grant: Any) -> None:
    """Name a project in the callers file."""
    given: dict[str, Any] = {"actions": frozenset({Action.SESSIONS_CREATE}), **grant}
    allowed = Grant(projects=frozenset({project_id}), **given)
    caller = Caller(name="shop", kind=CallerKind.OPENTOK, identity=project_id, grant=allowed)
    entries = (*authority.callers.registry.entries, CallerEntry(caller, OpentokIdentity(project_id)))
    authority.callers.replace(CallerRegistry(entries))


@pytest.fixture
def shop(running_authority: RunningAuthority) -> Shop:
    """The SDKs of one project are let in."""
    return open_shop(running_authority)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("sdk", SDKS)
def test_creates_a_session_for_each_sdk(shop: Shop, sdk: str, path: str) -> None:
    """At the root, below any prefix, and with the doubled slash of some SDKs."""
    now = int(time.time())
    answer = shop.post(path, x_opentok_auth=shop.jwt(sdk=sdk, exp=now + 180), accept="application/json")
    (created,) = answer.json()

    assert (200, "application/json") == (answer.status_code, answer.headers["content-type"])
    with shop.client() as client:
        found = client.get_session(created["session_id"])
    assert (shop.project_id, "routed", "always", "my ~arch") == (
        found.project_id,
        found.media_mode,
        found.archive_mode,
        found.archive_name,
    )


def test_answers_xml_unless_json_is_named(shop: Shop) -> None:
    """Ruby, PHP and .NET read XML."""
    answer = shop.post(x_opentok_auth=shop.jwt(), accept="*/*")
    root = ET.fromstring(answer.text)  # noqa: S314 - the XML is the answer of the authority under test

    assert answer.headers["content-type"].startswith("text/xml")
    assert (200, shop.project_id) == (answer.status_code, root.findtext("Session/partner_id"))


def test_a_vonage_application_creates_sessions_too(shop: Shop) -> None:
    """By the key that was imported, as Bearer."""
    authority = shop.authority
    source = VonageImport(application_id=APPLICATION, private_key=rsa_pem())
    everyone = next(each.caller for each in authority.callers.registry.entries)
    project = authority.do(authority.app.projects.import_vonage(ProjectSpec(), source, everyone, authority.clock()))
    let_in(authority, project.project_id)
    now = int(time.time())
    bearer = f"Bearer {vonage_bearer(rsa_pem(), iat=now, exp=now + 900)}"

    answer = shop.post(form="archiveMode=manual&location=null&p2p.preference=disabled", authorization=bearer)

    assert (200, True) == (answer.status_code, project.project_id in answer.text)


def test_the_platform_creates_the_session_where_the_project_says_so(start_authority: StartAuthority) -> None:
    """An SDK that points here gets a session of the platform; 503 while that is away, and 409 if it refuses."""
    with running_platform() as platform:
        authority = start_authority(settings={"platform": {"urls": platform.url}})
        shop = open_shop(authority)
        changes = ProjectChanges(platform_url=platform.url)
        authority.do(authority.app.projects.update(shop.project_id, changes))
        created = shop.post(x_opentok_auth=shop.jwt(), accept="application/json")
        statuses = []
        for platform.always in (BROKEN, FORBIDDEN):
            statuses.append(shop.post().status_code)

    assert shop.project_id == project_in_session_id(created.json()[0]["session_id"])
    assert "my ~arch" == platform.requests[0].form["archiveName"]
    assert [503, 409] == statuses


def test_every_wrong_credential_is_answered_alike(shop: Shop) -> None:
    """Byte for byte, whatever is wrong with it."""
    now = int(time.time())
    genuine = shop.jwt()
    other = open_shop(shop.authority)
    wrong = [
        {"x": "y"},
        {"x_opentok_auth": ""},
        {"x_opentok_auth": "x"},
        {"x_opentok_auth": shop.jwt(iss="1")},
        {"x_opentok_auth": shop.jwt(iss=other.project_id)},
        {"x_opentok_auth": shop.jwt(ist="account")},
        {"x_opentok_auth": shop.jwt(iat=now - 400, exp=now - 200)},
        {"x_opentok_auth": opentok_auth("0" * 40, iss=shop.project_id, iat=now, exp=now + 60)},
        {"x_opentok_auth": genuine, "authorization": f"Bearer {genuine}"},
        {"authorization": f"Bearer {genuine}"},
        {"authorization": f"Bearer {shop.authority.api_key}"},
    ]
    answers = [shop.post(**headers) for headers in wrong]

    assert {403} == {answer.status_code for answer in answers}
    assert 1 == len({answer.content for answer in answers})
    assert "X-OPENTOK-AUTH must be a JWT" in answers[0].text


def test_no_token_to_join_a_session_creates_one(shop: Shop) -> None:
    """The same secret signs it, and whoever joins has it."""
    with shop.client() as client:
        session = client.create_session()
        token = str(client.generate_token(session.session_id, role="moderator", format="opentok_jwt", ttl=60))

    assert 403 == shop.post(x_opentok_auth=token).status_code


def test_the_credential_of_an_sdk_counts_nowhere_else(shop: Shop) -> None:
    """Neither over gRPC nor for the JSON calls beside it."""
    where = shop.authority.api_url + "/tokenauthority.v1.SessionService/CreateSession"
    for value in (f"OpenTok {shop.jwt()}", f"Bearer {shop.jwt()}"):
        answer = httpx.post(where, json={}, headers={"authorization": value}, verify=NO_TRUST)

        assert 401 == answer.status_code


def test_a_wrong_credential_counts_against_its_address(start_authority: StartAuthority) -> None:
    """Beyond the limit, a credential is not even verified."""
    limits = {"failed_auth_rate": 0.001, "failed_auth_burst": 2, "suspect_rate": 1}
    shop = open_shop(start_authority(settings={"limits": limits}))
    answers = [shop.post(x_opentok_auth="x") for _ in range(5)]

    assert [403, 403] == [answer.status_code for answer in answers[:2]]
    assert 429 == answers[-1].status_code
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert "too many failed authentications" in answers[-1].text


def test_rate_and_grant_are_those_of_the_caller(start_authority: StartAuthority) -> None:
    """As for every other call."""
    shop = open_shop(start_authority(), rate=Rate(per_second=0.001, burst=1))
    answers = [shop.post() for _ in range(2)]

    assert [200, 429] == [answer.status_code for answer in answers]
    assert int(answers[1].headers["retry-after"]) > 1
    without = open_shop(start_authority(), actions=frozenset({Action.SESSIONS_READ}))
    answer = without.post()
    assert (403, True) == (answer.status_code, "sessions.create" in answer.text)


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("archiveMode=sometimes", "archiveMode: must be one of manual, always"),
        ("archiveName=x", "archive_name: needs archive_mode ALWAYS"),
        ("location=1.2", "location: must be an IPv4 address"),
        ("x=" + "y" * 8192, "takes at most 8192"),
    ],
)
def test_says_what_is_invalid(shop: Shop, form: str, text: str) -> None:
    """In `message`, which the SDKs of Node and PHP show; the audit record has the call."""
    answer = shop.post(form=form, x_opentok_auth=shop.jwt(), accept="application/json")

    assert (400, 400) == (answer.status_code, answer.json()["code"])
    assert text in answer.json()["message"]
    assert "INVALID_ARGUMENT" == records(shop.authority.audit_path)[-1]["code"]


def test_takes_forms_only(shop: Shop) -> None:
    """JSON could mean something else to whoever sends it."""
    answer = shop.post(form="{}", x_opentok_auth=shop.jwt(), content_type="application/json")

    assert (400, True) == (answer.status_code, "application/x-www-form-urlencoded" in answer.text)


@pytest.mark.parametrize(
    ("name", "status", "text"),
    [("content-type", 400, "content-type: must not be there more than once"), ("x-opentok-auth", 403, "must be a JWT")],
)
def test_refuses_a_header_that_is_there_twice(shop: Shop, name: str, status: int, text: str) -> None:
    """Also where both are valid; two credentials are as any other wrong credential."""
    once = [("content-type", "application/x-www-form-urlencoded"), ("x-opentok-auth", shop.jwt())]
    headers = [*once, *(header for header in once if header[0] == name)]
    url = shop.authority.api_url + PATHS[0]
    answer = httpx.post(url, content=FORM, headers=headers, timeout=WAIT, verify=NO_TRUST)

    assert status == answer.status_code
    assert text in answer.text


def test_reads_nothing_of_a_stranger(shop: Shop) -> None:
    """The answer comes before the content."""
    line = http.client.HTTPConnection(shop.authority.api_url.removeprefix("http://"), timeout=30)
    line.putrequest("POST", PATHS[0])
    line.putheader("content-length", "100")
    line.putheader("x-opentok-auth", "x")
    line.endheaders()

    assert 403 == line.getresponse().status
    line.close()


def test_a_store_that_is_away_is_unavailable(start_authority: StartAuthority) -> None:
    """So an SDK's user tries again, and does not look for a wrong secret."""
    store = FaultyStore()
    shop = open_shop(start_authority(store=store))
    assert 200 == shop.post().status_code
    store.fail("create_session")

    assert 503 == shop.post().status_code


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize(
    "path", ["/v2/project/47/session/S/mute", "//v2/project/47/archive", "/pre/v2/project/47/dial"]
)
def test_says_that_there_is_no_media_server(shop: Shop, method: str, path: str) -> None:
    """To everybody, with a status that every SDK takes for a failure."""
    content = b"" if method == "GET" else b"{}"
    answer = httpx.request(method, shop.authority.api_url + path, content=content, verify=NO_TRUST)

    assert (404, 404) == (answer.status_code, answer.json()["code"])
    assert "no media server" in answer.json()["message"]


def test_is_recorded_as_every_call(shop: Shop) -> None:
    """With the SDK, the caller, and the secret that signed; the credential is nowhere."""
    jwt = shop.jwt()
    created = shop.post(x_opentok_auth=jwt, accept="application/json", user_agent="OpenTok-Python-SDK/3").json()[0]
    record = records(shop.authority.audit_path)[-1]

    assert ("shop", "opentok", "opentok", "OK") == (
        record["caller"],
        record["caller_kind"],
        record["transport"],
        record["code"],
    )
    assert ("OpenTok-Python-SDK/3", created["session_id"]) == (record["user_agent"], record["session_id"])
    assert str(record["caller_identity"]).startswith(f"{shop.project_id} sec_")
    assert jwt not in shop.authority.audit_path.read_text()
