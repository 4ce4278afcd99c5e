"""Generate the reference of the enforcer's settings and metrics from the models and objects that have them."""

from __future__ import annotations

from prometheus_client import CollectorRegistry
from pydantic import BaseModel

from scripts.docs.markdown import code, page, table
from scripts.docs.metrics import metrics_table
from scripts.docs.settings import default_of, type_of
from tokenauthority.config.groups import LoggingSettings
from tokenauthority.enforcer.metrics import EnforcerMetrics
from tokenauthority.enforcer.settings import EnforcerListeners, EnforcerSettings, ServerTable


TABLES: dict[str, type[BaseModel]] = {
    "Without a table": EnforcerSettings,
    "`[listen]`": EnforcerListeners,
    "`[logging]`": LoggingSettings,
    "`[[servers]]`": ServerTable,
}


def enforcer_page() -> str:
    """Return the page of the settings and metrics of `tokenauthority enforce`."""
    registry = CollectorRegistry()
    EnforcerMetrics(registry)
    return page(
        "The enforcer",
        "`tokenauthority enforce --config FILE` reads this TOML file once, at its start. It reaches the authority as "
        "every command does: see the [shared options](command-line.md#shared-options). "
        "[Remove people from real-time servers](../how-to/remove-people.md) has the steps.",
        *(part for title, model in TABLES.items() for part in (f"## {title}", model.__doc__ or "", _fields(model))),
        "## Metrics",
        "`GET /metrics` on the address of `listen.ops` answers in the Prometheus text format. "
        "`tokenauthority_background_failures_total` counts the failures of the enforcer's own tasks.",
        metrics_table(registry.collect()),
    )


def _fields(model: type[BaseModel]) -> str:
    rows = [
        (
            code(name),
            type_of(info),
            "required" if info.is_required() else "" if isinstance(info.default, BaseModel) else default_of(info),
            info.description or "",
        )
        for name, info in model.model_fields.items()
        if not isinstance(info.default, BaseModel) and name != "servers"
    ]
    return table(("setting", "value", "default", "meaning"), rows)
