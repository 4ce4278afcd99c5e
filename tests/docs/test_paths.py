"""The paths that code, tests and pages name exist."""

from __future__ import annotations

import re

from pathlib import Path

import pytest

from scripts.docs.pages import PAGES


ROOT = Path(__file__).resolve().parents[2]
NAMED = re.compile(r"\b(?:clients/\w+|docs|tests|examples|scripts|protos)/[\w./-]*\w\.(?:md|py|sh|proto|svg|json)\b")
DECISION = re.compile(r"\[ADR (\d+)\]\([^)]*?((\d{4})-[^)#]*)[)#]")
SUFFIXES = {".md", ".proto", ".py", ".sh", ".toml", ".yml", ".yaml"}
FILES = [
    path
    for part in ("benchmarks", "docs", "examples", "protos", "scripts", "src", "tests")
    for path in (ROOT / part).rglob("*")
    if path.suffix in SUFFIXES and "node_modules" not in path.parts
] + [path for path in [*ROOT.iterdir(), *ROOT.glob("clients/*/*.md")] if path.suffix in SUFFIXES]


def test_every_path_that_is_named_exists() -> None:
    """A page or a test that moves takes the texts along that point to it."""
    generated = {f"docs/{page}" for page in PAGES}
    missing = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in FILES
        for name in NAMED.findall(path.read_text(encoding="utf-8"))
        if name not in generated and not (ROOT / name).exists()
    }

    assert set() == missing


def test_every_module_of_the_architecture_page_exists() -> None:
    """A path is relative to the package or to the root: no file is named without its folder."""
    page = (ROOT / "docs" / "explanation" / "architecture.md").read_text(encoding="utf-8")
    package = ROOT / "src" / "tokenauthority"
    named = set(re.findall(r"`([a-z0-9_/]+\.py)`", page))

    assert len(named) > 40
    assert [] == [name for name in sorted(named) if not (package / name).exists() and not (ROOT / name).exists()]


def test_each_decision_has_a_number_of_its_own() -> None:
    """The file's name, its heading and the links to it have the same number, and each link names a file."""
    decisions = sorted((ROOT / "docs" / "explanation" / "adr").glob("*.md"))
    named = [path.name.partition("-")[0] for path in decisions]
    links = [link for path in FILES for link in DECISION.findall(path.read_text(encoding="utf-8"))]

    assert sorted(set(named)) == named
    assert named == [
        f"{path.read_text(encoding='utf-8').partition('.')[0].removeprefix('# '):>04}" for path in decisions
    ]
    assert links
    assert [] == [link for link in links if int(link[0]) != int(link[2])]
    assert {link[1] for link in links} <= {path.name for path in decisions}


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "RELEASING.md", "SECURITY.md", "CHANGELOG.md", "README.md"])
def test_links_of_the_files_beside_the_site_lead_somewhere(name: str) -> None:
    """The strict build of the site does not see these files."""
    text = (ROOT / name).read_text(encoding="utf-8")
    links = [link.partition("#") for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]

    assert [] == [path for path, _, _ in links if not (ROOT / path).exists()]
    assert [] == [
        f"{path}#{fragment}" for path, _, fragment in links if fragment and fragment not in _fragments(ROOT / path)
    ]


def _fragments(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
