"""An enforcer as a process of its own misses no revocation, whatever happens to it, and shows how it is."""

from __future__ import annotations

import signal
import subprocess

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import attrs
import httpx
import pytest

from tests.enforcer.stand_ins import SECRET, LiveKitStandIn
from tests.enforcer.test_webhook import sign
from tests.support import forkserver
from tests.support.authority import NO_TRUST, WAIT, RunningAuthority, clean_environment, eventually
from tests.support.enforcer import EnforcerProcess, key_file, running_enforcer, settings_text
from tokenauthority.client import Authority, translated_errors
from tokenauthority.v1 import project_pb2


@attrs.frozen(kw_only=True)
class Stage:
    """An authority, a LiveKit, and where enforcers of them run."""

    authority: RunningAuthority
    client: Authority
    livekit: LiveKitStandIn
    directory: Path
    settings: str

    def enforcer(self, **variables: str) -> AbstractContextManager[EnforcerProcess]:
        """An enforcer until the end of the block."""
        return running_enforcer(self.directory, self.settings, {**self.authority.environment, **variables})


@pytest.fixture
def stage(running_authority: RunningAuthority, livekit: LiveKitStandIn, tmp_path: Path) -> Iterator[Stage]:
    """With alice and bob in the room `standup`."""
    livekit.inside = {"standup": {"alice", "bob"}}
    server = {
        "name": "video",
        "kind": "livekit",
        "url": livekit.url,
        "project_id": running_authority.project_id,
        "token_lifetime": 600,
        "key": "APIkey",
        "key_file": key_file(tmp_path, SECRET),
    }
    with Authority(
        running_authority.address,
        api_key=running_authority.api_key,
        project_id=running_authority.project_id,
        plaintext=True,
        timeout=WAIT,
    ) as client:
        yield Stage(
            authority=running_authority,
            client=client,
            livekit=livekit,
            directory=tmp_path,
            settings=settings_text(tmp_path / "enforcer", server),
        )


def _leaves(stage: Stage, person: str) -> None:
    eventually(lambda: person not in stage.livekit.inside.get("standup", ()), f"{person} is still inside")


def test_a_revoked_person_is_removed_and_recorded(stage: Stage) -> None:
    """The line of the audit log names who, where and why; the metrics count it."""
    with stage.enforcer() as enforcer:
        revocation = stage.client.revoke_tokens(subject="alice")
        _leaves(stage, "alice")
        eventually(lambda: bool(enforcer.removals()), "no audit line")
        eventually(lambda: not enforcer.problems(), "something fails")
        eventually(lambda: _metric(enforcer, 'removals_total{outcome="removed",server="video"} 1.0'), "not counted")

    (line,) = enforcer.removals()
    expected = {
        "server": "video",
        "project_id": stage.authority.project_id,
        "cause": revocation.revocation_id,
        "room": "standup",
        "subject": "alice",
        "outcome": "removed",
        "returned": False,
    }
    assert expected == {name: line[name] for name in expected}
    assert {"bob"} == stage.livekit.inside["standup"]


def _metric(enforcer: EnforcerProcess, line: str) -> bool:
    return f"tokenauthority_enforcer_{line}" in enforcer.get("/metrics").text


def test_a_named_session_is_emptied(stage: Stage) -> None:
    """Its room has the name, which the stream does not say."""
    session = stage.client.create_session(name="standup")
    with stage.enforcer():
        stage.client.end_session(session.session_id)

        eventually(lambda: "standup" not in stage.livekit.inside, "the room is still there")


def test_a_deleted_project_leaves_nobody_inside(stage: Stage) -> None:
    """Its id can be taken again."""
    with stage.enforcer(), translated_errors():
        stage.client.projects.DeleteProject(project_pb2.DeleteProjectRequest(project_id=stage.authority.project_id))

        eventually(lambda: not stage.livekit.inside, "a room is still there")


def test_what_is_revoked_while_the_enforcer_is_dead_is_done_after_that(stage: Stage) -> None:
    """SIGKILL, and the stream resumes at the stored place."""
    with stage.enforcer() as enforcer:
        stage.client.revoke_tokens(subject="alice")
        _leaves(stage, "alice")
        eventually(lambda: "rev_" in str(enforcer.state()), "nothing is stored")
        enforcer.process.kill()
        assert -signal.SIGKILL == enforcer.process.wait(WAIT)
    stage.client.revoke_tokens(subject="bob")

    with stage.enforcer() as again:
        _leaves(stage, "bob")
        assert 1 == again.events("enforcer.started")[0]["pending"]


