"""`tokenauthority export` against a real authority: what it writes is what `apply` takes."""

from __future__ import annotations

import os
import stat

from pathlib import Path

import pytest
import yaml

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.cli.conftest import Run
from tests.support.authority import RunningAuthority, StartAuthority
from tokenauthority.callers.api_keys import digest
from tokenauthority.cli import calls


SECRET = "0123456789abcdef0123456789abcdef01234567"
SERVER_SECRET = "s3cr3t" * 8
APPLICATION = "3e4b2a1c-1111-4222-8333-444455556666"


@pytest.fixture
def callers_file(run: Run, tmp_path: Path) -> Path:
    """A callers file with an API key and a caller with a SPIFFE id."""
    path = tmp_path / "callers.toml"
    run("callers", "add", str(path), "--name", "no", "--project", "47", "--key-file", str(tmp_path / "key"))
    run("callers", "add", str(path), "--name", "mesh", "--project", "*", "--spiffe-id", "spiffe://a/b")
    return path


@pytest.fixture
def secrets(run: Run, tmp_path: Path, callers_file: Path) -> list[str]:
    """All secrets of an authority with a project of each kind, and of its callers."""
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    made = run("projects", "create", "--project-id", "47", "--display-name", "Büro \u202e", "--json").json["secret"]
    run("projects", "import", "opentok", "--api-key", "123456", "--secret-file", "-", stdin=SECRET)
    vonage = ("--application-id", APPLICATION, "--project-id", "48", "--key-file", "-")
    run("projects", "import", "vonage", *vonage, stdin=pem)
    for server, option, number in (("livekit", "--api-key", "49"), ("jitsi", "--app-id", "50")):
        names = (option, f"{server}-key", "--project-id", number)
        run("projects", "import", server, *names, "--secret-file", "-", stdin=SERVER_SECRET)
    run("roles", "create", "no", "--permission", "publish", "--project", "47", "--description", "0123")
    assert isinstance(made, dict)
    api_key = (tmp_path / "key").read_text().strip()
    return [str(made["secret"]), SECRET, *pem.splitlines()[1:-2], SERVER_SECRET, api_key]


def test_what_is_exported_needs_no_change(run: Run, secrets: list[str], tmp_path: Path, callers_file: Path) -> None:
    """To standard output and to a file: the same text each time."""
    options = ("--callers-file", str(callers_file))
    printed = run("export", *options)
    written = run("export", *options, "--output", str(tmp_path / "a.yaml"))
    again = run("apply", "-f", "-", "--dry-run", *options, stdin=printed.out)

    assert (0, 0, 0) == (printed.exit_code, written.exit_code, again.exit_code)
    assert printed.out == (tmp_path / "a.yaml").read_text()
    assert "nothing to change: all is as it is declared\n" == again.out
    assert 'display_name: "Büro \\u202e"' in printed.out


def test_no_secret_and_no_api_key_is_exported(run: Run, secrets: list[str], callers_file: Path) -> None:
    """Nor the SHA-256 of a key: it stays in the callers file, which only its owner reads."""
    exported = run("export", "--callers-file", str(callers_file))

    digests = [digest(secret) for secret in secrets]

    assert digests[-1] in callers_file.read_text()
    assert [] == [secret for secret in [*secrets, *digests] if secret in exported.out + exported.err]
    assert ["mesh", "no"] == [caller["name"] for caller in yaml.safe_load(exported.out)["callers"]]


def test_applied_to_another_authority_it_makes_everything_once(
    run: Run, secrets: list[str], callers_file: Path, tmp_path: Path, start_authority: StartAuthority
) -> None:
    """But for what needs a secret or an API key, whose commands are named; then it needs no change there either."""
    exported = run("export", "--callers-file", str(callers_file)).out
    other, options = start_authority(), ("--callers-file", str(tmp_path / "other.toml"))
    made = run("apply", "-f", "-", "--yes", *options, stdin=exported, env=other.environment)
    again = run("apply", "-f", "-", "--dry-run", "--json", *options, stdin=exported, env=other.environment).json
    changes = again["changes"]
    assert isinstance(changes, list)

    assert 6 == made.exit_code
    assert 5 == made.out.count("needs a credential")
    assert "callers add" in made.out
    assert "projects import opentok --api-key 123456 --secret-file FILE" in made.out
    assert {"by_hand", "not_declared"} == {change["verb"] for change in changes}
    assert (tmp_path / "other.toml").read_text().count("[[callers]]") == 1


def test_every_page_is_exported(run: Run, secrets: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Also with pages of one project."""
    whole = run("export")
    monkeypatch.setattr(calls, "MAX_PAGE", 1)

    assert whole.out == run("export").out
    assert 6 == len(yaml.safe_load(whole.out)["projects"])


def test_without_a_callers_file_callers_are_left_out(run: Run, running_authority: RunningAuthority) -> None:
    """It says so beside the file, which has no word of them."""
    exported = run("export")

    assert "callers" not in yaml.safe_load(exported.out)
    assert "no callers file is named (--callers-file or --config): callers are left out\n" == exported.err


def test_a_callers_file_that_does_not_exist_is_an_error(run: Run, tmp_path: Path) -> None:
    """A declaration without callers would delete them all with --prune."""
    absent, output = tmp_path / "none.toml", tmp_path / "a.yaml"
    exported = run("export", "--callers-file", str(absent), "--output", str(output))

    assert (2, f"error: {absent}: No such file or directory\n") == (exported.exit_code, exported.err)
    assert not output.exists()


def test_the_callers_file_is_not_overwritten(run: Run, callers_file: Path, tmp_path: Path) -> None:
    """By a link neither: nobody else has the digests of its API keys."""
    link, before = tmp_path / "link.yaml", callers_file.read_text()
    link.symlink_to(callers_file)
    codes = {
        run("export", "--callers-file", str(callers_file), "--output", str(output)).exit_code
        for output in (callers_file, link)
    }

    assert {2} == codes
    assert before == callers_file.read_text()


def test_a_link_stays_a_link_and_a_pipe_a_pipe(run: Run, tmp_path: Path) -> None:
    """What the link leads to is replaced, with its mode; what is no file never is, such as a device."""
    file, link, pipe = tmp_path / "real.yaml", tmp_path / "link.yaml", tmp_path / "pipe"
    file.write_text("old")
    file.chmod(0o640)
    link.symlink_to(file)
    os.mkfifo(pipe)
    by_link, to_pipe = (run("export", "--output", str(path)) for path in (link, pipe))

    assert (0, 0o640) == (by_link.exit_code, stat.S_IMODE(file.stat().st_mode))
    assert link.is_symlink()
    assert file.read_text() == run("export").out
    assert (2, f"error: --output {pipe}: it is not a regular file\n") == (to_pipe.exit_code, to_pipe.err)
    assert pipe.is_fifo()


def test_a_pipe_without_a_path_is_no_regular_file_either(run: Run) -> None:
    """As /dev/stdout is in a pipeline."""
    reader, writer = os.pipe()
    try:
        exported = run("export", "--output", f"/dev/fd/{writer}")
    finally:
        os.close(reader)
        os.close(writer)

    assert (2, f"error: --output /dev/fd/{writer}: it is not a regular file\n") == (exported.exit_code, exported.err)
