"""An official SDK works as with the platform, with nothing changed but its URL."""

from __future__ import annotations

import itertools
import json
import time

import pytest

from clients.interop.official.conftest import Program
from tokenauthority.v1 import project_pb2


SESSIONS = [
    {},
    {"media_mode": "relayed"},
    {"media_mode": "routed", "location": "12.34.56.78"},
    {"media_mode": "routed", "archive_mode": "always"},
    {"media_mode": "routed", "e2ee": True},
    {
        "media_mode": "routed",
        "archive_mode": "always",
        "archive_name": "my ~arch-ive_é +%&=",
        "archive_resolution": "1280x720",
    },
]
DATA = ["", "name=Johnny", "a=b&c\n😀", "&role=moderator", "line\r\nline", "quotes \"'", "שלום \u202e", "0", "x" * 999]
CALLS = ["signal", "disconnect", "mute", "mute_all", "archive"]
HOUR = 3600


@pytest.mark.parametrize("options", SESSIONS, ids=json.dumps)
def test_a_session_is_what_was_asked_for(program: Program, options: dict[str, object]) -> None:
    """With every option that the SDK has, and its own defaults."""
    if missing := options.keys() - {"media_mode", "archive_mode", "location"} - program.sdk.options:
        pytest.skip(f"the SDK has no {', '.join(missing)}")

    session_id = program.driver.ok("create", options=options)["session_id"]

    found = program.authority.get_session(session_id)
    defaults = {"media_mode": "relayed", "archive_mode": "manual", "location": "", "e2ee": False, "archive_name": ""}
    wanted = {**defaults, **options}
    assert wanted == {name: getattr(found, name) for name in wanted}
    assert program.project_id == found.project_id


def test_what_needs_the_media_router_is_routed(program: Program) -> None:
    """Some SDKs send their default, relayed, beside it if a program leaves the media mode open."""
    for options in [{"archive_mode": "always"}, *([{"e2ee": True}] if "e2ee" in program.sdk.options else [])]:
        reply = program.driver.reply("create", options=options)
        # Some SDKs refuse it themselves.
        if reply.ok is not None:
            assert "routed" == program.authority.get_session(reply.ok["session_id"]).media_mode


@pytest.mark.parametrize("data", DATA)
def test_its_tokens_are_accepted_here(program: Program, data: str) -> None:
    """In each of its formats and roles, with the data, expiry and layout classes that it put in."""
    session_id = program.driver.ok("create", options={})["session_id"]
    expire_time = int(time.time()) + HOUR
    for legacy, role in itertools.product(program.sdk.legacy, program.sdk.roles):
        options = {"role": role, "expire_time": expire_time, "initial_layout_class_list": ["focus", "full"]}
        given = {**options, "data": data} if data else options
        token = program.driver.ok("token", session_id=session_id, legacy=legacy, options=given)["token"]

        found = program.authority.verify_token(token, session_id=session_id)

        assert found.active, (legacy, role, found.reason)
        assert found.claims is not None
        said = found.claims
        assert (role, program.read(data, legacy=legacy)) == (said.role, said.data)
        assert (("focus", "full"), session_id) == (said.initial_layout_class_list, said.session_id)
        assert expire_time == said.expire_time.timestamp()
        assert ("opentok_t1" if legacy else "opentok_jwt") == said.format


def test_a_wrong_secret_is_shown_as_one(program: Program) -> None:
    """As the SDK shows it: the status is the one of the platform."""
    with program.started(secret="0" * 40) as driver:
        failure = driver.failure("create", options={})

    code, text = program.sdk.forbidden
    assert code == failure.code
    assert text in failure.message


def test_an_invalid_option_is_shown_as_one(program: Program) -> None:
    """As far as the SDK shows what is wrong; some show the status alone, and Java's sends none that is invalid."""
    if program.sdk.invalid is None:
        pytest.skip("the SDK sends no option that is invalid")
    options, code, text = program.sdk.invalid

    failure = program.driver.failure("create", options=options)

    assert code == failure.code
    assert text in failure.message


@pytest.mark.parametrize("what", CALLS)
def test_what_needs_a_media_server_fails(program: Program, what: str) -> None:
    """No moderator may believe that somebody was muted or removed."""
    session_id = program.driver.ok("create", options={})["session_id"]

    assert program.driver.failure("call", what=what, session_id=session_id).message


@pytest.mark.parametrize("end", ["/", "/pre", "/pre/"])
def test_the_url_may_have_a_path(program: Program, end: str) -> None:
    """A slash at the end, which some SDKs double, and a prefix, which PHP's drops."""
    with program.started(url=program.platform.url + end) as driver:
        assert driver.ok("create", options={})["session_id"]


def test_each_secret_counts_until_it_is_retired(program: Program) -> None:
    """So a secret is replaced without a pause; the audit log says which one was used."""
    projects = program.authority.projects
    added = projects.RotateProjectSecret(project_pb2.RotateProjectSecretRequest(project_id=program.project_id)).secret
    with program.started(secret=added.secret) as new:
        assert new.ok("create", options={})
        assert program.driver.ok("create", options={})
        retired = project_pb2.RetireProjectSecretRequest(project_id=program.project_id, secret_id=added.secret_id)
        projects.RetireProjectSecret(retired)
        assert program.sdk.forbidden[0] == new.failure("create", options={}).code

    used = {str(each.get("caller_identity")) for each in program.audited() if each.get("code") == "OK"}
    assert f"{program.project_id} {added.secret_id}" in used


def test_nothing_shows_a_credential(program: Program) -> None:
    """Neither log nor audit log has the secret or a JWT that it signed."""
    assert program.driver.ok("create", options={})
    server = program.platform.server
    written = server.log() + server.audit_path.read_text()

    assert program.platform.secrets[program.project_id] not in written
    assert "eyJ" not in written
    assert {"opentok"} == {each["transport"] for each in program.audited()}
