"""The programs that the pages of clients show."""

from __future__ import annotations

import pytest

from clients.interop.client import Client
from tests.conformance.sdk.programs import run


RUN_SECONDS = 60

PROGRAMS = {
    "connect-es": [["node", f"dist/examples/{name}.js"] for name in ("quickstart", "usage")],
    "ruby": [["ruby", "-Ilib", f"examples/{name}.rb"] for name in ("quickstart", "usage")],
}


@pytest.mark.parametrize("client", PROGRAMS, indirect=True)
def test_the_programs_of_the_page_run(client: Client) -> None:
    """A first token; then a batch, a watch, an error and another RPC."""
    environment = {**client.toolchain.variables, **client.world.environment(PROJECT_ID=client.project_id)}

    first, second = (run(command, client.directory, RUN_SECONDS, "", environment) for command in PROGRAMS[client.name])

    assert "active true" == first.splitlines()[-1]
    for part in ("PERMISSION_MISSING", "complete, resume with", "INVALID_FIELD", "publisheronly"):
        assert part in second
