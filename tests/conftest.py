"""Fixtures that tests of every part may ask for."""

from __future__ import annotations

import os

import hypothesis


# Before grpc is imported: its handlers of fork disturb `subprocess.run(user=...)`, and no test forks without an exec.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"

# A machine that is busy with other tests makes an example slow, not wrong.
hypothesis.settings.register_profile("tests", deadline=None)
hypothesis.settings.load_profile("tests")

pytest_plugins = [
    "tests.support.authority",
    "tests.support.postgres",
    "tests.support.wire",
    "tests.support.production",
    "tests.support.softhsm",
]
