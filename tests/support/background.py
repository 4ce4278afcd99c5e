"""Background tasks that run for as long as a test wants."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from prometheus_client import CollectorRegistry

from tokenauthority.server.background import Background, BackgroundTask


def supervised(*tasks: BackgroundTask) -> AbstractAsyncContextManager[None]:
    """Run *tasks* as a server does, while the block runs; none of them may be fatal."""
    return Background(CollectorRegistry()).running(tasks, on_fatal=lambda: None)
