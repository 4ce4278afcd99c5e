"""Every example that the documentation shows works: the blocks of each page run against a real authority."""

from __future__ import annotations

import random
import shutil
import socket
import time
import tomllib

from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.docs.blocks import BLOCKS, PAGES, ROOT, Block, blocks_of
from tests.docs.workspace import Workspace
from tests.support.authority import AuthorityProcess, clean_environment, eventually, launch
from tests.support.turn import turn_settings
from tokenauthority.callers.file import load_callers
from tokenauthority.client import Authority, translated_errors
from tokenauthority.config.settings import Settings
from tokenauthority.enforcer.settings import EnforcerSettings
from tokenauthority.v1 import project_pb2


RUNNABLE = frozenset({"console", "python", "toml"})
ON_PAGES = [page for page in PAGES if page.is_file() and any(_block.runs for _block in blocks_of(page))]
MOST_NOT_RUN = 40
"""Blocks that no test of this folder runs; `make media` runs three of them. Lower this number when you make one run; do
not raise it lightly."""

TOOLS = ("curl", "openssl", "sqlite3")
"""Programs of the system that pages use."""

ADMIN = f"""\
[[callers]]
name           = "admin"
api_key_sha256 = "{"0" * 64}"
projects       = ["*"]
actions        = ["projects.create"]
"""
"""The callers file of an operator who adds a caller."""

QUICK = {"ISSUANCE__JWKS_MAX_AGE": "1", "ISSUANCE__LEEWAY": "0", "DATABASE__POLL_INTERVAL": "0.05"}
PLATFORM = {"PLATFORM__URLS": "https://api.opentok.com"}
"""What a page names as the platform of a project. No page has it asked."""

TURN_URLS = "turn:turn.example.com:3478?transport=udp turn:turn.example.com:3478?transport=tcp"

PUBLICATION = 1.1
"""Seconds after which a new signing key may sign, by the settings above; by default a page would wait for minutes."""


def _id(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.fixture
def development(tmp_path: Path) -> Iterator[AuthorityProcess]:
    """A development server as `make run` starts it, with the project 47000000 that the pages use."""
    turn = turn_settings(tmp_path, TURN_URLS.split())
    settings = {**QUICK, **PLATFORM, **{f"TURN__{name.upper()}": value for name, value in turn.items()}}
    authority = launch(tmp_path, **{f"TOKENAUTHORITY_{name}": value for name, value in settings.items()})
    try:
        with (
            Authority(authority.address, api_key=authority.api_key, plaintext=True) as client,
            translated_errors(),
        ):
            client.projects.CreateProject(project_pb2.CreateProjectRequest(project_id="47000000"))
        yield authority
    finally:
        authority.stop()
        if authority.process.stdout is not None:
            authority.process.stdout.close()


@pytest.mark.parametrize("page", ON_PAGES, ids=_id)
def test_examples_of_a_page_work(page: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Each command succeeds and prints what the page shows; each program runs; each file is accepted."""
    blocks = [block for block in blocks_of(page) if block.runs and (block.language in RUNNABLE or block.title)]
    absent = [tool for tool in TOOLS if any(tool in block.text for block in blocks) and shutil.which(tool) is None]
    if absent:
        pytest.skip(f"the page uses {', '.join(absent)}: install it (Debian: apt-get install {' '.join(absent)})")
    if any("tokenauthority serve --config" in block.text for block in blocks):
        workspace = _production(tmp_path)
    else:
        development: AuthorityProcess = request.getfixturevalue("development")
        (tmp_path / "callers.toml").write_text(ADMIN, encoding="utf-8")
        _issue_certificate(tmp_path, "ca.pem", "svid.pem", "svid.key")
        places = {**_places(tmp_path), "127.0.0.1:8082": development.api_url.removeprefix("http://")}
        workspace = Workspace(tmp_path, clean_environment(**development.environment), places)
        if any("keys activate" in block.text for block in blocks):
            published = time.time()
            eventually(lambda: time.time() > published + PUBLICATION, "the clock stands still")

    problems = [ran.problem for ran in workspace.run(blocks) if ran.problem]

    assert [] == problems


def test_blocks_that_are_not_run_say_why_and_stay_few() -> None:
    """A reason stands above each such block, and their number does not grow unnoticed."""
    not_run = [block for block in BLOCKS if not block.runs]

    assert [] == [f"{block.page}: {block.text}" for block in not_run if not block.reason]
    assert len(not_run) <= MOST_NOT_RUN


def test_there_are_examples() -> None:
    """Else the tests above would pass without a word."""
    assert 10 < len(ON_PAGES)
    assert 40 < sum(1 for block in BLOCKS if block.runs for _ in block.commands())


def test_every_file_shown_has_a_name() -> None:
    """A TOML block without a title would be tested by nothing."""
    unnamed = [block for block in BLOCKS if block.language == "toml" and block.runs and not block.title]

    assert [] == unnamed


@pytest.mark.parametrize(
    "block", [block for block in BLOCKS if block.title and block.language == "toml"], ids=lambda block: block.page
)
def test_every_file_shown_is_accepted(block: Block, tmp_path: Path) -> None:
    """A callers file is valid as a whole; settings have names and values that a server takes."""
    if "[[callers]]" in block.text:
        path = tmp_path / "callers.toml"
        path.write_text(block.text, encoding="utf-8")

        assert load_callers(path).entries
    elif "[[servers]]" in block.text:
        EnforcerSettings.model_validate(tomllib.loads(block.text))
    else:
        Settings.model_validate(tomllib.loads(block.text))


def _places(directory: Path) -> dict[str, str]:
    for name in ("etc", "var"):
        (directory / name).mkdir()
    return {
        "/etc/tokenauthority": str(directory / "etc"),
        "/var/lib/tokenauthority": str(directory / "var"),
    }


def _production(directory: Path) -> Workspace:
    """A machine with a certificate for tokens.example.com in the present directory, and no more."""
    places = _places(directory)
    (directory / "etc").rmdir()
    _issue_certificate(directory, "ca.pem", "server.crt", "server.key")
    grpc, http = _free_port(), _free_port()
    places |= {
        "0.0.0.0:50051": f"127.0.0.1:{grpc}",
        "0.0.0.0:8080": f"127.0.0.1:{http}",
        "tokens.example.com:50051": f"127.0.0.1:{grpc}",
        "tokens.example.com:8080": f"127.0.0.1:{http}",
    }
    # No page sets listen.ops, and several tests run at the same time.
    environment = clean_environment(TOKENAUTHORITY_LISTEN__OPS=f"127.0.0.1:{_free_port()}")
    return Workspace(directory, environment, places)


def _issue_certificate(directory: Path, roots: str, chain: str, key: str) -> None:
    certificates = trustme.CA()
    certificate = certificates.issue_cert("tokens.example.com", "127.0.0.1", "localhost")
    certificate.cert_chain_pems[0].write_to_path(directory / chain)
    certificate.private_key_pem.write_to_path(directory / key)
    certificates.cert_pem.write_to_path(directory / roots)


def _free_port() -> int:
    """Return a port that is free now, below those that the system gives to clients."""
    for port in random.sample(range(20_000, 32_000), 100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port
    raise AssertionError("no port is free")
