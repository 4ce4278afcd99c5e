"""The reference pages say everything that their sources say, and the prose names nothing that does not exist."""

from __future__ import annotations

import re

from pathlib import Path

import pytest

from scripts.docs.audit import audit_page
from scripts.docs.authorization import authorization_page
from scripts.docs.callers import callers_page
from scripts.docs.commands import command_names, commands_page
from scripts.docs.contract import contract_page, errors_page
from scripts.docs.events import FURTHER_FIELDS, MEANINGS, background_tasks, events_page, logged_events
from scripts.docs.pages import PAGES
from scripts.docs.prose import undefined_settings
from scripts.docs.servers import SERVERS, servers_page
from scripts.docs.settings import all_settings, settings_page
from tokenauthority.contract import METHODS
from tokenauthority.domain.caller import Action
from tokenauthority.domain.errors import Reason
from tokenauthority.domain.role import BUILT_IN_ROLES, Permission


ROOT = Path(__file__).resolve().parents[2]
MENU = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")


def test_every_setting_has_a_section_with_its_meaning() -> None:
    """A setting without a docstring would leave its section empty."""
    text = settings_page()

    assert [] == [setting.variable for setting in all_settings() if setting.variable not in text]
    assert [] == [setting.variable for setting in all_settings() if not setting.field.description]


def test_every_command_has_a_section_with_its_meaning() -> None:
    """Commands appear by the path with which a reader calls them."""
    text = commands_page()
    sections = {found[1]: found[2] for found in re.finditer(r"^#{2,4} `(.+?)`\n\n(\S+)", text, re.MULTILINE)}

    assert command_names() == set(sections)
    assert [] == [path for path, first in sections.items() if first.startswith(("#", "```"))]


def test_every_error_reason_has_a_row() -> None:
    """The reasons of the contract and those that the program raises are one list."""
    rows = dict(re.findall(r"^\| `([A-Z_]+)` \| `([A-Z_]+)` \|", errors_page(), re.MULTILINE))

    assert {reason.value for reason in Reason} <= set(rows)


def test_every_audit_field_has_a_meaning() -> None:
    """A field that the docstring of the record leaves out would have an empty row."""
    assert "| `request_id` |" in audit_page()
    assert [] == re.findall(r"^\| `(\w+)` \|\s*\|$", audit_page(), re.MULTILINE)


def test_every_event_of_the_operational_log_has_a_meaning() -> None:
    """The table has the events of the source and no others; the fields that a call passes in a mapping are listed."""
    events = list(logged_events())

    assert len(events) > 40
    assert {event.name for event in events} == MEANINGS.keys()
    assert {event.name for event in events if event.spread} == FURTHER_FIELDS.keys()


def test_every_background_task_has_a_row_with_its_event() -> None:
    """A task without an event of its own logs the one that all such tasks share."""
    tasks, page = dict(background_tasks()), events_page()

    assert ("keys.not_maintained", "background.failed") == (tasks["signing-keys"], tasks["clock"])
    assert set(tasks.values()) <= MEANINGS.keys()
    assert [] == [task for task in tasks if f"| `{task}` |" not in page]


def test_every_field_of_the_callers_file_has_a_meaning() -> None:
    """A field without a docstring would have an empty row."""
    text = callers_page()

    assert "| `api_key_sha256` |" in text
    assert [] == re.findall(r"^\| `(\w+)` \| (?:yes)?\s*\|\s*\|$", text, re.MULTILINE)
    assert {action.value for action in Action} <= set(re.findall(r"`([a-z]+\.[a-z]+)`", text))


def test_every_method_has_a_row_with_its_action() -> None:
    """A method that the server registers and the table lacks is missed."""
    rows = re.findall(r"^\| `(\w+\.\w+)` \| `[a-z]+\.[a-z]+` \|", authorization_page(), re.MULTILINE)

    assert sorted(rows) == sorted(path.rpartition(".")[2].replace("/", ".") for path in METHODS)


def test_every_message_is_in_the_contract_with_its_comment() -> None:
    """A field, a value or a method without a comment would leave its place empty."""
    text = contract_page()
    without = re.findall(r"^\| `(\w+)` \| (?:[^|]+ \| )?\|$", text, re.MULTILINE)

    assert "### GenerateTokenRequest" in text
    assert [] == without


def test_the_page_of_the_servers_has_each_role_and_permission() -> None:
    """A role is refused just where the table of the server says so; a permission has the claim that gives it."""
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", servers_page(), re.MULTILINE)
    cells = {name: dict(zip(SERVERS, text.split(" | "), strict=False)) for name, text in reversed(rows)}

    for name, role in BUILT_IN_ROLES.items():
        refused = {server.server for server, cell in cells[name].items() if cell.startswith("refused: ")}
        assert {server.server for server in SERVERS if server.misfit(role.permissions)} == refused
    assert {permission.value for permission in Permission} <= cells.keys()
    assert ("`video.canPublish`", "everyone", "everyone", "unknown", "`mediamtx_permissions`") == tuple(
        cells["publish"].values()
    )


@pytest.mark.parametrize("path", PAGES)
def test_the_menu_has_every_generated_page(path: str) -> None:
    """A page that no menu names is one that no reader finds."""
    assert f"- {path}\n" in MENU


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("set `TOKENAUTHORITY_LISTEN__GRPC`", []),
        ("set `TOKENAUTHORITY_LISTEN__GPRC`", ["TOKENAUTHORITY_LISTEN__GPRC"]),
        ("set `TOKENAUTHORITY_API_KEY_FILE`", []),
        ("set `limits.max_streams`", []),
        ("set `limits.max_steams`", ["limits.max_steams"]),
        ("set `[keys] algorithm`", []),
        ("set `[keys] algoritm`", ["keys.algoritm"]),
        ("the event `audit.checkpoint`, the action `keys.read` and the file `callers.toml`", []),
    ],
)
def test_an_undefined_setting_is_found(text: str, expected: list[str]) -> None:
    """The strict build fails on each name that this finds."""
    assert expected == undefined_settings(text)


def test_the_pages_name_no_undefined_setting() -> None:
    """README and the pages of the site, without a build."""
    pages = [*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md")]
    found = {page.name: undefined_settings(page.read_text(encoding="utf-8")) for page in pages}

    assert {} == {name: names for name, names in found.items() if names}
