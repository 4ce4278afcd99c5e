"""Run `buf generate` with the programs that are here, and say which plug-ins of `buf.gen.yaml` are not."""

from __future__ import annotations

import json
import os
import re
import shutil

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.conformance.sdk.programs import run


ROOT = Path(__file__).resolve().parents[3]
TEMPLATE = ROOT / "buf.gen.yaml"
GENERATE_SECONDS = 120

_PLUGIN = re.compile(
    r"^  - (local|protoc_builtin|remote): (\S+)\n    out: gen/(\S+)(?:\n    opt: (\S+))?$", re.MULTILINE
)


class Plugin(NamedTuple):
    """A plug-in of `buf.gen.yaml`: *kind* `local`, `protoc_builtin` or `remote`; *language* is its folder in `gen/`."""

    kind: str
    name: str
    language: str
    options: str

    @property
    def program(self) -> str:
        """What must be on the PATH."""
        return "protoc" if self.kind == "protoc_builtin" else self.name


def plugins() -> list[Plugin]:
    """All of them, in the order of the file."""
    text = TEMPLATE.read_text(encoding="utf-8")
    found = [Plugin(*match) for match in _PLUGIN.findall(text)]
    assert len(found) == text.count("\n  - "), f"{TEMPLATE.name} has another form than this module reads"
    return found


def generate(chosen: Sequence[Plugin], output: Path, *folders: Path) -> list[Plugin]:
    """Make the stubs of *chosen* in *output*, one folder for each language.

    Args:
        chosen: Plug-ins of `buf.gen.yaml`.
        output: Where to put the folders.
        folders: Where programs are, beside the PATH.

    Returns:
        The plug-ins whose program is missing; nothing was made with them.

    Raises:
        RuntimeError: buf or a plug-in failed.
    """
    path = os.pathsep.join([*map(str, folders), os.environ.get("PATH", os.defpath)])
    missing = [plugin for plugin in chosen if shutil.which(plugin.program, path=path) is None]
    template = {
        "version": "v2",
        "plugins": [
            {plugin.kind: plugin.name, "out": plugin.language, **({"opt": plugin.options} if plugin.options else {})}
            for plugin in chosen
            if plugin not in missing
        ],
    }
    buf = shutil.which("buf", path=path)
    assert buf is not None, "buf is missing: make .venv/dev"
    command = [buf, "generate", str(ROOT), "--template", json.dumps(template), "--output", str(output)]
    run(command, ROOT, GENERATE_SECONDS, variables={"PATH": path})
    return missing
