"""The message about a setting names its variable, and its key in the file."""

from __future__ import annotations

import pytest

from tests.config.conftest import CANARY, problems


def test_names_each_mistake_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt variable of a group is not also an unknown key of the file."""
    monkeypatch.setenv("TOKENAUTHORITY_LISTEN__GPRC", CANARY)

    assert ("TOKENAUTHORITY_LISTEN__GPRC is not a setting",) == problems(dev=True)
