"""Variables that a platform sets with our prefix stop nobody, and a misspelt setting still does."""

from __future__ import annotations

import pytest

from tests.config.conftest import problems
from tokenauthority.config.loading import read
from tokenauthority.config.variables import is_link, unknown_variables


KUBERNETES = {
    "TOKENAUTHORITY_SERVICE_HOST": "10.96.0.17",
    "TOKENAUTHORITY_SERVICE_PORT": "50051",
    "TOKENAUTHORITY_SERVICE_PORT_GRPC": "50051",
    "TOKENAUTHORITY_SERVICE_PORT_GRPC_WEB": "8443",
    "TOKENAUTHORITY_PORT": "tcp://10.96.0.17:50051",
    "TOKENAUTHORITY_PORT_50051_TCP": "tcp://10.96.0.17:50051",
    "TOKENAUTHORITY_PORT_50051_TCP_PROTO": "tcp",
    "TOKENAUTHORITY_PORT_50051_TCP_PORT": "50051",
    "TOKENAUTHORITY_PORT_50051_TCP_ADDR": "10.96.0.17",
    "TOKENAUTHORITY_PORT_53_UDP": "udp://10.96.0.17:53",
    "TOKENAUTHORITY_PORT_38412_SCTP_PROTO": "sctp",
    "TOKENAUTHORITY_GRPC_PORT_8443_TCP_ADDR": "10.96.0.17",
    "TOKENAUTHORITY_HTTP_SERVICE_HOST": "fd00:10:96::1f",
    "TOKENAUTHORITY_HTTP_PORT": "tcp://[fd00:10:96::1f]:8080",
    "TOKENAUTHORITY_LISTEN_SERVICE_PORT": "1",
}
DOCKER = {
    "TOKENAUTHORITY_NAME": "/room-service/tokenauthority",
    "TOKENAUTHORITY_ENV_LANG": "C.UTF-8",
    "TOKENAUTHORITY_ENV_TOKENAUTHORITY_LISTEN__GRPC": "0.0.0.0:50051",
    "TOKENAUTHORITY_ENV_pem": "two\nlines",
    "TOKENAUTHORITY_PORT_8000_TCP_START": "tcp://172.17.0.5:8000",
    "TOKENAUTHORITY_PORT_8000_TCP_PORT_START": "8000",
    "TOKENAUTHORITY_PORT_8000_TCP_END": "tcp://172.17.0.5:8009",
}


@pytest.mark.parametrize("links", [KUBERNETES, DOCKER], ids=["kubernetes", "docker"])
def test_a_service_of_our_name_stops_no_server(monkeypatch: pytest.MonkeyPatch, links: dict[str, str]) -> None:
    """Each variable that the platform sets for it is passed over, and changes no setting."""
    before = read(dev=True)
    for name, value in links.items():
        monkeypatch.setenv(name, value)

    assert before == read(dev=True)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TOKENAUTHORITY_PORT", "50051"),
        ("TOKENAUTHORITY_HTTP_PORT", "8080"),
        ("TOKENAUTHORITY_HTTP_PORT", ""),
        ("TOKENAUTHORITY_SERVICE_HOST", "tokens.example.com"),
        ("TOKENAUTHORITY_SERVICE_PORT", "https"),
        ("TOKENAUTHORITY_LISTEN__GRPC_PORT", "tcp://10.96.0.17:1"),
        ("TOKENAUTHORITY_LISTEN__GRCP", "tcp://10.96.0.17:1"),
        ("TOKENAUTHORITY_PORT_GRPC_TCP", "tcp://10.96.0.17:1"),
        ("TOKENAUTHORITY_PORT_50051_TCP_HOST", "10.96.0.17"),
        ("TOKENAUTHORITY_NAME", "tokens"),
        ("tokenauthority_port", "tcp://10.96.0.17:1"),
    ],
)
def test_refuses_what_is_only_like_a_link(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """Of another name or with another value it is a setting that somebody misspelt, and named beside others."""
    monkeypatch.setenv(name, value)
    monkeypatch.setenv("TOKENAUTHORITY_LISTEN__HTTPS", "1")

    assert {f"{name} is not a setting", "TOKENAUTHORITY_LISTEN__HTTPS is not a setting"} == {
        problem.partition(";")[0] for problem in problems(dev=True)
    }


def test_a_long_name_costs_no_time() -> None:
    """Whoever deploys beside us chooses the names of services."""
    long = "TOKENAUTHORITY_" + "A_" * 50_000 + "PORT"

    assert is_link(long, "tcp://10.96.0.17:1")
    assert [long] == unknown_variables({long: "1", "PATH": "/bin"})
