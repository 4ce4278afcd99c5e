"""What callers send cannot make a line of any log, whatever field it comes in."""

from __future__ import annotations

import contextlib
import json
import re

from collections.abc import Iterator

import attrs
import grpc
import pytest
import trustme

from tests.security import http2
from tests.support.authority import RunningAuthority, eventually
from tests.support.production import Server, production_in
from tests.support.wire import GENERATE, LIST_PROJECTS, V1, Metadata, Wire
from tokenauthority.callers.api_keys import new_api_key
from tokenauthority.v1 import project_pb2, session_pb2, token_pb2


FORGED = "forged-4c1a"
LINE = f'"}}\n{{"seq":1,"type":"rpc","event":"{FORGED}","caller":"{FORGED}","code":"OK"}}\n'
HOSTILE = {
    "line feed": LINE,
    "carriage return": LINE.replace("\n", "\r"),
    "both": LINE.replace("\n", "\r\n"),
    "line separators": LINE.replace("\n", "\u2028\u2029\u0085"),
    "vertical": LINE.replace("\n", "\v\f\x1c\x1d\x1e"),
    "terminal": f"\x1b[2K\x1b]0;{FORGED}\x07\b\b\b",
    "nul": f"\x00{FORGED}\x00",
    "format": f"%s %(asctime)s {{0}} {{event}} ${{jndi:ldap://{FORGED}}}",
}


@attrs.frozen
class Attack:
    """A server in production with all its logging on, and a wire to it."""

    server: Server
    wire: Wire
    session_id: str


@pytest.fixture(scope="module")
def attack(tmp_path_factory: pytest.TempPathFactory, authority_of_certificates: trustme.CA) -> Iterator[Attack]:
    """One project and one session. The tests share the server: each reads what it adds to the audit log."""
    with contextlib.ExitStack() as stack:
        production = stack.enter_context(production_in(tmp_path_factory.mktemp("attack"), authority_of_certificates))
        server = production.start(LOGGING__LEVEL="debug")
        trust = grpc.ssl_channel_credentials(production.root_certificates)
        channel = stack.enter_context(grpc.secure_channel(server.address, trust))
        wire = Wire(channel=channel, api_key=production.api_key)
        made = wire.call(V1 + "ProjectService/CreateProject", project_pb2.CreateProjectRequest())
        project_id = project_pb2.CreateProjectResponse.FromString(made.body).project.project_id
        made = wire.call(V1 + "SessionService/CreateSession", session_pb2.CreateSessionRequest(project_id=project_id))
        yield Attack(server, wire, session_pb2.CreateSessionResponse.FromString(made.body).session.session_id)


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_no_text_of_a_request_makes_a_line(attack: Attack, text: str) -> None:
    """One call, one line, which holds the text, escaped, or nothing of it; the log stays one object for each line."""
    before = len(_lines(attack.server))
    requests = [
        token_pb2.TokenRequest(session_id=attack.session_id, data=text),
        token_pb2.TokenRequest(session_id=attack.session_id, subject=text),
        token_pb2.TokenRequest(session_id=text),
        token_pb2.TokenRequest(session_id=attack.session_id, role=text),
        token_pb2.TokenRequest(session_id=attack.session_id, initial_layout_class_list=[text]),
    ]
    for request in requests:
        attack.wire.call(GENERATE, token_pb2.GenerateTokenRequest(request=request))
    attack.wire.call(GENERATE, LINE.encode())
    attack.wire.call(V1 + "TokenService/VerifyToken", token_pb2.VerifyTokenRequest(token=text, session_id=text))
    attack.wire.call(V1 + "SessionService/GetSession", session_pb2.GetSessionRequest(session_id=text))
    attack.wire.call(V1 + "ProjectService/GetProject", project_pb2.GetProjectRequest(project_id=text))
    made = _lines(attack.server)[before:]

    assert 9 == len(made)
    assert {"rpc"} == {line["type"] for line in made}
    assert {"backend"} == {line["caller"] for line in made}
    assert [text] == [line["subject"] for line in made if FORGED in json.dumps(line)]
    _require_clean(attack.server)


