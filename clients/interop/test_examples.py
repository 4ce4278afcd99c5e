"""What a package has of its own passes: its tests, and the examples that its page shows."""

from __future__ import annotations

from clients.interop.client import Client


def test_its_own_tests_pass(client: Client) -> None:
    """Those that need no authority."""
    client.toolchain.run_tests()


def test_its_examples_run(client: Client) -> None:
    """Each ends without an error, over TLS as over plaintext."""
    client.toolchain.run_examples(client.world.environment(PROJECT_ID=client.project_id))
