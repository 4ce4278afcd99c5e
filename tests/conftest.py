"""Fixtures that tests of every part may ask for."""

from __future__ import annotations


pytest_plugins = ["tests.authority", "tests.postgres", "tests.production", "tests.wire"]
