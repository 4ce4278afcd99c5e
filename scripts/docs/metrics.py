"""Generate the reference of the metrics from what a development server answers on `/metrics`."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final
from urllib.request import urlopen

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from scripts.docs.markdown import code, page, table


_OURS: Final = "tokenauthority_"
_READYZ_PATH: Final = "/readyz"


def metrics_page() -> str:
    """Return the page of all metrics, from a development server that runs for a moment."""
    with _development_server() as url, urlopen(f"{url}/metrics", timeout=10) as answer:  # noqa: S310 - the server below
        families = list(text_string_to_metric_families(answer.read().decode()))
    return page(
        "Metrics",
        "`GET /metrics` on the address of `listen.ops` answers in the Prometheus text format. "
        "A counter counts from the start of the process.",
        "## Token Authority",
        metrics_table(family for family in families if family.name.startswith(_OURS)),
        "## Process and Python",
        metrics_table(family for family in families if not family.name.startswith(_OURS)),
    )


def metrics_table(families: Iterable[Metric]) -> str:
    """Return one row for each metric."""
    rows = sorted(
        (code(_name(family)), family.type, family.documentation)
        for family in families
        if not family.name.endswith("_created")
    )
    return table(("metric", "type", "meaning"), rows)


def _name(family: Metric) -> str:
    return f"{family.name}_total" if family.type == "counter" else family.name


@contextmanager
def _development_server() -> Iterator[str]:
    """Run a development server in a directory of its own and give the URL of listen.ops."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TOKENAUTHORITY_")}
    environment |= {f"TOKENAUTHORITY_LISTEN__{name}": "127.0.0.1:0" for name in ("GRPC", "HTTP", "HTTP_API", "OPS")}
    # An address where nobody listens: with telemetry, there is one metric more.
    environment["TOKENAUTHORITY_TELEMETRY__ENDPOINT"] = "http://127.0.0.1:9"
    with (
        tempfile.TemporaryDirectory() as directory,
        subprocess.Popen(
            [sys.executable, "-m", "tokenauthority.cli", "serve", "--dev"],
            cwd=directory,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as server,
    ):
        try:
            for line in server.stdout or ():
                if _READYZ_PATH in line:
                    yield line.split()[1].removesuffix(_READYZ_PATH)
                    return
            raise RuntimeError(f"the development server did not start: {server.stderr and server.stderr.read()}")
        finally:
            server.terminate()
