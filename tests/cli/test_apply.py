"""`tokenauthority apply` against a real authority."""

from __future__ import annotations

import json
import re
import subprocess
import sys

from pathlib import Path

import attrs
import pytest

from tests.cli.conftest import Run
from tests.support.authority import EVERYTHING, RunningAuthority, clean_environment, make_caller
from tokenauthority.authority.project_spec import ProjectChanges
from tokenauthority.callers.api_keys import digest
from tokenauthority.callers.identity import ApiKeyIdentity
from tokenauthority.callers.registry import CallerEntry, CallerRegistry
from tokenauthority.cli import apply as command
from tokenauthority.cli import calls
from tokenauthority.cli.declared_state import make_change
from tokenauthority.client import Authority
from tokenauthority.declaration.plan import PlannedChange


PROJECT = """\
version: 1
projects:
  - project_id: 47
    display_name: rooms
    max_ttl: 2d
    platform_url: ""
    claims_for: [mediamtx]
    disabled: true
    roles:
      - name: no
        permissions: [publish, subscribe]
        description: films
"""
CALLERS = """\
# ours
[[callers]]
name           = "rooms"  # of the web team
api_key_sha256 = "{digest}"
projects       = ["47"]
actions        = ["tokens.verify"]
rate           = "1/s"  # slow
""".format(digest="d" * 64)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A declaration that tests write."""
    return tmp_path / "authority.yaml"


@pytest.fixture
def callers_file(tmp_path: Path) -> Path:
    """A callers file with one caller."""
    path = tmp_path / "callers.toml"
    path.write_text(CALLERS)
    return path


def _apply(run: Run, file: Path, text: str, *arguments: str, stdin: str = "") -> tuple[int, str, str]:
    file.write_text(text)
    outcome = run("apply", "-f", str(file), *arguments, stdin=stdin)
    return outcome.exit_code, outcome.out, outcome.err


def test_creates_everything_once(run: Run, running_authority: RunningAuthority, file: Path) -> None:
    """The plan comes first; the secret is not shown; a second time nothing is changed and nobody is asked."""
    code, out, err = _apply(run, file, PROJECT, "--yes")
    project = run("projects", "show", "47", "--json").json
    role = run("roles", "show", "no", "--project", "47", "--json").json
    again = _apply(run, file, PROJECT)

    plan = (
        "+ project 47\n    display_name: rooms\n    max_ttl: 2d\n    platform_url: -\n    claims_for: mediamtx\n"
        "    disabled: yes\n+ role no of project 47\n    permissions: subscribe, publish\n    description: films\n"
        f"? project {running_authority.project_id} is not declared\n"
        "2 to create, 0 to change, 0 to delete; 1 not declared\ndone: + project 47\ndone: + role no of project 47\n"
    )

    assert (0, plan) == (code, out)
    assert [] == re.findall(r"[0-9a-f]{40}", out + err)
    assert "a new project has a secret that was not shown" in err
    assert {"display_name": "rooms", "max_ttl": 172_800, "claims_for": ["mediamtx"], "disabled": True} == {
        name: project[name] for name in ("display_name", "max_ttl", "claims_for", "disabled")
    }
    assert (["subscribe", "publish"], "films") == (role["permissions"], role["description"])
    assert (0, "0 to create, 0 to change, 0 to delete; 1 not declared") == (again[0], again[1].splitlines()[-1])
    assert "done" not in again[1]


def test_changes_only_what_differs(run: Run, file: Path) -> None:
    """By the fields that are declared; the audit log has no more calls than that."""
    _apply(run, file, PROJECT, "--yes")
    run("projects", "update", "47", "--default-ttl", "1h")
    text = PROJECT.replace("rooms", "halls").replace("publish, ", "").replace("disabled: true", "disabled: false")
    code, out, _ = _apply(run, file, text, "--yes")
    project = run("projects", "show", "47", "--json").json

    assert 0 == code
    assert out.startswith(
        "~ project 47\n    display_name: rooms -> halls\n    disabled: yes -> no\n"
        "~ role no of project 47\n    permissions: subscribe, publish -> subscribe\n"
    )
    assert ("halls", False, 3600) == (project["display_name"], project["disabled"], project["default_ttl"])
    assert ["subscribe"] == run("roles", "show", "no", "--project", "47", "--json").json["permissions"]


def test_a_dry_run_tells_drift_by_its_exit_code(run: Run, running_authority: RunningAuthority, file: Path) -> None:
    """6 for any difference, 0 for none; it changes nothing."""
    drift = _apply(run, file, PROJECT, "--dry-run")
    only_not_declared = _apply(run, file, "version: 1\nprojects: []\n", "--dry-run")
    same = _apply(run, file, f"version: 1\nprojects: [{{project_id: {running_authority.project_id}}}]\n", "--dry-run")

    assert (6, 6, 0) == (drift[0], only_not_declared[0], same[0])
    assert "nothing to change: all is as it is declared\n" == same[1]
    assert 1 == run("projects", "show", "47").exit_code


def test_asks_before_it_changes_anything(run: Run, file: Path) -> None:
    """Only yes goes on; where nobody can answer, --yes is named."""
    declined = _apply(run, file, PROJECT, stdin="n\n")
    nobody = _apply(run, file, PROJECT)
    absent = run("projects", "show", "47").exit_code
    accepted = _apply(run, file, PROJECT, stdin="y\n")

    assert (1, 2, 1, 0) == (declined[0], nobody[0], absent, accepted[0])
    assert "Make these changes?" in declined[2]
    assert "give --yes" in nobody[2]


def test_prune_deletes_and_says_what_goes_along(run: Run, running_authority: RunningAuthority, file: Path) -> None:
    """Without it, what is not declared is shown and stays."""
    _apply(run, file, PROJECT, "--yes")
    run("sessions", "create")
    text = PROJECT[: PROJECT.index("    roles:")] + "    roles: []\n"
    shown = _apply(run, file, text, "--yes")
    kept = run("roles", "show", "no", "--project", "47").exit_code
    pruned = _apply(run, file, text, "--prune", "--yes")
    left = [row["project_id"] for row in run("projects", "list", "--json").rows]

    assert (0, 0, 0) == (shown[0], kept, pruned[0])
    assert "? role no of project 47 is not declared\n" in shown[1]
    assert (
        "- role no of project 47\n"
        f"- project {running_authority.project_id} with 1 session, 1 secret, 0 roles, 0 revocations\n"
    ) in pruned[1]
    assert ["47"] == left
    assert 1 == run("roles", "show", "no", "--project", "47").exit_code


def test_every_page_of_a_list_counts(run: Run, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of projects and of roles."""
    monkeypatch.setattr(calls, "MAX_PAGE", 2)
    roles = ", ".join(f"{{name: r{number}, permissions: [publish]}}" for number in range(5))
    projects = "".join(f"  - {{project_id: {number}, roles: [{roles}]}}\n" for number in range(1, 6))
    text = f"version: 1\nprojects:\n{projects}"
    made = _apply(run, file, text, "--yes")
    again = _apply(run, file, text, "--yes")

    assert (0, 30) == (made[0], made[1].count("done: + "))
    assert 0 == again[1].count("done: ")
    assert 0 == again[1].count("+ ")


