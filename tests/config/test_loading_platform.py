"""The platforms that create sessions are those that the settings name, over TLS."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.config.conftest import problems
from tokenauthority.config.loading import load


@pytest.mark.parametrize(
    "urls",
    [
        "https://api.opentok.com/",
        "https://user@api.opentok.com",
        "https://api.opentok.com?x=1",
        "api.opentok.com",
        "ftp://api.opentok.com",
        "https://a.example,https://b.example",
        "https://a.example  https://b.example",
        "https://a.example\n",
    ],
)
def test_refuses_other_urls_of_platforms(complete: Path, monkeypatch: pytest.MonkeyPatch, urls: str) -> None:
    """`/session/create` is appended to each, and a project names it letter by letter."""
    monkeypatch.setenv("TOKENAUTHORITY_PLATFORM__URLS", urls)
    (problem,) = problems()

    assert "TOKENAUTHORITY_PLATFORM__URLS (platform.urls in the file) must be URLs such as" in problem


@pytest.mark.parametrize(
    ("urls", "dev", "outcome"),
    [
        ("https://api.opentok.com https://video.api.vonage.com:8443/base", False, ""),
        ("https://api.opentok.com http://127.0.0.1:80", False, "must begin with https://"),
        ("http://127.0.0.1:80 http://localhost http://[::1]:1/x", True, ""),
        ("http://127.0.0.1.example", True, "or with --dev be on loopback"),
        ("http://platform.example", True, "or with --dev be on loopback"),
    ],
)
def test_platforms_are_asked_over_tls(
    complete: Path,
    monkeypatch: pytest.MonkeyPatch,
    urls: str,
    dev: bool,  # noqa: FBT001 - pytest passes parameters by name
    outcome: str,
) -> None:
    """The credential of a project would else be anybody's on the way; on loopback a stand-in may do without."""
    if dev:
        monkeypatch.delenv("TOKENAUTHORITY_KEYS__MASTER_KEY_FILE")
    monkeypatch.setenv("TOKENAUTHORITY_PLATFORM__URLS", urls)
    if not outcome:
        assert frozenset(urls.split()) == load(dev=dev).platform.allowed_urls
        return
    (problem,) = problems(dev=dev)

    assert outcome in problem


def test_the_ca_file_of_platforms_must_be_there(complete: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the start, and not at the first session."""
    monkeypatch.setenv("TOKENAUTHORITY_PLATFORM__CA_FILE", "absent.pem")

    assert ("TOKENAUTHORITY_PLATFORM__CA_FILE: absent.pem is not a file",) == problems()
