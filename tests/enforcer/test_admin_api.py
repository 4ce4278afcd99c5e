"""Requests to a server end in time, and their errors show nothing of the answer or of the credential."""

from __future__ import annotations

import threading

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from tests.enforcer.stand_ins import SECRET, LiveKitStandIn, Request, StandIn
from tests.support.authority import WAIT
from tokenauthority.enforcer.admin_api import AdminApi, AdminApiError


class _Answer(msgspec.Struct):
    rooms: list[str] = []


async def _post(api: AdminApi) -> _Answer | None:
    return await api.post("/twirp/x", {"authorization": f"Bearer {SECRET}"}, {"room": "a"}, _Answer)


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ((401, {"token": SECRET}), "status 401"),
        ((500, {}), "status 500"),
        ((302, {}), "status 302"),
        ((200, {"rooms": SECRET}), "not as documented"),
        ((200, [SECRET]), "not as documented"),
    ],
    ids=["401", "500", "302", "type", "list"],
)
async def test_an_error_names_the_call_and_shows_no_secret(
    livekit: LiveKitStandIn,
    api_of: Callable[[StandIn], AdminApi],
    monkeypatch: pytest.MonkeyPatch,
    answer: tuple[int, object],
    problem: str,
) -> None:
    """LiveKit repeats the whole token in a 401."""
    monkeypatch.setattr(livekit, "answer", lambda _: answer)

    with pytest.raises(AdminApiError, match=rf"/twirp/x.*{problem}") as raised:
        await _post(api_of(livekit))

    assert SECRET not in str(raised.value)


async def test_a_server_that_is_down_is_an_error(
    livekit: LiveKitStandIn, api_of: Callable[[StandIn], AdminApi]
) -> None:
    """As any other."""
    livekit.close()

    with pytest.raises(AdminApiError, match="Connect"):
        await _post(api_of(livekit))


async def test_a_server_that_says_nothing_is_an_error(livekit: LiveKitStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """In time: other rooms and people wait."""
    released = threading.Event()

    def wait(_: Request) -> tuple[int, object]:
        released.wait(WAIT)
        return 200, {}

    monkeypatch.setattr(livekit, "answer", wait)
    try:
        with pytest.raises(AdminApiError, match=r"within 0\.2 seconds"):
            await _post(AdminApi(livekit.url, ca_file=None, timeout=0.2, places=1))
    finally:
        released.set()


async def test_a_ca_file_that_is_absent_is_an_error(tmp_path: Path) -> None:
    """It may come later."""
    with pytest.raises(AdminApiError, match="No such file"):
        await _post(AdminApi("https://127.0.0.1:1", ca_file=tmp_path / "ca.pem", timeout=WAIT, places=1))
