"""The callers file gives each caller what it names, or names everything that is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tokenauthority.callers.api_keys import digest, new_api_key
from tokenauthority.callers.file import MAX_FILE, CallersFileError, load_callers
from tokenauthority.domain.caller import ANY, Action, Caller, CallerKind, Grant
from tokenauthority.domain.times import Seconds
from tokenauthority.domain.token import TokenFormat


KEY = new_api_key()
DIGEST = digest(KEY)

GOOD = {
    "name": '"room-service"',
    "api_key_sha256": f'"{DIGEST}"',
    "projects": '["47000000", "48000000"]',
    "actions": '["sessions.create", "tokens.generate"]',
    "roles": '["subscriber", "publisher"]',
    "formats": '["SESSION_JWT"]',
    "max_ttl": '"1h"',
}


def entry(**changes: str | None) -> str:
    """The TOML of a good caller with some of its fields changed, or left out where None."""
    fields = {**GOOD, **changes}
    return "[[callers]]\n" + "".join(f"{name} = {value}\n" for name, value in fields.items() if value is not None)


def load(directory: Path, text: str | bytes) -> dict[str, Caller]:
    """The callers of a file with *text*."""
    path = directory / "callers.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return dict(load_callers(path))


def problems(directory: Path, text: str | bytes) -> tuple[str, ...]:
    """What the file is refused for."""
    with pytest.raises(CallersFileError) as caught:
        load(directory, text)
    assert str(directory / "callers.toml") in str(caught.value)
    assert all(problem in str(caught.value) for problem in caught.value.problems)
    return caught.value.problems


def test_reads_every_field(tmp_path: Path) -> None:
    """The caller is found by the digest of its key and has exactly what is written."""
    expected = Caller(
        name="room-service",
        kind=CallerKind.API_KEY,
        identity=f"sha256:{DIGEST[:16]}",
        grant=Grant(
            projects=frozenset({"47000000", "48000000"}),
            actions=frozenset({Action.SESSIONS_CREATE, Action.TOKENS_GENERATE}),
            roles=frozenset({"subscriber", "publisher"}),
            formats=frozenset({TokenFormat.SESSION_JWT}),
            max_ttl=Seconds(3600),
        ),
    )

    assert {DIGEST: expected} == load(tmp_path, entry())


def test_reads_several_callers(tmp_path: Path) -> None:
    """Each with its own key."""
    other = digest(new_api_key())
    found = load(tmp_path, entry() + entry(name='"other"', api_key_sha256=f'"{other}"'))

    assert {DIGEST: "room-service", other: "other"} == {key: caller.name for key, caller in found.items()}


def test_a_star_is_everything(tmp_path: Path) -> None:
    """Of projects, actions, roles and formats."""
    star = '["*"]'
    (caller,) = load(tmp_path, entry(projects=star, actions=star, roles=star, formats=star)).values()
    everything = frozenset({ANY})

    assert (everything, frozenset(Action), everything, everything) == (
        caller.grant.projects,
        caller.grant.actions,
        caller.grant.roles,
        caller.grant.formats,
    )


def test_what_is_left_out_grants_no_role_and_any_format(tmp_path: Path) -> None:
    """A caller that makes no tokens needs no roles; formats and lifetime are then the contract's."""
    lines = entry(actions='["sessions.read"]', roles=None, formats=None, max_ttl=None)
    (caller,) = load(tmp_path, lines).values()

    assert (frozenset(), frozenset({ANY}), 30 * 86400) == (
        caller.grant.roles,
        caller.grant.formats,
        caller.grant.max_ttl,
    )


@pytest.mark.parametrize(("text", "seconds"), [("1s", 1), ("90s", 90), ("15m", 900), ("1h", 3600), ("30d", 2592000)])
def test_reads_lifetimes(tmp_path: Path, text: str, seconds: int) -> None:
    """Seconds, minutes, hours and days."""
    (caller,) = load(tmp_path, entry(max_ttl=f'"{text}"')).values()

    assert seconds == caller.grant.max_ttl


