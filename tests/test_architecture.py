"""The shape of the code base, held by tests."""

import ast
import re

from pathlib import Path

import pytest

from importlinter.cli import lint_imports


ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "tokenauthority"
GENERATED = {PACKAGE / "client" / "blocking", PACKAGE / "v1"}
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if GENERATED.isdisjoint(path.parents))
SOURCES = sorted({*MODULES, *(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")})
LONGEST = 300
SUPPRESSION = re.compile(r"#\s*(?:type:\s*ignore|noqa)")
REASONED = re.compile(r"#\s*(?:type: ignore\[[a-z, -]+\]  # |noqa: [A-Z]+[0-9]+(?:, [A-Z]+[0-9]+)* - )\w")


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_imports_keep_the_contracts(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Every import obeys the contracts in pyproject.toml."""
    monkeypatch.chdir(ROOT)

    broken = lint_imports(no_cache=True, no_logo=True)

    assert not broken, capsys.readouterr().out


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_module_is_short(path: Path) -> None:
    """A module has few enough lines to be read in one sitting."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_module_opens_with_its_promise(path: Path) -> None:
    """A module opens with a docstring."""
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_suppressions_name_their_rule_and_reason(path: Path) -> None:
    """A comment that silences a checker names the rules that it silences and says why."""
    silent = [
        line
        for line in path.read_text(encoding="utf-8").splitlines()
        if (found := SUPPRESSION.search(line)) and not REASONED.match(line, found.start())
    ]

    assert [] == silent


def test_no_two_classes_share_a_name() -> None:
    """A class name means one thing in all of the package, so that a search for it finds one place."""
    homes: dict[str, list[str]] = {}
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                homes.setdefault(node.name, []).append(_name(path))

    assert {} == {name: places for name, places in homes.items() if len(places) > 1}
