"""The page about the verifier is true: its callers file is valid, its options and defaults are those of the code."""

from __future__ import annotations

import re

from pathlib import Path

import attrs

from tokenauthority.callers.file import load_callers
from tokenauthority.verifier.settings import VerifierOptions, VerifierSettings


DOCUMENT = (Path(__file__).parents[2] / "docs" / "how-to" / "verify-offline.md").read_text(encoding="utf-8")


def test_the_callers_file_is_valid_and_enough(tmp_path: Path) -> None:
    """Its actions are the two that a verifier needs, as `test_two_actions_are_all_that_it_needs` has them."""
    [example] = re.findall(r"```toml\n(.*?)```", DOCUMENT, re.DOTALL)
    path = tmp_path / "callers.toml"
    path.write_text(example.replace("…", "0f" * 32))

    [entry] = load_callers(path).entries

    assert {"keys.read", "tokens.watch"} == {action.value for action in entry.caller.grant.actions}


def test_every_option_is_told_with_its_default() -> None:
    """The table, the typed options and the settings are one list."""
    table = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", DOCUMENT, re.MULTILINE))
    numbers = {
        field.name: field.default for field in attrs.fields(VerifierSettings) if isinstance(field.default, int | float)
    }

    assert set(VerifierOptions.__annotations__) == set(table)
    assert set(VerifierOptions.__annotations__) == {field.name for field in attrs.fields(VerifierSettings)}
    assert numbers == {name: float(table[name].replace(",", "")) for name in numbers}
