"""Puts the client's part of the package `tokenauthority` into its distributions, with freshly generated code."""

import re
import runpy

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface


PARTS = ("__init__.py", "client", "contract.py", "py.typed", "v1")
"""What the distribution `tokenauthority` leaves out."""

SOURCES = ("protos", "scripts/blocking.py", "scripts/protos.py")
"""What generates `v1` and `client/blocking`."""


def find_home(root: str) -> Path:
    """Return the folder with `src`: a source distribution itself, or the repository."""
    return next(place for place in (Path(root), Path(root).resolve().parents[1]) if (place / "src").is_dir())


class VersionHook(MetadataHookInterface):
    """States the version, which is that of the server."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Read it."""
        text = find_home(self.root).joinpath("src", "tokenauthority", "__init__.py").read_text(encoding="utf-8")
        [metadata["version"]] = re.findall('^__version__ = "(.+)"$', text, re.MULTILINE)


class SourceHook(BuildHookInterface[Any]):
    """Generates the gRPC stubs and the blocking client, and collects the files."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Run the same scripts as `make protos`."""
        home = find_home(self.root)
        for script in ("protos.py", "blocking.py"):
            runpy.run_path(str(home / "scripts" / script))["main"]()
        if version == "editable":
            return
        inside = "src/" if self.target_name == "sdist" else ""
        files = {f"src/tokenauthority/{part}": f"{inside}tokenauthority/{part}" for part in PARTS}
        if self.target_name == "sdist":
            files |= {source: source for source in SOURCES}
        build_data["force_include"] |= {str(home / source): target for source, target in files.items()}
