"""`tokenauthority callers new-key`, `add` and `remove`."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import tomllib

from pathlib import Path
from typing import cast

import pytest

from tests.cli.conftest import Run
from tokenauthority.callers.file import load_callers
from tokenauthority.callers.identity import ApiKeyIdentity, OpentokIdentity
from tokenauthority.domain.caller import Action, Caller
from tokenauthority.files import sole_writer


FILE = """\
# Who may call.

[[issuers]]
issuer = "https://issuer.example"
audience = "tokens"
algorithms = ["RS256"]
jwks_url = "https://issuer.example/jwks"

# The back end of the rooms.
[[callers]]
name = "rooms" # the first one
spiffe_id = "spiffe://prod.example/rooms"
projects = ["47000000"]
actions = ["sessions.read"]

# For operators.
[[callers]]
name = "admin"
api_key_sha256 = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
projects = ["*"]
actions = ["keys.read"]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A valid callers file with comments."""
    path = tmp_path / "callers.toml"
    path.write_text(FILE)
    return path


def test_the_entry_makes_the_key_valid(run_alone: Run, tmp_path: Path) -> None:
    """What is printed on standard output is a whole callers file; the key is on standard error alone."""
    made = run_alone("callers", "new-key", "--name", "room-service", "--project", "47000000")
    key = next(line for line in made.err.splitlines() if line.startswith("tak_"))
    file = tmp_path / "callers.toml"
    file.write_text(made.out)

    callers = load_callers(file)

    assert 0 == made.exit_code
    assert key not in made.out
    assert re.fullmatch(r"tak_[A-Za-z0-9_-]{43}", key)
    assert [(hashlib.sha256(key.encode()).hexdigest(), "room-service")] == [
        (each.identity.digest, each.caller.name)
        for each in callers.entries
        if isinstance(each.identity, ApiKeyIdentity)
    ]


def caller_with(file: Path, key: str) -> Caller | None:
    """The caller of the file whose API key it is."""
    entry = load_callers(file).find_by_digest(hashlib.sha256(key.encode()).hexdigest())
    return None if entry is None else entry.caller


def test_an_operators_caller_makes_projects_and_no_tokens(run_alone: Run, tmp_path: Path) -> None:
    """It is for all projects; its key goes into a file of its owner's, and nowhere else."""
    file = tmp_path / "admin.key"
    made = run_alone("callers", "new-key", "--name", "admin", "--admin", "--key-file", str(file))
    key = file.read_text().strip()
    (tmp_path / "callers.toml").write_text(made.out)
    caller = caller_with(tmp_path / "callers.toml", key)

    assert 0o600 == stat.S_IMODE(file.stat().st_mode)
    assert key not in made.out + made.err
    assert caller is not None
    assert caller.grant.allows_project("47000000")
    assert set(Action) - {Action.TOKENS_GENERATE, Action.TURN_CREATE} == caller.grant.actions


def test_writes_over_no_key(run_alone: Run, tmp_path: Path) -> None:
    """The one that is there could not be made again; nothing is printed that would go with a new one."""
    file = tmp_path / "key"
    file.write_text("tak_old")
    refused = run_alone("callers", "new-key", "--admin", "--key-file", str(file))

    assert (2, "", f"error: --key-file {file}: File exists\n") == (refused.exit_code, refused.out, refused.err)
    assert "tak_old" == file.read_text()


def test_an_entry_is_as_it_was_asked_for(run_alone: Run) -> None:
    """Projects, actions and roles may each be several."""
    options = ("--project", "1", "--project", "2", "--action", "tokens.generate", "--role", "publisher", "--role", "x")
    entry = tomllib.loads(run_alone("callers", "new-key", *options).out)["callers"][0]

    assert (["1", "2"], ["tokens.generate"], ["publisher", "x"]) == (
        entry["projects"],
        entry["actions"],
        entry["roles"],
    )


def test_only_who_makes_tokens_has_roles(run_alone: Run) -> None:
    """An entry for a verifier grants none; an operator may give custom roles all permissions."""
    asked = [("--action", "tokens.watch", "--action", "keys.read"), ("--admin",), ()]
    entries = [
        tomllib.loads(run_alone("callers", "new-key", "--project", "*", *options).out)["callers"][0]
        for options in asked
    ]

    assert [None, ["*"], ["subscriber", "publisher", "moderator"]] == [entry.get("roles") for entry in entries]


