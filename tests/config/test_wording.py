"""The message about a setting names its variable, and its key in the file."""

from __future__ import annotations

import pytest

from pydantic import TypeAdapter

from tests.config.conftest import CANARY, problems
from tokenauthority.config.settings import Settings


PATTERNED = [
    (group, name)
    for group, settings in Settings.model_fields.items()
    for name, field in getattr(settings.annotation, "model_fields", {}).items()
    if "pattern" in str(TypeAdapter(field.rebuild_annotation()).json_schema())
]


@pytest.mark.parametrize(("group", "name"), PATTERNED)
def test_each_setting_with_a_pattern_says_what_it_must_be(
    group: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader learns no pattern, and the value is not shown."""
    monkeypatch.setenv(f"TOKENAUTHORITY_{group}__{name}".upper(), f"{CANARY} !")

    (problem, *_) = problems(dev=True)

    assert f"({group}.{name} in the file) must be " in problem
    assert "pattern" not in problem
    assert CANARY not in problem


def test_names_each_mistake_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt variable of a group is not also an unknown key of the file."""
    monkeypatch.setenv("TOKENAUTHORITY_LISTEN__GPRC", CANARY)

    assert ["TOKENAUTHORITY_LISTEN__GPRC is not a setting"] == [p.partition(";")[0] for p in problems(dev=True)]
