"""The settings of the enforcer are complete and safe, or it does not start, and says all that is wrong."""

from __future__ import annotations

import re

from pathlib import Path

import pytest

from tests.enforcer.stand_ins import SECRET
from tests.support.enforcer import key_file, settings_text
from tokenauthority.config.loading import ConfigError
from tokenauthority.enforcer.pending import REFRESHED, Rules
from tokenauthority.enforcer.settings import EnforcerSettings, ServerSettings, load_settings


@pytest.fixture
def server(tmp_path: Path) -> dict[str, object]:
    """A table without a problem."""
    return {
        "name": "video",
        "kind": "livekit",
        "url": "https://livekit.example.com",
        "project_id": "47",
        "token_lifetime": 900,
        "key": "APIkey",
        "key_file": key_file(tmp_path, SECRET),
    }


def _load(
    directory: Path, *servers: dict[str, object], webhooks: str = "127.0.0.1:0"
) -> tuple[EnforcerSettings, list[ServerSettings]]:
    path = directory / "enforcer.toml"
    path.write_text(settings_text(directory, *servers, webhooks=webhooks), encoding="utf-8")
    return load_settings(path)


def test_a_server_has_its_secret_and_its_rules(tmp_path: Path, server: dict[str, object]) -> None:
    """The secret is without the newline that ends its file, and no repr shows it."""
    _, (found,) = _load(tmp_path, server)

    assert SECRET == found.secret
    assert SECRET not in repr(found)
    assert Rules(server="video", project_id="47", lifetime=900_000, refreshed=REFRESHED) == found.rules


def test_only_livekit_refreshes_tokens(tmp_path: Path, server: dict[str, object]) -> None:
    """So removal ends earlier elsewhere."""
    _, (found,) = _load(tmp_path, {**server, "kind": "centrifugo", "key": ""}, webhooks="off")

    assert 0 == found.rules.refreshed


@pytest.mark.parametrize(
    "url", ["https://a.example/path", "http://127.0.0.1:7880", "http://[::1]:7880", "http://localhost:7880"]
)
def test_accepts_https_and_loopback(tmp_path: Path, server: dict[str, object], url: str) -> None:
    """On loopback nobody else is on the way."""
    assert 1 == len(_load(tmp_path, {**server, "url": url})[1])


def test_plaintext_to_another_machine_needs_to_be_allowed(tmp_path: Path, server: dict[str, object]) -> None:
    """It shows the key to whoever is on the way."""
    elsewhere = {**server, "url": "http://livekit.example.com"}
    with pytest.raises(ConfigError, match=r"servers\.0\.url: must begin with https://"):
        _load(tmp_path, elsewhere)

    assert 1 == len(_load(tmp_path, {**elsewhere, "allow_plaintext": True})[1])


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"kind": "jitsi"}, r"servers\.0\.kind: Input should be 'livekit', 'centrifugo' or 'mediamtx'"),
        ({"url": "https://a.example/"}, r"servers\.0\.url"),
        ({"url": "https://user:secret@a.example"}, r"servers\.0\.url"),
        ({"name": "Video"}, r"servers\.0\.name"),
        ({"project_id": "0"}, r"servers\.0\.project_id: must be a decimal number"),
        ({"token_lifetime": 0}, r"servers\.0\.token_lifetime"),
        ({"token_lifetime": 2_592_001}, r"servers\.0\.token_lifetime"),
        ({"key": ""}, r"servers\.0\.key: is required for livekit"),
        ({"kind": "centrifugo"}, r"servers\.0\.key: is not for centrifugo"),
        ({"kind": "mediamtx", "key": ""}, r"servers\.0\.key: goes together with key_file"),
        ({"key_file": "/absent"}, r"servers\.0\.key_file: /absent cannot be read: No such file"),
        ({"secret": "x"}, r"servers\.0\.secret: Extra inputs"),
    ],
    ids=lambda value: "" if isinstance(value, str) else "-".join(value),
)
def test_refuses_what_cannot_work_or_is_not_safe(
    tmp_path: Path, server: dict[str, object], change: dict[str, object], problem: str
) -> None:
    """Each problem names its field."""
    with pytest.raises(ConfigError, match=problem):
        _load(tmp_path, {**server, **change})


@pytest.mark.parametrize("missing", ["name", "kind", "url", "project_id", "token_lifetime", "key_file"])
def test_names_what_is_missing(tmp_path: Path, server: dict[str, object], missing: str) -> None:
    """Nothing has a default that could be wrong."""
    del server[missing]

    with pytest.raises(ConfigError, match=rf"servers\.0\.{missing}: .*required"):
        _load(tmp_path, server)


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"\xff", b"a\nb", b"x" * 5000], ids=["none", "blank", "utf", "two", "long"]
)
def test_refuses_a_file_without_a_key(tmp_path: Path, server: dict[str, object], content: bytes) -> None:
    """An empty key would sign all the same."""
    Path(str(server["key_file"])).write_bytes(content)

    with pytest.raises(ConfigError, match=r"key_file: .* holds no key"):
        _load(tmp_path, server)


def test_an_invalid_server_makes_the_list_no_shorter(tmp_path: Path, server: dict[str, object]) -> None:
    """There is one server, so nothing says that there is none. Only a list without any is too short."""
    with pytest.raises(ConfigError) as invalid:
        _load(tmp_path, {**server, "name": "Not a name"})
    with pytest.raises(ConfigError) as empty:
        _load(tmp_path)

    assert ["servers.0.name"] == [problem.partition(":")[0] for problem in invalid.value.problems]
    assert ["servers"] == [problem.partition(":")[0] for problem in empty.value.problems]


def test_names_all_problems_at_once(tmp_path: Path, server: dict[str, object]) -> None:
    """Of every server."""
    with pytest.raises(ConfigError) as raised:
        _load(tmp_path, {**server, "url": "http://a.example", "key": ""}, {**server, "project_id": "x"})

    assert [
        "servers.0.url",
        "servers.0.key",
        "servers.1.project_id",
        "servers",
    ] == [problem.partition(":")[0] for problem in raised.value.problems]


def test_webhooks_are_those_of_a_livekit(tmp_path: Path, server: dict[str, object]) -> None:
    """A listener that nobody may use is a mistake."""
    with pytest.raises(ConfigError, match=r"listen\.webhooks: there is no server of the kind livekit"):
        _load(tmp_path, {**server, "kind": "centrifugo", "key": ""})


@pytest.mark.parametrize(
    ("text", "problem"),
    [("", "servers: Field required"), ("servers = []", "servers: .*at least 1"), ("a =", ":1: is not valid TOML")],
    ids=["empty", "none", "toml"],
)
def test_refuses_a_file_that_says_nothing(tmp_path: Path, text: str, problem: str) -> None:
    """An enforcer without servers would seem to work."""
    path = tmp_path / "enforcer.toml"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(ConfigError, match=problem):
        load_settings(path)


def test_refuses_a_file_that_is_absent(tmp_path: Path) -> None:
    """By its name."""
    path = tmp_path / "absent.toml"

    with pytest.raises(ConfigError, match=re.escape(f"{path} cannot be read: No such file")):
        load_settings(path)
