"""What starts servers for the tests of the chart."""

from __future__ import annotations


pytest_plugins = ["tests.support.production"]
