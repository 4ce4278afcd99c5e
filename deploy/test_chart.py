"""Kubernetes accepts what the Helm chart renders, and the server accepts its settings, files and commands."""

from __future__ import annotations

import contextlib
import json
import socket

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

import click
import httpx
import kubernetes_validate
import pytest
import yaml

from deploy.chart import MANIFESTS, VARIANTS, lint, manifest, render
from tests.support.production import Production
from tokenauthority.callers.file import load_callers
from tokenauthority.cli.app import root
from tokenauthority.config.loading import load
from tokenauthority.config.settings import PREFIX
from tokenauthority.server.lifecycle import _FINISH
from tokenauthority.server.memory import worst_case


OLDEST: Final = "1.27"
"""The oldest Kubernetes that Chart.yaml admits."""

RESOURCES_OF_OTHERS: Final = {"Certificate", "ClusterSPIFFEID", "PrometheusRule", "ServiceMonitor"}
"""Kinds of cert-manager, SPIRE and the Prometheus operator, for which Kubernetes has no schema."""

PLACE: Final = "/etc/tokenauthority"
"""Where the files of the server are in the container."""

UNITS: Final = {"Mi": 2**20, "Gi": 2**30}

Manifest: TypeAlias = dict[str, Any]
"""A resource, whose shape is that of Kubernetes."""


@pytest.fixture(scope="session", params=VARIANTS)
def rendered(request: pytest.FixtureRequest) -> list[Manifest]:
    """What the chart makes of one set of values. Without Helm a test fails, and is not skipped."""
    return list(yaml.safe_load_all(render(VARIANTS[request.param])))


@pytest.mark.parametrize("values", VARIANTS.values(), ids=lambda path: path.stem)
def test_helm_accepts_the_chart(values: Path) -> None:
    """Without a warning."""
    lint(values)


def test_kubernetes_accepts_every_resource(rendered: list[Manifest]) -> None:
    """By its schemas, strictly: a field that does not exist is an error. In the oldest and the newest version."""
    checked = [resource for resource in rendered if resource["kind"] not in RESOURCES_OF_OTHERS]

    assert len(checked) > 6
    for resource in checked:
        kubernetes_validate.validate(resource, OLDEST, strict=True)
        kubernetes_validate.validate(resource, kubernetes_validate.latest_version(), strict=True)


