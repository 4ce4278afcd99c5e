"""Each RPC of the contract can be reached from the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from pathlib import Path
from typing import Final

import pytest

from tests.cli.conftest import Run
from tests.support.authority import WAIT, RunningAuthority, clean_environment
from tests.support.wire import records
from tokenauthority.contract import METHODS


PROJECT: Final = "4700"
COMMANDS: Final[dict[str, str]] = {
    "CreateProject": f"projects create --project-id {PROJECT}",
    "ImportProject": "projects import opentok --api-key 4701 --secret-file SECRET",
    "GetProject": f"projects show {PROJECT}",
    "ListProjects": "projects list",
    "UpdateProject": f"projects update {PROJECT} --display-name x",
    "RotateProjectSecret": f"projects rotate-secret {PROJECT}",
    "RetireProjectSecret": f"projects retire-secret {PROJECT} FIRST_SECRET --yes",
    "CreateRole": f"roles create camera --permission publish --project {PROJECT}",
    "GetRole": f"roles show camera --project {PROJECT}",
    "ListRoles": f"roles list --project {PROJECT}",
    "UpdateRole": f"roles update camera --description x --project {PROJECT}",
    "DeleteRole": f"roles delete camera --project {PROJECT}",
    "CreateSession": f"sessions create --project {PROJECT}",
    "GetSession": "sessions show SESSION",
    "ListSessions": f"sessions list --project {PROJECT}",
    "GenerateToken": "tokens generate --session SESSION",
    "CreateTurnCredentials": "turn create --session SESSION --subject alice --ttl 1m",
    "BatchGenerateTokens": "tokens batch BATCH",
    "VerifyToken": "tokens verify TOKEN",
    "RevokeTokens": f"tokens revoke --subject alice --project {PROJECT}",
    "WatchRevocations": "tokens watch",
    "EndSession": "sessions end SESSION",
    "GetJsonWebKeySet": "keys jwks",
    "ListSigningKeys": "keys list",
    "PrepareSigningKey": "keys prepare",
    "ActivateSigningKey": "keys activate KEY",
    "RevokeSigningKey": "keys revoke KEY --yes",
    "DeleteProject": f"projects delete {PROJECT} --yes",
}
"""A command for each RPC, in an order in which each has what it needs. Words in capitals are what earlier ones made."""


def test_each_rpc_has_a_command() -> None:
    """Whoever adds an RPC adds a command."""
    assert {method.name for method in METHODS.values()} == COMMANDS.keys()


def test_each_command_calls_its_rpc(run: Run, running_authority: RunningAuthority, tmp_path: Path) -> None:
    """The audit log of the authority has each of them."""
    words = {"SECRET": str(tmp_path / "secret"), "BATCH": str(tmp_path / "batch")}
    Path(words["SECRET"]).write_text("0123456789abcdef" * 2 + "01234567")
    for method, command in COMMANDS.items():
        arguments = [words.get(word, word) for word in command.split()]
        if method == "WatchRevocations":
            _watch_for_a_line(running_authority, arguments)
            continue
        made = run(*arguments, "--json").out
        match method:
            case "CreateProject":
                words["FIRST_SECRET"] = json.loads(made)["secret"]["secret_id"]
            case "CreateSession":
                words["SESSION"] = json.loads(made)["session_id"]
                Path(words["BATCH"]).write_text(json.dumps({"session_id": words["SESSION"], "ttl": 60}) + "\n")
            case "GenerateToken":
                words["TOKEN"] = json.loads(made)["token"]
            case "PrepareSigningKey":
                words["KEY"] = json.loads(made)["key_id"]

    codes = {str(each["method"]).rpartition("/")[2]: each["code"] for each in records(running_authority.audit_path)}
    # Verifiers have not had the time to fetch a key that was prepared a moment ago, and there is no TURN server.
    refused = dict.fromkeys(("ActivateSigningKey", "CreateTurnCredentials"), "FAILED_PRECONDITION")
    assert refused == {name: code for name, code in codes.items() if code != "OK" and name != "WatchRevocations"}
    assert COMMANDS.keys() == codes.keys()


def test_a_batch_names_the_line_that_is_wrong(run: Run, tmp_path: Path, session_id: str) -> None:
    """Nothing is made then; of a valid file each line has its token."""
    file = tmp_path / "batch"
    file.write_text(f'{{"session_id": "{session_id}"}}\n\n{{"session_id": "{session_id}", "role": "moderator"}}\n')
    tokens = run("tokens", "batch", str(file)).out.split()
    file.write_text(f'{{"session_id": "{session_id}"}}\n{{"session": "x"}}\n')
    refused = run("tokens", "batch", str(file))

    assert ["active"] * 2 == [run("tokens", "verify", token).out.split()[0] for token in tokens]
    assert (2, "") == (refused.exit_code, refused.out)
    assert "line 2" in refused.err


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"session_id": "x", "rol": "moderator"}', "line 1: 'rol' is no option; did you mean 'role'?"),
        ('["session_id"]', "line 1: must be a JSON object with session_id"),
        ("{}", "line 1: must be a JSON object with session_id"),
        ("[" * 100_000, "line 1: is nested too deeply"),
        ("session_id: x", "line 1: is not JSON: Expecting value, at column 1"),
        ("{}\n" * 1001, "the batch has 1001 lines, and must have at most 1000"),
        ("\n", "the batch is empty"),
        ("\udcff", "the batch is not text in UTF-8"),
    ],
    ids=["option", "list", "session", "depth", "text", "lines", "empty", "encoding"],
)
def test_a_batch_says_what_is_wrong_with_it(run: Run, tmp_path: Path, line: str, said: str) -> None:
    """In the words of the file: no name of a class."""
    file = tmp_path / "batch"
    file.write_text(line, encoding="utf-8", errors="surrogateescape")
    refused = run("tokens", "batch", str(file))

    assert (2, "") == (refused.exit_code, refused.out)
    assert said in " ".join(refused.err.split())


def test_a_line_of_a_batch_ends_where_one_of_json_ends(run: Run, session_id: str) -> None:
    """A string may have each separator of Unicode as it is; an editor of Windows begins the file with a mark."""
    data = "one\u2028two\u0085three"
    line = json.dumps({"session_id": session_id, "data": data}, ensure_ascii=False)
    token = run("tokens", "batch", stdin=f"\ufeff{line}\r\n").out.strip()

    assert data == json.loads(run("--json", "tokens", "verify", token).out)["claims"]["data"]


def test_the_largest_batch_may_be_escaped(run: Run, session_id: str) -> None:
    """As most writers of JSON do: an emoji then takes twelve characters, and the request has a third of that."""
    line = json.dumps({"session_id": session_id, "data": "\N{GRINNING FACE}" * 1000})
    tokens = run("tokens", "batch", stdin=f"{line}\n" * 1000).out.split()

    assert 1000 == len(set(tokens))


def _watch_for_a_line(authority: RunningAuthority, arguments: list[str]) -> None:
    """Run the command until its first line, and stop it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tokenauthority.cli", *arguments],
        env={**clean_environment(**authority.environment), "PATH": os.environ["PATH"]},
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline()
        process.terminate()
        process.wait(WAIT)