def test_a_project_with_a_credential_of_elsewhere_needs_a_person(run: Run, file: Path) -> None:
    """The exit code says that not all is as declared, until the command that the plan names was run."""
    secret = "s3cr3t" * 8
    text = "version: 1\nprojects: [{project_id: 47, max_ttl: 1d, imported: {source: livekit, id: APIx}}]\n"
    before = _apply(run, file, text, "--yes")
    key = ("--api-key", "APIx", "--secret-file", "-")
    run("projects", "import", "livekit", "--project-id", "47", *key, stdin=secret)
    after = _apply(run, file, text, "--yes")

    assert (6, 0) == (before[0], after[0])
    assert (
        "! project 47 needs a credential, which is never in the file:\n"
        "    tokenauthority projects import livekit --api-key APIx --project-id 47 --secret-file FILE\n"
    ) in before[1]
    assert 86_400 == run("projects", "show", "47", "--json").json["max_ttl"]


def test_problems_are_found_before_anything_is_changed(run: Run, file: Path) -> None:
    """Each with file, line and field."""
    syntax = _apply(run, file, PROJECT.replace("max_ttl", "max_tll"), "--yes")
    immutable = _apply(
        run,
        file,
        PROJECT + "  - {project_id: 48, default_format: VONAGE_JWT}\n",
        "--yes",
    )

    assert (2, 2) == (syntax[0], immutable[0])
    assert f"error: {file}:5: project 47: 'max_tll' is not a field; did you mean 'max_ttl'?\n" == syntax[2]
    assert f"{file}:13: project 48: default_format VONAGE_JWT needs an imported application" in immutable[2]
    assert 1 == run("projects", "show", "47").exit_code


