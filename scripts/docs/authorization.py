"""Generate the table of the methods: the action that each needs, and whether it is safe to repeat."""

from __future__ import annotations

from typing import Final

from scripts.docs.markdown import code, page, table
from tokenauthority.client.service_config import NAMED, REPEATABLE
from tokenauthority.interceptors.authorization import ACTIONS


_SAFE: Final = "yes"
_NAMED: Final = "yes: a second call answers that the first one succeeded"
_UNSAFE: Final = "no: each call makes something new"


def authorization_page() -> str:
    """Return the page of the methods and the actions."""
    rows = []
    for method, action in ACTIONS.items():
        service, name = method.removeprefix("/").split("/")
        repeat = _SAFE if name in REPEATABLE.get(service, ()) else _NAMED if name in NAMED.get(service, ()) else _UNSAFE
        rows.append((code(f"{service.rpartition('.')[2]}.{name}"), code(action.value), repeat))
    return page(
        "Authorization",
        "A caller needs the action of a method in its grant. [Add a caller](../how-to/add-a-caller.md) shows a grant.",
        table(("method", "action", "safe to repeat"), rows),
    )
