"""Generate the reference of the operational log's events from the calls that log them and a table of their meanings."""

from __future__ import annotations

import ast
import re

from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import attrs

from scripts.docs.markdown import code, page, table
from tokenauthority.server.background import BackgroundTask


_SOURCE: Final = Path(__file__).resolve().parents[2] / "src" / "tokenauthority"
_EVENT: Final = re.compile(r"[a-z_]+\.[a-z_]+")
_LEVELS: Final = {"debug": "debug", "info": "info", "warning": "warning", "error": "error", "exception": "error"}
_ABSENCE: Final = ("path", "count", "log_id")

MEANINGS: Final = {
    "audit.checkpoint": "A checkpoint was signed. A copy of this event elsewhere can be the trusted checkpoint.",
    "audit.earlier_records_elsewhere": "At the start, all earlier lines of the audit log are in other files, as after "
    "logrotate. If you do not rotate so, somebody has moved the file.",
    "audit.failed": "A record was not written because of an unexpected error. The call failed.",
    "audit.head_file_absent": "At the start, the audit log had no checkpoint file. Find out who deleted it.",
    "audit.not_ended": "At the stop, the audit log could not be ended by a `stop` line.",
    "audit.not_rotated": "The full file could not be renamed. It is still written, and the server tries again.",
    "audit.recovered": "The audit log can be written again.",
    "audit.rotated": "A new file of the audit log was begun. `to` is the name of the old one, empty if it was moved.",
    "audit.summary_failed": "The counts of refused calls could not be written. They stay for the next `summary`.",
    "audit.summary_recovered": "The counts of refused calls are written again.",
    "audit.unavailable": "The audit log cannot be written. Every RPC fails until `audit.recovered`.",
    "audit.unfinished": "At the stop, calls that change something had not ended. Their records are missing.",
    "background.failed": "A background task without an event of its own has failed. It is started again, or the server "
    "ends.",
    "background.recovered": "A background task works again after its failure.",
    "callers.ignored": "A development server reads no callers file: it has one caller, with every permission.",
    "callers.key_expired": "An API key of the callers file has expired, so the server refuses it. Once a day.",
    "callers.key_expires_soon": "An API key of the callers file expires within 14 days. Once a day.",
    "callers.refused": "The callers file was changed and has errors. The server uses those of the previous file.",
    "callers.reloaded": "The callers file was changed and is used from now on.",
    "callers.upkeep_failed": "The task that reads the callers file again has failed. It is started again.",
    "certificate.loaded": "A listener uses a new certificate.",
    "certificate.refused": "A new certificate is invalid. The listener uses the previous one.",
    "certificate.untried": "A new certificate could not be tried, for a cause of the server's, such as no free "
    "descriptor. The listener uses the previous one, and tries again within a minute.",
    "clock.stepped": "Somebody has set the clock of the machine, forward or, with a negative number, back.",
    "connections.closed": "An address had more gRPC connections than others, and few were left. Those that were idle "
    "for longest were closed.",
    "enforcer.full": "As many removals are pending as `max_pending` allows. The enforcer reads no more revocations "
    "until some are over.",
    "enforcer.not_full": "The enforcer reads revocations again.",
    "enforcer.not_removed": "A real-time server did not do what it was asked, so people may still be inside. The "
    "enforcer tries again in each turn. `cause` is the first one.",
    "enforcer.not_saved": "The state file cannot be written. The enforcer goes on; after a crash it would begin from "
    "the place that was saved last.",
    "enforcer.removes_again": "A real-time server does what it is asked again.",
    "enforcer.started": "The enforcer has read the state file and begins, at these addresses. `pending` counts the "
    "removals that were not over.",
    "enforcer.stopped": "The enforcer has stopped in order.",
    "enforcer.stream_failed": "The revocations cannot be read, for a reason that does not go by itself: as when the "
    "grant lacks an action. The enforcer tries again all the same.",
    "enforcer.stream_lost": "The stream of revocations broke off. The enforcer reconnects and misses nothing. `cause` "
    "is the first one.",
    "enforcer.stream_recovered": "The stream of revocations is complete again.",
    "file.exposed": "Other users of the machine can read or write a private file.",
    "file.protected": "A private file is private again.",
    "follower.failed": "The changes of other servers could not be applied, though the store answered: a bug, or a "
    "ring of which no signing key opens. The store follower tries again.",
    "follower.history_lost": "The changes after the last read are not in the store, as after a restore, or one has an "
    "unknown kind. All caches were loaded again.",
    "jwks.bug": "A bug while the keys of an issuer were read.",
    "jwks.failed": "The keys of an issuer cannot be fetched. The cached ones are used for a while.",
    "jwks.loaded": "The keys of an issuer have changed. `unusable` names the keys that verify nothing, and why.",
    "jwks.no_usable_key": "An issuer has keys, and none can be used. The server refuses all its JWTs.",
    "keys.destroyed": "A private key was destroyed, in the provider if it has a `location`. `reason` says why.",
    "keys.not_destroyed": "The provider did not destroy a key that no row names any more.",
    "keys.not_maintained": "The task that prepares, rotates and deletes signing keys has failed. It is started again.",
    "keys.not_opened": "Rows of the key ring do not open on this server, or are earlier ones: they were changed "
    "outside of this program, or are under a master key that the server lacks. Their keys stay as they last opened "
    "here.",
    "keys.opened": "All rows of the key ring open again.",
    "limits.not_leased": "The limits of callers could not be leased from the store, though it answered: a bug. The "
    "server tries again; calls of callers with a rate or a quota fail when their lease is used up.",
    "log.dropped": "The log has not all lines of one kind: so many were above its limit. `kind` is an event, or a "
    "place in a library.",
    "log.level": "SIGUSR1 has switched the level of the log. It is of level `error` so that it always appears.",
    "master_key.read": "The master key was read at the start. `seals` and `opens` are ids of keys.",
    "platform.recovered": "The platform of a project creates sessions again.",
    "platform.unavailable": "The platform of a project has failed several times. CreateSession is `UNAVAILABLE` for "
    "the project, and the platform is tried every few seconds. `cause` is the cause of the last failure.",
    "project.credentials_ignored": "Beside the credentials of a project are rows that are not sealed for it. The "
    "server ignores these rows. Delete them, or move them back to the project that lacks them.",
    "project.not_opened": "The credentials of a project do not open: they, their number, or the project's id or "
    "application were changed outside of this program, or the server lacks the master key. Or its default format was "
    "changed, and is no format. Calls for the project fail.",
    "python.thread_failed": "A thread of a library has ended with an error.",
    "python.unraisable": "Python met an error where nobody could handle it, such as when an object was deleted.",
    "role.unreadable": "The permissions of a role were changed outside of this program, and are no permissions. Calls "
    "that name the role fail. Set its permissions, or delete it.",
    "rpc.allowed": "An RPC was allowed. `allowed_by` has the lines of the callers file that allow it, as `callers "
    "check` shows them. `burst_left` and `left_today` are what is left of the caller's limits. `outcome` is `OK`, or "
    "for VerifyToken why the token is not active.",
    "rpc.bug": "An RPC met a bug and was answered with `INTERNAL`.",
    "rpc.refused": "An RPC was refused, and why: by authentication, a rate, the grant, the policy or the state of what "
    "it names. The audit log has, by the same request id, why a credential is not valid.",
    "rpc.unavailable": "An RPC was answered with `UNAVAILABLE`; `cause` is the cause that is known, or the type of the "
    "error.",
    "server.connection_limits": "At the start: how many files the process may open (and might open `before` it raised "
    "the limit), how many are `reserved` for all but connections, and how many connections each listener may have.",
    "server.draining": "The server stops: it refuses new RPCs and finishes those in progress.",
    "server.ops_on_loopback": "Other machines reach `listen.http`, and not the probes and metrics: nobody has set "
    "`listen.ops`. Set it, to its default if that is meant.",
    "server.started": "The server accepts calls, at these addresses.",
    "server.stopped": "The server has stopped in order.",
    "service_manager.not_notified": "The service manager that started the process, such as systemd, did not take a "
    "message. If it was `READY=1`, the start of the unit fails by its timeout.",
    "settings.agree": "All servers of the store have the same settings again, where they must.",
    "settings.differ": "Another server of the store has another value of a setting that all must have alike.",
    "signing.failed": "The key that signs could not sign where it lives, such as in an HSM.",
    "signing.recovered": "The key that signs can sign again.",
    "store.listener_lost": "The connection over which PostgreSQL notifies of changes is lost. The server tries again; "
    "until then changes of other servers are seen at each `database.poll_interval`. `cause` is the first one.",
    "store.listener_recovered": "PostgreSQL notifies of changes again.",
    "store.not_listening": "PostgreSQL does not notify of changes, for the `cause`. Changes of other servers are seen "
    "at each `database.poll_interval`.",
    "store.not_pruned": "Expired rows could not be deleted from the store. The task is started again.",
    "store.pruned": "Expired rows were deleted from the store.",
    "store.not_opened": "At the start, some rows of the store are under no master key of the server, or damaged. "
    "`problem` counts them and names one. Calls for their projects fail.",
    "store.newer": "A newer version has upgraded the store, which still works with this version: `schema` is that of "
    "the store, and `oldest_program` the oldest one that works. Upgrade this server too.",
    "store.not_verified": "Nothing shows that the PostgreSQL server of `database.url` is the right one, or the "
    "connection is in plaintext: the URL has no `sslmode=verify-full`.",
    "store.recovered": "The store can be read and written again, after so many `seconds`. `cause` is the last one.",
    "store.slow_to_close": "At the stop, the store did not close in time.",
    "store.unavailable": "The store cannot be read or written, as `can_read` and `can_write` say; the server uses "
    "what is cached. `cause` is the first one: the database's code and message.",
    "telemetry.bug": "A bug kept the trace of a call from being sent. The call was answered as if it had no trace.",
    "telemetry.not_exported": "The collector did not accept traces or metrics, for the `cause`. The export is tried "
    "again. `tokenauthority_telemetry_dropped_spans_total` counts the spans that are lost meanwhile.",
    "telemetry.not_sent": "At the stop, so many spans were not exported in time.",
}
"""What each event means to an operator."""