@pytest.fixture
def change_before(monkeypatch: pytest.MonkeyPatch, running_authority: RunningAuthority) -> list[str]:
    """The names of what another person changes after the plan and before apply does."""
    names: list[str] = []

    def change_and_make(client: Authority, change: PlannedChange) -> None:
        if change.name in names:
            changes = ProjectChanges(display_name="theirs")
            running_authority.do(running_authority.app.projects.update(change.name, changes))
        make_change(client, change)

    monkeypatch.setattr(command, "make_change", change_and_make)
    return names


def test_overwrites_nothing_that_was_changed_meanwhile(
    run: Run, file: Path, change_before: list[str], running_authority: RunningAuthority
) -> None:
    """A failure half-way says what is done and what is not, and the next run finishes."""
    text = PROJECT + "  - {project_id: 48, display_name: a}\n  - {project_id: 49, display_name: a}\n"
    _apply(run, file, text, "--yes")
    changed = text.replace("display_name: a", "display_name: b").replace("name: rooms", "name: halls")
    change_before.append("48")
    failed = _apply(run, file, changed, "--yes")
    change_before.clear()
    shown = run("projects", "show", "48", "--json").text("display_name")
    finished = _apply(run, file, changed, "--yes")

    assert (1, 0) == (failed[0], finished[0])
    assert failed[1].endswith("done: ~ project 47\n")
    assert (
        "failed: ~ project 48\nnot done: ~ project 49\nerror: ~ project 48: display_name has changed since the plan "
        "was made, and is theirs: apply again\n"
    ) == failed[2]
    assert "theirs" == shown
    assert "done: ~ project 48\ndone: ~ project 49\n" in finished[1]


def test_two_at_once_make_one_project(
    run: Run, file: Path, monkeypatch: pytest.MonkeyPatch, running_authority: RunningAuthority
) -> None:
    """The one that comes second fails, and has nothing to do the next time."""

    def make_twice(client: Authority, change: PlannedChange) -> None:
        make_change(client, change)
        make_change(client, change)

    text = "version: 1\nprojects: [{project_id: 47}]\n"
    with monkeypatch.context() as patched:
        patched.setattr(command, "make_change", make_twice)
        second = _apply(run, file, text, "--yes")
    again = _apply(run, file, text, "--yes")

    assert (1, 0) == (second[0], again[0])
    assert "PROJECT_EXISTS" in second[2]
    assert 2 == len(run("projects", "list", "--json").rows)


def test_what_another_has_changed_is_not_deleted(run: Run, file: Path, change_before: list[str]) -> None:
    """Nobody has seen it in the plan."""
    _apply(run, file, "version: 1\nprojects: [{project_id: 47}, {project_id: 48}]\n", "--yes")
    change_before.append("48")
    failed = _apply(run, file, "version: 1\nprojects: [{project_id: 47}]\n", "--yes", "--prune")

    assert 1 == failed[0]
    assert 0 == run("projects", "show", "48").exit_code


def test_json_has_the_plan_and_what_became_of_it(run: Run, file: Path, change_before: list[str]) -> None:
    """Also after a failure."""
    text = "version: 1\nprojects: [{project_id: 47, display_name: a}, {project_id: 48, display_name: a}]\n"
    planned = json.loads(_apply(run, file, text, "--dry-run", "--json")[1])
    done = json.loads(_apply(run, file, text, "--yes", "--json")[1])
    change_before.append("48")
    failed = _apply(run, file, text.replace("name: a", "name: b"), "--yes", "--json")

    assert {
        "verb": "create",
        "kind": "project",
        "name": "47",
        "project_id": None,
        "fields": [{"name": "display_name", "old": None, "new": "a"}],
        "note": "",
        "state": "planned",
    } == planned["changes"][0]
    assert {"create": 2, "change": 0, "delete": 0, "by_hand": 0, "not_declared": 1} == planned["counts"]
    assert ["done", "done", "left"] == [each["state"] for each in done["changes"]]
    assert (1, ["done", "failed", "left"]) == (
        failed[0],
        [each["state"] for each in json.loads(failed[1])["changes"]],
    )


def test_callers_are_changed_in_their_file(run_alone: Run, file: Path, callers_file: Path) -> None:
    """In place, with its comments; without projects no authority is asked."""
    text = (
        "version: 1\ncallers:\n  - {name: rooms, projects: [47], actions: [tokens.verify], rate: 2/s}\n"
        "  - {name: mesh, spiffe_id: 'spiffe://a/b', projects: ['*'], actions: [tokens.watch]}\n"
    )
    made = _apply(run_alone, file, text, "--callers-file", str(callers_file), "--yes")
    again = _apply(run_alone, file, text, "--callers-file", str(callers_file))

    assert (0, 0) == (made[0], again[0])
    assert "~ caller rooms\n    rate: 1/s -> 2/s\n" in made[1]
    assert CALLERS.replace('"1/s"', '"2/s"') in callers_file.read_text()
    assert 'name      = "mesh"' in callers_file.read_text()
    assert "nothing to change: all is as it is declared\n" == again[1]


