"""docs/explanation/threats.md names a test for every threat, and every test that it names is there."""

from __future__ import annotations

import ast
import re

from pathlib import Path

import pytest


ROOT = Path(__file__).resolve().parent.parent.parent
NAMED = re.compile(r"`(tests/[a-z0-9_/]+\.py)::(test_[a-z0-9_]+)`")
NAME = re.compile(r"^\| \*\*(.+?)\*\*")
ROW = re.compile(r"^\| \*\*", re.MULTILINE)

TEXT = (ROOT / "docs" / "explanation" / "threats.md").read_text(encoding="utf-8")
ROWS = [line for line in TEXT.splitlines() if ROW.match(line)]
RULES = [
    *[f"3.{number}" for number in range(1, 13)],
    *[f"bis: {name}" for name in ("case", "binding", "JWS or JWE", "p2c", "characters", "inflation")],
]
"""The sections of RFC 8725 and what the draft that follows it adds."""

ATTACKS = [
    "alg none",
    "RS to HS confusion",
    "embedded jwk",
    "jku and x5u",
    "kid injection",
    "psychic signature",
    "DER signature, wrong length",
    "crit",
    "b64 false",
    "duplicate names",
    "deep nesting",
    "huge and odd numbers",
    "aud and iss as lists",
    "not UTF-8",
    "lone surrogates",
    "odd base64url",
    "JSON serialisation",
    "number of dots",
    "oversized token",
    "JWE zip bomb",
    "key confusion by format",
    "token of another kind",
    "kid of another alg",
    "expired, nbf and iat in the future",
    "leeway edges",
    "SQL and paths in other claims",
    "anything else",
]


def test_every_named_test_exists() -> None:
    """A test that is renamed or lost is missed here."""
    missing = [f"{file}::{name}" for file, name in NAMED.findall(TEXT) if name not in _tests_of(ROOT / file)]

    assert [] == missing


def test_every_threat_has_a_test() -> None:
    """No row says that something is stopped and leaves it at that; nothing that looks like a name is passed over."""
    assert len(ROWS) > 20
    assert [] == [row for row in ROWS if not NAMED.search(row)]
    assert TEXT.count("tests/") == len(NAMED.findall(TEXT))


@pytest.mark.parametrize(
    ("table", "expected"), [("rule of RFC 8725", RULES), ("attack", ATTACKS)], ids=["RFC 8725", "attacks"]
)
def test_every_rule_and_attack_has_a_row(table: str, expected: list[str]) -> None:
    """A row that is lost is missed; that each has a test is held above."""
    rows = TEXT.partition(f"| {table} |")[2].partition("\n\n")[0].splitlines()[2:]

    assert expected == [NAME.findall(row)[0] for row in rows]


def _tests_of(path: Path) -> frozenset[str]:
    if not path.is_file():
        return frozenset()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
