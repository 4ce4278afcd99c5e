"""`tokenauthority callers validate`, `list` and `check`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Run


APPLICATION = "29f760f8-7ce1-46c9-ade3-f2dedee4ed5f"
FILE = """\
[[issuers]]
issuer = "https://issuer.example"
audience = "tokens"
algorithms = ["RS256"]
jwks_url = "https://issuer.example/jwks"

[[callers]]
name      = "room-service"
spiffe_id = "spiffe://prod.example/ns/video/sa/room-service"
projects  = ["47000000"]
actions   = ["sessions.create", "tokens.generate"]
roles     = ["subscriber", "publisher"]
formats   = ["SESSION_JWT"]
max_ttl   = "1h"
rate      = "200/s"
burst     = 500
daily_quota = 800

[[callers]]
name = "rotating"
api_key_sha256 = [
  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
  "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
]
projects = ["*"]
actions = ["keys.read"]
"""

RATE = (
    "rate is invalid. Items on average: a whole number from 1 to 999999, `/` and one of "
    "`s`, `m`, `h` and `d`, such as `200/s`; a batch of 9 is 9 items; default: no limit."
)


@pytest.fixture
def file(tmp_path: Path) -> str:
    """A valid callers file."""
    path = tmp_path / "callers.toml"
    path.write_text(FILE)
    return str(path)


ASKED = ("--caller", "room-service", "--action", "tokens.generate")
RULINGS: dict[str, tuple[tuple[str, ...], bool, list[str]]] = {
    "action": (ASKED, True, ["line 11: actions allows tokens.generate"]),
    "other action": (
        ("--caller", "room-service", "--action", "keys.manage"),
        False,
        ["line 11: actions does not allow keys.manage"],
    ),
    "project": ((*ASKED, "--project", "47000000"), True, ["line 10: projects allows project 47000000"]),
    "other project": ((*ASKED, "--project", "47"), False, ["line 10: projects does not allow project 47"]),
    "role": ((*ASKED, "--role", "publisher"), True, ["line 12: roles allows role publisher"]),
    "other role": ((*ASKED, "--role", "moderator"), False, ["line 12: roles does not allow role moderator"]),
    "format": ((*ASKED, "--format", "session_jwt"), True, ["line 13: formats allows format SESSION_JWT"]),
    "other format": (
        (*ASKED, "--format", "opentok_t1"),
        False,
        ["line 13: formats does not allow format OPENTOK_T1"],
    ),
    "lifetime": ((*ASKED, "--ttl", "1h"), True, ["line 14: max_ttl allows 3600s"]),
    "longer": ((*ASKED, "--ttl", "61m"), False, ["line 14: max_ttl does not allow 3660s"]),
    "too long for anyone": (
        (*ASKED, "--ttl", "31d"),
        False,
        ["a token's lifetime is from 1s to 2592000s"],
    ),
    "application": (
        ("--caller", "rotating", "--action", "keys.read", "--vonage-application", APPLICATION.upper()),
        True,
        [f"line 25: projects allows application {APPLICATION}"],
    ),
    "application left out": (
        (*ASKED, "--vonage-application", APPLICATION),
        False,
        [f"line 7: vonage_applications is left out, which refuses application {APPLICATION}"],
    ),
    "batch": ((*ASKED, "--items", "500"), True, ["line 16: burst allows 500 items at once"]),
    "larger batch": ((*ASKED, "--items", "501"), False, ["line 16: burst does not allow 501 items at once"]),
    "above the quota": (
        (*ASKED, "--items", "801"),
        False,
        ["line 16: burst does not allow 801 items at once", "line 17: daily_quota does not allow 801 items a day"],
    ),
    "too large for anyone": (
        ("--caller", "rotating", "--action", "keys.read", "--items", "1001"),
        False,
        ["a batch has at most 1000 items"],
    ),
    "several": (
        (*ASKED, "--role", "moderator", "--ttl", "2h", "--project", "47000000"),
        False,
        ["line 12: roles does not allow role moderator", "line 14: max_ttl does not allow 7200s"],
    ),
    "left out": (
        ("--caller", "rotating", "--action", "keys.read", "--role", "publisher"),
        False,
        ["line 19: roles is left out, which refuses role publisher"],
    ),
    "left out and free": (
        ("--caller", "rotating", "--action", "keys.read", "--format", "opentok_t1", "--ttl", "30d"),
        True,
        [
            "line 26: actions allows keys.read",
            "line 19: formats is left out, which allows format OPENTOK_T1",
            "line 19: max_ttl is left out, which allows 2592000s",
        ],
    ),
}


@pytest.mark.parametrize(("asked", "allowed", "expected"), RULINGS.values(), ids=RULINGS)
def test_says_whether_a_caller_may_and_by_which_line(
    run_alone: Run,
    file: str,
    asked: tuple[str, ...],
    allowed: bool,  # noqa: FBT001 - what the test expects
    expected: list[str],
) -> None:
    """Yes or no, exit code 0 or 1; a no names what refuses, and nothing else."""
    outcome = run_alone("callers", "check", file, *asked)
    verdict, *lines = outcome.out.splitlines()
    printed = [line.strip() for line in lines]
    as_json = run_alone("callers", "check", file, *asked, "--json")

    assert (0 if allowed else 1, "yes" if allowed else "no") == (outcome.exit_code, verdict)
    assert set(expected) <= set(printed)
    assert allowed or expected == printed
    assert (outcome.exit_code, allowed) == (as_json.exit_code, as_json.json["allowed"])


def test_an_unknown_caller_is_no_answer(run_alone: Run, file: str) -> None:
    """A script that expects a no must not take a misspelt name for one; nor an unknown action."""
    nobody = run_alone("callers", "check", file, "--caller", "x", "--action", "keys.read")
    misspelt = run_alone("callers", "check", file, "--caller", "Room-Servcie", "--action", "keys.read")
    nothing = run_alone("callers", "check", file, "--caller", "rotating", "--action", "keys.steal")

    assert (2, "error: the file has no caller 'x'\n") == (nobody.exit_code, nobody.err)
    assert "error: the file has no caller 'Room-Servcie'; did you mean 'room-service'?\n" == misspelt.err
    assert (2, True) == (nothing.exit_code, "keys.manage" in nothing.err)


def test_lists_the_callers(run_alone: Run, file: str) -> None:
    """One row each, with all that it is known by."""
    rows = run_alone("callers", "list", file, "--json").rows

    assert [
        (7, "room-service", "spiffe", ["spiffe://prod.example/ns/video/sa/room-service"], "200/s", 500, 800, 3600),
        (19, "rotating", "api_key", [f"sha256:{'a' * 16}", f"sha256:{'b' * 16}"], None, None, None, 2_592_000),
    ] == [
        tuple(row[name] for name in ("line", "name", "kind", "identities", "rate", "burst", "daily_quota", "max_ttl"))
        for row in rows
    ]
    assert "room-service" in run_alone("callers", "list", file).out


def test_validates_a_file(run_alone: Run, file: str) -> None:
    """For a valid file it prints what the file has, for an invalid one every problem with its line."""
    valid = run_alone("callers", "validate", file)
    as_json = run_alone("callers", "validate", file, "--json")
    Path(file).write_text(FILE.replace("200/s", "200").replace('"RS256"', '"HS256"'))
    invalid = run_alone("callers", "validate", file)
    bad_json = run_alone("callers", "validate", file, "--json")

    assert (0, f"{file} is valid: 2 callers, 1 issuer\n") == (valid.exit_code, valid.out)
    assert {"valid": True, "callers": 2, "issuers": 1, "problems": []} == as_json.json
    assert (1, f"error: {file} is not valid: 2 problems\n") == (invalid.exit_code, invalid.err)
    assert [
        f"{file}:4: issuer https://issuer.example: algorithms has an invalid item: 'HS256'",
        f"{file}:15: caller room-service: {RATE}",
    ] == invalid.out.splitlines()
    assert (1, False, [4, 15]) == (
        bad_json.exit_code,
        bad_json.json["valid"],
        [problem["line"] for problem in bad_json.json["problems"]],  # type: ignore[attr-defined]  # JSON read from the command, not typed
    )


def test_an_invalid_file_answers_no_question(run_alone: Run, file: str) -> None:
    """Exit code 2, apart from a no."""
    Path(file).write_text(FILE + "x = 1\n")
    for command in (("list", file), ("check", file, *ASKED)):
        outcome = run_alone("callers", *command)

        assert (2, "") == (outcome.exit_code, outcome.out)
        assert "line 27: caller rotating: 'x' is not a field" in outcome.err


def test_takes_the_file_of_the_settings(run_alone: Run, file: str) -> None:
    """From variables or a settings file, with the authority's own issuer; without either it says so."""
    variable = {"TOKENAUTHORITY_CALLERS__FILE": file}
    own = {**variable, "TOKENAUTHORITY_ISSUANCE__ISSUER": "https://issuer.example"}
    config = Path(file).with_name("authority.toml")
    config.write_text(f'[callers]\nfile = "{file}"\n')

    assert 0 == run_alone("callers", "validate", env=variable).exit_code
    assert 0 == run_alone("callers", "validate", "--config", str(config)).exit_code
    assert "is the authority's own" in run_alone("callers", "validate", env=own).out
    assert (2, True) == (
        (nothing := run_alone("callers", "validate")).exit_code,
        "TOKENAUTHORITY_CALLERS__FILE" in nothing.err,
    )