def test_no_two_keys_are_the_same(run_alone: Run) -> None:
    """They come from the system's generator; JSON has the key and its digest."""
    made = [run_alone("callers", "new-key", "--admin", "--json") for _ in range(3)]

    assert 3 == len({outcome.text("api_key") for outcome in made})
    entry = tomllib.loads(made[0].text("entry"))["callers"][0]
    assert made[0].text("api_key_sha256") == entry["api_key_sha256"]
    assert made[0].text("api_key") not in made[0].text("entry")


WRONG = {
    "action": (("--action", "tokens.genrate"), "actions has an invalid item: 'tokens.genrate'"),
    "project": (("--project", "abc"), "projects has an invalid item: 'abc'"),
    "role": (("--role", "a b"), "roles has an invalid item: 'a b'"),
    "name": (("--name", "a b"), "name is invalid"),
    "lifetime": (("--max-ttl", "31d"), "max_ttl is invalid"),
    "burst": (("--burst", "5"), "burst goes with rate only"),
}


@pytest.mark.parametrize("command", [("new-key",), ("add",)], ids=lambda command: command[0])
@pytest.mark.parametrize(("options", "problem"), WRONG.values(), ids=WRONG)
def test_refuses_what_the_callers_file_would_refuse(
    run_alone: Run, file: Path, command: tuple[str, ...], options: tuple[str, ...], problem: str
) -> None:
    """Nothing is printed, stored or changed."""
    key = file.with_name("key")
    place = (str(file),) if command == ("add",) else ()
    refused = run_alone("callers", *command, *place, "--project", "47000000", "--key-file", str(key), *options)

    assert (2, "") == (refused.exit_code, refused.out)
    assert problem in refused.err
    assert FILE == file.read_text()
    assert not key.exists()


def test_an_entry_needs_a_project(run_alone: Run) -> None:
    """None is made up."""
    refused = run_alone("callers", "new-key")

    assert (2, True) == (refused.exit_code, "name a project: --project ID, or * for all" in refused.err)


def test_adds_a_caller_at_the_end(run_alone: Run, file: Path) -> None:
    """All that was there stays, with its comments; standard output is the key alone, which is valid."""
    added = run_alone("callers", "add", str(file), "--name", "new", "--project", "1", "--rate", "5/s")
    key = added.out.strip()
    caller = caller_with(file, key)

    assert 0 == added.exit_code
    assert file.read_text().startswith(FILE + "\n[[callers]]\n")
    assert key not in file.read_text() + added.err
    assert caller is not None
    assert ("new", 5) == (caller.name, caller.grant.rate and caller.grant.rate.burst)


def test_adds_callers_that_prove_themselves_otherwise(run_alone: Run, file: Path) -> None:
    """They get no key, so nothing is on standard output."""
    options = ("--project", "*", "--action", "keys.read")
    by_jwt = run_alone(
        "callers", "add", str(file), "--name", "jwt", *options, "--jwt", "https://issuer.example", "system:sé"
    )
    by_certificate = run_alone(
        "callers", "add", str(file), "--name", "mesh", *options, "--spiffe-id", "spiffe://prod.example/mesh"
    )
    stranger = run_alone("callers", "add", str(file), "--name", "x", *options, "--jwt", "https://other.example", "s")

    assert [(0, ""), (0, "")] == [(each.exit_code, each.out) for each in (by_jwt, by_certificate)]
    assert {"rooms", "admin", "jwt", "mesh"} == {entry.caller.name for entry in load_callers(file).entries}
    assert "names an issuer that no [[issuers]] of the callers file has" in stranger.err


def test_adds_the_sdks_of_a_project(run_alone: Run, file: Path) -> None:
    """They may create sessions in it, and nothing else; a way to prove oneself excludes the others."""
    added = run_alone("callers", "add", str(file), "--name", "sdk", "--opentok-project", "47000000", "--rate", "5/s")
    refused = run_alone(
        "callers", "add", str(file), "--name", "x", "--opentok-project", "1", "--spiffe-id", "spiffe://a/b"
    )

    assert (0, "") == (added.exit_code, added.out)
    caller = load_callers(file).find_caller(OpentokIdentity("47000000"))
    assert caller is not None
    assert (["47000000"], ["sessions.create"]) == (list(caller.grant.projects), list(caller.grant.actions))
    assert (2, True) == (refused.exit_code, "give one of" in refused.err)


