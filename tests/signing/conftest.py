"""Fixtures of the tests of the signing core."""

from __future__ import annotations

import sys

from contextlib import nullcontext

import pytest

from tests.sdk.node_sdk import NodeSdk


@pytest.fixture(scope="session")
def node_sdk(request: pytest.FixtureRequest) -> NodeSdk:
    """The official Node SDK; its absence is a failure, not a skip."""
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def tell(text: str) -> None:
        with capture.global_and_fixture_disabled() if capture else nullcontext():
            sys.stderr.write(f"\n{text}\n")

    return NodeSdk(tell)
