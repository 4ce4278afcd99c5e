"""Fixtures that tests of every part may ask for."""

from __future__ import annotations

import gc
import os
import sys

from collections.abc import Generator, Iterator

import httpx
import hypothesis
import pytest
import structlog


# Before grpc is imported: its handlers of fork disturb `subprocess.run(user=...)`, and no test forks without an exec.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"

# A machine that is busy with other tests makes an example slow, not wrong.
hypothesis.settings.register_profile("tests", deadline=None)
hypothesis.settings.load_profile("tests")

for ask in (httpx.get, httpx.post, httpx.request, httpx.stream, httpx.Client.__init__):
    # Such a machine makes an answer slow too, and the default is 5 seconds.
    ask.__kwdefaults__ = {**(ask.__kwdefaults__ or {}), "timeout": 60.0}

# An authority in this process logs at any moment, and standard output is what tests of the command line read.
structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.__stderr__))

pytest_plugins = [
    "tests.support.authority",
    "tests.support.postgres",
    "tests.support.wire",
    "tests.support.production",
    "tests.support.softhsm",
]


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect without the garbage collector, and keep it from all that then stays to the end: a fifth of the CPU."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture
def without_garbage_collection() -> Iterator[None]:
    """Only what nothing refers to is freed."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()
