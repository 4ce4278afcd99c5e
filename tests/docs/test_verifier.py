"""The page about the offline verifier is true: its caller may do enough, its options are those of the code."""

from __future__ import annotations

import re

from pathlib import Path

import attrs

from tokenauthority.verifier.settings import VerifierOptions, VerifierSettings


PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "verify-offline.md").read_text(encoding="utf-8")


def test_the_caller_gets_the_actions_that_a_verifier_needs() -> None:
    """The two of `test_two_actions_are_all_that_it_needs`; that the command works, the examples' test shows."""
    assert ["keys.read", "tokens.watch"] == re.findall(r"--action (\S+)", PAGE)


def test_every_option_is_listed_with_its_default() -> None:
    """The table, the typed options and the settings are one list."""
    table = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", PAGE, re.MULTILINE))
    numbers = {
        field.name: field.default for field in attrs.fields(VerifierSettings) if isinstance(field.default, int | float)
    }

    assert set(VerifierOptions.__annotations__) == set(table)
    assert set(VerifierOptions.__annotations__) == {field.name for field in attrs.fields(VerifierSettings)}
    assert numbers == {name: float(table[name].replace(",", "")) for name in numbers}
