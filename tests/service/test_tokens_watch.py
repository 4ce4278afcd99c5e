"""WatchRevocations: a stream that begins with all in force, sends each event once it is durable, and leaves a trace."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import grpc
import pytest

from tests.service.api import Api, Connect, failure
from tests.service.conftest import AWAY, HOME, NOWHERE
from tests.storage.builders import make_revocation
from tests.support.authority import EVERYTHING, RunningAuthority, StartAuthority, eventually, make_caller
from tests.support.faults import break_audit_log
from tests.support.memory_store import MemoryStore
from tests.support.wire import V1, records
from tokenauthority.authority.project_spec import ProjectSpec
from tokenauthority.callers.api_keys import new_api_key
from tokenauthority.domain.caller import ANY, Grant
from tokenauthority.domain.revocation import TargetKind
from tokenauthority.domain.times import whole_seconds
from tokenauthority.signing.sealing import MasterKey, Sealer
from tokenauthority.v1 import token_pb2


METHOD = V1 + "TokenService/WatchRevocations"
QUIET = {"limits": {"watch_heartbeat": 60}}
"""No heartbeat while a test runs."""


class Stream(Protocol):
    """A call under way, as grpc's own types do not name it."""

    def __next__(self) -> token_pb2.WatchRevocationsResponse:
        """The next message."""

    def __iter__(self) -> Iterator[token_pb2.WatchRevocationsResponse]:
        """All of them."""

    def cancel(self) -> bool:
        """Leave."""


def watch(api: Api, *project_ids: str, resume_token: str = "") -> Stream:
    """A stream."""
    request = token_pb2.WatchRevocationsRequest(project_ids=project_ids, resume_token=resume_token)
    stream: Stream = api.tokens.WatchRevocations(request)
    return stream


def take(stream: Stream, count: int) -> list[token_pb2.WatchRevocationsResponse]:
    """The next so many messages."""
    return [next(stream) for _ in range(count)]


def told(messages: list[token_pb2.WatchRevocationsResponse]) -> list[str]:
    """What the messages say, in short."""
    return [_word(message) for message in messages]


def _word(message: token_pb2.WatchRevocationsResponse) -> str:
    kind = message.WhichOneof("event")
    if kind == "revocation":
        return message.revocation.subject
    return message.session_end.session_id if kind == "session_end" else str(kind)


def revoke(api: Api, subject: str, project_id: str) -> token_pb2.Revocation:
    """Take a subject's tokens back."""
    request = token_pb2.RevokeTokensRequest(subject=subject, project_id=project_id, comment="läuft aus")
    return api.tokens.RevokeTokens(request).revocation


def lines(authority: RunningAuthority) -> list[tuple[object, object]]:
    """Code and reason of every audit record of the method, in order."""
    return [(r["code"], r.get("reason", "")) for r in records(authority.audit_path) if r["method"] == METHOD]


def test_begins_with_all_in_force_then_a_marker_then_what_happens(api: Api, project_id: str) -> None:
    """The events are those that RevokeTokens and EndSession answered."""
    first, ended = revoke(api, "a", project_id), api.end(api.new_session(project_id).session_id)
    stream = watch(api, project_id)
    messages = take(stream, 3)
    second, later = revoke(api, "b", project_id), api.end(api.new_session(project_id).session_id)
    messages += take(stream, 2)
    stream.cancel()

    assert ["a", ended.session_id, "snapshot_end", "b", later.session_id] == told(messages)
    assert [first, second] == [messages[0].revocation, messages[3].revocation]
    for session, message in ((ended, messages[1]), (later, messages[4])):
        assert (project_id, session.end_time) == (message.session_end.project_id, message.session_end.end_time)


def test_a_reader_resumes_after_its_last_message(api: Api, project_id: str) -> None:
    """It gets what it missed and nothing twice."""
    stream = watch(api, project_id)
    take(stream, 1)
    revoke(api, "a", project_id)
    [last] = take(stream, 1)
    stream.cancel()
    for subject in ("b", "c"):
        revoke(api, subject, project_id)
    resumed = watch(api, project_id, resume_token=last.resume_token)
    messages = take(resumed, 3)
    resumed.cancel()

    assert ["b", "c", "snapshot_end"] == told(messages)


def test_a_reader_resumes_at_another_server_of_the_store(start_authority: StartAuthority, connect: Connect) -> None:
    """Where what it missed is sent, too, though that server started later."""
    store, sealer = MemoryStore(), Sealer(MasterKey.generate())
    first = start_authority(store=store, sealer=sealer)
    api = connect(authority=first)
    [marker] = take(watch(api), 1)
    revoke(api, "a", first.project_id)
    second = start_authority(store=store, sealer=sealer)
    messages = take(watch(connect(authority=second), resume_token=marker.resume_token), 2)

    assert ["a", "snapshot_end"] == told(messages)


def test_sends_only_events_of_the_projects_asked_for_or_granted(
    start_authority: StartAuthority, connect: Connect
) -> None:
    """None asked for means all that the caller may see."""
    key, store = new_api_key(), MemoryStore()
    home = Grant(projects=frozenset({HOME}), actions=EVERYTHING.actions, roles=frozenset({ANY}))
    authority = start_authority(callers={key: make_caller("home", home)}, store=store, settings=QUIET)
    for project_id in (HOME, AWAY):
        authority.do(authority.app.projects.create(ProjectSpec(project_id=project_id), EVERYTHING, authority.clock()))
    api, limited = connect(authority=authority), connect(authority=authority, api_key=key)
    streams = [watch(limited), watch(api, HOME), watch(api)]
    for stream in streams:
        take(stream, 1)
    revoke(api, "x", AWAY)
    revoke(api, "a", HOME)
    messages = [told(take(streams[0], 1)), told(take(streams[1], 1)), told(take(streams[2], 2))]

    assert [["a"], ["a"], ["x", "a"]] == messages


