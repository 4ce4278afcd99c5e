"""Each unary RPC of the contract, with the stubs of each language."""

from __future__ import annotations

import pytest

from clients.interop import operator_rpcs  # noqa: F401 - the import registers the examples of operators
from clients.interop.client import Client
from clients.interop.rpcs import EXAMPLES
from tokenauthority.contract import METHODS


@pytest.mark.parametrize("method", EXAMPLES)
def test_each_rpc_answers(client: Client, method: str) -> None:
    """What was sent arrives, and all of the answer does."""
    EXAMPLES[method](client)


def test_the_list_has_each_unary_rpc() -> None:
    """Whoever adds an RPC adds an example."""
    unary = {
        path.removeprefix("/tokenauthority.v1.")
        for path, method in METHODS.items()
        if not method.descriptor.server_streaming
    }

    assert unary == EXAMPLES.keys()
