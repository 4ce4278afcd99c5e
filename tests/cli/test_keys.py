"""`tokenauthority keys` against a real authority."""

from __future__ import annotations

import json

import pytest

from tests.cli.conftest import Run
from tests.support.authority import RunningAuthority, eventually
from tokenauthority.domain.times import Millis
from tokenauthority.server.wiring import system_clock


def states(run: Run) -> dict[str, str]:
    """The ring: key ids and their states."""
    return {str(row["key_id"]): str(row["state"]) for row in run("keys", "list", "--json").rows}


def signing(run: Run) -> str:
    """The key that signs."""
    (key_id,) = [key_id for key_id, state in states(run).items() if state == "active"]
    return key_id


def test_lists_the_ring(run: Run) -> None:
    """There is always one that signs and one that is about to; a person sees a line for each."""
    listed = run("keys", "list").out.splitlines()

    assert ["active", "prepared"] == sorted(states(run).values())
    assert ["key_id", "algorithm", "state"] == listed[0].split()[:3]
    assert 3 == len(listed)


@pytest.mark.parametrize(("options", "algorithm"), [((), "es256"), (("--algorithm", "EdDSA"), "eddsa")])
def test_prepares_a_key(run: Run, options: tuple[str, ...], algorithm: str) -> None:
    """Of the authority's algorithm, or of that which is named; it is in the ring and does not sign."""
    before = signing(run)

    made = run("keys", "prepare", *options, "--json")

    assert (0, algorithm, "prepared") == (made.exit_code, made.text("algorithm"), made.text("state"))
    assert "prepared" == states(run)[made.text("key_id")]
    assert before == signing(run)


def test_a_key_that_verifiers_may_not_have_yet_does_not_sign(run: Run) -> None:
    """The authority says how long it takes."""
    made = run("keys", "prepare", "--json").text("key_id")

    refused = run("keys", "activate", made)

    assert 1 == refused.exit_code
    assert "it can sign in" in refused.err
    assert "KEY_STATE" in refused.err


def test_signs_with_the_key_that_is_activated(run: Run, running_authority: RunningAuthority) -> None:
    """The one before is retired."""
    before = signing(run)
    made = run("keys", "prepare", "--json").text("key_id")
    running_authority.clock.fixed = Millis(system_clock() + 3_600_000)

    activated = run("keys", "activate", made)

    assert ["state", "active"] in [line.split() for line in activated.out.splitlines()]
    assert ("active", "retired") == (states(run)[made], states(run)[before])


def test_asks_before_it_revokes(run: Run) -> None:
    """No, or no answer, changes nothing; the question names the key and what it costs."""
    key_id = signing(run)

    refused, silent = run("keys", "revoke", key_id, stdin="n\n"), run("keys", "revoke", key_id)

    assert (1, 2) == (refused.exit_code, silent.exit_code)
    assert f"Every token that {key_id} has signed will be refused. Revoke it? [y/N]" in refused.err
    assert "Traceback" not in silent.err
    assert key_id == signing(run)


@pytest.mark.parametrize(("options", "stdin"), [(("--yes",), ""), ((), "y\n")])
def test_revokes_a_key(run: Run, session_id: str, options: tuple[str, ...], stdin: str) -> None:
    """Its tokens become invalid, and another key signs."""
    key_id = signing(run)
    token = run("tokens", "generate", "--session", session_id).out.strip()

    revoked = run("keys", "revoke", key_id, "--comment", "leaked", "--json", *options, stdin=stdin)

    assert "revoked" == json.loads(revoked.out)["state"]
    assert "KEY_UNKNOWN" == run("tokens", "verify", token, "--json").text("reason")
    assert key_id != signing(run)


@pytest.mark.parametrize("command", ["activate", "revoke"])
def test_a_key_that_is_not_there_is_named(run: Run, command: str) -> None:
    """An id of the right shape is not found; another one is no key id."""
    options = ["--yes"] if command == "revoke" else []

    absent = run("keys", command, "A" * 43, *options)
    malformed = run("keys", command, "abc", *options)

    assert (1, 1) == (absent.exit_code, malformed.exit_code)
    assert "KEY_NOT_FOUND" in absent.err
    assert "key_id: must be the 43 characters of a kid" in malformed.err


def test_every_key_that_may_be_known_can_go(run: Run, session_id: str) -> None:
    """In the order of docs/how-to/revoke-a-signing-key.md: a key made meanwhile signs, and its tokens are valid."""
    known = states(run)
    (prepared,) = known.keys() - {signing(run)}
    assert 0 == run("keys", "revoke", prepared, "--yes").exit_code
    eventually(lambda: "prepared" in states(run).values(), "no other key was prepared")
    assert 0 == run("keys", "revoke", signing(run), "--yes").exit_code

    token = run("tokens", "generate", "--session", session_id).out.strip()

    assert signing(run) not in known
    assert {"revoked"} == {states(run)[key_id] for key_id in known}
    assert 0 == run("tokens", "verify", token).exit_code


@pytest.mark.parametrize("command", [("activate",), ("revoke", "--yes", "--comment", "lost")])
def test_a_key_id_may_begin_with_a_dash(run: Run, command: tuple[str, ...]) -> None:
    """As one in 64 does: it is no option, wherever it stands."""
    key_id = "-" + "h" * 42
    orders = ((*command, key_id), (command[0], key_id, *command[1:]), (*command, "--", key_id))
    outcomes = [run("keys", *order) for order in orders]

    assert [1, 1, 1] == [outcome.exit_code for outcome in outcomes]
    assert all(f"signing key {key_id} does not exist" in outcome.err for outcome in outcomes)
