"""`tokenauthority projects` against a real authority."""

from __future__ import annotations

from pathlib import Path

import pytest

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.cli.conftest import Run
from tests.support.authority import RunningAuthority


SECRET = "0123456789abcdef0123456789abcdef01234567"
APPLICATION = "3e4b2a1c-1111-4222-8333-444455556666"


@pytest.fixture(scope="module")
def private_key() -> str:
    """A Vonage application's key in PEM."""
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(encoding, form, serialization.NoEncryption()).decode()


def test_shows_a_new_secret_once(run: Run) -> None:
    """With a warning for a person; never again."""
    made = run("projects", "create", "--project-id", "47000000", "--display-name", "rooms")
    shown = run("projects", "show", "47000000", "--json")

    secret = next(line.split()[1] for line in made.out.splitlines() if line.split()[0] == "secret")
    assert 40 == len(secret)
    assert "Store the secret now: it is shown only once" in made.err
    assert secret not in shown.out
    assert "rooms" == shown.text("display_name")


def test_a_project_is_as_it_was_asked_for(run: Run) -> None:
    """Lifetimes are in seconds in JSON."""
    made = run(
        *("projects", "create", "--json", "--default-format", "opentok_t1", "--external-sessions"),
        *("--default-ttl", "15m", "--max-ttl", "1d"),
    ).json["project"]

    assert isinstance(made, dict)
    assert {
        "default_format": "opentok_t1",
        "default_ttl": 900,
        "max_ttl": 86_400,
        "external_sessions": True,
    }.items() <= made.items()


@pytest.mark.parametrize("source", ["file", "stdin"])
def test_imports_an_opentok_project(run: Run, tmp_path: Path, source: str) -> None:
    """Its secret comes from a file or standard input, never from the command line."""
    file = tmp_path / "secret"
    file.write_text(SECRET + "\n")
    path, stdin = ("-", SECRET + "\n") if source == "stdin" else (str(file), "")

    imported = run(
        *("projects", "import", "opentok", "--api-key", "123456", "--secret-file", path, "--json"),
        stdin=stdin,
    )

    assert 0 == imported.exit_code
    assert "123456" == imported.text("project_id")
    assert "opentok_jwt" == imported.text("default_format")
    assert imported.json["external_sessions"] is True
    assert SECRET not in imported.out + imported.err


def test_imports_a_vonage_application(run: Run, tmp_path: Path, private_key: str) -> None:
    """Without sessions of the platform, if so asked."""
    file = tmp_path / "private.pem"
    file.write_text(private_key)

    imported = run(
        *("projects", "import", "vonage", "--application-id", APPLICATION, "--key-file", str(file)),
        *("--no-external-sessions", "--project-id", "47000001", "--json"),
    )

    assert 0 == imported.exit_code
    assert APPLICATION == imported.text("vonage_application_id")
    assert "47000001" == imported.text("project_id")
    assert imported.json["external_sessions"] is False


def test_a_platform_is_one_of_the_settings(run: Run, tmp_path: Path, private_key: str) -> None:
    """Each command that takes the option passes it on; empty is always possible."""
    file = tmp_path / "private.pem"
    file.write_text(private_key)
    url = ("--platform-url", "https://platform.example")
    opentok = ("projects", "import", "opentok", "--api-key", "123456", "--secret-file", "-")
    vonage = ("projects", "import", "vonage", "--application-id", APPLICATION, "--key-file", str(file))
    imported = run(*opentok, "--platform-url", "", "--json", stdin=SECRET)
    refused = [run(*opentok, *url, stdin=SECRET), run(*vonage, *url), run("projects", "update", "123456", *url)]

    assert (0, "") == (imported.exit_code, imported.text("platform_url"))
    assert [True] * 3 == ["must be one of platform.urls" in result.err for result in refused]


def test_an_invalid_secret_is_refused_without_showing_it(run: Run) -> None:
    """The message names the field."""
    refused = run(*("projects", "import", "opentok", "--api-key", "123456", "--secret-file", "-"), stdin="nosecret")

    assert 1 == refused.exit_code
    assert "api_secret" in refused.err
    assert "nosecret" not in refused.err


def test_a_file_that_is_missing_is_named(run: Run) -> None:
    """In one line."""
    refused = run("projects", "import", "opentok", "--api-key", "1", "--secret-file", "/no/such/file")

    assert 1 == refused.exit_code
    assert "error: /no/such/file: No such file or directory\n" == refused.err


def test_lists_projects_and_shows_that_of_the_environment(run: Run, running_authority: RunningAuthority) -> None:
    """--project beats the environment, an argument beats both."""
    run("projects", "create", "--project-id", "47")

    listed = [row["project_id"] for row in run("projects", "list", "--json").rows]

    assert {"47", running_authority.project_id} == set(listed)
    assert running_authority.project_id == run("projects", "show", "--json").text("project_id")
    assert "47" == run("projects", "show", "--json", "--project", "47").text("project_id")
    assert "47" == run("projects", "show", "47", "--json").text("project_id")