@pytest.mark.parametrize("project_id", [AWAY, NOWHERE])
def test_a_project_outside_the_grant_is_denied_whether_it_exists_or_not(connect: Connect, project_id: str) -> None:
    """By the field; nothing is sent."""
    refused = failure(lambda: next(watch(connect("home"), HOME, project_id)))

    assert (grpc.StatusCode.PERMISSION_DENIED, "PROJECT_NOT_GRANTED") == refused.outcome
    assert "project_ids[1]" == refused.facts["field"]


@pytest.mark.parametrize(
    ("project_ids", "token", "fields"),
    [
        (["x", HOME, ""], "", ["project_ids[0]", "project_ids[2]"]),
        ([HOME] * 1001, "", ["project_ids"]),
        ([], "x", ["resume_token"]),
        ([], "9" * 19 + ".1", ["resume_token"]),
    ],
)
def test_names_what_is_wrong(api: Api, project_ids: list[str], token: str, fields: list[str]) -> None:
    """INVALID_ARGUMENT with a violation for each field."""
    refused = failure(lambda: next(watch(api, *project_ids, resume_token=token)))

    assert (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD") == refused.outcome
    assert fields == refused.fields


def test_a_heartbeat_has_the_servers_clock_and_a_place_to_resume_from(
    start_authority: StartAuthority, connect: Connect
) -> None:
    """It comes at the pace of the setting while nothing happens."""
    authority = start_authority(settings={"limits": {"watch_heartbeat": 0.1}})
    api = connect(authority=authority)
    _, beat = take(watch(api), 2)
    revoke(api, "a", authority.project_id)
    messages = take(watch(api, resume_token=beat.resume_token), 2)

    assert "heartbeat" == _word(beat)
    assert 0 <= whole_seconds(authority.clock()) - beat.heartbeat.time.seconds < 60
    assert ["a", "snapshot_end"] == told(messages)


def test_a_stream_outlives_the_deadline_of_unary_calls(start_authority: StartAuthority, connect: Connect) -> None:
    """It stays open for as long as its caller wants."""
    authority = start_authority(settings={"limits": {"watch_heartbeat": 0.1, "max_deadline": 0.5}})
    beats = take(watch(connect(authority=authority)), 21)[1:]

    assert ["heartbeat"] * 20 == told(beats)


def test_a_reader_that_falls_behind_is_dropped_and_can_resume(
    start_authority: StartAuthority, connect: Connect
) -> None:
    """RESOURCE_EXHAUSTED; the record says so, too."""
    store = MemoryStore()
    authority = start_authority(store=store, settings={"limits": {"watch_buffer": 2, "watch_heartbeat": 60}})
    api = connect(authority=authority)
    stream = watch(api)
    [marker] = take(stream, 1)
    authority.do(_many(store, authority, 5))
    dropped = failure(lambda: take(stream, 5))
    messages = take(watch(api, resume_token=marker.resume_token), 6)

    assert (grpc.StatusCode.RESOURCE_EXHAUSTED, "READER_TOO_SLOW") == dropped.outcome
    assert ["0", "1", "2", "3", "4", "snapshot_end"] == told(messages)
    assert [("OK", "OPENED"), ("RESOURCE_EXHAUSTED", "READER_TOO_SLOW")] == lines(authority)[:2]


async def _many(store: MemoryStore, authority: RunningAuthority, count: int) -> None:
    """So many at once, as far as those who watch can see."""
    for number in range(count):
        await store.create_revocation(
            make_revocation(
                f"rev_{number}",
                project_id=authority.project_id,
                kind=TargetKind.SUBJECT,
                target=str(number),
                issued_before=whole_seconds(authority.clock()),
            )
        )


def test_the_first_message_leaves_after_its_record(start_authority: StartAuthority, connect: Connect) -> None:
    """When it is here, the line is on the disk; a second one follows at the end."""
    authority = start_authority(settings=QUIET)
    api = connect(authority=authority)
    for number in range(10):
        stream = watch(api, authority.project_id)
        take(stream, 1)

        assert ("OK", "OPENED") == lines(authority)[-1]
        stream.cancel()
        eventually(lambda count=2 * number + 2: len(lines(authority)) == count, "the end is not recorded")  # type: ignore[misc]  # mypy cannot tell a lambda with a default
    [opened, ended] = [record for record in records(authority.audit_path) if record["method"] == METHOD][:2]

    assert ("CANCELLED", "") == (ended["code"], ended.get("reason", ""))
    assert opened["request_id"] == ended["request_id"]
    for record in (opened, ended):
        assert ("tokens.watch", "tester", authority.project_id) == tuple(
            record[name] for name in ("action", "caller", "project_id")
        )


def test_nothing_leaves_that_cannot_be_recorded(start_authority: StartAuthority, connect: Connect) -> None:
    """Not even the marker."""
    authority = start_authority()
    api = connect(authority=authority)
    break_audit_log(authority.audit_path)
    refused = failure(lambda: next(watch(api)))

    assert (grpc.StatusCode.UNAVAILABLE, "AUDIT_UNAVAILABLE") == refused.outcome


def test_a_refused_stream_has_one_record(start_authority: StartAuthority, connect: Connect) -> None:
    """It never opened."""
    authority = start_authority()
    failure(lambda: next(watch(connect(authority=authority), "x")))

    assert [("INVALID_ARGUMENT", "INVALID_FIELD")] == lines(authority)
