"""A private file that others can read or write is named in the log, with its mode, and once."""

from __future__ import annotations

import pytest

from tests.support.authority import eventually
from tests.support.production import Production, Server


FILES = {
    "TOKENAUTHORITY_CALLERS__FILE": "callers.toml",
    "TOKENAUTHORITY_KEYS__MASTER_KEY_FILE": "master.key",
    "TOKENAUTHORITY_TLS__KEY_FILE": "server.key",
}


@pytest.fixture
def guarded(production: Production) -> Production:
    """All of these are private, and nobody but their owner can write the settings."""
    for name in FILES.values():
        (production.directory / name).chmod(0o600)
    (production.directory / "authority.toml").chmod(0o644)
    return production


def logged(server: Server, event: str) -> list[tuple[object, ...]]:
    """The settings, paths and modes of such events."""
    return sorted((line["setting"], line["path"], line.get("mode", "")) for line in server.events(event))


@pytest.mark.parametrize("mode", [0o644, 0o666, 0o620])
def test_names_each_exposed_file(guarded: Production, mode: int) -> None:
    """The callers file, because who can write it is every caller, and the keys; those that we make are private."""
    for name in FILES.values():
        (guarded.directory / name).chmod(mode)
    server = guarded.start()
    shown = f"{mode:04o}"

    eventually(lambda: len(logged(server, "file.exposed")) == 3, "not each of the files is named")
    assert [(setting, path, shown) for setting, path in FILES.items()] == logged(server, "file.exposed")


def test_names_the_secrets_of_turn_servers(guarded: Production) -> None:
    """Who has one uses the relays without the authority."""
    path = guarded.directory / "turn-secrets"
    path.write_text("s" * 32)
    path.chmod(0o640)
    server = guarded.start(TURN__URLS="turn:turn.example.com", TURN__SECRETS_FILE=path.name)
    eventually(lambda: bool(logged(server, "file.exposed")), "the file is not named")

    assert [("TOKENAUTHORITY_TURN__SECRETS_FILE", path.name, "0640")] == logged(server, "file.exposed")


def test_notices_a_change(guarded: Production) -> None:
    """At a reload as at the start: one line when a file becomes exposed, and one when it is private again."""
    path = guarded.directory / "server.key"
    server = guarded.start()
    path.chmod(0o604)
    eventually(lambda: bool(logged(server, "file.exposed")), "the change is not noticed")
    path.chmod(0o600)
    eventually(lambda: bool(logged(server, "file.protected")), "the end is not noticed")

    assert [("TOKENAUTHORITY_TLS__KEY_FILE", "server.key", "0604")] == logged(server, "file.exposed")


@pytest.mark.parametrize(
    ("added", "mode"),
    [("", 0o664), ('url = "sqlite:///canary.db"', 0o644), ('url = "sqlite:///canary.db"', 0o620)],
    ids=["writable", "secret", "secret-writable"],
)
def test_names_settings_that_others_may_write_or_that_hold_a_secret(guarded: Production, added: str, mode: int) -> None:
    """Whoever writes them says which keys and callers count, and a URL of the store may hold its password."""
    path = guarded.directory / "authority.toml"
    path.write_text(path.read_text().replace("[database]", f"[database]\n{added}"))
    path.chmod(mode)
    server = guarded.start()
    eventually(lambda: bool(logged(server, "file.exposed")), "the settings are not named")

    assert [("TOKENAUTHORITY_CONFIG", "authority.toml", f"{mode:04o}")] == logged(server, "file.exposed")


def test_names_what_the_callers_file_names(guarded: Production) -> None:
    """The token for an issuer is a secret. Whoever writes the keys or the CAs makes callers; all may read them."""
    for name, text in (("token", "canary"), ("roots.pem", ""), ("jwks.json", '{"keys": []}')):
        (guarded.directory / name).write_text(text)
        (guarded.directory / name).chmod(0o644)
    (guarded.directory / "roots.pem").write_bytes(guarded.root_certificates)
    server = guarded.start()
    callers = guarded.directory / "callers.toml"
    jwks = {"https://a.example": 'jwks_url = "https://127.0.0.1:1/"\nca_file = "roots.pem"\ntoken_file = "token"'}
    jwks["https://b.example"] = 'jwks_file = "jwks.json"'
    tables = [
        f'[[issuers]]\nissuer = "{name}"\naudience = "x"\nalgorithms = ["ES256"]\n{keys}' for name, keys in jwks.items()
    ]
    callers.write_text("\n".join([callers.read_text(), *tables]))
    eventually(lambda: len(logged(server, "file.exposed")) == 1, "the token is not named")
    for name in ("roots.pem", "jwks.json"):
        (guarded.directory / name).chmod(0o646)
    eventually(lambda: len(logged(server, "file.exposed")) == 3, "the keys are not named")

    assert [
        ("ca_file of https://a.example", "roots.pem", "0646"),
        ("jwks_file of https://b.example", "jwks.json", "0646"),
        ("token_file of https://a.example", "token", "0644"),
    ] == logged(server, "file.exposed")