def test_a_second_project_of_that_id_is_refused(run: Run) -> None:
    """With the reason."""
    run("projects", "create", "--project-id", "47")

    refused = run("projects", "create", "--project-id", "47")

    assert 1 == refused.exit_code
    assert "PROJECT_EXISTS" in refused.err


def test_changes_what_the_options_name(run: Run) -> None:
    """The rest stays, and nothing at all is an error."""
    run("projects", "create", "--project-id", "47000000", "--display-name", "rooms")
    options = ("--max-ttl", "1d", "--default-ttl", "1h", "--default-format", "opentok_jwt", "--external-sessions")
    changed = run("projects", "update", "47000000", *options, "--json").json
    nothing = run("projects", "update", "47000000")

    assert {
        "display_name": "rooms",
        "default_format": "opentok_jwt",
        "default_ttl": 3600,
        "max_ttl": 86_400,
        "external_sessions": True,
    }.items() <= changed.items()
    assert (2, True) == (nothing.exit_code, "nothing to change" in nothing.err)


def test_changes_a_secret_without_an_outage(run: Run) -> None:
    """The new one is shown once; the first one is retired on request."""
    made = run("projects", "create", "--project-id", "47000000", "--json").json["secret"]
    assert isinstance(made, dict)
    rotated = run("projects", "rotate-secret", "47000000", "--json")
    asked = run("projects", "retire-secret", "47000000", str(made["secret_id"]), stdin="n\n")
    retire = ("projects", "retire-secret", str(made["secret_id"]), "--project", "47000000", "--yes", "--json")
    retired = run(*retire).json["secrets"]

    assert 40 == len(rotated.text("secret"))
    assert f"Every token that {made['secret_id']} has signed will be refused. Retire it?" in asked.err
    assert isinstance(retired, list)
    assert [rotated.text("secret_id")] == [secret["secret_id"] for secret in retired]


def test_takes_a_secret_that_the_platform_has_changed(run: Run) -> None:
    """From a file or standard input, and does not show it."""
    made = run("projects", "create", "--project-id", "47000000", "--json").json["secret"]
    assert isinstance(made, dict)
    rotated = run("projects", "rotate-secret", "47000000", "--secret-file", "-", stdin=SECRET)
    shown = run("projects", "show", "47000000", "--json").json["secrets"]

    assert 0 == rotated.exit_code
    assert SECRET not in rotated.out + rotated.err
    assert "shown only once" not in rotated.err
    assert isinstance(shown, list)
    assert 2 == len(shown)


def test_claims_for_servers_are_named_together(run: Run) -> None:
    """Separated by commas; empty for none, and another name is refused before any call."""
    made = run("projects", "create", "--project-id", "47", "--claims-for", "mediamtx, Centrifugo", "--json").json
    cleared = run("projects", "update", "47", "--claims-for", "", "--json").json
    refused = run("projects", "update", "47", "--claims-for", "galene")

    assert isinstance(made["project"], dict)
    assert (["centrifugo", "mediamtx"], []) == (made["project"]["claims_for"], cleared["claims_for"])
    assert 2 == refused.exit_code
    assert "must name some of centrifugo, mediamtx" in refused.err


@pytest.mark.parametrize(("server", "option"), [("livekit", "--api-key"), ("jitsi", "--app-id")])
def test_imports_a_key_of_a_server(run: Run, server: str, option: str) -> None:
    """Its name is the id of the secret, which is not shown."""
    secret = "s3cr3t" * 8
    imported = run("projects", "import", server, option, "APIx", "--secret-file", "-", "--json", stdin=secret)

    assert 0 == imported.exit_code
    assert f"{server}_jwt" == imported.text("default_format")
    assert "APIx" in imported.out
    assert secret not in imported.out + imported.err


def test_a_project_is_disabled_and_enabled(run: Run) -> None:
    """The answer says how it is now."""
    run("projects", "create", "--project-id", "48")

    answers = [run("projects", command, "48", "--json").json["disabled"] for command in ("disable", "enable")]

    assert [True, False] == answers


def test_a_deletion_says_what_it_takes_and_asks(run: Run) -> None:
    """Only an answer of yes deletes."""
    run("projects", "create", "--project-id", "49")
    run("sessions", "create", "--project", "49")
    refused = run("projects", "delete", "49", stdin="n\n")
    kept = run("projects", "show", "49")
    deleted = run("projects", "delete", "49", "--json", stdin="y\n")

    question = "Project 49 has 1 session, 1 secret, 0 roles, 0 revocations. Delete all of it for good?"
    assert question in refused.err
    assert (1, 0) == (refused.exit_code, kept.exit_code)
    assert {"sessions": 1, "secrets": 1, "roles": 0, "revocations": 0} == deleted.json
    assert 1 == run("projects", "show", "49").exit_code


def test_a_script_deletes_without_a_question(run: Run) -> None:
    """Where nobody can answer, the command says how."""
    run("projects", "create", "--project-id", "50")
    unanswered = run("projects", "delete", "50")
    deleted = run("projects", "delete", "50", "--yes")

    assert 2 == unanswered.exit_code
    assert "nobody can confirm: standard input is no terminal; give --yes" in unanswered.err
    assert 0 == deleted.exit_code
