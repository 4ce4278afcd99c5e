"""What each folder of `clients/` declares is enough to run it, and to run it alone."""

from __future__ import annotations

from collections import defaultdict

import pytest

from clients.interop.packages import CLIENTS, packages


NO_PACKAGE = {"interop"}


def test_each_folder_declares_how_it_is_run() -> None:
    """A client that no run knows would be held to nothing."""
    folders = {path.name for path in CLIENTS.iterdir() if path.is_dir() and any(path.iterdir())} - NO_PACKAGE

    assert folders == {package.directory.name for package in packages().values()}


def test_the_name_of_a_driver_selects_its_tests_alone(request: pytest.FixtureRequest) -> None:
    """`-k go` would else build other languages too."""
    runs: dict[str, set[str]] = defaultdict(set)
    for item in request.session.items:
        if isinstance(item, pytest.Function) and "client" in item.fixturenames:
            driver = str(item.callspec.params["client"])
            runs[item.nodeid.replace(f"[{driver}", "[").lower()].add(driver)

    assert [] == [
        f"{name} runs for {sorted(drivers)}"
        for name, drivers in runs.items()
        for driver in packages()
        if driver in name and drivers != {driver}
    ]
