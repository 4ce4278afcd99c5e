"""The authority of the run, and the client of each language, which is built when its first test asks for it."""

from __future__ import annotations

import contextlib
import os

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from clients.interop.client import Client
from clients.interop.packages import Package, Toolchain, packages
from clients.interop.world import World, running_world
from tests.conformance.sdk.programs import Announce, announce, report_missing  # noqa: F401 - pytest finds the fixture announce by its name in this module
from tests.support.authority import start_authority  # noqa: F401 - pytest finds the fixture start_authority by its name in this module


NOT_RUN = pytest.StashKey[dict[str, str]]()


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, dict[str, str]]]:
    """The authority, and the project of each client by its name."""
    with running_world(tmp_path_factory.mktemp("authority"), sorted(packages())) as made:
        yield made


@pytest.fixture(scope="session")
def world(running: tuple[World, dict[str, str]]) -> World:
    """The one authority of the run."""
    return running[0]


@pytest.fixture(scope="session")
def toolchain_of(announce: Announce) -> Callable[[Package], Toolchain]:  # noqa: F811 - the parameter asks pytest for the imported fixture
    """The toolchain of a package, which is built once, also where it has several drivers."""
    built: dict[Path, Toolchain] = {}

    def build(package: Package) -> Toolchain:
        if package.directory not in built:
            toolchain = package.find_toolchain()
            toolchain.build(announce)
            built[package.directory] = toolchain
        return built[package.directory]

    return build


@pytest.fixture(scope="session", params=sorted(packages()))
def client(
    request: pytest.FixtureRequest,
    running: tuple[World, dict[str, str]],
    tmp_path_factory: pytest.TempPathFactory,
    toolchain_of: Callable[[Package], Toolchain],
) -> Iterator[Client]:
    """The client of each language in turn."""
    name = str(request.param)
    package = packages()[name]
    try:
        toolchain = toolchain_of(package)
    except LookupError as error:
        request.config.stash.setdefault(NOT_RUN, {})[name] = str(error)
        report_missing(str(error))
    world, projects = running
    with contextlib.ExitStack() as own:
        yield Client(
            name=name,
            world=world,
            project_id=projects[name],
            directory=package.directory,
            log=tmp_path_factory.mktemp(name) / "stderr.log",
            toolchain=toolchain,
            own=own,
        )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test its time without that of builds, which have their own."""
    for item in items:
        item.add_marker(pytest.mark.timeout(300, func_only=True))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which languages were not run."""
    missing = terminalreporter.config.stash.get(NOT_RUN, {})
    for name, reason in missing.items():
        terminalreporter.write_line(f"NOT RUN: {name}: {reason}", red=True, bold=True)
    if missing and os.environ.get("CI"):
        terminalreporter.write_line("CI is set: that is a failure", red=True, bold=True)
