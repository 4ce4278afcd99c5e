"""docs/security.md names a test for every threat, and every test that it names is there."""

from __future__ import annotations

import ast
import re

from pathlib import Path


ROOT = Path(__file__).resolve().parent.parent.parent
NAMED = re.compile(r"`(tests/[a-z0-9_/]+\.py)::(test_[a-z0-9_]+)`")
ROW = re.compile(r"^\| \*\*", re.MULTILINE)

TEXT = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
ROWS = [line for line in TEXT.splitlines() if ROW.match(line)]


def test_every_named_test_exists() -> None:
    """A test that is renamed or lost is missed here."""
    missing = [f"{file}::{name}" for file, name in NAMED.findall(TEXT) if name not in _tests_of(ROOT / file)]

    assert [] == missing


def test_every_threat_has_a_test() -> None:
    """No row says that something is stopped and leaves it at that; nothing that looks like a name is passed over."""
    assert len(ROWS) > 20
    assert [] == [row for row in ROWS if not NAMED.search(row)]
    assert TEXT.count("tests/") == len(NAMED.findall(TEXT))


def _tests_of(path: Path) -> frozenset[str]:
    if not path.is_file():
        return frozenset()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
