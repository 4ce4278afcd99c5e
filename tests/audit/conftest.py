"""What the tests of the audit log share."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.logs import capture_logs


@pytest.fixture(autouse=True)
def events() -> Iterator[list[MutableMapping[str, Any]]]:
    """The events that were logged, instead of their printing."""
    with capture_logs() as captured:
        yield captured


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a log goes."""
    return tmp_path / "audit.jsonl"
