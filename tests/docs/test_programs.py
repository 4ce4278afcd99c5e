"""The examples are documentation, and each runs as it stands."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from pathlib import Path

import pytest

from tests.support.authority import RunningAuthority


JSON_EXAMPLES = Path(__file__).parents[2] / "examples" / "json"
EXAMPLES = sorted((Path(__file__).parents[2] / "examples" / "python").glob("*.py"))


def test_there_are_examples() -> None:
    """Else the test below would pass without a word."""
    assert {
        "token_from_session.py",
        "token_with_data.py",
        "token_with_defaults.py",
        "token_with_expire_time.py",
        "verify_offline.py",
    } <= {example.name for example in EXAMPLES}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(example: Path, running_authority: RunningAuthority) -> None:
    """It checks what it shows, and prints it."""
    done = subprocess.run(
        [sys.executable, str(example)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **running_authority.environment},
    )

    assert "" == done.stderr
    assert 0 == done.returncode
    assert done.stdout.splitlines()[0].count(".") == 2
    assert 1 < len(done.stdout.splitlines())


@pytest.mark.parametrize(("program", "name"), [("node", "token.mjs"), ("php", "token.php")])
def test_an_example_without_grpc_runs(program: str, name: str, running_authority: RunningAuthority) -> None:
    """With what the language has alone: it makes a token, and shows an error with its reason."""
    found = shutil.which(program)
    if found is None:
        missing = f"{program} is missing (Debian: apt-get install php-cli php-curl nodejs)"
        if "CI" in os.environ:
            pytest.fail(missing)
        pytest.skip(missing)
    done = subprocess.run(
        [found, str(JSON_EXAMPLES / name)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **running_authority.environment, "AUTHORITY_URL": running_authority.api_url},
    )

    assert "" == done.stderr
    token, error = done.stdout.splitlines()
    assert 2 == token.count(".")
    assert error.startswith("400 INVALID_FIELD invalid_argument: invalid request: request.rolle")
