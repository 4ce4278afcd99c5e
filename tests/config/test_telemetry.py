"""Where telemetry goes is said once and whole; a mistake keeps the server from starting, and no value is shown."""

from __future__ import annotations

import json

from pathlib import Path

import pytest
import trustme

from scripts.docs.schemas import settings_schema
from tests.config.conftest import CANARY, problems, written
from tokenauthority.config.loading import load
from tokenauthority.config.telemetry import MAX_FILE, MAX_HEADERS, read_headers


PREFIX = "TOKENAUTHORITY_TELEMETRY__"
ENDPOINT = "https://collector.example.com:4317"
HEADER = "must be `name: value` in ASCII, the name in lower case, without `grpc-` before it or `-bin` after it"


@pytest.fixture
def given(directory: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An endpoint; other variables are still to be set."""
    monkeypatch.setenv(PREFIX + "ENDPOINT", ENDPOINT)
    return monkeypatch


def test_nothing_is_sent_by_default(directory: Path) -> None:
    """And nothing is missing."""
    assert "" == load(dev=True).telemetry.endpoint


def test_an_endpoint_is_all_that_is_required(given: pytest.MonkeyPatch) -> None:
    """Both traces and metrics are sent then."""
    telemetry = load(dev=True).telemetry

    assert (ENDPOINT, True, True, 1.0) == (
        telemetry.endpoint,
        telemetry.traces,
        telemetry.metrics,
        telemetry.sample_ratio,
    )


@pytest.mark.parametrize(
    "endpoint",
    [
        *("collector.example.com:4317", "https://collector.example.com", "grpc://collector.example.com:4317"),
        *(
            "https://user:secret@collector:4317",
            "https://collector:4317/v1/traces",
            "https://:4317",
            " " + ENDPOINT,
            "https://collector:65536",
        ),
    ],
)
def test_an_endpoint_is_a_url_with_a_port(given: pytest.MonkeyPatch, endpoint: str) -> None:
    """OTLP over gRPC has no paths."""
    given.setenv(PREFIX + "ENDPOINT", endpoint)
    [problem] = problems(dev=True)

    assert problem.startswith(
        PREFIX + "ENDPOINT (telemetry.endpoint in the file) must be a URL with a port and no path"
    )


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_plaintext_stays_on_the_machine(given: pytest.MonkeyPatch, host: str) -> None:
    """A collector beside the server needs no certificate."""
    given.setenv(PREFIX + "ENDPOINT", f"http://{host}:4317")

    assert f"http://{host}:4317" == load(dev=True).telemetry.endpoint


def test_plaintext_to_others_is_said_explicitly(given: pytest.MonkeyPatch) -> None:
    """By a setting of its own."""
    given.setenv(PREFIX + "ENDPOINT", "http://collector.example.com:4317")
    [problem] = problems(dev=True)
    given.setenv(PREFIX + "PLAINTEXT", "true")

    assert (
        f"{PREFIX}ENDPOINT must begin with https://, or be on loopback; {PREFIX}PLAINTEXT=true allows others" == problem
    )
    assert load(dev=True).telemetry.plaintext


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"PLAINTEXT": "true"}, f"{PREFIX}PLAINTEXT is for http:// in {PREFIX}ENDPOINT"),
        (
            {"TRACES": "false", "METRICS": "false"},
            f"one of {PREFIX}TRACES and {PREFIX}METRICS must be true with {PREFIX}ENDPOINT",
        ),
        ({"CA_FILE": "none.pem"}, f"{PREFIX}CA_FILE: none.pem is not a file"),
        ({"CA_FILE": "empty"}, f"{PREFIX}CA_FILE: empty is not a PEM file with certificates"),
        ({"CERT_FILE": "cert.pem"}, f"{PREFIX}CERT_FILE and {PREFIX}KEY_FILE are required together"),
        ({"KEY_FILE": "key.pem"}, f"{PREFIX}CERT_FILE and {PREFIX}KEY_FILE are required together"),
        (
            {"CERT_FILE": "cert.pem", "KEY_FILE": "cert.pem"},
            f"{PREFIX}CERT_FILE and {PREFIX}KEY_FILE are not PEM files with a certificate and its unencrypted key",
        ),
        ({"ENDPOINT": "", "HEADERS_FILE": "x"}, f"{PREFIX}HEADERS_FILE is for {PREFIX}ENDPOINT, which is not set"),
        ({"ENDPOINT": "", "CA_FILE": "x"}, f"{PREFIX}CA_FILE is for {PREFIX}ENDPOINT, which is not set"),
        (
            {"ENDPOINT": "http://127.0.0.1:4317", "CA_FILE": "empty"},
            f"{PREFIX}CA_FILE is for https:// in {PREFIX}ENDPOINT",
        ),
        ({"HEADERS_FILE": "none"}, f"{PREFIX}HEADERS_FILE: none cannot be read by uid"),
        (
            {"SAMPLE_RATIO": "1.1"},
            f"{PREFIX}SAMPLE_RATIO (telemetry.sample_ratio in the file) must be less than or equal to 1",
        ),
        ({"INTERVAL": "0.5"}, f"{PREFIX}INTERVAL (telemetry.interval in the file) must be greater than or equal to 1"),
        ({"TIMEOUT": "0"}, f"{PREFIX}TIMEOUT (telemetry.timeout in the file) must be greater than or equal to 0.1"),
    ],
)
def test_refuses_what_makes_no_sense(
    directory: Path, given: pytest.MonkeyPatch, variables: dict[str, str], expected: str
) -> None:
    """At the start, and by `config validate`, not at the first export."""
    certificate = trustme.CA().issue_cert("authority.example.com")
    certificate.cert_chain_pems[0].write_to_path("cert.pem")
    certificate.private_key_pem.write_to_path("key.pem")
    (directory / "empty").touch()
    for name, value in variables.items():
        given.setenv(PREFIX + name, value)
    [problem] = problems(dev=True)

    assert problem.startswith(expected)


def test_takes_a_client_certificate(directory: Path, given: pytest.MonkeyPatch) -> None:
    """A collector may ask for one."""
    ca = trustme.CA()
    ca.cert_pem.write_to_path("ca.pem")
    certificate = ca.issue_cert("authority.example.com")
    certificate.cert_chain_pems[0].write_to_path("cert.pem")
    certificate.private_key_pem.write_to_path("key.pem")
    for name in ("CA", "CERT", "KEY"):
        given.setenv(f"{PREFIX}{name}_FILE", f"{name.lower()}.pem")

    assert Path("cert.pem") == load(dev=True).telemetry.cert_file


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (f"authorization: Bearer {CANARY}\n", (("authorization", f"Bearer {CANARY}"),)),
        ("x-one:1\n\nx-two:  2  \r\n", (("x-one", "1"), ("x-two", "2"))),
        ("x_y.z-1: a:b=c, d\n", (("x_y.z-1", "a:b=c, d"),)),
    ],
)
def test_reads_the_headers_in_their_order(directory: Path, content: str, expected: tuple[tuple[str, str], ...]) -> None:
    """One a line, with white space around the values and lines between them."""
    path = directory / "headers"
    path.write_text(content)

    assert (expected, []) == read_headers(path)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", f"must have 1 to {MAX_HEADERS} headers, one a line, has 0"),
        ("a: 1\n" * (MAX_HEADERS + 1), f"must have 1 to {MAX_HEADERS} headers, one a line, has {MAX_HEADERS + 1}"),
        (f"a: 1\n{CANARY}\n", f"line 2 {HEADER}"),
        (f"Authorization: {CANARY}\n", f"line 1 {HEADER}"),
        (f"a-bin: {CANARY}\n", f"line 1 {HEADER}"),
        (f"grpc-timeout: {CANARY}\n", f"line 1 {HEADER}"),
        (f"a: {CANARY}\x07\n", f"line 1 {HEADER}"),
        (f"a: {CANARY}\xe9\n", f"line 1 {HEADER}"),
        ("a:\n", f"line 1 {HEADER}"),
        ("a: " + "x" * MAX_FILE, f"has more than {MAX_FILE} bytes"),
    ],
)
def test_refuses_headers_that_grpc_cannot_send(
    directory: Path, given: pytest.MonkeyPatch, content: str, problem: str
) -> None:
    """By the number of their line, without any part of one: a value can be a token."""
    (directory / "headers").write_text(content)
    given.setenv(PREFIX + "HEADERS_FILE", "headers")

    assert (f"{PREFIX}HEADERS_FILE: headers {problem}",) == problems(dev=True)


def test_the_file_of_settings_may_say_it(directory: Path) -> None:
    """As a group like the others."""
    text = f'[telemetry]\nendpoint = "{ENDPOINT}"\nsample_ratio = 0.1\nmetrics = false\n'
    telemetry = load(written(directory, text), dev=True).telemetry

    assert (ENDPOINT, 0.1, False) == (telemetry.endpoint, telemetry.sample_ratio, telemetry.metrics)
    assert "telemetry" in json.loads(settings_schema())["properties"]
