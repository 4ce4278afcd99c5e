"""Alert rules and dashboard: what they name exists, each alert has its section, and promtool accepts the rules."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess

from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from prometheus_client import CollectorRegistry, Metric

from tests.support.authority import WAIT, RunningAuthority
from tokenauthority.enforcer.metrics import EnforcerMetrics
from tokenauthority.server.health import PARTS


ROOT: Final = Path(__file__).parents[2]
PROMETHEUS: Final = ROOT / "deploy" / "prometheus"
RULES: Final = PROMETHEUS / "rules" / "alerts.yaml"
ALERTS: Final[list[dict[str, Any]]] = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"][0]["rules"]
DASHBOARD: Final = ROOT / "deploy" / "grafana" / "dashboards" / "tokenauthority.json"
PAGE: Final = (ROOT / "docs" / "how-to" / "alerts.md").read_text(encoding="utf-8")


def test_every_metric_exists(running_authority: RunningAuthority) -> None:
    """A metric that was renamed would make an alert silent, and a panel empty."""
    registry = CollectorRegistry()
    EnforcerMetrics(registry)
    families = [*running_authority.app.registry.collect(), *registry.collect()]
    known = {name for family in families for name in _samples(family)}
    expressions = [*(alert["expr"] for alert in ALERTS), *_shown()]
    named = [set(re.findall(r"\b(?:tokenauthority|process|python)_\w+", expression)) for expression in expressions]

    assert all(names or "up{" in expression for names, expression in zip(named, expressions, strict=True))
    assert set() == set.union(*named) - known


def test_every_alert_has_a_section_that_begins_with_what_to_do() -> None:
    """Its link leads there, and the page has no other sections."""
    sections = re.findall(r"^## (\w+)\n\n\*\*", PAGE, re.MULTILINE)

    assert [alert["alert"] for alert in ALERTS] == sections
    for alert in ALERTS:
        assert alert["annotations"]["runbook_url"].endswith(f"/docs/how-to/alerts.md#{alert['alert'].lower()}")
        assert alert["annotations"]["summary"]
        assert alert["labels"]["severity"] in {"critical", "warning"}


def test_the_page_says_for_every_part_what_to_do() -> None:
    """Those that an alert names by the label `part`; the others have alerts of their own."""
    rows = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`[`\w, ]+`) \|", PAGE, re.MULTILINE))))

    assert set(PARTS) - {"server", "store"} == rows


def test_promtool_accepts_rules_and_panels(tmp_path: Path) -> None:
    """Each alert fires where everything fails, and none does on a healthy server; each panel has a valid expression."""
    promtool = shutil.which("promtool")
    if promtool is None:
        problem = "promtool is not installed, so nothing shows that the alerts fire: apt-get install prometheus"
        if os.environ.get("CI"):
            pytest.fail(problem)
        pytest.skip(problem)
    expected = (PROMETHEUS / "alerts_test.yaml").read_text(encoding="utf-8")

    panels = tmp_path / "panels.yaml"
    recorded = [{"record": f"panel:{number}", "expr": expr} for number, expr in enumerate(_shown())]
    panels.write_text(json.dumps({"groups": [{"name": "panels", "rules": recorded}]}), encoding="utf-8")

    for arguments in (["check", "rules", str(RULES), str(panels)], ["test", "rules", "alerts_test.yaml"]):
        done = subprocess.run(
            [promtool, *arguments], check=False, cwd=PROMETHEUS, capture_output=True, text=True, timeout=WAIT
        )
        assert 0 == done.returncode, done.stdout + done.stderr
    assert [] == [alert["alert"] for alert in ALERTS if f'alertname="{alert["alert"]}"' not in expected]


def _shown() -> list[str]:
    """The expressions of the panels, with a value for each variable of Grafana."""
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    expressions = [target["expr"] for panel in panels for target in panel["targets"]]
    return [expr.replace("$instance", ".*").replace("$__rate_interval", "1m") for expr in expressions]


def _samples(family: Metric) -> set[str]:
    """The names under which Prometheus stores the metric, also if it has no value yet."""
    suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}.get(family.type, ("",))
    return {family.name + suffix for suffix in suffixes}
