"""Settings are read from variables, a file and defaults, and everything that is wrong or missing is named at once."""

from __future__ import annotations

import os
import tempfile

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.config.conftest import CANARY, ENTRIES, problems, written
from tokenauthority.client.environment import CLIENT_VARIABLES
from tokenauthority.config.loading import ConfigError, describe, load, read
from tokenauthority.config.settings import Settings
from tokenauthority.storage.address import PostgresAddress, SqliteAddress


def test_needs_nothing_with_dev(directory: Path) -> None:
    """A development server listens on loopback, stores its data here, and logs for a person."""
    settings = load(dev=True)

    assert (True, Path(".tokenauthority"), "text", True) == (
        settings.dev,
        settings.data_dir,
        settings.logging.format,
        settings.listen.reflection,
    )
    assert ("127.0.0.1:50051", "127.0.0.1:8080") == (settings.listen.grpc, settings.listen.http)
    assert (SqliteAddress(Path(".tokenauthority/tokenauthority.db")), Path(".tokenauthority/audit.jsonl")) == (
        settings.store_address,
        settings.audit_path,
    )


def test_says_all_at_once_what_is_missing() -> None:
    """Outside of --dev, certificate, key, callers, master key and issuer are required, and each is named."""
    assert (
        "TOKENAUTHORITY_TLS__CERT_FILE is required (or tls.cert_file in the file)",
        "TOKENAUTHORITY_TLS__KEY_FILE is required (or tls.key_file in the file)",
        "TOKENAUTHORITY_CALLERS__FILE is required (or callers.file in the file)",
        (
            "exactly one of TOKENAUTHORITY_KEYS__MASTER_KEY, TOKENAUTHORITY_KEYS__MASTER_KEY_FILE"
            " and TOKENAUTHORITY_KEYS__MASTER_KEY_CREDENTIAL is required"
        ),
        "TOKENAUTHORITY_ISSUANCE__ISSUER is required (or issuance.issuer in the file)",
    ) == problems()


def test_takes_a_complete_set(complete: Path) -> None:
    """With all of them a server may start, without reflection, and logs for machines."""
    settings = load()

    assert (False, "json", False, Path("/var/lib/tokenauthority")) == (
        settings.dev,
        settings.logging.format,
        settings.listen.reflection,
        settings.data_dir,
    )


