"""Puts freshly generated code into every wheel, an editable one too."""

import runpy

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class GeneratedCodeHook(BuildHookInterface[Any]):
    """Generates the gRPC stubs and the blocking client before hatch collects the files."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - hatch passes them by place
        """Run the same scripts as `make protos`."""
        for script in ("protos.py", "blocking.py"):
            runpy.run_path(str(Path(self.root, "scripts", script)))["main"]()
