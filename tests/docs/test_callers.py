"""The page about callers is true: its examples are valid, and its commands print what it shows."""

from __future__ import annotations

import re

from pathlib import Path

import pytest

from tests.cli.conftest import Run, run_alone  # noqa: F401 - a fixture
from tokenauthority.callers.file import load_callers


DOCUMENT = (Path(__file__).parents[2] / "docs" / "how-to" / "add-a-caller.md").read_text()
EXAMPLES = re.findall(r"```toml\n(.*?)```", DOCUMENT, re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=["callers", "kubernetes"])
def test_examples_are_valid(tmp_path: Path, example: str) -> None:
    """Each is a whole callers file."""
    path = tmp_path / "callers.toml"
    path.write_text(example)

    assert ["room-service"] == [entry.caller.name for entry in load_callers(path).entries]


def test_the_answer_shown_is_the_answer(
    run_alone: Run,  # noqa: F811 - the fixture
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """For the first example."""
    monkeypatch.chdir(tmp_path)
    Path("callers.toml").write_text(EXAMPLES[0])
    command, answer = re.findall(r"\$ tokenauthority (callers check .*?)\n(.*?)\$", DOCUMENT, re.DOTALL)[0]

    assert answer == run_alone(*command.split()).out