def test_a_new_caller_gets_its_key_by_a_command(run_alone: Run, file: Path, callers_file: Path) -> None:
    """The plan names the command, and after it all is as declared."""
    text = "version: 1\ncallers: [{name: new, projects: [47], actions: [tokens.verify], daily_quota: 9}]\n"
    before = _apply(run_alone, file, text, "--callers-file", str(callers_file), "--yes")
    line = next(line for line in before[1].splitlines() if "callers add" in line)
    key_file = callers_file.with_name("new.key")
    made = run_alone(*line.split()[1:-1], str(key_file))
    after = _apply(run_alone, file, text, "--callers-file", str(callers_file), "--yes")

    assert (6, 0, 0) == (before[0], made.exit_code, after[0])
    assert "? caller rooms is not declared" in after[1]
    assert key_file.read_text().strip() not in "".join([*before[1:], *after[1:], callers_file.read_text()])


def test_callers_without_a_file_are_an_error(run: Run, file: Path, callers_file: Path) -> None:
    """The settings may name it; without callers it stays as it is."""
    text = "version: 1\ncallers: [{name: rooms, projects: ['*'], actions: [tokens.verify], rate: 1/s}]\n"
    unnamed = _apply(run, file, text, "--yes")
    file.write_text(text)
    named = run("apply", "-f", str(file), "--yes", env={"TOKENAUTHORITY_CALLERS__FILE": str(callers_file)})
    changed = callers_file.read_text()
    other = _apply(run, file, PROJECT, "--yes", "--prune", "--callers-file", str(callers_file))

    assert (2, 0, 0) == (unnamed[0], named.exit_code, other[0])
    assert "give --callers-file or --config, or set TOKENAUTHORITY_CALLERS__FILE" in unnamed[2]
    assert changed == CALLERS.replace('["47"]', '["*"]') == callers_file.read_text()


def test_a_callers_file_that_does_not_exist_is_made_and_named(run_alone: Run, file: Path, tmp_path: Path) -> None:
    """A misspelt name is seen in the plan; a directory that does not exist fails before the plan."""
    text = "version: 1\ncallers: [{name: a, spiffe_id: spiffe://a/b, projects: [47], actions: [tokens.verify]}]\n"
    new, lost = tmp_path / "new.toml", tmp_path / "none" / "callers.toml"
    planned = _apply(run_alone, file, text, "--callers-file", str(new), "--dry-run")
    exists = new.exists()
    made = _apply(run_alone, file, text, "--callers-file", str(new), "--yes")
    again = _apply(run_alone, file, text, "--callers-file", str(new), "--yes")
    failed = _apply(run_alone, file, text, "--callers-file", str(lost), "--dry-run")

    said = f"{new} does not exist yet: all its callers are new\n"

    assert (6, said, False) == (planned[0], planned[2], exists)
    assert (0, said) == (made[0], made[2])
    assert (0, "") == (again[0], again[2])
    assert (2, "", f"error: {lost}: No such file or directory\n") == failed


def test_a_problem_of_the_whole_file_names_no_line(run_alone: Run, file: Path) -> None:
    """Others name theirs."""
    empty, other = _apply(run_alone, file, ""), _apply(run_alone, file, "version: 1\nx: 1\n")

    assert (2, "", f"error: {file}: is empty\n") == empty
    assert (2, "", f"error: {file}:2: 'x' is not a field\n") == other


def test_the_work_goes_on_for_a_reader_that_has_closed_the_output(
    run: Run, running_authority: RunningAuthority, file: Path
) -> None:
    """`apply | head` must not leave a part of the changes undone."""
    ids = [str(number) for number in range(101, 109)]
    file.write_text("version: 1\nprojects:\n" + "".join(f"  - project_id: {each}\n" for each in ids))
    with subprocess.Popen(
        [sys.executable, "-m", "tokenauthority.cli", "apply", "-f", str(file), "--yes"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**clean_environment(), **running_authority.environment},
    ) as command:
        assert command.stdout is not None
        assert command.stderr is not None
        assert b"+ project 101\n" == command.stdout.readline()
        command.stdout.close()
        command.stderr.read()

    assert 0 == command.returncode
    assert ids == [each["project_id"] for each in run("projects", "list", "--json").rows if each["project_id"] in ids]