@pytest.mark.parametrize("variable", [*ENTRIES, "ISSUANCE__ISSUER"])
def test_each_of_them_is_required(complete: Path, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """Nothing insecure is accepted in silence because the rest is there."""
    monkeypatch.delenv(f"TOKENAUTHORITY_{variable}")
    (problem,) = problems()

    assert f"TOKENAUTHORITY_{variable}" in problem
    assert problem.endswith("is required") or "is required (or" in problem


@pytest.mark.parametrize(("variable", "name"), ENTRIES.items())
def test_each_file_must_be_there(complete: Path, variable: str, name: str) -> None:
    """A path to nothing is named with its variable."""
    (complete / name).unlink()

    assert (f"TOKENAUTHORITY_{variable}: {name} is not a file",) == problems()


@contextmanager
def as_nobody() -> Iterator[int]:
    """Within it this process may do no more than its effective user, who is not root and is given."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield os.geteuid()
    finally:
        os.seteuid(before)


@pytest.mark.parametrize("variable", ENTRIES)
def test_says_who_cannot_read_a_file(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """A container has a user of its own, and its operator must know which."""
    monkeypatch.setenv("TOKENAUTHORITY_ISSUANCE__ISSUER", "https://tokens.example")
    with tempfile.TemporaryDirectory(dir="/tmp") as home:
        Path(home).chmod(0o711)
        for name, file in ENTRIES.items():
            Path(home, file).touch()
            Path(home, file).chmod(0o000 if name == variable else 0o644)
            monkeypatch.setenv(f"TOKENAUTHORITY_{name}", f"{home}/{file}")
        with as_nobody() as uid:
            found = problems()

    assert (
        f"TOKENAUTHORITY_{variable}: {home}/{ENTRIES[variable]} cannot be read by uid {uid}: Permission denied",
    ) == found


def test_a_variable_beats_the_file(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Field by field: what the file says of the rest of the group stands."""
    file = written(
        directory,
        """
        data_dir = "from-file"
        [listen]
        grpc = "127.0.0.1:1"
        http = "127.0.0.1:2"
        [limits]
        max_concurrent_rpcs = 7
        """,
    )
    monkeypatch.setenv("TOKENAUTHORITY_LISTEN__GRPC", "127.0.0.1:3")
    settings = load(file, dev=True)

    assert ("127.0.0.1:3", "127.0.0.1:2", 7, Path("from-file")) == (
        settings.listen.grpc,
        settings.listen.http,
        settings.limits.max_concurrent_rpcs,
        settings.data_dir,
    )


def test_the_file_beats_what_dev_presets(directory: Path) -> None:
    """Preferences of --dev are defaults like others."""
    settings = load(written(directory, '[logging]\nformat = "json"\n[listen]\nreflection = false\n'), dev=True)

    assert ("json", False) == (settings.logging.format, settings.listen.reflection)


def test_names_every_problem_at_once(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unknown keys, unknown variables and invalid values, in one go and without the values."""
    file = written(
        directory,
        f"""
        dev = true
        colour = "{CANARY}"
        [listen]
        grpc = "{CANARY}"
        [limits]
        max_deadline = "{CANARY}"
        max_conections = 5
        [keys]
        algorithm = "{CANARY}"
        """,
    )
    monkeypatch.setenv("TOKENAUTHORITY_LIMTS__MAX_DEADLINE", CANARY)
    found = problems(file, dev=True)

    assert {
        "dev",
        "TOKENAUTHORITY_LIMTS__MAX_DEADLINE",
        "colour",
        "TOKENAUTHORITY_LISTEN__GRPC",
        "TOKENAUTHORITY_LIMITS__MAX_DEADLINE",
        "limits.max_conections",
        "TOKENAUTHORITY_KEYS__ALGORITHM",
    } == {problem.split()[0] for problem in found}
    assert "TOKENAUTHORITY_KEYS__ALGORITHM (keys.algorithm in the file) must be 'ES256', 'EdDSA' or 'RS256'" in found


@pytest.mark.parametrize(
    "variable",
    [
        "TOKENAUTHORITY_DEV",
        "TOKENAUTHORITY_DEV_API_KEY",
        "TOKENAUTHORITY_LISTEN",
        "TOKENAUTHORITY_DATABASE",
        "TOKENAUTHORITY_DATABASE_URL",
        "TOKENAUTHORITY_DATABASE__URI",
        "TOKENAUTHORITY_DATABASE__URL__X",
        "TOKENAUTHORITY_",
        "tokenauthority_oops",
    ],
)
def test_refuses_an_unknown_variable(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """A misspelt variable is named, whatever it holds; it is never ignored."""
    monkeypatch.setenv(variable, f"postgresql://u:{CANARY}@h/d")

    assert f"{variable} is not a setting" in [problem.partition(";")[0] for problem in problems(dev=True)]


@pytest.mark.parametrize(
    ("variable", "text", "hint"),
    [
        ("TOKENAUTHORITY_LISTEN__GRCP", "", "; did you mean 'TOKENAUTHORITY_LISTEN__GRPC'?"),
        ("TOKENAUTHORITY_ISUER", "", ""),
        ("", '[listen]\ngrcp = "x"', "; did you mean 'listen.grpc'?"),
        ("", "[isuance]", "; did you mean 'issuance'?"),
        ("", "[zzz]", ""),
    ],
)
def test_asks_about_the_setting_that_may_be_meant(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, text: str, hint: str
) -> None:
    """By the name of the variable without what all begin with, or by the key in the file."""
    file = tmp_path / "settings.toml"
    file.write_text(text)
    if variable:
        monkeypatch.setenv(variable, "x")

    with pytest.raises(ConfigError) as caught:
        read(file, dev=True)

    assert [hint] == [
        f";{question}" if question else "" for _, _, question in (p.partition(";") for p in caught.value.problems)
    ]


def test_ignores_variables_of_the_client_and_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """One shell may hold the variables of the client and of a server."""
    for name in CLIENT_VARIABLES:
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("TOKENAUTHORITYX", "x")

    assert load(dev=True).dev


@pytest.mark.parametrize("name", ["dev", "dev_api_key"])
def test_takes_dev_from_the_command_line_only(directory: Path, name: str) -> None:
    """No file can turn a production server into an open one."""
    file = written(directory, f'{name} = "{CANARY}"\n')

    assert (f"{name} is for the command line, not the file",) == problems(file, dev=True)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"\na = ", ":2: is not valid TOML"),
        (b"\xff\xfe", ":1: is UTF-16 or binary"),
        (b"\n\xe9", ":2: is not UTF-8"),
        (None, " cannot be read"),
    ],
)
def test_names_a_file_that_cannot_be_used(directory: Path, content: bytes | None, problem: str) -> None:
    """Invalid TOML, invalid UTF-8 and no file at all."""
    path = directory / "authority.toml"
    if content is not None:
        path.write_bytes(content)
    (found,) = problems(path, dev=True)

    assert found.startswith(f"{path}{problem}")


def secretive() -> Settings:
    """Settings that hold a canary in every secret."""
    values: Mapping[str, object] = {
        "dev_api_key": CANARY,
        "database": {"url": f"postgresql://user:{CANARY}@host/name"},
        "keys": {"master_key": CANARY},
    }
    return Settings.model_validate(values)


def test_shows_no_secret() -> None:
    """Neither `repr`, `str`, a dump nor the table of `config show` holds one, and the server still gets them."""
    settings = secretive()

    assert CANARY not in f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"
    assert CANARY not in str(describe(settings))
    assert isinstance(settings.store_address, PostgresAddress)
    assert CANARY == settings.store_address.parameters["password"]


def test_describes_every_variable_with_its_meaning() -> None:
    """What can be set is shown as it is set, and nothing is shown that cannot be."""
    rows = {name: (value, meaning) for name, value, meaning in describe(secretive())}

    assert "**********" == rows["TOKENAUTHORITY_DATABASE__URL"][0] == rows["TOKENAUTHORITY_KEYS__MASTER_KEY"][0]
    assert "127.0.0.1:50051" == rows["TOKENAUTHORITY_LISTEN__GRPC"][0]
    assert all(meaning for _, meaning in rows.values())
    assert not [name for name in rows if "DEV" in name]


def test_every_described_variable_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each name that `config show` prints is one that the settings take."""
    for name, value, _ in describe(load(dev=True)):
        if value and value != "None":
            monkeypatch.setenv(name, value)

    assert describe(load(dev=True)) == describe(load(dev=True))
