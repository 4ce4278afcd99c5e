"""A watch ends when another thread or task ends it, and a silent stream is opened again."""

from __future__ import annotations

import asyncio
import threading

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.client.conftest import Client, ScriptedServer, entered
from tests.client.watching import hanging, name_of, named, revoked
from tests.support.authority import WAIT
from tokenauthority.client import (
    AsyncRevocationWatch,
    Authority,
    AuthorityError,
    RevocationWatch,
)


async def test_a_stream_that_falls_silent_is_opened_again(
    scripted_server: ScriptedServer, scripted_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that is there and sends nothing knows nothing."""
    for package in ("aio", "blocking"):
        monkeypatch.setattr(f"tokenauthority.client.{package}.watch.SILENCE", 0.2)
    release = threading.Event()
    losses: list[AuthorityError] = []
    scripted_server.answers = [hanging(release), revoked("1.1", "bob")]

    async with entered(scripted_client.watch_revocations(on_lost=lambda error, _: losses.append(error))) as watch:
        names = await named(watch, 1)
    release.set()

    assert ["bob"] == names
    assert "no message for 0.2 seconds" in str(losses[0])


def test_another_thread_can_end_a_blocking_watch(authority: Authority) -> None:
    """Also one that waits for an event."""
    ready = threading.Event()

    def read(watch: RevocationWatch) -> list[str]:
        names = []
        for event in watch:
            names.append(name_of(event))
            ready.set()
        return names

    watch = authority.watch_revocations()
    with ThreadPoolExecutor(1) as pool:
        seen = pool.submit(read, watch)
        assert ready.wait(WAIT)
        watch.close()

        assert "snapshot" == seen.result(WAIT)[0]
    assert watch.closed
    assert [] == list(watch)


@pytest.mark.parametrize("kind", ["asyncio"], indirect=True)
async def test_another_task_can_end_an_asyncio_watch(client: Client) -> None:
    """The reader's loop ends; a reader that is cancelled itself is cancelled, as always."""
    watch, other = client.watch_revocations(), client.watch_revocations()
    ready = asyncio.Event()

    async def read(watch: AsyncRevocationWatch) -> list[str]:
        names = []
        async for event in watch:
            names.append(name_of(event))
            ready.set()
        return names

    reading = asyncio.create_task(read(watch))
    await asyncio.wait_for(ready.wait(), WAIT)
    await watch.close()
    cancelled = asyncio.create_task(read(other))
    ready.clear()
    await asyncio.wait_for(ready.wait(), WAIT)
    cancelled.cancel()

    assert "snapshot" == (await asyncio.wait_for(reading, WAIT))[0]
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    await other.close()
