"""Connections leave descriptors for the audit log, the store and health, or the server does not start."""

from __future__ import annotations

import attrs
import pytest

from tokenauthority.config.loading import ConfigError
from tokenauthority.config.settings import Settings
from tokenauthority.server.descriptors import RESERVED, ConnectionLimits, connection_limits


MTLS = {"listen": {"mtls": "127.0.0.1:0", "sidecar": "127.0.0.1:0"}}
API = {"listen": {"http_api": "127.0.0.1:0"}}


def limits(descriptors: int, **groups: object) -> ConnectionLimits:
    """Those of a server with these settings."""
    return connection_limits(Settings.model_validate(groups), descriptors)


@pytest.mark.parametrize(
    ("descriptors", "groups", "expected"),
    [
        (2**31, {}, (4096, 256, 64, 0)),
        (524_288, {}, (4096, 256, 64, 0)),
        (524_288, API, (4096, 256, 64, 512)),
        (1024, {}, (608, 224, 64, 0)),
        (1024, API, (384, 224, 64, 224)),
        (256, {}, (80, 32, 16, 0)),
        (256, MTLS, (26, 32, 16, 0)),
        (1024, {"limits": {"max_connections": 100}}, (100, 224, 64, 0)),
    ],
)
def test_limits_follow_from_the_descriptors(
    descriptors: int, groups: dict[str, object], expected: tuple[int, int, int, int]
) -> None:
    """Each gRPC listener has as many; the default is lowered, and a value that fits is as it was set."""
    found = limits(descriptors, **groups)

    assert expected == attrs.astuple(found)


@pytest.mark.parametrize("listeners", [1, 3])
@pytest.mark.parametrize("descriptors", [256, 300, 400, 777, 1024, 5000, 20_000])
def test_something_is_always_left(descriptors: int, listeners: int) -> None:
    """For all that is no connection, however many connections there are."""
    found = limits(descriptors, **(MTLS if listeners == 3 else {}))

    assert descriptors - RESERVED >= listeners * found.grpc + found.http + found.ops


def test_a_value_that_does_not_fit_is_refused() -> None:
    """The message has the setting, the numbers, and both ways out."""
    with pytest.raises(ConfigError) as refused:
        limits(1024, limits={"max_connections": 4096})

    (problem,) = refused.value.problems
    assert problem.startswith("TOKENAUTHORITY_LIMITS__MAX_CONNECTIONS: 4096 is too many for each of 1 gRPC listener")
    assert all(part in problem for part in ("may open 1024 files", "416 of them", "at most 608", "LimitNOFILE"))


@pytest.mark.parametrize(("descriptors", "groups"), [(140, {}), (64, {}), (0, {}), (200, MTLS)])
def test_too_few_descriptors_are_refused(descriptors: int, groups: dict[str, object]) -> None:
    """A server that would have no connection to spare does not begin to serve."""
    with pytest.raises(ConfigError, match=rf"may open {descriptors} files.*needs 16: raise the limit of open files"):
        limits(descriptors, **groups)
