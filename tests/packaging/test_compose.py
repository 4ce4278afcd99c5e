"""The compose file: the server accepts its settings, and what its parts name is there."""

from __future__ import annotations

import re

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click
import pytest
import yaml

from tokenauthority.cli.app import root
from tokenauthority.config.loading import load
from tokenauthority.config.settings import PREFIX, Settings
from tokenauthority.server.lifecycle import _FINISH
from tokenauthority.server.memory import worst_case


DEPLOY: Final = Path(__file__).parents[2] / "deploy"
COMPOSE: Final[dict[str, Any]] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: Final[dict[str, dict[str, Any]]] = COMPOSE["services"]
PROMETHEUS: Final = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))
PLACE: Final = "/etc/tokenauthority"
OF_THE_OPERATOR: Final = {"./secrets", "./secrets/ca.crt"}
"""What the page has the operator make."""

VARIABLE: Final = re.compile(r"\$\{(?P<name>\w+)(?::(?:\?|-(?P<default>))(?P<text>[^}]*))?\}")


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """What the server reads in the container, with the files that the page has the operator make."""
    for name in ("callers.toml", "ca.crt", "master.key", "tls.crt", "tls.key"):
        (tmp_path / name).write_text("for a test")
    for name, value in SERVICES["authority"]["environment"].items():
        monkeypatch.setenv(name, _interpolated(value).replace(PLACE, str(tmp_path)))
    return load()


def test_the_server_accepts_the_settings(settings: Settings) -> None:
    """The real code reads them, and every file is in the mounted directory."""
    assert f"./secrets:{PLACE}:ro" in SERVICES["authority"]["volumes"]
    assert settings.database.url is not None
    assert "made-up@postgres/" in settings.database.url.get_secret_value()


def test_memory_and_time_suffice(settings: Settings) -> None:
    """The limit of memory covers the worst case, and a stop the drain."""
    authority, limits = SERVICES["authority"], settings.limits

    assert sum(worst_case(settings).values()) <= int(authority["mem_limit"].removesuffix("g")) * 2**30
    assert limits.drain_delay + limits.drain_grace + _FINISH < int(authority["stop_grace_period"].removesuffix("s"))


def test_what_a_service_names_is_there() -> None:
    """Services, networks, volumes, secrets and files."""
    for service in SERVICES.values():
        assert service.get("depends_on", {}).keys() <= SERVICES.keys()
        assert set(service["networks"]) <= COMPOSE["networks"].keys()
        assert set(service.get("secrets", [])) <= COMPOSE["secrets"].keys()
    named = {source for source in _sources() if not source.startswith(".")}
    files = {source for source in _sources() if source.startswith(".")} - OF_THE_OPERATOR

    assert named == COMPOSE["volumes"].keys()
    assert files
    assert [] == [file for file in files if not (DEPLOY / file).exists()]


def test_the_schema_is_upgraded_first_in_the_same_database() -> None:
    """By a command that exists, and then the server starts."""
    upgrade, authority = SERVICES["db-upgrade"], SERVICES["authority"]
    group = root.get_command(click.Context(root), upgrade["command"][0])

    assert isinstance(group, click.Group)
    assert upgrade["command"][1] in group.commands
    assert upgrade["environment"] == authority["environment"]
    assert {"condition": "service_completed_successfully"} == authority["depends_on"]["db-upgrade"]


def test_strangers_reach_callers_ports_alone() -> None:
    """Other ports are published on loopback, and those of the store and of operators not at all."""
    published = {port for service in SERVICES.values() for port in service.get("ports", [])}
    public = {port for port in published if not port.startswith("127.0.0.1:")}

    assert {"50051:50051", "8080:8080"} == public
    assert "ports" not in SERVICES["postgres"]
    assert COMPOSE["networks"]["store"]["internal"]


def test_prometheus_scrapes_the_authority() -> None:
    """At the port of listen.ops of the image, with the CA that is mounted, on a network that both have."""
    [scrape] = PROMETHEUS["scrape_configs"]
    [target] = [target for group in scrape["static_configs"] for target in group["targets"]]
    dockerfile = (DEPLOY.parent / "Dockerfile").read_text(encoding="utf-8")
    ops = re.findall(rf"{PREFIX}LISTEN__OPS=\S+:(\d+)", dockerfile)

    assert [f"authority:{port}" for port in ops] == [target]
    assert "https" == scrape["scheme"]
    assert f"/run/secrets/{SERVICES['prometheus']['secrets'][0]}" == scrape["tls_config"]["ca_file"]
    assert set(SERVICES["prometheus"]["networks"]) & set(SERVICES["authority"]["networks"])


def test_the_page_makes_what_the_file_needs() -> None:
    """Each variable without a default, and each file in the directory of secrets."""
    page = (DEPLOY.parent / "docs" / "how-to" / "run-with-compose.md").read_text(encoding="utf-8")
    required = {found["name"] for found in VARIABLE.finditer(str(COMPOSE)) if found["default"] is None}
    files = {path.rpartition("/")[2] for path in re.findall(rf"{PLACE}/[\w.]+", str(COMPOSE))}

    made = re.findall(r"secrets/[\w.]+", page)

    assert required
    assert [] == [name for name in required if f"{name}=%s" not in page]
    assert [] == [name for name in {*files, "ca.crt"} if f"secrets/{name}" not in made]


def _sources() -> Iterator[str]:
    for service in SERVICES.values():
        yield from (volume.partition(":")[0] for volume in service.get("volumes", []))
    yield from (secret["file"] for secret in COMPOSE["secrets"].values())


def _interpolated(value: str) -> str:
    return VARIABLE.sub(lambda found: "made-up" if found["default"] is None else found["text"], value)
