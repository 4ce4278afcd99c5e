"""The pages about threats name a test for every threat, and every test that they name is there."""

from __future__ import annotations

import ast
import re

from pathlib import Path


ROOT = Path(__file__).resolve().parent.parent.parent
NAMED = re.compile(r"^- `(tests/[a-z0-9_/]+\.py)::(test_[a-z0-9_]+)`$", re.MULTILINE)
SECTION = re.compile(r"^#{2,3} (.+)\n((?:(?!#).*\n?)*)", re.MULTILINE)

THREATS, ATTACKS_PAGE = (
    (ROOT / "docs" / "explanation" / name).read_text(encoding="utf-8") for name in ("threats.md", "token-attacks.md")
)
TEXT = THREATS + ATTACKS_PAGE
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
    """No section says that something is stopped and leaves it at that; nothing that looks like a name is skipped."""
    threats = SECTION.findall(THREATS)

    assert len(threats) > 20
    assert [] == [title for title, text in threats if not NAMED.search(text)]
    assert len(re.findall(r"`tests/", TEXT)) == len(NAMED.findall(TEXT))


def test_every_rule_and_attack_has_a_section_with_a_test() -> None:
    """A section that is lost is missed."""
    sections = SECTION.findall(ATTACKS_PAGE)

    assert ["Rules of RFC 8725", *RULES, "Attacks", *ATTACKS] == [title for title, _ in sections]
    assert [] == [title for title, text in sections if title in {*RULES, *ATTACKS} and not NAMED.search(text)]


def _tests_of(path: Path) -> frozenset[str]:
    if not path.is_file():
        return frozenset()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
