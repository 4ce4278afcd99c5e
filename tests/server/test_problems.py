"""A server that cannot start names the setting and the cause, and shows no secret."""

from __future__ import annotations

import contextlib
import os
import re
import socket

import pytest
import trustme

from tests.support.production import Production


def test_names_everything_that_is_missing(production: Production) -> None:
    """All at once, with the exit status of a wrong configuration, and without a traceback."""
    (production.directory / "authority.toml").write_text("")
    status, log = production.fail()

    assert 2 == status
    assert ["TLS__CERT_FILE", "TLS__KEY_FILE", "CALLERS__FILE", "KEYS__MASTER_KEY", "ISSUANCE__ISSUER"] == re.findall(
        r"^  - (?:exactly one of )?TOKENAUTHORITY_(\w+)", log, re.MULTILINE
    )
    assert "Traceback" not in log


@pytest.mark.parametrize("content", [b"canary-9c", bytes(range(128, 160))], ids=["short", "raw bytes"])
def test_names_a_malformed_master_key(production: Production, content: bytes) -> None:
    """What is in the file is no key in base64 or hex; the message names the file and nothing of it."""
    (production.directory / "master.key").write_bytes(content)
    status, log = production.fail()

    assert 2 == status
    assert "TOKENAUTHORITY_KEYS__MASTER_KEY_FILE: master.key: a master key is 32 random bytes" in log
    assert not re.search("Traceback|canary-9c", log)


@pytest.mark.parametrize("variable", ["LISTEN__GRPC", "LISTEN__HTTP", "LISTEN__OPS"])
def test_names_a_port_that_is_taken(production: Production, variable: str) -> None:
    """Whoever has the port, the address is named and nothing hangs."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        status, log = production.fail(**{variable: address})

    assert 2 == status
    assert f"cannot listen on {address}" in log
    assert f"TOKENAUTHORITY_{variable}=HOST:PORT chooses another address" in log
    assert "Traceback" not in log


def test_names_every_port_that_is_taken(production: Production) -> None:
    """In one message: a second server on one machine has all addresses of the first one."""
    variables = ("LISTEN__GRPC", "LISTEN__HTTP", "LISTEN__OPS")
    with contextlib.ExitStack() as stack:
        taken = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in variables]
        addresses = {name: f"127.0.0.1:{place.getsockname()[1]}" for name, place in zip(variables, taken, strict=True)}
        status, log = production.fail(**addresses)

    assert 2 == status
    assert [*addresses.values()] == re.findall(r"^  - cannot listen on ([\d.]+:\d+)", log, re.MULTILINE)
    assert [*addresses] == re.findall(r"TOKENAUTHORITY_(\w+)=HOST:PORT chooses another address", log)


@pytest.mark.parametrize(
    ("file", "content", "named"),
    [
        ("callers.toml", "[[callers]]\nname = 7\n", "callers file callers.toml: line 2: caller 1: name is invalid"),
        ("server.pem", "no certificate", "server.pem holds no certificate in PEM"),
        ("server.key", "no key", "server.key holds no private key in PEM"),
    ],
)
def test_names_an_invalid_file(production: Production, file: str, content: str, named: str) -> None:
    """The message leads to the file, not to a port or a library."""
    (production.directory / file).write_text(content)
    status, log = production.fail()

    assert 2 == status
    assert named in log
    assert not re.search("Traceback|is another server there", log)


def test_names_a_key_that_is_not_that_of_the_certificate(
    production: Production, authority_of_certificates: trustme.CA
) -> None:
    """Two valid files that do not belong together are named at once, not by the first client."""
    other = authority_of_certificates.issue_cert("127.0.0.1")
    (production.directory / "server.key").write_bytes(other.private_key_pem.bytes())
    status, log = production.fail()

    assert 2 == status
    assert "server.key is not the private key of the certificate in server.pem" in log


def test_names_a_store_that_cannot_be_reached(production: Production) -> None:
    """With its place and the reason, without the password of its URL; the exit code is not that of wrong settings."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    status, log = production.fail(DATABASE__URL=f"postgresql://user:canary-77@127.0.0.1:{port}/none")

    assert 3 == status
    assert f"TOKENAUTHORITY_DATABASE__URL: the store at 127.0.0.1:{port}/none cannot be reached" in log
    assert "(OperationalError: connection refused)" in log
    assert "store.not_verified" not in log
    assert not re.search("Traceback|canary-77", log)


def test_warns_of_a_store_that_nothing_verifies(production: Production) -> None:
    """On another machine than this one, without TLS that shows who answers."""
    status, log = production.fail(DATABASE__URL="postgresql://user:canary-77@0.0.0.0:1/none")

    assert 3 == status
    assert '"wanted":"sslmode=verify-full"' in log.replace(" ", "")
    assert "store.not_verified" in log
    assert "canary-77" not in log


@pytest.mark.parametrize(
    ("variable", "path", "named"),
    [("DATA_DIR", "server.pem/data", "server.pem"), ("AUDIT__PATH", "server.pem/audit", "the audit log ")],
)
def test_names_a_place_that_cannot_be_made(production: Production, variable: str, path: str, named: str) -> None:
    """By its setting: below a file there can be no directory."""
    status, log = production.fail(**{variable: path})

    assert 2 == status
    assert f"TOKENAUTHORITY_{variable}: {named}" in log
    assert "server.pem" in log
    assert f"uid {os.geteuid()}" in log
    assert "Traceback" not in log