FURTHER_FIELDS: Final = {
    "audit.checkpoint": ("time", "log_id", "count", "head", "reason", "key_id", "signature"),
    "audit.earlier_records_elsewhere": _ABSENCE,
    "audit.head_file_absent": _ABSENCE,
    "server.connection_limits": ("grpc", "http", "ops", "http_api"),
    "enforcer.started": ("ops", "webhooks"),
    "server.started": ("grpc", "mtls", "sidecar", "http", "ops", "http_api"),
}
"""Fields of the calls that pass a mapping."""


class LoggedEvent(NamedTuple):
    """One call that logs: *spread* is whether it passes a mapping of fields."""

    name: str
    level: str
    fields: tuple[str, ...]
    spread: bool = False


def logged_events() -> Iterator[LoggedEvent]:
    """Return the events that the source logs, in the order of its files; one for each call."""
    for path in sorted(_SOURCE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        for call in calls:
            yield from _events_of(call, calls)
        for node in ast.walk(tree):
            # The default of `BackgroundTask.event`.
            if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "event" and _text(node.value):
                yield LoggedEvent(_text(node.value), "error", ("task",))


def events_page() -> str:
    """Return the page of all events of the operational log."""
    rows: dict[tuple[str, str], list[str]] = {}
    for event in logged_events():
        fields = rows.setdefault((event.name, event.level), [])
        fields += [name for name in (*FURTHER_FIELDS.get(event.name, ()), *event.fields) if name not in fields]
    return page(
        "Events of the operational log",
        "The operational log is on standard error. With `logging.format` `json`, each event is one line with `event`, "
        "`level`, `timestamp`, `logger`, and `request_id` if it is about an RPC, and `trace_id` if that is traced. "
        "An event of a failure may have `exception` with the traceback. The lines of libraries have a sentence in "
        "`event`. "
        "[Monitor a server](../how-to/monitor.md) says what to alert on.",
        table(
            ("event", "level", "when", "fields"),
            [
                (code(name), level, MEANINGS.get(name, ""), ", ".join(map(code, fields)))
                for (name, level), fields in sorted(rows.items())
            ],
        ),
        "## Background tasks",
        "The field `task` names what has failed. The task of each HTTP listener is among them; without it the server "
        "ends. After a failure each other task is started again, and `background.recovered` says that it works.",
        table(("task", "event of its failure"), [(code(task), code(event)) for task, event in background_tasks()]),
    )


def background_tasks() -> list[tuple[str, str]]:
    """Return the tasks that the source declares by name, with the event that a failure of each logs."""
    tree = ast.parse((_SOURCE / "server" / "background_tasks.py").read_text(encoding="utf-8"))
    calls = [
        node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "BackgroundTask"
    ]
    default = str(attrs.fields(BackgroundTask).event.default)
    given = [{keyword.arg: _text(keyword.value) for keyword in call.keywords} for call in calls]
    return sorted((task["name"], task.get("event", default)) for task in given if task["name"])


def _events_of(call: ast.Call, calls: list[ast.Call]) -> Iterator[LoggedEvent]:
    called = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    given = {keyword.arg: _text(keyword.value) for keyword in call.keywords if keyword.arg}
    first = _text(call.args[0]) if call.args else ""
    if called in _LEVELS and _EVENT.fullmatch(first):
        yield LoggedEvent(first, _LEVELS[called], tuple(given), any(not keyword.arg for keyword in call.keywords))
    elif called == "BackgroundTask" and "event" in given:
        yield LoggedEvent(given["event"], "error", ("task",))
    elif called == "Outage":
        begins = _text(call.args[1])
        if begins:
            yield LoggedEvent(begins, given.get("level", "error"), _fields_of("report", calls))
        if given.get("recovered"):
            yield LoggedEvent(given["recovered"], "info", _fields_of("recover", calls))


def _fields_of(method: str, calls: list[ast.Call]) -> tuple[str, ...]:
    """Return the keywords with which an outage of this module is reported, or its end."""
    found = [call for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == method]
    names = [keyword.arg for call in found for keyword in call.keywords if keyword.arg]
    return tuple(dict.fromkeys(name for name in names if name != "error"))


def _text(node: ast.expr | None) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
