"""Generate the reference of the operational log's events from the calls that log them and a table of their meanings."""

from __future__ import annotations

import ast
import re

from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from scripts.docs.markdown import code, page, table


_SOURCE: Final = Path(__file__).resolve().parents[2] / "src" / "tokenauthority"
_EVENT: Final = re.compile(r"[a-z_]+\.[a-z_]+")
_LEVELS: Final = {"debug": "debug", "info": "info", "warning": "warning", "error": "error", "exception": "error"}
_ABSENCE: Final = ("path", "count", "log_id")

MEANINGS: Final = {
    "audit.checkpoint": "A checkpoint was signed. A copy of this event elsewhere is a trusted checkpoint.",
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
    "callers.refused": "The callers file was changed and has errors. The server uses those of the previous file.",
    "callers.reloaded": "The callers file was changed and is used from now on.",
    "callers.upkeep_failed": "The task that reads the callers file again has failed. It is started again.",
    "certificate.loaded": "A listener uses a new certificate.",
    "certificate.refused": "A new certificate is invalid. The listener uses the previous one.",
    "follower.failed": "The changes of other servers could not be applied, though the store answered: a bug, or a "
    "signing key that does not open. The store follower tries again.",
    "follower.history_lost": "The changes after the last read are not in the store, as after a restore. All caches "
    "were loaded again.",
    "jwks.bug": "A bug while the keys of an issuer were read.",
    "jwks.failed": "The keys of an issuer cannot be fetched. The cached ones are used for a while.",
    "jwks.loaded": "The keys of an issuer have changed.",
    "keys.not_destroyed": "The provider did not destroy a key that no row names any more.",
    "keys.not_maintained": "The task that prepares, rotates and deletes signing keys has failed. It is started again.",
    "keys.not_opened": "A change of the key ring is stored, and a key in it does not open on this server.",
    "master_key.exposed": "Other users of the machine can read the file of a master key.",
    "master_key.read": "The master key was read at the start. `seals` and `opens` are ids of keys.",
    "project.not_opened": "The secrets of a project do not open. Calls for the project fail.",
    "rpc.bug": "An RPC met a bug and was answered with `INTERNAL`.",
    "rpc.unavailable": "An RPC was answered with `UNAVAILABLE`; `cause` is the type of the error.",
    "server.draining": "The server stops: it refuses new RPCs and finishes those in progress.",
    "server.started": "The server accepts calls, at these addresses.",
    "server.stopped": "The server has stopped in order.",
    "signing.failed": "The key that signs could not sign where it lives, such as in an HSM.",
    "signing.recovered": "The key that signs can sign again.",
    "store.not_pruned": "Expired rows could not be deleted from the store. The task is started again.",
    "store.pruned": "Expired rows were deleted from the store.",
    "store.recovered": "The store can be read again.",
    "store.slow_to_close": "At the stop, the store did not close in time.",
    "store.unavailable": "The store cannot be read. The server uses what is cached.",
}
"""What each event means to an operator."""

FURTHER_FIELDS: Final = {
    "audit.checkpoint": ("time", "log_id", "count", "head", "reason", "key_id", "signature"),
    "audit.earlier_records_elsewhere": _ABSENCE,
    "audit.head_file_absent": _ABSENCE,
    "server.started": ("grpc", "mtls", "sidecar"),
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
        "`level`, `timestamp`, `logger`, and `request_id` if it is about an RPC. An event of a failure may have "
        "`exception` with the traceback. The lines of libraries have a sentence in `event`. "
        "[Monitor a server](../how-to/monitor.md) says what to alert on.",
        table(
            ("event", "level", "when", "fields"),
            [
                (code(name), level, MEANINGS.get(name, ""), ", ".join(map(code, fields)))
                for (name, level), fields in sorted(rows.items())
            ],
        ),
    )


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
