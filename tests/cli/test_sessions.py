"""`tokenauthority sessions` against a real authority."""

from __future__ import annotations

from tests.cli.conftest import Run
from tests.support.authority import RunningAuthority


def test_makes_a_session_as_asked(run: Run, running_authority: RunningAuthority) -> None:
    """JSON has the contract's field names, short names of enum values, and null for what is unset."""
    made = run(
        *("sessions", "create", "--json", "--media-mode", "routed", "--archive-mode", "always"),
        *("--location", "12.34.56.78", "--archive-name", "daily", "--archive-resolution", "1280x720"),
    )

    expected = {
        "project_id": running_authority.project_id,
        "media_mode": "routed",
        "archive_mode": "always",
        "location": "12.34.56.78",
        "e2ee": False,
        "archive_name": "daily",
        "archive_resolution": "1280x720",
        "state": "active",
        "end_time": None,
    }
    assert 0 == made.exit_code
    assert expected.items() <= made.json.items()
    assert made.text("create_time").endswith("Z")


def test_shows_a_session_to_a_person(run: Run, session_id: str) -> None:
    """One field a line, ids unbroken."""
    shown = run("sessions", "show", session_id)

    assert ["session_id", session_id] == shown.out.splitlines()[0].split()
    assert ["state", "active"] in [line.split() for line in shown.out.splitlines()]


def test_lists_sessions(run: Run) -> None:
    """Newest first, up to the limit, in the state asked for."""
    made = [run("sessions", "create", "--json").text("session_id") for _ in range(3)]
    run("sessions", "end", made[0])

    def listed(*options: str) -> list[object]:
        return [row["session_id"] for row in run("sessions", "list", "--json", *options).rows]

    assert made[::-1] == listed()
    assert made[::-1] == listed("--limit", "0")
    assert made[:0:-1] == listed("--limit", "2")
    assert [made[0]] == listed("--state", "ended")
    table = run("sessions", "list").out.splitlines()
    assert ["session_id", "name", "state", "media_mode", "archive_mode", "create_time"] == table[0].split()
    assert 4 == len(table)


def test_ends_a_session(run: Run, session_id: str) -> None:
    """For ever; a token for it is refused, in one line that gives the reason."""
    ended = run("sessions", "end", session_id, "--json")
    refused = run("tokens", "generate", "--session", session_id)

    assert "ended" == ended.text("state")
    assert 1 == refused.exit_code
    assert refused.err.startswith("error: the session has ended (SESSION_ENDED, request id ")
    assert 1 == len(refused.err.splitlines())
    assert "" == refused.out


def test_the_same_request_id_makes_one_session(run: Run) -> None:
    """A script may run twice."""
    command = ("sessions", "create", "--json", "--request-id", "3f0e4e5a-8a53-4b8e-9d0a-0a0a0a0a0a0a")

    assert run(*command).json == run(*command).json


def test_prints_the_id_alone(run: Run) -> None:
    """For a shell's $(...)."""
    made = run("sessions", "create", "--quiet")
    shown = run("sessions", "show", made.out.removesuffix("\n"), "--json")

    assert ("", made.out) == (made.err, shown.text("session_id") + "\n")


def test_a_name_is_shown(run: Run) -> None:
    """When the session is made, and in the list."""
    made = run("sessions", "create", "--name", "standup", "--json")
    listed = run("sessions", "list", "--json")
    refused = run("sessions", "create", "--name", "Stand up")

    assert "standup" == made.text("name")
    assert "standup" in [row["name"] for row in listed.rows]
    assert (1, True) == (refused.exit_code, "name" in refused.err)
