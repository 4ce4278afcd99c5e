"""What the tests of an installation share."""

from __future__ import annotations

import pytest

from tests.packaging.wheels import Wheels, build


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Wheels:
    """Both distributions, built once for each test process."""
    return build(tmp_path_factory.mktemp("wheels"))
