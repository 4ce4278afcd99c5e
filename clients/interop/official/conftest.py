"""An authority over TLS for the official SDKs, and each SDK with a project of its own, whose secret it holds."""

from __future__ import annotations

import contextlib
import itertools
import subprocess

from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs
import pytest
import trustme

from clients.interop.conftest import NOT_RUN
from clients.interop.driver import Driver, running_driver
from clients.interop.official.sdks import SDKS, Sdk
from tests.conformance.sdk.programs import Announce, report_missing
from tests.support.authority import clean_environment
from tests.support.production import Production, Server, production_in
from tokenauthority.client import Authority
from tokenauthority.v1 import project_pb2


NO_COPY = pytest.StashKey[dict[str, str]]()
_FIRST_PROJECT = 45_000_001


@attrs.frozen(kw_only=True)
class Platform:
    """The authority, and the secret of each project."""

    production: Production
    server: Server
    secrets: Mapping[str, str] = attrs.field(repr=False)
    trust_store: Path

    @property
    def url(self) -> str:
        """What takes the place of the platform's URL."""
        return f"https://{self.server.address_of('http_api').replace('127.0.0.1', 'localhost')}"


@attrs.frozen(kw_only=True)
class Program:
    """The driver of one SDK, ready to be started."""

    sdk: Sdk
    platform: Platform
    project_id: str
    log: Path
    variables: Mapping[str, str]
    authority: Authority
    _own: contextlib.ExitStack
    _running: list[Driver] = attrs.Factory(list)

    @contextlib.contextmanager
    def started(self, secret: str = "", url: str = "") -> Iterator[Driver]:
        """A driver with another secret or URL, for as long as the block runs."""
        places = {"ca": self.platform.production.directory / "ca.pem", "trust_store": self.platform.trust_store}
        command, trust = self.sdk.started_with(**places)
        variables = {
            **trust,
            "OPENTOK_API_KEY": self.project_id,
            "OPENTOK_API_SECRET": secret or self.platform.secrets[self.project_id],
            "OPENTOK_API_URL": url or self.platform.url,
        }
        environment = clean_environment(**self.variables, **variables)
        with running_driver(command, self.sdk.directory, environment, self.log) as driver:
            yield driver

    def audited(self) -> list[dict[str, object]]:
        """The audit records of the SDK's calls whose credential was valid."""
        caller = f"sdk-{self.project_id}"
        return [each for each in self.platform.server.audited() if each.get("caller") == caller]

    def read(self, data: str, *, legacy: bool) -> str:
        """What the SDK makes of *data*: Ruby's writes line ends in T1 as CRLF, PHP's drops `0` there."""
        if legacy and self.sdk.name == "official-ruby":
            return data.replace("\r\n", "\n").replace("\n", "\r\n")
        return "" if legacy and self.sdk.name == "official-php" and data == "0" else data

    @property
    def driver(self) -> Driver:
        """The driver that all tests share."""
        if not self._running:
            self._running.append(self._own.enter_context(self.started()))
        return self._running[0]


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """One authority with a project for each SDK, which the callers file names for that SDK."""
    directory = tmp_path_factory.mktemp("platform")
    projects = [str(number) for number, _ in zip(itertools.count(_FIRST_PROJECT), SDKS, strict=False)]
    with production_in(directory, trustme.CA()) as production:
        (directory / "ca.pem").write_bytes(production.root_certificates)
        production.write_callers('projects = ["*"]', 'actions = ["*"]', 'roles = ["*"]', *map(_sdk_caller, projects))
        server = production.start(LISTEN__HTTP_API="127.0.0.1:0")
        with production.client(server.address) as authority:
            requests = [project_pb2.CreateProjectRequest(project_id=each) for each in projects]
            secrets = [authority.projects.CreateProject(request).secret.secret for request in requests]
        yield Platform(
            production=production,
            server=server,
            secrets=dict(zip(projects, secrets, strict=True)),
            trust_store=directory / "ca.p12",
        )


@pytest.fixture(scope="session", params=SDKS, ids=lambda sdk: sdk.name)
def program(
    request: pytest.FixtureRequest, platform: Platform, tmp_path_factory: pytest.TempPathFactory, announce: Announce
) -> Iterator[Program]:
    """Each SDK in turn. One that no package registry has is not run unless the environment names a copy of it."""
    sdk: Sdk = request.param
    try:
        variables = sdk.prepare(announce)
    except LookupError as error:
        request.config.stash.setdefault(NO_COPY, {})[sdk.name] = str(error)
        pytest.skip(f"not run: {error}")
    except RuntimeError as error:
        request.config.stash.setdefault(NOT_RUN, {})[sdk.name] = str(error)
        report_missing(str(error))
    if sdk.name == "official-java":
        _make_trust_store(platform)
    project_id = str(_FIRST_PROJECT + SDKS.index(sdk))
    authority = platform.production.client(platform.server.address, project_id)
    with contextlib.ExitStack() as own:
        yield Program(
            sdk=sdk,
            platform=platform,
            project_id=project_id,
            log=tmp_path_factory.mktemp(sdk.name) / "stderr.log",
            variables=variables,
            authority=own.enter_context(authority),
            own=own,
        )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which SDKs were not run because no package registry has them. That fails no run, also not on CI."""
    for name, reason in terminalreporter.config.stash.get(NO_COPY, {}).items():
        terminalreporter.write_line(f"NOT RUN: {name}: {reason}", yellow=True, bold=True)


def _sdk_caller(project_id: str) -> str:
    return f"""
        [[callers]]
        name = "sdk-{project_id}"
        opentok_project = "{project_id}"
        projects = ["{project_id}"]
        actions = ["sessions.create"]
        """


def _make_trust_store(platform: Platform) -> None:
    command = ["keytool", "-importcert", "-noprompt", "-storetype", "PKCS12", "-storepass", "changeit"]
    files = {"-file": platform.production.directory / "ca.pem", "-keystore": platform.trust_store}
    for option, path in files.items():
        command += [option, str(path)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
