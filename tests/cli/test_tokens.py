"""`tokenauthority tokens` against a real authority, and without one."""

from __future__ import annotations

import json

from datetime import datetime
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tokenauthority.domain.ids import make_session_id, project_in_session_id
from tokenauthority.domain.times import Millis


VECTORS = Path(__file__).parents[1] / "vectors" / "opentok_tokens.json"
OTHER_SESSION = make_session_id("47", "", relayed=True, now=Millis(1_700_000_000_000), random=bytes(18))


def test_prints_the_token_alone_on_standard_output(run: Run, session_id: str) -> None:
    """So that `TOKEN=$(tokenauthority tokens generate ...)` holds it; what it is goes to standard error."""
    made = run("tokens", "generate", "--session", session_id, "--role", "moderator")

    token = made.out.strip()
    assert 1 == len(made.out.splitlines())
    assert "active" == run("tokens", "verify", stdin=token).out.splitlines()[0]
    assert "moderator" in made.err
    assert token not in made.err


def test_every_option_is_in_the_token(run: Run, session_id: str) -> None:
    """As the authority reads it back."""
    token = run(
        *("tokens", "generate", "--json", "--session", session_id, "--role", "moderator"),
        *("--data", "username=bob", "--ttl", "1h30m", "--format", "session_jwt", "--subject", "bob"),
        *("--layout-class", "focus", "--layout-class", "small"),
    ).text("token")

    claims = run("tokens", "verify", token, "--session", session_id, "--json").json["claims"]

    assert isinstance(claims, dict)
    assert {
        "role": "moderator",
        "data": "username=bob",
        "subject": "bob",
        "format": "session_jwt",
        "initial_layout_class_list": ["focus", "small"],
    }.items() <= claims.items()
    lifetime = datetime.fromisoformat(claims["expire_time"]) - datetime.fromisoformat(claims["issue_time"])
    assert 5400 == lifetime.total_seconds()


@pytest.mark.parametrize("when", ["4102444800", "2100-01-01T00:00:00Z", "2100-01-01T01:00:00+01:00"])
def test_an_expiry_far_away_is_refused_by_the_authority(run: Run, session_id: str, when: str) -> None:
    """The message names the field and the limit; the exit code says that the authority refused it."""
    refused = run("tokens", "generate", "--session", session_id, "--expire-time", when)

    assert 1 == refused.exit_code
    assert "error: invalid request: request.expire_time: must lie within 30 days" in refused.err
    assert "INVALID_FIELD" in refused.err


def test_an_invalid_token_exits_with_4(run: Run, session_id: str) -> None:
    """The reason is on standard output, for a person and for a program."""
    token = run("tokens", "generate", "--session", session_id, "--role", "subscriber").out.strip()

    human = run("tokens", "verify", token, "--permission", "publish")
    machine = run("tokens", "verify", "-", "--session", OTHER_SESSION, "--json", stdin=f"{token}\n")

    assert (4, 4) == (human.exit_code, machine.exit_code)
    assert "not active: PERMISSION_MISSING: " in human.out
    assert "SESSION_MISMATCH" == machine.text("reason")
    assert machine.json["active"] is False


@pytest.mark.parametrize(
    "token_format", ["session_jwt", "opentok_t1", "opentok_jwt", "livekit_jwt", "jitsi_jwt", "janus"]
)
def test_inspects_each_format_without_an_authority(
    run: Run, run_alone: Run, session_id: str, token_format: str
) -> None:
    """What it says, that nobody checked it, and that it has not expired."""
    options = ("--session", session_id, "--format", token_format, "--data", "username=bob")
    token = run("tokens", "generate", *options).out.strip()

    seen = run_alone("tokens", "inspect", "--json", stdin=token)

    assert 0 == seen.exit_code
    expected = {
        "format": token_format,
        "signature_checked": False,
        "expired": False,
        "session_id": session_id,
        "role": "publisher",
        "data": "username=bob",
    }
    assert expected.items() <= seen.json.items()


def test_says_that_the_signature_is_not_verified(run: Run, run_alone: Run, session_id: str) -> None:
    """A person must not take what is shown for proven."""
    token = run("tokens", "generate", "--session", session_id).out.strip()

    assert "signature is NOT verified" in run_alone("tokens", "inspect", token).err


def test_an_expired_token_is_shown_as_expired(run_alone: Run) -> None:
    """Tokens that the official Python SDK made long ago; exit code 0, for they were readable."""
    vectors = json.loads(VECTORS.read_text())["vectors"]
    tokens = [vector["token"] for vector in vectors if vector["sdk"].startswith("opentok-python")]

    seen = [run_alone("tokens", "inspect", token, "--json") for token in tokens]

    assert seen
    assert {0} == {outcome.exit_code for outcome in seen}
    assert {True} == {outcome.json["expired"] for outcome in seen}
    assert {"opentok_t1", "opentok_jwt"} <= {outcome.text("format") for outcome in seen}


def test_what_is_no_token_exits_with_1(run_alone: Run) -> None:
    """In one line that says what is wrong with it, without the text itself."""
    refused = run_alone("tokens", "inspect", "T1==secretish")

    assert 1 == refused.exit_code
    assert refused.err.startswith("error: ")
    assert "MALFORMED" in refused.err
    assert "secretish" not in refused.err


