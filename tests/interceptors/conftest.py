"""What the tests of interceptors share."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest

from tests.support.logs import capture_logs


@pytest.fixture(autouse=True)
def log() -> Iterator[list[MutableMapping[str, Any]]]:
    """The events that were logged, instead of their printing."""
    with capture_logs() as events:
        yield events