@pytest.mark.parametrize(
    ("method", "metadata"),
    [
        (LIST_PROJECTS, [("user-agent", f'x"}}{{"event":"{FORGED}"}}')]),
        (LIST_PROJECTS, [("x-request-id", f'x"}}{{"event":"{FORGED}"}}')]),
        (LIST_PROJECTS, [("x-forwarded-client-cert", f"URI=spiffe://a/{FORGED}")]),
        (LIST_PROJECTS, [("x-forwarded-for", FORGED)]),
        (LIST_PROJECTS, [(f"{FORGED}-bin", LINE.encode())]),
        (f'/{FORGED}"}}\\n/{FORGED}', []),
        (f"/{FORGED}%0a/{FORGED}%0d%0a", []),
    ],
    ids=["user agent", "request id", "forwarded certificate", "forwarded address", "binary", "method", "percent"],
)
def test_no_metadata_makes_a_line(attack: Attack, method: str, metadata: Metadata) -> None:
    """Of strangers too, whose user agent and method are all that is kept of them."""
    before = len(_lines(attack.server))
    attack.wire.call(method, metadata=metadata)
    attack.wire.call(method, metadata=metadata, api_key=new_api_key())
    made = _lines(attack.server)[before:]

    assert ["backend", ""] == [line.get("caller", "") for line in made]
    assert {True} == {line["peer"].startswith("ipv4:127.0.0.1:") for line in made}
    _require_clean(attack.server)


@pytest.mark.parametrize("name", ["user-agent", "x-request-id", "authorization", "x-forwarded-client-cert"])
@pytest.mark.parametrize("value", ["a\nb", "a\r\nb", "a\x00b", "a\x1b[2Kb", "a\x7fb", "a\x85b", "a\xe2\x80\xa8b"])
def test_no_header_of_a_hostile_client_makes_a_line(running_authority: RunningAuthority, name: str, value: str) -> None:
    """One that keeps to no rule of HTTP: gRPC's own would never send such a header."""
    block = http2.header_block(LIST_PROJECTS, {name: value.replace("b", FORGED)})
    plain = http2.header_block(LIST_PROJECTS, {"user-agent": "afterwards"})
    for each in (block, plain):
        _ask(running_authority.address, each)
    text = running_authority.audit_path.read_bytes()
    made = [line for line in map(json.loads, text.split(b"\n")[:-1]) if line["type"] == "rpc"]

    assert ["afterwards"] == [line["user_agent"] for line in made if "afterwards" in json.dumps(line)]
    assert 1 <= len(made) <= 2
    assert {"UNAUTHENTICATED"} == {line["code"] for line in made}
    assert {True} == {line.get("user_agent", "").isascii() for line in made}
    assert not re.search(rb"[\x00-\x09\x0b-\x1f\x7f]", text)


def _ask(address: str, block: bytes) -> None:
    with contextlib.closing(http2.Connection(address)) as connection:
        connection.send(http2.call(1, block))
        eventually(lambda: connection.ended, "it is neither answered nor refused")


def _lines(server: Server) -> list[dict[str, str]]:
    """What the audit log holds, line by line as a file has them."""
    every = [json.loads(line) for line in server.audit_path.read_bytes().split(b"\n") if line]
    return [line for line in every if line["type"] != "checkpoint"]


def _require_clean(server: Server) -> None:
    """No control character is in the audit log; the operational log is one object a line, and knows nothing of it."""
    assert not re.search(rb"[\x00-\x09\x0b-\x1f\x7f]", server.audit_path.read_bytes())
    for line in server.log().split("\n"):
        assert isinstance(json.loads(line or "{}"), dict)
    assert FORGED not in server.log()
