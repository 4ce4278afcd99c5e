"""TURN servers need URLs and secrets, of which nothing is shown; a mistake keeps the server from starting."""

from __future__ import annotations

import os

from pathlib import Path

import pytest

from tests.config.conftest import CANARY, problems, written
from tokenauthority.config.loading import load
from tokenauthority.config.turn import MAX_FILE, read_turn


URLS, FILE = "TOKENAUTHORITY_TURN__URLS", "TOKENAUTHORITY_TURN__SECRETS_FILE"
GOOD_URLS = "turn:turn.example.com:3478 turns:turn.example.com?transport=tcp"
FIRST, SECOND = f"{CANARY}-{'1' * 32}", f"{CANARY}-{'2' * 32}"


@pytest.fixture
def secrets_file(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Complete settings of TURN servers; their secrets are still to be written."""
    monkeypatch.setenv(URLS, GOOD_URLS)
    monkeypatch.setenv(FILE, "turn-secrets")
    return directory / "turn-secrets"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (FIRST, (FIRST,)),
        (f"{FIRST}\n", (FIRST,)),
        (f"{FIRST}\n{SECOND}\n", (FIRST, SECOND)),
        (f"\r\n {FIRST}\r\n{SECOND}", (FIRST, SECOND)),
        (("a" * 255 + "\n" + "b" * 255).ljust(MAX_FILE), ("a" * 255, "b" * 255)),
    ],
)
def test_reads_the_secrets_in_their_order(secrets_file: Path, content: str, expected: tuple[str, ...]) -> None:
    """One a line, with white space around them."""
    secrets_file.write_text(content)
    settings = load(dev=True)

    assert (expected, []) == read_turn(settings.turn)
    assert CANARY not in f"{settings!r} {settings.model_dump()}"


def test_the_file_of_settings_may_name_them(directory: Path) -> None:
    """As a group like the others."""
    (directory / "turn-secrets").write_text(FIRST)
    settings = load(written(directory, f'[turn]\nurls = "{GOOD_URLS}"\nsecrets_file = "turn-secrets"\n'), dev=True)

    assert ((FIRST,), []) == read_turn(settings.turn)


def test_no_turn_server_is_no_problem(directory: Path) -> None:
    """The RPC says so then."""
    assert ((), []) == read_turn(load(dev=True).turn)


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        (b"", ["must have 1 or 2 secrets, one a line, has 0"]),
        (b" \n", ["must have 1 or 2 secrets, one a line, has 0"]),
        (f"{FIRST}\n{SECOND}\n{FIRST}3".encode(), ["must have 1 or 2 secrets, one a line, has 3"]),
        (f"{FIRST}\n{FIRST}".encode(), ["has the same secret twice"]),
        (CANARY.encode(), ["secret 1 must have 32 to 255 characters"]),
        (f"{FIRST}\n{CANARY}".encode(), ["secret 2 must have 32 to 255 characters"]),
        (CANARY.encode() * 30, ["secret 1 must have 32 to 255 characters"]),
        (CANARY.encode() + b"\xff" * 32, ["secret 1 must have 32 to 255 characters"]),
        (b" " * (MAX_FILE + 1), [f"has more than {MAX_FILE} bytes"]),
    ],
)
def test_names_what_is_wrong_with_the_secrets(secrets_file: Path, content: bytes, wrong: list[str]) -> None:
    """By the file and the number of the line's secret; `problems` sees that no part of one is shown."""
    secrets_file.write_bytes(content)
    found = problems(dev=True)

    assert len(wrong) == len(found)
    assert all(problem.startswith(f"{FILE}: turn-secrets {text}") for problem, text in zip(found, wrong, strict=True))


@pytest.mark.parametrize("made", ["directory", "fifo", "none"])
def test_names_what_is_no_file_and_waits_for_nobody(secrets_file: Path, made: str) -> None:
    """A FIFO without a writer would hold up the start for ever."""
    if made == "directory":
        secrets_file.mkdir()
    elif made == "fifo":
        os.mkfifo(secrets_file)
    (problem,) = problems(dev=True)

    assert problem.startswith(f"{FILE}: turn-secrets cannot be read by uid {os.geteuid()}: ")


@pytest.mark.parametrize(
    ("missing", "expected"),
    [(FILE, f"{FILE} is required with {URLS}"), (URLS, f"{FILE} is for {URLS}, which is not set")],
)
def test_one_needs_the_other(secrets_file: Path, monkeypatch: pytest.MonkeyPatch, missing: str, expected: str) -> None:
    """Half of the settings is a mistake, not a server without TURN."""
    secrets_file.write_text(FIRST)
    monkeypatch.delenv(missing)

    assert (expected,) == problems(dev=True)


@pytest.mark.parametrize(
    ("urls", "expected"),
    [
        ("turn:a http://b turn:c stun:d", "not so: number 2, 4"),
        (f"turn:a {CANARY}", "not so: number 2"),
        ("turn:a,turn:b", "not so: number 1"),
        (" ".join(["turn:a"] * 9), "must be 1 to 8 URLs, is 9"),
        (" ", "must be 1 to 8 URLs, is 0"),
    ],
)
def test_names_urls_that_are_none(
    secrets_file: Path, monkeypatch: pytest.MonkeyPatch, urls: str, expected: str
) -> None:
    """By their number, because a secret may be in the wrong setting."""
    secrets_file.write_text(FIRST)
    monkeypatch.setenv(URLS, urls)
    (problem,) = problems(dev=True)

    assert problem.startswith(URLS)
    assert problem.endswith(expected)


def test_a_server_of_production_is_held_to_the_same(
    complete: Path, secrets_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not start with half of the settings."""
    monkeypatch.delenv(FILE)

    assert (f"{FILE} is required with {URLS}",) == problems()
