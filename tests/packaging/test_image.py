"""The image: its health check tells a server that serves from others, and its variables are settings."""

from __future__ import annotations

import re
import signal
import subprocess

from pathlib import Path
from typing import Final

import pytest

from tests.conformance.sdk.programs import find, report_missing
from tests.support.authority import WAIT, eventually
from tests.support.production import Production
from tokenauthority.config.settings import PREFIX, Settings


ROOT: Final = Path(__file__).parents[2]
DOCKERFILE: Final = (ROOT / "Dockerfile").read_text(encoding="utf-8")
HEALTHY: Final = ROOT / "deploy" / "image" / "healthy"
DRAIN: Final = "100"
"""Seconds for which a server that stops still answers: longer than any test."""


def is_healthy(address: str) -> bool:
    """Run the health check as the image does, with the address of listen.ops in its variable."""
    try:
        find("openssl", "none: Debian: apt-get install openssl")
    except RuntimeError as error:
        report_missing(str(error))
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", f"{PREFIX}LISTEN__OPS": address}
    return subprocess.run([HEALTHY], env=environment, timeout=WAIT, check=False).returncode == 0


@pytest.mark.parametrize("plaintext", ["false", "true"])
def test_a_server_that_serves_is_healthy(plaintext: str, production: Production) -> None:
    """With TLS and, behind a proxy, without. The address of all addresses is asked on loopback."""
    server = production.start(LISTEN__HTTP_PLAINTEXT=plaintext)
    port = server.ops_address.rpartition(":")[2]

    assert is_healthy(server.ops_address)
    assert is_healthy(f"0.0.0.0:{port}")


def test_a_server_that_does_not_serve_is_not_healthy(production: Production) -> None:
    """It answers 503 while it drains, and nothing once it has ended."""
    server = production.start(LIMITS__DRAIN_DELAY=DRAIN)
    assert is_healthy(server.ops_address)
    server.process.send_signal(signal.SIGTERM)
    eventually(lambda: server.get("/readyz").is_server_error, "it does not drain")

    assert not is_healthy(server.ops_address)
    server.process.kill()
    server.process.wait(WAIT)
    assert not is_healthy(server.ops_address)


def test_the_image_listens_where_published_ports_reach_it() -> None:
    """On all addresses, and on the ports that it exposes."""
    given = dict(re.findall(rf"{PREFIX}LISTEN__(\w+)=(\S+)", DOCKERFILE))
    listen = Settings.model_validate({"listen": {name.lower(): address for name, address in given.items()}}).listen
    exposed = re.findall(r"^EXPOSE (.+)$", DOCKERFILE, re.MULTILINE)[0].split()

    assert [f"0.0.0.0:{port}" for port in exposed] == [listen.grpc, listen.http, listen.ops]


def test_what_the_image_copies_is_there() -> None:
    """And .dockerignore, which leaves everything out, lets it in."""
    copied = [
        source
        for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
        for source in line.split()[:-1]
        if source != "."
    ]
    let_in = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]

    assert "deploy/image/healthy" in copied
    assert [] == [source for source in copied if not (ROOT / source).exists()]
    assert [] == [source for source in copied if not any(source.startswith(path) for path in let_in)]