@pytest.mark.parametrize(("stdin", "message"), [("", "is empty"), (" \n", "is empty"), ("x" * 70_000, "longer than")])
def test_refuses_input_that_holds_no_token(run_alone: Run, stdin: str, message: str) -> None:
    """What is read is limited."""
    refused = run_alone("tokens", "inspect", stdin=stdin)

    assert 2 == refused.exit_code
    assert message in refused.err


def test_data_cannot_drive_the_terminal(run: Run, run_alone: Run, session_id: str) -> None:
    """Escape sequences and invisible characters are shown, not sent; JSON is exact."""
    data = "\x1b[31mred\u202e[bold]x[/bold]"
    token = run("tokens", "generate", "--session", session_id, "--data", data).out.strip()

    shown = run_alone("tokens", "inspect", token)
    exact = run_alone("tokens", "inspect", token, "--json")

    assert r"\x1b[31mred\u202e[bold]x[/bold]" in shown.out
    assert "\x1b" not in shown.out
    assert "\x1b" not in exact.out
    assert data == json.loads(exact.out)["data"]


@pytest.mark.parametrize("given", ["argument", "stdin"])
def test_revokes_a_token(run: Run, session_id: str, given: str) -> None:
    """It is no longer active, and the answer says what was revoked."""
    token = run("tokens", "generate", "--session", session_id).out.strip()
    option, stdin = ("-", f"{token}\n") if given == "stdin" else (token, "")

    revoked = run("tokens", "revoke", "--token", option, "--comment", "lost phone", stdin=stdin)
    verdict = run("tokens", "verify", token, "--json")

    assert 0 == revoked.exit_code
    assert ["comment", "lost", "phone"] in [line.split() for line in revoked.out.splitlines()]
    assert (4, "REVOKED") == (verdict.exit_code, verdict.text("reason"))


@pytest.mark.parametrize("target", ["token-id", "session", "subject"])
def test_revokes_what_is_named(run: Run, session_id: str, target: str) -> None:
    """One token, those of a session, those of an end user; in JSON the other targets are null."""
    made = run("tokens", "generate", "--session", session_id, "--subject", "bob", "--json").json
    name = {"token-id": "token_id", "session": "session_id", "subject": "subject"}[target]
    value = "bob" if target == "subject" else str(made[name])

    revoked = run("tokens", "revoke", f"--{target}", value, "--json").json

    assert value == revoked[name]
    assert 2 == sum(revoked[other] is None for other in ("token_id", "session_id", "subject"))
    assert "REVOKED" == run("tokens", "verify", str(made["token"]), "--json").text("reason")


def test_warns_that_a_session_may_be_misspelt(run: Run, session_id: str) -> None:
    """The revocation succeeds, because a restored store can have lost the session; the person must learn of it."""
    project_id = project_in_session_id(session_id) or ""
    lost = make_session_id(project_id, "", relayed=True, now=Millis(1), random=bytes(16))
    unknown = run("tokens", "revoke", "--session", lost, "--json")
    known = run("tokens", "revoke", "--session", session_id)

    assert (0, lost) == (unknown.exit_code, unknown.text("session_id"))
    assert f"warning: there is no session {lost}; if the id is misspelt, nothing was revoked\n" == unknown.err
    assert (0, "") == (known.exit_code, known.err)


def test_revokes_only_what_was_issued_before(run: Run, session_id: str) -> None:
    """Moments are as all commands take them."""
    token = run("tokens", "generate", "--session", session_id).out.strip()

    moments = [
        run("tokens", "revoke", "--session", session_id, "--issued-before", when, "--json").text("issued_before")
        for when in ("2026-11-24T01:00:00+01:00", "1795478400")
    ]

    assert ["2026-11-24T00:00:00.000Z"] * 2 == moments
    assert 0 == run("tokens", "verify", token).exit_code


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "give exactly one of --token, --token-id, --session and --subject"),
        (["--token", "a", "--subject", "bob"], "give exactly one of --token, --token-id, --session and --subject"),
        (["--subject", "bob", "--issued-before", "today"], "must be like 2026-12-24T18:00:00Z"),
        (["--subject", "bob", "--issued-before", "1764000000000"], "in seconds (not milliseconds) since 1970"),
        (["--token", "-"], "the token is empty"),
        (["--session", ""], "--session is empty"),
    ],
)
def test_what_is_to_be_revoked_must_be_clear(run: Run, options: list[str], message: str) -> None:
    """Exit code 2, and nothing was asked of the authority."""
    refused = run("tokens", "revoke", *options)

    assert 2 == refused.exit_code
    assert message in refused.err


def test_what_cannot_be_revoked_exits_with_1(run: Run) -> None:
    """In one line, without the text that was no token."""
    refused = run("tokens", "revoke", "--token", "secretish")

    assert 1 == refused.exit_code
    assert "error: invalid request: token: " in refused.err
    assert "secretish" not in refused.err


def test_a_byte_order_mark_is_no_part_of_a_token(run: Run, session_id: str) -> None:
    """Editors and shells of Windows write one."""
    token = run("tokens", "generate", "--session", session_id).out.strip()

    assert 0 == run("tokens", "verify", stdin=f"\ufeff{token}\r\n").exit_code
