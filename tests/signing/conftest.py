"""Fixtures of the tests of the signing core."""

from __future__ import annotations

import pytest

from tests.sdk.node_sdk import NodeSdk
from tests.sdk.programs import Tell


@pytest.fixture(scope="session")
def node_sdk(tell: Tell) -> NodeSdk:
    """The official Node SDK; its absence is a failure, not a skip."""
    return NodeSdk(tell)
