"""A command that fails prints one line that says why, and exits with the code of its kind of failure."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys

from tests.cli.conftest import Run, python
from tests.support.authority import RunningAuthority
from tests.support.production import Production
from tokenauthority.callers.api_keys import new_api_key


KEY = "tak_" + "k" * 43


def test_an_authority_that_cannot_be_reached_exits_with_3(run_alone: Run) -> None:
    """In one line."""
    shared = ("--address", "127.0.0.1:1", "--plaintext", "--api-key", KEY)

    failed = run_alone(*shared, "projects", "list")

    assert 3 == failed.exit_code
    assert failed.err.startswith("error: ")
    assert 1 == len(failed.err.splitlines())


def test_says_which_address_of_a_name_it_tried_last(run_alone: Run) -> None:
    """Another one of the name may have failed for another reason, and gRPC reports only one."""
    failed = run_alone("projects", "list", "--address", "localhost:1", "--plaintext", "--api-key", KEY)

    refused = r"error: localhost:1 \((127\.0\.0\.1|\[::1\]):1, tried last\): connection refused: .*\n"
    assert re.fullmatch(refused, failed.err)


def test_says_that_an_authority_speaks_no_tls(run_alone: Run, running_authority: RunningAuthority) -> None:
    """A development server is asked without --plaintext."""
    failed = run_alone("projects", "list", "--address", running_authority.address, "--api-key", KEY)

    assert 3 == failed.exit_code
    assert f"error: {running_authority.address}: it does not speak TLS; a development server needs --plaintext\n" == (
        failed.err
    )


def test_recognises_the_http_port(run_alone: Run, running_authority: RunningAuthority) -> None:
    """The other one that a server prints."""
    address = running_authority.http_url.removeprefix("http://")
    failed = run_alone("projects", "list", "--address", address, "--plaintext", "--api-key", KEY)

    assert 3 == failed.exit_code
    assert f"error: {address}: this is an HTTP port; gRPC has another port\n" == failed.err


def test_says_how_long_it_waited(run_alone: Run) -> None:
    """Where nobody answers in time."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        failed = run_alone(
            *("projects", "list", "--plaintext", "--address", address, "--api-key", KEY, "--timeout", "0.5")
        )

    assert 3 == failed.exit_code
    assert f"error: {address}: no answer within 0.5 seconds (--timeout)\n" == failed.err


def test_says_what_is_wrong_with_a_tls_connection(run_alone: Run, production: Production) -> None:
    """A certificate that nobody trusts, and TLS where none was expected: one line each, and none of gRPC's own."""
    address = production.start().address
    there = ("-m", "tokenauthority.cli", "projects", "list", "--address", address, "--api-key", KEY)

    untrusted, plaintext = python(*there), python(*there, "--plaintext")

    assert (3, 3) == (untrusted.returncode, plaintext.returncode)
    assert f"error: {address}: its certificate is not trusted; name its CA with --ca-file\n" == untrusted.stderr
    assert plaintext.stderr.endswith("; if it speaks TLS, leave out --plaintext\n")
    assert 1 == len(plaintext.stderr.splitlines())


def test_an_invalid_key_exits_with_1(run: Run) -> None:
    """The key is not in the message."""
    refused = run("projects", "list", "--api-key", KEY)

    assert 1 == refused.exit_code
    assert "CREDENTIAL_INVALID" in refused.err
    assert KEY not in refused.err


def test_a_closed_pipe_ends_the_command_silently() -> None:
    """`tokenauthority ... | head` shows no traceback; the exit code is not that of a refusal."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "tokenauthority.cli", "callers", "new-key", "--admin", "--json"],
            stdout=writer,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    finally:
        os.close(writer)

    assert b"" == done.stderr
    assert 141 == done.returncode


def test_a_wrong_key_names_the_options(run: Run) -> None:
    """The person has typed an option or set a variable, and no header."""
    refused = run("projects", "list", env={"TOKENAUTHORITY_API_KEY": new_api_key()})

    assert 1 == refused.exit_code
    assert "does not accept the credential: check --api-key-file" in refused.err
    assert "CREDENTIAL_INVALID" in refused.err
