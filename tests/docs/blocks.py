"""Read the fenced blocks of the documentation, with the programs that they show."""

from __future__ import annotations

import re

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import attrs


ROOT: Final = Path(__file__).resolve().parents[2]
PAGES: Final = sorted(
    [
        *(ROOT / "docs").rglob("*.md"),
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "clients" / "python" / "README.md",
    ]
)

_FENCE: Final = re.compile(
    r"(?:<!-- not run: (?P<reason>.+?) -->\n\n?)?"
    r"^(?P<indent> *)```(?P<language>[a-z]+)(?P<no_run> no-run)?(?: title=\"(?P<title>[^\"]+)\")?\n"
    r"(?P<text>.*?)^(?P=indent)```$",
    re.DOTALL | re.MULTILINE,
)
_PROGRAM: Final = re.compile(r"^--8<-- \"(?P<path>[^\":]+)\"$", re.MULTILINE)
"""A whole file that pymdownx.snippets shows in a block. Paths are checked by the strict build of the site."""

_STATUS: Final = re.compile(r"# exit code (\d+)$")


@attrs.frozen
class Command:
    """One command of a `console` block, and the output that the block shows below it."""

    text: str
    output: str

    @property
    def status(self) -> int:
        """The exit code: 0, unless a comment at the end of the command says another."""
        found = _STATUS.search(self.text)
        return int(found[1]) if found else 0

    def expects(self, output: str) -> bool:
        """Return whether *output* is what the block shows: `…` stands for any text, and white space counts once."""
        first, *others = [" ".join(part.split()) for part in self.output.split("…")]
        rest = " ".join(output.split())
        if not others:
            return rest == first
        if not rest.startswith(first):
            return False
        rest = rest.removeprefix(first)
        for part in others[:-1]:
            _, found, rest = rest.partition(part) if part else ("", "…", rest)
            if not found:
                return False
        return rest.endswith(others[-1])


@attrs.frozen
class Block:
    """One fenced block."""

    page: str
    language: str
    text: str
    title: str = ""
    runs: bool = True
    reason: str = ""

    def commands(self) -> Iterator[Command]:
        """Return the commands of a `console` block."""
        for part in re.split(r"^\$ ", self.text, flags=re.MULTILINE)[1:]:
            lines = part.splitlines()
            last = next(number for number, line in enumerate(lines) if not line.endswith("\\"))
            yield Command("\n".join(lines[: last + 1]), "\n".join(lines[last + 1 :]).strip("\n"))


def blocks_of(page: Path) -> list[Block]:
    """Return the blocks of a page in their order, each without its indentation, as the site shows them."""
    shown = _PROGRAM.sub(
        lambda program: (ROOT / program["path"]).read_text(encoding="utf-8"), page.read_text(encoding="utf-8")
    )
    return [
        Block(
            page=page.relative_to(ROOT).as_posix(),
            language=found["language"],
            text=re.sub(rf"^{found['indent']}", "", found["text"], flags=re.MULTILINE),
            title=found["title"] or "",
            runs=found["no_run"] is None,
            reason=" ".join((found["reason"] or "").split()),
        )
        for found in _FENCE.finditer(shown)
    ]


BLOCKS: Final = [block for page in PAGES if page.is_file() for block in blocks_of(page)]
