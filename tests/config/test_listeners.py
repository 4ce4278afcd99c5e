"""Each listener needs what it serves with, and what is missing is said before anything is served, all at once."""

from __future__ import annotations

import os
import socket

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import pytest

from tokenauthority.config.groups import ListenSettings, MtlsSettings
from tokenauthority.config.listeners import grpc_listeners, listens_for_others_but_ops, uses_workload_api
from tokenauthority.config.loading import ConfigError, load


BASE = {
    "CALLERS__FILE": "callers.toml",
    "KEYS__MASTER_KEY_FILE": "master.key",
    "ISSUANCE__ISSUER": "https://tokens.example",
    "LISTEN__HTTP_PLAINTEXT": "true",
}
TLS = {"TLS__CERT_FILE": "cert.pem", "TLS__KEY_FILE": "key.pem"}
FILES = {"MTLS__CERT_FILE": "cert.pem", "MTLS__KEY_FILE": "key.pem", "MTLS__BUNDLE_FILE": "bundle.pem"}
MTLS = {"LISTEN__GRPC": "off", "LISTEN__MTLS": "127.0.0.1:0"}


class Problems(Protocol):
    """Loads the settings."""

    def __call__(self, *groups: Mapping[str, str], dev: bool = False) -> list[str]:
        """What there is to object to with these variables."""


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with every file, and no variable of ours or of SPIFFE's."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.upper().startswith(("TOKENAUTHORITY_", "SPIFFE_")):
            monkeypatch.delenv(name)
    for name in ("callers.toml", "master.key", "cert.pem", "key.pem", "bundle.pem"):
        (tmp_path / name).touch()
    return tmp_path


@pytest.fixture
def problems(monkeypatch: pytest.MonkeyPatch) -> Problems:
    """What `load` objects to with variables beside the ones of every server."""

    def found(*groups: Mapping[str, str], dev: bool = False) -> list[str]:
        for name, value in {name: value for group in (BASE, *groups) for name, value in group.items()}.items():
            monkeypatch.setenv(name if name.startswith("SPIFFE_") else f"TOKENAUTHORITY_{name}", value)
        try:
            load(dev=dev)
        except ConfigError as error:
            return list(error.problems)
        return []

    return found


@pytest.mark.parametrize(
    "given",
    [
        TLS,
        {"LISTEN__GRPC": "off", "LISTEN__SIDECAR": "unix:/run/authority.sock"},
        {"LISTEN__GRPC": "off", "LISTEN__SIDECAR": "unix:authority.sock"},
        {**TLS, "LISTEN__SIDECAR": "127.0.0.1:50053"},
        {**TLS, "LISTEN__SIDECAR": "127.8.8.8:50053"},
        {**TLS, "LISTEN__SIDECAR": "[::1]:50053"},
        {**MTLS, **FILES},
        {**TLS, **FILES, "LISTEN__MTLS": "[::]:50052", "MTLS__SOURCE": "files", "MTLS__TRUST_DOMAIN": "prod.example"},
    ],
)
def test_takes_any_one_listener_that_is_complete(problems: Problems, given: Mapping[str, str]) -> None:
    """One is enough, and none needs the files of another."""
    assert [] == problems(given)


def test_needs_a_listener(problems: Problems) -> None:
    """A server that nobody can call is a mistake."""
    (problem,) = problems({"LISTEN__GRPC": "off"})

    assert problem.startswith("one of TOKENAUTHORITY_LISTEN__GRPC, ")


def test_the_http_listener_needs_a_certificate_too(problems: Problems) -> None:
    """Where no listener for API keys has one, and plaintext is not asked for."""
    alone = {"LISTEN__GRPC": "off", "LISTEN__SIDECAR": "unix:/run/authority.sock"}

    assert ["TOKENAUTHORITY_TLS__CERT_FILE", "TOKENAUTHORITY_TLS__KEY_FILE"] == [
        problem.split()[0] for problem in problems(alone, {"LISTEN__HTTP_PLAINTEXT": "false"})
    ]


def test_names_all_that_is_missing_at_once(problems: Problems, directory: Path) -> None:
    """The files of both TLS listeners, an address that is not private, and what every server needs."""
    (directory / "callers.toml").unlink()
    found = problems(
        {"LISTEN__MTLS": "127.0.0.1:0", "MTLS__BUNDLE_FILE": "none.pem", "LISTEN__SIDECAR": "0.0.0.0:1"},
        {"KEYS__MASTER_KEY_FILE": "none.key"},
    )

    private = "must be unix:PATH or a loopback address such as 127.0.0.1:50053"
    assert [
        "TOKENAUTHORITY_TLS__CERT_FILE is required (or tls.cert_file in the file)",
        "TOKENAUTHORITY_TLS__KEY_FILE is required (or tls.key_file in the file)",
        "TOKENAUTHORITY_MTLS__CERT_FILE is required (or mtls.cert_file in the file)",
        "TOKENAUTHORITY_MTLS__KEY_FILE is required (or mtls.key_file in the file)",
        "TOKENAUTHORITY_MTLS__BUNDLE_FILE: none.pem is not a file",
        f"TOKENAUTHORITY_LISTEN__SIDECAR: {private}, not 0.0.0.0:1",
        "TOKENAUTHORITY_CALLERS__FILE: callers.toml is not a file",
        "TOKENAUTHORITY_KEYS__MASTER_KEY_FILE: none.key is not a file",
    ] == found


