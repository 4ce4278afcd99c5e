"""A plan is coloured on a terminal, and nothing in it drives the terminal."""

from __future__ import annotations

import io
import sys

import pytest

from tokenauthority.cli.plan_output import show_plan
from tokenauthority.declaration.plan import FieldChange, Plan, PlannedChange, Verb


PLAN = Plan(
    (
        PlannedChange(verb=Verb.CREATE, kind="project", name="47", fields=(FieldChange("max_ttl", None, "1d"),)),
        PlannedChange(verb=Verb.CHANGE, kind="role", name="no", project_id="47", fields=(FieldChange("a", "x", []),)),
        PlannedChange(verb=Verb.DELETE, kind="project", name="48", note="2 sessions"),
        PlannedChange(verb=Verb.DELETE, kind="caller", name="rooms"),
        PlannedChange(verb=Verb.NOT_DECLARED, kind="caller", name="\x1b[2J\u202e"),
        PlannedChange(verb=Verb.BY_HAND, kind="caller", name="new", note="tokenauthority callers add"),
    )
)
LINES = [
    ("32", "+ project 47"),
    ("32", "    max_ttl: 1d"),
    ("33", "~ role no of project 47"),
    ("33", "    a: x -> -"),
    ("31", "- project 48 with 2 sessions"),
    ("31", "- caller rooms"),
    ("36", "? caller \\x1b[2J\\u202e is not declared"),
    ("35", "! caller new needs a credential, which is never in the file:"),
    ("35", "    tokenauthority callers add"),
    ("1", "1 to create, 1 to change, 2 to delete; 1 by hand; 1 not declared"),
]


class _Screen(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the usual kind."""
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)


def test_each_kind_of_change_has_its_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    """Green, yellow, red, cyan and magenta."""
    screen = _Screen()
    monkeypatch.setattr(sys, "stdout", screen)
    show_plan(PLAN)

    assert [f"\x1b[{colour}m{text}\x1b[0m" for colour, text in LINES] == screen.getvalue().splitlines()


@pytest.mark.parametrize("stream", [_Screen, io.StringIO])
def test_without_colours_the_signs_say_it(monkeypatch: pytest.MonkeyPatch, stream: type[io.StringIO]) -> None:
    """With NO_COLOR, and where the output is no terminal."""
    printed = stream()
    if stream is _Screen:
        monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(sys, "stdout", printed)
    show_plan(PLAN)

    found = printed.getvalue().splitlines()

    assert [text for _, text in LINES][:-1] == found[:-1]
    assert LINES[-1][1] in found[-1]
    assert "\x1b[3" not in printed.getvalue()


def test_a_plan_without_changes_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """In one line."""
    show_plan(Plan(()))

    assert "nothing to change: all is as it is declared\n" == capsys.readouterr().out
