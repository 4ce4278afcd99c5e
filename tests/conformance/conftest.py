"""The official Node SDK, and the authority that the tests of the RPCs share."""

from __future__ import annotations

import pytest

from tests.conformance.sdk.node_sdk import NodeSdk
from tests.conformance.sdk.programs import Tell
from tests.service.conftest import api, api_keys, clock, connect, shared  # noqa: F401 - fixtures


@pytest.fixture(scope="session")
def node_sdk(tell: Tell) -> NodeSdk:
    """The official Node SDK; a test fails without it, and is not skipped."""
    return NodeSdk(tell)