LIST = "must be a list of at least one name"
TTL = "caller room-service: max_ttl must be such as '90s', '15m', '1h' or '30d', at most 30d"
NAME = "caller 1: name must be 1 to 128 of A-Z a-z 0-9 . _ / -"
SHA = "caller room-service: api_key_sha256 must be 64 lower-case hex characters"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"name": None}, NAME),
        ({"name": '""'}, NAME),
        ({"name": "7"}, NAME),
        ({"name": '"a b"'}, NAME),
        ({"name": '"a\\nb"'}, NAME),
        ({"name": '"-a"'}, NAME),
        ({"name": f'"{"a" * 129}"'}, NAME),
        ({"api_key_sha256": None}, SHA),
        ({"api_key_sha256": f'"{KEY}"'}, SHA),
        ({"api_key_sha256": f'"{DIGEST.upper()}"'}, SHA),
        ({"api_key_sha256": "7"}, SHA),
        ({"projects": None}, f"caller room-service: projects {LIST}"),
        ({"projects": "[]"}, f"caller room-service: projects {LIST}"),
        ({"projects": '"*"'}, f"caller room-service: projects {LIST}"),
        ({"projects": '["0"]'}, "caller room-service: projects has unknown entries: '0'"),
        ({"projects": '["2147483648"]'}, "caller room-service: projects has unknown entries: '2147483648'"),
        ({"projects": "[47]"}, "caller room-service: projects has unknown entries: 47"),
        ({"projects": "[[]]"}, "caller room-service: projects has unknown entries: []"),
        ({"actions": None}, f"caller room-service: actions {LIST}"),
        ({"actions": '["tokens.steal"]'}, "caller room-service: actions has unknown entries: 'tokens.steal'"),
        ({"actions": '["tokens.*"]'}, "caller room-service: actions has unknown entries: 'tokens.*'"),
        ({"roles": None}, "caller room-service: roles must name what tokens.generate may give out"),
        ({"roles": '["a b"]'}, "caller room-service: roles has unknown entries: 'a b'"),
        ({"formats": "[]"}, f"caller room-service: formats {LIST}"),
        ({"formats": '["session_jwt"]'}, "caller room-service: formats has unknown entries: 'session_jwt'"),
        ({"max_ttl": '"0s"'}, TTL),
        ({"max_ttl": '"31d"'}, TTL),
        ({"max_ttl": '"1w"'}, TTL),
        ({"max_ttl": '"-1h"'}, TTL),
        ({"max_ttl": '"1.5h"'}, TTL),
        ({"max_ttl": '""'}, TTL),
        ({"max_ttl": '"999999999999d"'}, TTL),
        ({"max_ttl": "3600"}, TTL),
        ({"rate": '"200/s"'}, "caller room-service: unknown or not yet supported: rate"),
        ({"api_key": f'"{KEY}"'}, "caller room-service: unknown or not yet supported: api_key"),
        ({"role": '["publisher"]'}, "caller room-service: unknown or not yet supported: role"),
    ],
)
def test_names_what_is_wrong(tmp_path: Path, changes: dict[str, str | None], problem: str) -> None:
    """One wrong field is one problem, with the caller's name where it has one, and never with the key."""
    found = problems(tmp_path, entry(**changes))

    assert (problem,) == found
    assert KEY not in str(found)


def test_names_everything_at_once(tmp_path: Path) -> None:
    """Several callers with several faults are put right in one go."""
    found = problems(
        tmp_path,
        "version = 2\n"
        + entry(name=None, max_ttl='"x"')
        + entry(projects=None)
        + entry(api_key_sha256=None, actions="7"),
    )

    assert (
        "unknown keys: version",
        NAME,
        TTL.replace("room-service", "1"),
        "caller room-service: its API key is that of another",
        f"caller room-service: projects {LIST}",
        "caller 3: the name room-service is used twice",
        "caller 3: api_key_sha256 must be 64 lower-case hex characters",
        f"caller 3: actions {LIST}",
    ) == tuple(found)


def test_a_key_belongs_to_one_caller(tmp_path: Path) -> None:
    """Who called would otherwise be a matter of order."""
    assert ("caller other: its API key is that of room-service",) == problems(tmp_path, entry() + entry(name='"other"'))


def test_a_name_belongs_to_one_caller(tmp_path: Path) -> None:
    """The audit log tells callers by their names."""
    second = entry(api_key_sha256=f'"{digest(new_api_key())}"')

    assert ("caller 2: the name room-service is used twice",) == problems(tmp_path, entry() + second)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "has no [[callers]]"),
        ("callers = []", "has no [[callers]]"),
        ('callers = "x"', "has no [[callers]]"),
        ("[callers]\nname = 'a'", "has no [[callers]]"),
        ("callers = [1]", "caller 1: must be a table"),
        (b"\xff", "is not valid TOML: 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
        ("#" * (MAX_FILE + 1), f"is larger than {MAX_FILE} bytes"),
    ],
    ids=["empty", "empty list", "text", "one table", "number", "no UTF-8", "too large"],
)
def test_refuses_what_is_no_callers_file(tmp_path: Path, text: str | bytes, problem: str) -> None:
    """A file without callers would let nobody in, so it is a mistake."""
    assert (problem,) == problems(tmp_path, text)


def test_names_where_toml_breaks(tmp_path: Path) -> None:
    """The line and column of the parser, and nothing of the text."""
    (problem,) = problems(tmp_path, f'[[callers]]\nname = "{KEY}\n')

    assert problem.startswith("is not valid TOML: ")
    assert "line 2" in problem
    assert KEY not in problem


def test_names_a_file_that_is_not_there(tmp_path: Path) -> None:
    """With the system's reason."""
    with pytest.raises(CallersFileError, match="cannot be read: No such file or directory"):
        load_callers(tmp_path / "absent.toml")
