"""Makes the distribution depend on the client of its own version, which has the other part of the package."""

from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface


class ClientHook(MetadataHookInterface):
    """States the dependency."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Name the version, which hatch has read."""
        metadata["dependencies"] = [f"tokenauthority-client=={metadata['version']}"]
