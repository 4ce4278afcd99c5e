"""The official Node SDK, and the authority that the tests of the RPCs share."""

from __future__ import annotations

from tests.conformance.sdk.go_programs import go_programs  # noqa: F401 - a fixture
from tests.conformance.sdk.node_sdk import node_sdk  # noqa: F401 - a fixture
from tests.conformance.sdk.programs import announce  # noqa: F401 - a fixture
from tests.service.conftest import api, api_keys, clock, connect, shared  # noqa: F401 - fixtures
