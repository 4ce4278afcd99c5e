"""Puts fresh gRPC stubs into every wheel, an editable one too."""

import runpy

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class StubsBuildHook(BuildHookInterface[Any]):
    """Generates the stubs before hatch collects the files."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - hatch passes them by place
        """Run the same script as `make protos`."""
        runpy.run_path(str(Path(self.root, "scripts", "protos.py")))["main"]()
