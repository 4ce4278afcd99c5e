"""The audit log of a real server: SIGHUP, readiness, and refused starts."""

from __future__ import annotations

import signal

import httpx

from tests.audit.logs import checked, objects, types
from tests.support.authority import NO_TRUST, StartAuthority, eventually
from tests.support.faults import break_audit_log
from tests.support.production import Production
from tests.support.wire import LIST_PROJECTS, Connect
from tokenauthority.v1 import project_pb2


def test_is_not_ready_while_nothing_can_be_recorded(start_authority: StartAuthority, connect: Connect) -> None:
    """Readiness names the part and the cause; it recovers by itself, and calls are answered again."""
    authority = start_authority()
    wire = connect(authority)
    url = authority.ops_url + "/readyz"
    before = httpx.get(url, verify=NO_TRUST)
    break_audit_log(authority.audit_path)
    refused = wire.call(LIST_PROJECTS)
    red = httpx.get(url, verify=NO_TRUST)
    authority.audit_path.rmdir()
    eventually(lambda: httpx.get(url, verify=NO_TRUST).status_code == 200, "it does not get ready again")

    assert (200, 503) == (before.status_code, red.status_code)
    assert ["audit"] == list(red.json()["problems"])
    assert ("UNAVAILABLE", "AUDIT_UNAVAILABLE") == (refused.code, refused.reason)
    assert "OK" == wire.call(LIST_PROJECTS).code


def test_logrotate_moves_the_file_of_a_real_server(production: Production) -> None:
    """Move and SIGHUP, five times over, between calls: every call is answered, and the files are one chain."""
    server = production.start()
    path = server.audit_path
    moved = []
    with production.client(server.address) as client:
        for number in range(5):
            client.projects.ListProjects(project_pb2.ListProjectsRequest())
            moved.append(path.rename(path.with_name(f"{path.name}.{number}")))
            client.projects.ListProjects(project_pb2.ListProjectsRequest())
            server.process.send_signal(signal.SIGHUP)
            eventually(path.exists, "no new file was begun")
            eventually(lambda: len(path.read_bytes().splitlines()) == 2, "the new file has no beginning")
    assert 0 == server.stop()
    path.with_name("audit-key.pub.pem").write_bytes((production.directory / "data" / "audit-key.pub.pem").read_bytes())
    report = checked(path, *moved)

    assert (None, True, 10) == (report.bad, report.holds_trusted, report.kinds["rpc"])
    assert ["checkpoint"] * 5 == [types(file)[-1] for file in moved]
    assert 5 == len(server.events("audit.rotated"))
    assert [] == server.events("audit.unavailable")


def test_two_servers_do_not_share_a_log(production: Production) -> None:
    """The second says which file it is and does not start; the first serves on."""
    first = production.start()
    status, log = production.fail(AUDIT__PATH=str(first.audit_path))

    assert 2 == status
    assert f"the audit log {first.audit_path} is in use by another server" in log
    assert "Traceback" not in log
    with production.client(first.address) as client:
        client.projects.ListProjects(project_pb2.ListProjectsRequest())


def test_a_server_does_not_start_on_a_log_that_was_cut_off(production: Production) -> None:
    """One line says what is missing and what to do."""
    first = production.start()
    assert 0 == first.stop()
    path = first.audit_path
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    status, log = production.fail(AUDIT__PATH=str(path))

    assert 2 == status
    assert "its end was cut off. Put the records back; or, to begin a new log, move both away" in log
    assert "Traceback" not in log


def test_settings_reach_the_log(production: Production) -> None:
    """The key's file, the size of a file, durability and the interval are those of the settings."""
    server = production.start(AUDIT__KEY_FILE="elsewhere.pem", AUDIT__MAX_BYTES="65536", AUDIT__DURABILITY="write")
    with production.client(server.address) as client:
        for _ in range(200):
            client.projects.ListProjects(project_pb2.ListProjectsRequest())
    assert 0 == server.stop()
    keys = {line["key_id"] for line in objects(server.audit_path) if line["type"] == "checkpoint"}

    assert {event["key_id"] for event in server.events("audit.checkpoint")} == keys
    assert (production.directory / "elsewhere.pub.pem").exists()
    assert 1 == len(server.events("audit.rotated"))
