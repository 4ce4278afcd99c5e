"""An empty working directory with no settings, and what `load` objects to."""

from __future__ import annotations

import os

from pathlib import Path

import pytest

from tokenauthority.config.loading import ConfigError, load


CANARY = "canary-1d0c9b"

ENTRIES = {
    "TLS__CERT_FILE": "cert.pem",
    "TLS__KEY_FILE": "key.pem",
    "CALLERS__FILE": "callers.toml",
    "KEYS__MASTER_KEY_FILE": "master.key",
}
"""Variables that name files, without the prefix."""


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, and none of our variables."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.upper().startswith("TOKENAUTHORITY_"):
            monkeypatch.delenv(name)
    return tmp_path


@pytest.fixture
def complete(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, with all that a server outside of --dev needs."""
    for variable, name in ENTRIES.items():
        (directory / name).touch()
        monkeypatch.setenv(f"TOKENAUTHORITY_{variable}", name)
    monkeypatch.setenv("TOKENAUTHORITY_ISSUANCE__ISSUER", "https://tokens.example")
    return directory


def problems(config_file: Path | None = None, *, dev: bool = False, dev_api_key: str | None = None) -> tuple[str, ...]:
    """What `load` objects to."""
    with pytest.raises(ConfigError) as caught:
        load(config_file, dev=dev, dev_api_key=dev_api_key)
    assert all(problem in str(caught.value) for problem in caught.value.problems)
    assert CANARY not in f"{caught.value!r} {caught.value} {caught.value.__cause__!r}"
    return caught.value.problems


def written(directory: Path, text: str) -> Path:
    """A settings file with *text*."""
    path = directory / "authority.toml"
    path.write_text(text)
    return path