def test_the_server_accepts_settings_and_callers(
    rendered: list[Manifest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real code reads the variables; each file that they name is one that the pod mounts."""
    with _pod(rendered, tmp_path) as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        settings = load()

        assert settings.callers.file is not None
        load_callers(settings.callers.file)


def test_memory_suffices_in_the_worst_case(
    rendered: list[Manifest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pod that is killed because its limit is below what its settings allow would take others with it."""
    limit = _container(_one(rendered, "StatefulSet"))["resources"]["limits"]["memory"]
    with _pod(rendered, tmp_path) as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)

        assert sum(worst_case(load()).values()) <= int(limit[:-2]) * UNITS[limit[-2:]]


def test_the_containers_run_commands_that_exist(rendered: list[Manifest]) -> None:
    """The entry point of the image is the command line."""
    for workload in _workloads(rendered):
        command: click.Command = root
        for word in _container(workload)["args"]:
            assert isinstance(command, click.Group)
            found = command.get_command(click.Context(command), word)
            assert found is not None
            command = found
        assert not isinstance(command, click.Group)


def test_pods_are_restricted(rendered: list[Manifest]) -> None:
    """As the Pod Security Standard "restricted" asks, with a read-only root file system and no token of the cluster."""
    for workload in _workloads(rendered):
        pod, container = workload["spec"]["template"]["spec"], _container(workload)

        assert {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}.items() <= pod[
            "securityContext"
        ].items()
        assert not pod["automountServiceAccountToken"]
        assert {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        } == container["securityContext"]


def test_kubernetes_waits_until_a_server_has_drained(rendered: list[Manifest]) -> None:
    """A pod that is killed at its stop would lose RPCs in progress."""
    settings = _variables(rendered)
    drain = sum(float(settings[f"{PREFIX}LIMITS__DRAIN_{name}"]) for name in ("DELAY", "GRACE"))

    assert drain + _FINISH < _one(rendered, "StatefulSet")["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]


def test_services_lead_to_ports_of_the_pod(rendered: list[Manifest]) -> None:
    """By name. Probes and metrics are not in the Service of callers."""
    ports = {port["name"]: port["containerPort"] for port in _container(_one(rendered, "StatefulSet"))["ports"]}
    services = [resource for resource in rendered if resource["kind"] == "Service"]
    found = {
        service["metadata"]["name"]: {p["targetPort"]: p["port"] for p in service["spec"]["ports"]}
        for service in services
    }

    assert {"tokenauthority-pods": ports} == {name: named for name, named in found.items() if "ops" in named}
    assert found["tokenauthority"] == {name: port for name, port in ports.items() if name != "ops"}


def test_alerts_and_dashboard_are_the_files_that_are_shipped() -> None:
    """The chart has links to them, and renders neither unless its values ask for it."""
    rendered = list(yaml.safe_load_all(render(VARIANTS["cert-manager-spire"])))
    deploy = Path(__file__).parent
    (dashboard,) = (resource for resource in rendered if "dashboard" in resource["metadata"]["name"])
    rule = _one(rendered, "PrometheusRule")
    without = yaml.safe_load_all(render(VARIANTS["sqlite"]))

    assert yaml.safe_load((deploy / "prometheus" / "rules" / "alerts.yaml").read_text()) == rule["spec"]
    assert "prometheus" == rule["metadata"]["labels"]["release"]
    assert json.loads((deploy / "grafana" / "dashboards" / "tokenauthority.json").read_text()) == json.loads(
        dashboard["data"]["tokenauthority.json"]
    )
    assert "1" == dashboard["metadata"]["labels"]["grafana_dashboard"]
    assert not any(
        "PrometheusRule" == resource["kind"] or "dashboard" in resource["metadata"]["name"] for resource in without
    )


def test_probes_ask_a_server_that_runs_with_the_settings(production: Production, tmp_path: Path) -> None:
    """Each path of a probe answers 200 over TLS, from a server with the rendered variables on ports of this machine."""
    rendered = list(yaml.safe_load_all(render(VARIANTS["sqlite"])))
    listen = {f"LISTEN__{name}": "127.0.0.1:0" for name in ("GRPC", "HTTP", "OPS")}
    files = {"TLS__CERT_FILE": "server.pem", "TLS__KEY_FILE": "server.key", "KEYS__MASTER_KEY_FILE": "master.key"}
    container = _container(_one(rendered, "StatefulSet"))
    probes = [container[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")]
    with _pod(rendered, tmp_path) as environment:
        given = {name.removeprefix(PREFIX): value for name, value in environment.items()}
        server = production.start(**{**given, **listen, **files})

        assert {("ops", "HTTPS")} == {(probe["port"], probe["scheme"]) for probe in probes}
        assert [httpx.codes.OK] * 3 == [server.get(probe["path"]).status_code for probe in probes]


@pytest.mark.parametrize(
    ("argument", "reason"),
    [
        ("replicas=2", "SQLite is for one server"),
        ("issuer=", "issuer"),
        ("settings.KEYS__MASTER_KEY=x", "invalid propertyName"),
        ("settings.DATABASE__URL=x", "invalid propertyName"),
        ("masterKey.existingSecret=", "masterKey.existingSecret is required"),
        ("tls.existingSecret=", "tls.existingSecret or tls.certManager.enabled is required"),
        ("callers.file=", "callers.file is required"),
        ("networkPolicy.callers=[]", "networkPolicy/callers"),
        ("replica=2", "additional properties 'replica' not allowed"),
    ],
)
def test_helm_refuses_values_with_which_no_server_works(argument: str, reason: str) -> None:
    """Or with which a secret would be in a ConfigMap."""
    option = "--set-json" if argument.endswith("[]") else "--set"
    with pytest.raises(RuntimeError, match=reason):
        render(VARIANTS["sqlite"], option, argument)


@pytest.mark.parametrize("name", MANIFESTS)
def test_the_committed_manifests_are_those_of_the_chart(name: str) -> None:
    """`make manifests` writes them."""
    assert manifest(name) == MANIFESTS[name].read_text(encoding="utf-8")


@contextlib.contextmanager
def _pod(rendered: list[Manifest], directory: Path) -> Iterator[Mapping[str, str]]:
    """Mount the volumes of the pod below *directory*, for as long as the block runs; return its variables."""
    place = directory / "etc"
    for source in _one(rendered, "StatefulSet")["spec"]["template"]["spec"]["volumes"][0]["projected"]["sources"]:
        named = source.get("configMap", {}).get("name")
        found = [r["data"] for r in rendered if r["kind"] == "ConfigMap" and r["metadata"]["name"] == named]
        (kind,) = source
        for item in source[kind].get("items", [source[kind]]):
            path = place / item["path"]
            path.parent.mkdir(parents=True, exist_ok=True)
            text = found[0][item["key"]] if found else "for a test"
            path.write_text(text.replace(PLACE, str(place)), encoding="utf-8")
    environment = {name: value.replace(PLACE, str(place)) for name, value in _variables(rendered).items()}
    with socket.socket(socket.AF_UNIX) as agent:
        if "SPIFFE_ENDPOINT_SOCKET" in environment:
            path = directory / "agent.sock"
            agent.bind(str(path))
            environment["SPIFFE_ENDPOINT_SOCKET"] = f"unix://{path}"
        yield environment


def _variables(rendered: list[Manifest]) -> dict[str, str]:
    """The variables of the server, with a made-up value for those of Secrets."""
    container = _container(_one(rendered, "StatefulSet"))
    (reference,) = container["envFrom"]
    (settings,) = (
        resource["data"]
        for resource in rendered
        if resource["kind"] == "ConfigMap" and resource["metadata"]["name"] == reference["configMapRef"]["name"]
    )
    made_up = "postgresql://tokenauthority:made-up@database.example.com/tokenauthority"
    return {**settings, **{each["name"]: each.get("value", made_up) for each in container.get("env", [])}}


def _one(rendered: list[Manifest], kind: str) -> Manifest:
    (found,) = (resource for resource in rendered if resource["kind"] == kind)
    return found


def _workloads(rendered: list[Manifest]) -> list[Manifest]:
    return [resource for resource in rendered if resource["kind"] in {"Job", "StatefulSet"}]


def _container(workload: Manifest) -> Manifest:
    (found,) = workload["spec"]["template"]["spec"]["containers"]
    assert isinstance(found, dict)
    return found
