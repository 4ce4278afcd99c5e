"""The completion scripts complete the commands in a real shell."""

from __future__ import annotations

import os
import subprocess
import sys

from pathlib import Path

import pytest

from tests.cli.conftest import Run


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_prints_a_completion_script(run_alone: Run, shell: str) -> None:
    """For the three shells."""
    printed = run_alone("completion", shell)

    assert 0 == printed.exit_code
    assert "_TOKENAUTHORITY_COMPLETE" in printed.out


@pytest.mark.skipif(not Path("/bin/bash").exists(), reason="needs bash")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["tok"], {"tokens"}),
        (["tokens", ""], {"batch", "generate", "verify", "revoke", "watch", "inspect"}),
        (["sessions", "create", "--media-mode", "r"], {"relayed", "routed"}),
        (["--pl"], {"--plaintext"}),
    ],
)
def test_bash_completes(tmp_path: Path, words: list[str], expected: set[str]) -> None:
    """A real bash with the real script."""
    program = tmp_path / "tokenauthority"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tokenauthority.cli "$@"\n')
    program.chmod(0o755)
    line = " ".join(f"'{word}'" for word in ["tokenauthority", *words])
    script = (
        'eval "$(tokenauthority completion bash)"\n'
        f"COMP_WORDS=({line}); COMP_CWORD={len(words)}\n"
        "_tokenauthority_completion tokenauthority\n"
        'printf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    done = subprocess.run(
        ["/bin/bash", "--norc", "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"},
    )

    assert expected == set(done.stdout.split())
