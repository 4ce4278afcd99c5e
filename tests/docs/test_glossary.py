"""One word means one thing: what the glossary rules out occurs nowhere."""

from __future__ import annotations

import re

from pathlib import Path

import pytest


ROOT = Path(__file__).resolve().parents[2]
GLOSSARY = ROOT / "docs" / "glossary.md"
TABLE = GLOSSARY.read_text(encoding="utf-8").partition("| --- |")[2]
ROWS = re.findall(r"^\| ([^|]+?) +\| ([^|]+?) +\| ?([^|]*?) *\|$", TABLE, re.MULTILINE)
MOST = 40
PUBLIC = re.compile(
    r"--anchor\b|`anchor`|suspect_rate|\"anchor\"|anchor=|\.anchor\b|\banchor: str"
    r"|audit\.head_file_absent|keys_at_hand=|\bpg_catalog\."
)
"""Names that users have, of options, fields, events and settings, and names of PostgreSQL: they stay as they are."""

FORBIDDEN = sorted(word for _, _, never in ROWS for word in never.split(", ") if never)
GENERATED = ROOT / "src" / "tokenauthority" / "v1"
SOURCES = sorted(
    path
    for folder in ("benchmarks", "examples", "protos", "scripts", "src", "tests")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in {".proto", ".py"} and not path.is_relative_to(GENERATED) and "node_modules" not in path.parts
)
PAGES = sorted([*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md"), ROOT / "tests" / "README.md"])
TEXTS = {
    path: PUBLIC.sub("", path.read_text(encoding="utf-8"))
    for path in [*PAGES, *SOURCES]
    if path not in {GLOSSARY, Path(__file__)}
}


def test_the_glossary_is_short() -> None:
    """A reader can learn it in one sitting."""
    assert 20 < len(ROWS) <= MOST


def test_the_glossary_defines_each_word_once() -> None:
    """And in the order of the alphabet, so that a reader finds it."""
    words = [word for word, _, _ in ROWS]

    assert len(set(words)) == len(words)
    assert sorted(words, key=str.lower) == words


@pytest.mark.parametrize("word", FORBIDDEN)
def test_a_ruled_out_word_occurs_nowhere(word: str) -> None:
    """Neither on a page nor in a text or a name of the code, its tests and tools, or the contract."""
    found = re.compile(r"(?<![a-z])" + r"[\s#_]+".join(word.split()) + r"(?![a-z])", re.IGNORECASE)

    assert [] == [path.relative_to(ROOT).as_posix() for path, text in TEXTS.items() if found.search(text)]