@pytest.mark.parametrize("name", FILES)
def test_each_file_of_mtls_is_required(problems: Problems, name: str) -> None:
    """Above all the bundle: without it no client would be asked for a certificate."""
    (problem,) = problems({**MTLS, **{other: path for other, path in FILES.items() if other != name}})

    assert problem.startswith(f"TOKENAUTHORITY_{name} is required")


@pytest.mark.parametrize(
    "address",
    ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "[fe80::1]:1", "localhost:1", "127.0.0.1.example.org:1", "example.org:1"],
)
def test_a_side_car_is_on_this_machine(problems: Problems, address: str) -> None:
    """Whoever connects there can be any caller. A name is not taken: it is what a resolver makes of it."""
    (problem,) = problems(TLS, {"LISTEN__SIDECAR": address})

    assert problem.endswith(f"not {address}")


@pytest.mark.parametrize("address", ["unix:", "unix:a b", "unix:a\n", "unix-abstract:x", "/run/x.sock", "off", ""])
def test_refuses_what_is_no_address_of_a_side_car(problems: Problems, address: str) -> None:
    """A path must be there; abstract sockets have no owner, so they are not taken."""
    (problem,) = problems(TLS, {"LISTEN__SIDECAR": address})

    assert problem.startswith("TOKENAUTHORITY_LISTEN__SIDECAR (listen.sidecar in the file) must be unix:PATH")


@pytest.mark.parametrize("name", ["LISTEN__MTLS", "LISTEN__SIDECAR"])
def test_dev_has_no_other_listener(problems: Problems, name: str) -> None:
    """Nobody can mistake a development server for one that knows its callers by certificates."""
    assert [f"TOKENAUTHORITY_{name}: not with --dev"] == problems({name: "127.0.0.1:0"}, dev=True)


def test_dev_listens(problems: Problems) -> None:
    """It has but the one listener."""
    assert [
        "TOKENAUTHORITY_LISTEN__GRPC: --dev listens on loopback only, not on off",
    ] == problems({"LISTEN__GRPC": "off"}, dev=True)


@pytest.mark.parametrize(
    ("mtls", "socket_given", "expected"),
    [
        (MtlsSettings(), False, False),
        (MtlsSettings(), True, True),
        (MtlsSettings(cert_file=Path("x")), True, False),
        (MtlsSettings(bundle_file=Path("x")), True, False),
        (MtlsSettings(source="files"), True, False),
        (MtlsSettings(source="workload-api"), False, True),
    ],
)
def test_the_workload_api_is_used_where_it_is_and_no_file_is(
    monkeypatch: pytest.MonkeyPatch, mtls: MtlsSettings, *, socket_given: bool, expected: bool
) -> None:
    """What is said outright wins over what is there."""
    if socket_given:
        monkeypatch.setenv("SPIFFE_ENDPOINT_SOCKET", "unix:///x")

    assert expected == uses_workload_api(mtls)


def test_the_workload_api_needs_its_socket_and_no_files(problems: Problems, directory: Path) -> None:
    """A variable that is not set or leads to no unix socket, and files beside it, are named."""
    source = {"MTLS__SOURCE": "workload-api"}

    assert ["SPIFFE_ENDPOINT_SOCKET is required with TOKENAUTHORITY_MTLS__SOURCE=workload-api"] == problems(
        MTLS, source
    )
    for endpoint in ("tcp://127.0.0.1:1", f"unix://{directory}/none", f"unix://{directory}/cert.pem", "unix:"):
        assert [f"SPIFFE_ENDPOINT_SOCKET: {endpoint} is not the unix:///PATH of a socket"] == problems(
            {"SPIFFE_ENDPOINT_SOCKET": endpoint}
        )
    with socket.socket(socket.AF_UNIX) as agent:
        agent.bind(str(directory / "agent.sock"))
        assert [] == problems({"SPIFFE_ENDPOINT_SOCKET": f"unix://{directory}/agent.sock"})
        assert [] == problems({"SPIFFE_ENDPOINT_SOCKET": f"unix:{directory}/agent.sock"})
        assert ["TOKENAUTHORITY_MTLS__KEY_FILE: not with TOKENAUTHORITY_MTLS__SOURCE=workload-api"] == problems(
            {"MTLS__KEY_FILE": "key.pem"}
        )


@pytest.mark.parametrize(
    ("listen", "expected"),
    [
        ({}, False),
        ({"http": "0.0.0.0:8080"}, True),
        ({"http": "[::]:8080"}, True),
        ({"http": "0.0.0.0:8080", "ops": "0.0.0.0:8081"}, False),
        ({"http": "0.0.0.0:8080", "ops": "127.0.0.1:8081"}, False),
    ],
)
def test_an_old_configuration_of_probes_is_noticed(listen: dict[str, str], *, expected: bool) -> None:
    """Other machines reach the JWKS, and nobody has said where the probes are."""
    assert expected == listens_for_others_but_ops(ListenSettings.model_validate(listen))


@pytest.mark.parametrize(
    ("listen", "expected"), [({}, 1), ({"mtls": "[::]:1"}, 2), ({"grpc": "off", "sidecar": "unix:x"}, 1)]
)
def test_listeners_of_grpc_are_counted(listen: dict[str, str], expected: int) -> None:
    """Each has connections of its own."""
    assert expected == grpc_listeners(ListenSettings.model_validate(listen))