def test_takes_no_access_from_the_caller_that_it_is(
    run: Run, running_authority: RunningAuthority, file: Path, callers_file: Path
) -> None:
    """Else all that is left of the work would fail, and perhaps nobody could repair it."""
    before = CALLERS.replace("d" * 64, digest(running_authority.api_key))
    callers_file.write_text(before)
    other = "callers: [{name: %s, %s, projects: [47], actions: [tokens.verify]}]\n"
    pruned = PROJECT + other % ("mesh", "spiffe_id: spiffe://a/b")
    changed = PROJECT + other % ("rooms", "spiffe_id: spiffe://a/b")
    arguments = ("--callers-file", str(callers_file), "--prune", "--yes")

    for text in (pruned, changed):
        code, out, err = _apply(run, file, text, *arguments)

        assert (2, "", before) == (code, out, callers_file.read_text())
        assert "caller rooms is the one whose credential this command uses" in err
        assert 1 == run("projects", "show", "47").exit_code


def test_prints_the_first_of_many_problems(run_alone: Run, file: Path) -> None:
    """A file of another kind has one on every line."""
    code, _, err = _apply(run_alone, file, "version: 1\n" + "".join(f"k{number}: x\n" for number in range(150)))
    lines = err.splitlines()

    assert (2, 101) == (code, len(lines))
    assert [f"error: {file}:2: 'k0' is not a field", f"{file}: and 50 other problems"] == [lines[0], lines[-1]]


def test_an_invalid_callers_file_is_never_made(run: Run, file: Path, callers_file: Path) -> None:
    """It is found before anything is changed: here two callers would have one key."""
    text = PROJECT + f"callers: [{{name: b, api_key_sha256: {'d' * 64}, projects: [47], actions: [tokens.verify]}}]\n"
    outcome = _apply(run, file, text, "--callers-file", str(callers_file), "--yes")

    assert 2 == outcome[0]
    assert "callers.toml would not be valid: caller b: its API key is that of rooms" in outcome[2]
    assert 1 == run("projects", "show", "47").exit_code
    assert CALLERS == callers_file.read_text()


def test_a_callers_file_that_has_changed_meanwhile_is_not_replaced(
    run: Run, file: Path, callers_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What somebody else has added stays."""

    def change_and_make(client: Authority, change: PlannedChange) -> None:
        callers_file.write_text(CALLERS + "# theirs\n")
        make_change(client, change)

    monkeypatch.setattr(command, "make_change", change_and_make)
    callers = "callers: [{name: rooms, projects: ['*'], actions: [tokens.watch]}]\n"
    failed = _apply(
        run,
        file,
        f"version: 1\nprojects: [{{project_id: 47}}]\n{callers}",
        "--callers-file",
        str(callers_file),
        "--yes",
    )

    assert 1 == failed[0]
    assert "has changed since the plan was made" in failed[2]
    assert CALLERS + "# theirs\n" == callers_file.read_text()


def test_a_declaration_is_read_from_standard_input(run: Run) -> None:
    """Then nobody can be asked."""
    refused = run("apply", "-f", "-", stdin=PROJECT)
    made = run("apply", "-f", "-", "--yes", stdin=PROJECT)

    assert (2, 0) == (refused.exit_code, made.exit_code)
    assert "give --yes" in refused.err


def test_waits_until_the_server_knows_that_no_caller_names_a_role(
    run: Run,
    file: Path,
    callers_file: Path,
    running_authority: RunningAuthority,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A caller and the role that it names are deleted in one run."""
    text = PROJECT[: PROJECT.index("      - name")].replace("roles:", "roles: []")
    _apply(run, file, PROJECT, "--yes")
    registry = running_authority.callers.registry
    grant = attrs.evolve(EVERYTHING, roles=frozenset({"no"}))
    naming = CallerEntry(make_caller("rooms", grant), ApiKeyIdentity("d" * 64))
    running_authority.callers.replace(CallerRegistry([*registry.entries, naming]))
    monkeypatch.setattr("time.sleep", lambda _: running_authority.callers.replace(registry))
    callers = "callers: [{name: other, spiffe_id: 'spiffe://a/b', projects: ['47'], actions: [tokens.watch]}]\n"
    pruned = _apply(run, file, text + callers, "--prune", "--yes", "--callers-file", str(callers_file))

    assert (0, "") == (pruned[0], pruned[2])
    assert "done: - role no of project 47\n" in pruned[1]
