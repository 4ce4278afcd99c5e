"""The stand-ins, and everything that an enforcement needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest

from tests.enforcer.stand_ins import CentrifugoStandIn, LiveKitStandIn, MediaMtxStandIn, StandIn, closing
from tokenauthority.enforcer.admin_api import AdminApi


T = TypeVar("T", bound=StandIn)


def _running(stand_in: T) -> Iterator[T]:
    with closing(stand_in):
        yield stand_in


@pytest.fixture
def livekit() -> Iterator[LiveKitStandIn]:
    """A stand-in for LiveKit."""
    yield from _running(LiveKitStandIn())


@pytest.fixture
def centrifugo() -> Iterator[CentrifugoStandIn]:
    """A stand-in for Centrifugo."""
    yield from _running(CentrifugoStandIn())


@pytest.fixture
def mediamtx() -> Iterator[MediaMtxStandIn]:
    """A stand-in for MediaMTX."""
    yield from _running(MediaMtxStandIn())


@pytest.fixture
def api_of() -> Callable[[StandIn], AdminApi]:
    """Makes the API of a stand-in."""
    return lambda stand_in: AdminApi(stand_in.url, ca_file=None, timeout=30.0, places=4)