def test_a_name_is_added_once(run_alone: Run, file: Path) -> None:
    """The file is as it was."""
    refused = run_alone("callers", "add", str(file), "--name", "admin", "--admin")

    assert (2, True, FILE) == (refused.exit_code, "admin is used twice" in refused.err, file.read_text())


def test_makes_a_file_that_only_its_owner_reads(run_alone: Run, tmp_path: Path) -> None:
    """The first caller needs no editor."""
    file = tmp_path / "callers.toml"
    run_alone("callers", "add", str(file), "--name", "admin", "--admin")

    assert 0o600 == stat.S_IMODE(file.stat().st_mode)
    assert ["admin"] == [entry.caller.name for entry in load_callers(file).entries]


def test_a_changed_file_has_its_owner_and_mode(run_alone: Run, file: Path) -> None:
    """Else a server that runs as another user could not read it any more; a link stays a link."""
    file.chmod(0o640)
    if not os.geteuid():
        os.chown(file, 65532, 65533)
    before = file.stat()
    link = file.with_name("link.toml")
    link.symlink_to(file)
    added = run_alone("callers", "add", str(link), "--name", "new", "--project", "1")
    after = file.stat()

    assert (0, True) == (added.exit_code, link.is_symlink())
    assert (before.st_mode, before.st_uid, before.st_gid) == (after.st_mode, after.st_uid, after.st_gid)
    assert before.st_ino != after.st_ino


def test_removes_a_caller_and_nothing_else(run_alone: Run, file: Path) -> None:
    """Its comments go with it, those of others stay; the entry is printed, so that it can be put back."""
    removed = run_alone("callers", "remove", "rooms", str(file))
    entry = FILE[FILE.index("# The back end") : FILE.index("# For operators")]

    assert (0, entry.rstrip() + "\n") == (removed.exit_code, removed.out)
    assert FILE.replace(entry, "") == file.read_text()
    assert ["admin"] == [each.caller.name for each in load_callers(file).entries]


def test_the_last_caller_and_an_unknown_one_stay(run_alone: Run, file: Path) -> None:
    """A server would refuse a file without callers."""
    run_alone("callers", "remove", "rooms", str(file))
    before = file.read_text()
    last = run_alone("callers", "remove", "admin", str(file))
    unknown = run_alone("callers", "remove", "admim", str(file))

    assert (2, True) == (last.exit_code, "has no [[callers]]" in last.err)
    assert (2, True) == (unknown.exit_code, "the file has no caller 'admim'; did you mean 'admin'?" in unknown.err)
    assert before == file.read_text()


def test_an_invalid_file_is_not_changed(run_alone: Run, file: Path) -> None:
    """Whoever edits it by hand at this moment loses nothing."""
    for content in (FILE.encode() + b"x = 1\n", b"[[callers", b"# caf\xe9\n" + FILE.encode(), b"\0"):
        file.write_bytes(content)
        for command in (("add", str(file), "--admin"), ("remove", "rooms", str(file))):
            refused = run_alone("callers", *command)

            assert (2, "") == (refused.exit_code, refused.out)
            assert "callers.toml is not valid: " in refused.err
            assert content == file.read_bytes()


def test_two_commands_do_not_change_a_file_at_once(run_alone: Run, file: Path) -> None:
    """The second one would undo what the first one does."""
    with sole_writer(file.parent):
        refused = run_alone("callers", "add", str(file), "--admin")

    assert (2, True) == (refused.exit_code, "another command changes a file" in refused.err)
    assert 0 == run_alone("callers", "add", str(file), "--name", "second", "--admin").exit_code


def test_an_api_key_says_when_it_was_made_and_ends(run_alone: Run, file: Path) -> None:
    """A caller without a key has no such moments."""
    made = run_alone("callers", "add", str(file), "--name", "new", "--project", "1", "--expires", "90d")
    refused = run_alone(
        *("callers", "add", str(file), "--name", "other", "--project", "1", "--expires", "90d"),
        *("--spiffe-id", "spiffe://a/b"),
    )
    [entry] = [each for each in load_callers(file).entries if each.caller.name == "new"]
    [row] = [row for row in run_alone("callers", "list", str(file), "--json").rows if row["name"] == "new"]

    assert made.err.endswith(" has the caller new now; the API key expires in 90d\n")
    assert entry.created is not None
    assert entry.expires is not None
    assert 90 * 86_400_000 == entry.expires - entry.created
    assert [0] == row["age"]
    assert 1 == len(cast("list[str]", row["expires"]))
    assert (2, True) == (refused.exit_code, "--expires goes with an API key only" in refused.err)
