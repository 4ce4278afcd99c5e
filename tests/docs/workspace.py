"""Run the blocks of one page in a directory of its own, as a reader would."""

from __future__ import annotations

import os
import re
import subprocess
import sys

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import attrs

from tests.docs.blocks import Block, Command
from tests.support import forkserver


_BIN: Final = Path(sys.executable).parent
_COMMAND: Final = Path(__file__).with_name("forked_command.py")
_MARK: Final = "\x1e"
_SERVE: Final = re.compile(r"^tokenauthority serve (.*)$", re.DOTALL)


@attrs.frozen
class Ran:
    """What one command did."""

    command: Command
    output: str
    status: int

    @property
    def problem(self) -> str:
        """What differs from the page, or nothing."""
        if self.status != self.command.status:
            return f"{self.command.text}\n  exit code {self.status}, the page says {self.command.status}\n{self.output}"
        if self.command.output and not self.command.expects(self.output):
            return f"{self.command.text}\n  printed\n{self.output}\n  the page says\n{self.command.output}"
        return ""


@attrs.frozen
class Workspace:
    """A directory, an environment, and what stands here for the paths and addresses that a page names."""

    directory: Path
    environment: Mapping[str, str]
    places: Mapping[str, str] = attrs.Factory(dict)

    def run(self, blocks: Iterable[Block]) -> list[Ran]:
        """Write the titled blocks to files and run the others, all in one shell in the order of the page."""
        commands: list[Command] = []
        line = forkserver.server().fileno()
        script = ["trap 'kill $(jobs -p) 2>/dev/null' EXIT"]
        for number, block in enumerate(blocks):
            found, lines = self._steps(block, self.directory / f"block-{number}")
            commands += found
            script += lines
        done = subprocess.run(
            ["/bin/bash"],
            input="\n".join(script),
            cwd=self.directory,
            env={
                **self._environment(),
                "PATH": f"{self._command().parent}:{_BIN}:{os.environ['PATH']}",
                "COLUMNS": "200",
                "FORKSERVER_LINE": str(line),
            },
            pass_fds=[line],
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        parts = done.stdout.split(_MARK)
        assert len(parts) == 2 * len(commands) + 1, done.stdout + done.stderr
        return [
            Ran(command, output, int(status))
            for command, output, status in zip(commands, parts[0::2], parts[1::2], strict=False)
        ]

    def _command(self) -> Path:
        """Make the command `tokenauthority` for this page."""
        path = self.directory / "bin" / "tokenauthority"
        path.parent.mkdir()
        path.write_text(f"#!{sys.executable} -IS\n{_COMMAND.read_text(encoding='utf-8')}", encoding="utf-8")
        path.chmod(0o700)
        return path

    def _environment(self) -> dict[str, str]:
        """Leave out what makes coverage measure a process: these are not here to be measured, and would be slower."""
        return {name: value for name, value in self.environment.items() if not name.startswith("COVERAGE_")}

    def _steps(self, block: Block, path: Path) -> tuple[list[Command], list[str]]:
        if block.title:
            target = Path(self._here(block.title))
            path.write_text(self._here(block.text), encoding="utf-8")
            return [], [f'mkdir -p "$(dirname {target})"; cp {path} {target}']
        commands = list(block.commands())
        if block.language == "python":
            path.write_text(self._here(block.text), encoding="utf-8")
            commands = [Command(f"python {path}", "")]
        return commands, [self._line(command) for command in commands]

    def _line(self, command: Command) -> str:
        text = self._here(command.text)
        serve = _SERVE.match(text)
        if serve is not None:
            text = (
                f"tokenauthority serve {serve[1]} 2>serve.log &\n"
                "until grep -q server.started serve.log; do kill -0 $! || { cat serve.log; break; }; sleep 0.05; done"
            )
        return f"{{ {text}\n}} </dev/null 2>&1; printf '{_MARK}%d{_MARK}' $?"

    def _here(self, text: str) -> str:
        for place, here in self.places.items():
            text = text.replace(place, here)
        return text
