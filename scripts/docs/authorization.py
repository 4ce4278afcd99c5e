"""Generate the table of the methods: the action that each needs, and what a second call does."""

from __future__ import annotations

from scripts.docs.markdown import code, page, table
from tokenauthority.contract import METHODS, Method


def authorization_page() -> str:
    """Return the page of the methods and the actions."""
    rows = [
        (code(f"{method.service.rpartition('.')[2]}.{method.name}"), code(method.required_action), second_call(method))
        for method in METHODS.values()
    ]
    return page(
        "Authorization",
        "A caller needs the action of a method in its grant. [The callers file](callers-file.md) names the actions. "
        "The contract in `protos/` states both columns, and the server refuses to start if a method lacks its action.",
        table(("method", "action", "a second call"), rows),
    )


def second_call(method: Method) -> str:
    """Return what a second call of *method* does."""
    if not method.has_side_effects:
        return "changes nothing"
    if not method.is_idempotent:
        return "makes something new: do not retry it"
    if method.retry_on_unavailable_only:
        return "changes nothing more, but can report that the first call succeeded"
    return "changes nothing more"