def test_what_is_pending_at_a_crash_is_done_without_the_authority(stage: Stage) -> None:
    """The place in the stream has moved past the revocation: the state file alone has it. LiveKit was down before."""
    stage.livekit.status = 503
    with stage.enforcer() as enforcer:
        stage.client.revoke_tokens(subject="alice")
        eventually(lambda: "rev_" in str(enforcer.state()), "nothing is stored")
        eventually(lambda: stage.livekit.asked("ListRooms") > 2, "LiveKit is not asked again")
        assert "status 503" in enforcer.problems()["server-video"]
        enforcer.process.kill()
        enforcer.process.wait(WAIT)
    assert "alice" in stage.livekit.inside["standup"]
    stage.livekit.status = None

    with stage.enforcer(TOKENAUTHORITY_ADDRESS="127.0.0.1:1") as again:
        _leaves(stage, "alice")
        eventually(lambda: "stream" in again.problems(), "the stream seems complete")


def test_a_webhook_removes_who_returns(stage: Stage) -> None:
    """Before the next turn, which is an hour away in this test."""
    settings = stage.settings.replace("poll_interval = 0.2", "poll_interval = 60")
    with running_enforcer(stage.directory, settings, stage.authority.environment) as enforcer:
        stage.client.revoke_tokens(subject="alice")
        _leaves(stage, "alice")
        stage.livekit.inside["standup"].add("alice")
        body = b'{"event":"participant_joined","room":{"name":"standup"},"participant":{"identity":"alice"}}'

        def post(authorization: str) -> int:
            headers = {"authorization": authorization, "content-type": "application/webhook+json"}
            return httpx.post(
                enforcer.webhook_url, content=body, headers=headers, timeout=WAIT, verify=NO_TRUST
            ).status_code

        assert 401 == post(sign(body, secret="x" * 40))
        assert {"alice", "bob"} == stage.livekit.inside["standup"]
        assert 200 == post(sign(body))
        assert {"bob"} == stage.livekit.inside["standup"]
        assert _metric(enforcer, 'webhooks_total{outcome="refused",server="video"} 1.0')


def test_the_audit_log_can_be_moved_away(stage: Stage) -> None:
    """As logrotate does, which then sends SIGHUP. The process goes on in a new file."""
    with stage.enforcer() as enforcer:
        path = enforcer.directory / "audit.jsonl"
        path.rename(path.with_suffix(".1"))
        enforcer.process.send_signal(signal.SIGHUP)
        eventually(path.exists, "there is no new file")

        stage.client.revoke_tokens(subject="alice")
        eventually(lambda: bool(enforcer.removals()), "no audit line")


def test_only_one_process_uses_a_directory(stage: Stage) -> None:
    """Two would overwrite what the other one has stored."""
    with stage.enforcer():
        second = _run(stage, stage.directory / "enforcer.toml")

    assert (2, True) == (second.returncode, "another process uses" in second.stderr)


def test_a_damaged_state_is_not_ignored(stage: Stage) -> None:
    """It had what is still to be done."""
    (stage.directory / "enforcer").mkdir()
    (stage.directory / "enforcer" / "state.json").write_text("{")
    path = stage.directory / "enforcer.toml"
    path.write_text(stage.settings, encoding="utf-8")

    done = _run(stage, path)

    assert (2, True) == (done.returncode, "state.json is damaged" in done.stderr)


def test_an_address_that_is_taken_is_named_by_its_setting(stage: Stage) -> None:
    """As the settings of the server are."""
    taken = stage.authority.ops_url.removeprefix("http://")
    path = stage.directory / "enforcer.toml"
    path.write_text(stage.settings.replace('ops = "127.0.0.1:0"', f'ops = "{taken}"'), encoding="utf-8")

    done = _run(stage, path)

    assert (2, True) == (done.returncode, "listen.ops chooses another address" in done.stderr)


def test_nothing_that_is_written_shows_a_key(stage: Stage) -> None:
    """Neither the log, nor the audit log, the state or the metrics; also while LiveKit refuses."""
    with stage.enforcer() as enforcer:
        stage.client.revoke_tokens(subject="alice")
        _leaves(stage, "alice")
        stage.livekit.status = 401
        eventually(lambda: "server-video" in enforcer.problems(), "no turn fails")
        shown = enforcer.get("/metrics").text + enforcer.get("/readyz").text
    shown += enforcer.log_path.read_text(encoding="utf-8")
    files = [path for path in enforcer.directory.iterdir() if path.suffix != ".pem"]
    shown += "".join(path.read_text(encoding="utf-8") for path in files)

    tokens = {request.headers["authorization"].removeprefix("Bearer ") for request in stage.livekit.requests}
    assert [] == [secret for secret in (SECRET, stage.authority.api_key, *tokens) if secret in shown]


def _run(stage: Stage, path: Path) -> subprocess.CompletedProcess[str]:
    environment = clean_environment(**stage.authority.environment)
    return forkserver.run(["enforce", "--config", str(path)], cwd=stage.directory, env=environment, timeout=WAIT)
