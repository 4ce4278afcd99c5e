"""Extend MkDocs: add the generated pages, and fail the strict build on an undefined setting or a foreign asset."""

from __future__ import annotations

import logging
import re

from pathlib import Path
from typing import Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from scripts.docs.pages import FILES, PAGES
from scripts.docs.prose import undefined_settings


_log: Final = logging.getLogger("mkdocs.hooks.tokenauthority")
_NOT_RUN: Final = re.compile(r"<!-- not run: (.+?) -->\n", re.DOTALL)
_TEST: Final = re.compile(r"^- `(tests/\S+\.py)::test_(\w+)`$", re.MULTILINE)
_FENCE: Final = re.compile(r"^(\s*```\w+) no-run\b", re.MULTILINE)
_FOREIGN: Final = re.compile(r"<(?:script|img|iframe|link)\b[^>]*\b(?:src|href)=[\"']?(?:https?:)?//[^>]*>")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put decisions and the languages of clients into the menu, so that a new page needs no line in mkdocs.yml."""
    docs = Path(config.docs_dir)
    menu = {title: pages for entry in config.nav or () for title, pages in entry.items()}
    menu["Explanation"].append({"Decisions": _pages(docs, "explanation/adr")})
    # After the first page of the section.
    menu["Clients"][1:1] = [page for page in _pages(docs, "clients") if page not in menu["Clients"]]
    return config


def _pages(docs: Path, folder: str) -> list[str]:
    return sorted(path.relative_to(docs).as_posix() for path in (docs / folder).glob("*.md"))


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what is generated."""
    for path, generate in {**PAGES, **FILES}.items():
        files.append(File.generated(config, path, content=generate()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001 - by name
    """Warn of undefined settings, and show why the tests do not run a block."""
    for name in undefined_settings(markdown):
        _log.warning("%s names the setting %s, which does not exist", page.file.src_uri, name)
    shown = _NOT_RUN.sub(lambda found: f"*The tests do not run this block: {' '.join(found[1].split())}*\n\n", markdown)
    return _FENCE.sub(r"\1", _TEST.sub(_promise, shown))


def _promise(found: re.Match[str]) -> str:
    """Return the promise that the name of a test states, and where the test is."""
    return f"- {found[2].replace('_', ' ').capitalize()} (`{found[1]}`)"


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:  # noqa: ARG001 - MkDocs passes them by name
    """Warn of an asset that a reader's browser would load from another host."""
    for tag in _FOREIGN.findall(output):
        if 'rel="canonical"' not in tag:
            _log.warning("%s loads something from another host: %s", page.file.src_uri, tag)
    return output
