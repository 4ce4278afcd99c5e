"""The settings come from variables, file and defaults, are checked whole, and keep their secrets to themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.config.conftest import CANARY, problems, written
from tokenauthority.config.loading import ConfigError, load


def test_the_issuer_is_https(complete: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys that come over plaintext prove nothing."""
    monkeypatch.setenv("TOKENAUTHORITY_ISSUANCE__ISSUER", "http://tokens.example")

    assert ("TOKENAUTHORITY_ISSUANCE__ISSUER must begin with https://",) == problems()


def test_http_is_plaintext_only_where_it_is_said(complete: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is never so by default."""
    before = load().listen.http_plaintext
    monkeypatch.setenv("TOKENAUTHORITY_LISTEN__HTTP_PLAINTEXT", "true")

    assert (False, True) == (before, load().listen.http_plaintext)


def test_takes_one_master_key_only(complete: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two master keys leave it open which one seals."""
    monkeypatch.setenv("TOKENAUTHORITY_KEYS__MASTER_KEY", CANARY)

    assert (
        (
            "exactly one of TOKENAUTHORITY_KEYS__MASTER_KEY, TOKENAUTHORITY_KEYS__MASTER_KEY_FILE"
            " and TOKENAUTHORITY_KEYS__MASTER_KEY_CREDENTIAL is required"
        ),
    ) == problems()


def test_the_issuer_of_dev_is_where_it_listens(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless it is set."""
    monkeypatch.setenv("TOKENAUTHORITY_LISTEN__HTTP", "127.0.0.1:8099")
    by_itself = load(dev=True).issuance.issuer
    monkeypatch.setenv("TOKENAUTHORITY_ISSUANCE__ISSUER", "http://set.example")

    assert ("http://127.0.0.1:8099", "http://set.example") == (by_itself, load(dev=True).issuance.issuer)


@pytest.mark.parametrize(
    "issuer",
    [
        *("", "tokens.example.com", "ftp://tokens.example.com", "https://", "https://a b/"),
        *(
            "https://a?b",
            "https://a#b",
            "https://me@a",
            "https://a//",
            "https://a/b//c",
            "https://a/./b",
            "https://a/..",
        ),
        *("https://a/%62", "https://a/{b}", "https://a/é"),
    ],
)
def test_the_issuer_is_a_url(directory: Path, issuer: str) -> None:
    """Whoever verifies looks for the JWKS there."""
    (problem,) = problems(written(directory, f'[issuance]\nissuer = "{issuer}"\n'), dev=True)

    assert problem.startswith("TOKENAUTHORITY_ISSUANCE__ISSUER (issuance.issuer in the file) must be a URL, such as ")


@pytest.mark.parametrize(
    "issuer", ["https://a", "https://a/", "https://a:8443/b", "https://[::1]/b/c.d/", "https://A/~b"]
)
def test_the_issuer_stays_as_it_is_written(directory: Path, issuer: str) -> None:
    """Verifiers compare it byte for byte."""
    file = written(directory, f'[issuance]\nissuer = "{issuer}"\n')

    assert issuer == load(file, dev=True).issuance.issuer


@pytest.mark.parametrize("group", ["listen", "database", "keys", "limits"])
def test_a_group_must_be_a_table(directory: Path, group: str) -> None:
    """A value in place of a group is an error that does not repeat it."""
    (problem,) = problems(written(directory, f'{group} = "{CANARY}"\n'), dev=True)

    assert f"{group} in the file must be a table: [{group}]" == problem


def test_a_key_of_dev_lives_until_the_next_one_may_sign(directory: Path) -> None:
    """A period in which no key could be published long enough would leave hours without any."""
    text = "[keys]\nrotation_period = {}\n[issuance]\njwks_max_age = 1\nleeway = 1\n"
    (problem,) = problems(written(directory, text.format(2)), dev=True)

    assert problem.startswith("TOKENAUTHORITY_KEYS__ROTATION_PERIOD must be more than 2, or a key would end before")
    assert 3 == load(written(directory, text.format(3)), dev=True).keys.rotation_period


@pytest.mark.parametrize("name", ["grpc", "http", "ops"])
@pytest.mark.parametrize(
    "address", ["0.0.0.0:1", "[::]:1", "192.0.2.1:1", "example.org:1", "localhost.example.org:1", "127.example.org:1"]
)
def test_dev_serves_loopback_only(directory: Path, name: str, address: str) -> None:
    """Plaintext and a printed key are for this machine."""
    (problem,) = problems(written(directory, f'[listen]\n{name} = "{address}"\n'), dev=True)

    assert f"TOKENAUTHORITY_LISTEN__{name.upper()}: --dev listens on loopback only, not on {address}" == problem


@pytest.mark.parametrize("address", ["127.0.0.1:0", "127.255.0.1:65535", "localhost:1", "[::1]:1"])
def test_dev_takes_every_loopback_address(directory: Path, address: str) -> None:
    """IPv4, IPv6 and by name."""
    assert address == load(written(directory, f'[listen]\ngrpc = "{address}"\n'), dev=True).listen.grpc


@pytest.mark.parametrize("address", ["", "50051", ":1", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:99999",
                                     "a b:1", "unix:/x", "127.0.0.1:1\n", "::1:1"])  # fmt: skip
def test_refuses_what_is_no_address(directory: Path, address: str) -> None:
    """Host and port are needed, and the port must be one."""
    (problem,) = problems(written(directory, f'[listen]\nhttp = """{address}"""\n'), dev=True)

    assert (
        "TOKENAUTHORITY_LISTEN__HTTP (listen.http in the file) must be HOST:PORT, such as 0.0.0.0:8080 or [::]:8080"
        == (problem)
    )


def test_refuses_a_path_with_nul(directory: Path) -> None:
    """No file has such a name; the setting is named before anything is made."""
    (directory / "authority.toml").write_text('data_dir = "a\\u0000"\n[audit]\npath = "b\\u0000"\n')

    with pytest.raises(ConfigError) as refused:
        load(Path("authority.toml"), dev=True)

    assert (
        "TOKENAUTHORITY_DATA_DIR (data_dir in the file) must not have a NUL character",
        "TOKENAUTHORITY_AUDIT__PATH (audit.path in the file) must not have a NUL character",
    ) == refused.value.problems
