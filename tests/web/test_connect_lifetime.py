"""A call with JSON begins, waits and ends as one of gRPC: shares, deadlines, clients that leave, a stop, TLS."""

from __future__ import annotations

import asyncio
import json
import socket
import threading

from pathlib import Path

import httpx
import pytest

from tests.support.authority import NO_TRUST, WAIT, StartAuthority, _running, eventually, make_caller
from tests.support.faulty_store import FaultyStore
from tests.support.production import Production
from tests.support.wire import LIST_PROJECTS, V1, Connect, wait_for_record
from tests.web.posting import post, raw
from tokenauthority.callers.api_keys import digest, new_api_key
from tokenauthority.config.settings import Settings
from tokenauthority.interceptors.direct import DIRECT_TASK
from tokenauthority.signing.sealing import MasterKey, Sealer


CREATE = V1 + "SessionService/CreateSession"


def test_one_caller_has_one_share_by_any_transport(start_authority: StartAuthority, connect: Connect) -> None:
    """Its calls in progress are counted together."""
    store = FaultyStore()
    authority = start_authority(store=store, settings={"limits": {"max_concurrent_rpcs_per_caller": 1}})
    held = store.hold("list_projects")
    first = connect(authority).start(LIST_PROJECTS)
    held.wait()
    refused = post(authority, LIST_PROJECTS)
    held.release()
    first.result()

    assert (429, "resource_exhausted") == (refused.status_code, refused.json()["code"])


def test_ends_at_the_deadline_of_the_client(start_authority: StartAuthority) -> None:
    """And the record says so."""
    store = FaultyStore()
    authority = start_authority(store=store)
    held = store.hold("list_projects")
    answer = post(authority, LIST_PROJECTS, headers={"connect-timeout-ms": "200"})
    held.release()

    assert (504, "deadline_exceeded") == (answer.status_code, answer.json()["code"])
    assert wait_for_record(authority, "DEADLINE_EXCEEDED")


def test_records_a_change_whose_client_has_left(start_authority: StartAuthority) -> None:
    """What is begun in the store is done."""
    store = FaultyStore()
    authority = start_authority(store=store)
    held = store.hold("create_session")
    with raw(authority, CREATE, json.dumps({"projectId": authority.project_id}).encode()):
        held.wait()

    async def noticed() -> bool:
        return any(task.get_name() == DIRECT_TASK and task.cancelling() for task in asyncio.all_tasks())

    eventually(lambda: authority.do(noticed()), "nobody notices that the client has left")
    held.release()
    record = wait_for_record(authority, "OK")

    assert ("NOT_DELIVERED", CREATE) == (record["reason"], record["method"])


def test_a_stop_lets_a_call_finish(tmp_path: Path) -> None:
    """Its client gets the answer, also where it comes after the stop has begun."""
    values = {
        "dev": True,
        "data_dir": tmp_path,
        "listen": dict.fromkeys(("grpc", "http", "http_api", "ops"), "127.0.0.1:0"),
    }
    store, key, answers = FaultyStore(), new_api_key(), list[int]()
    held = store.hold("create_session")
    with _running(
        Settings.model_validate(values), store, Sealer(MasterKey.generate()), {digest(key): make_caller()}, key
    ) as authority:
        request = {"projectId": authority.project_id}
        client = threading.Thread(target=lambda: answers.append(post(authority, CREATE, request).status_code))
        client.start()
        held.wait()

        def release_once_it_drains() -> None:
            eventually(lambda: post(authority, LIST_PROJECTS).status_code == 503, "it does not drain")
            held.release()

        releasing = threading.Thread(target=release_once_it_drains)
        releasing.start()
    client.join(WAIT)
    releasing.join(WAIT)

    assert [200] == answers


def test_serves_over_tls(production: Production) -> None:
    """A server outside of --dev has no plaintext for API keys, whatever is said of the JWKS."""
    server = production.start(LISTEN__HTTP_API="127.0.0.1:0", LISTEN__HTTP_PLAINTEXT="true")
    url = f"{server.address_of('http_api')}{LIST_PROJECTS}"
    headers = {"authorization": f"Bearer {production.api_key}", "content-type": "application/json"}
    answer = httpx.post(f"https://{url}", content=b"{}", headers=headers, verify=server.trust)
    with pytest.raises(httpx.HTTPError):
        httpx.post(f"http://{url}", content=b"{}", headers=headers, verify=NO_TRUST)

    assert (200, "HTTP/1.1") == (answer.status_code, answer.http_version)
    assert ["connect"] == [record["transport"] for record in server.audited()]


def test_a_trailer_is_no_header(start_authority: StartAuthority) -> None:
    """A proxy that checks headers does not see what comes after the content."""
    authority = start_authority()
    trailer = f"Authorization: Bearer {authority.api_key}\r\n"
    head = f"POST {LIST_PROJECTS} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked"
    host, _, port = authority.api_url.removeprefix("http://").rpartition(":")
    with socket.create_connection((host, int(port)), WAIT) as line:
        line.sendall(f"{head}\r\n\r\n2\r\n{{}}\r\n0\r\n{trailer}\r\n".encode())
        answer = line.recv(65536)

    assert answer.split()[1] in {b"400", b"401"}


def test_a_request_that_does_not_come_is_refused_and_its_connection_ends(start_authority: StartAuthority) -> None:
    """After the time of a message, however long the client would go on."""
    authority = start_authority(settings={"limits": {"max_deadline": 0.3}, "listen": LISTEN})
    with raw(authority, LIST_PROJECTS, b"{", length=10) as line:
        answer = b""
        while data := line.recv(65536):
            answer += data

    assert answer.split()[1] in {b"400", b"504"}
    assert wait_for_record(authority, {b"400": "INVALID_ARGUMENT", b"504": "DEADLINE_EXCEEDED"}[answer.split()[1]])


LISTEN = dict.fromkeys(("grpc", "http", "http_api", "ops"), "127.0.0.1:0")
