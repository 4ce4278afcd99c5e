"""The plan of callers has what differs in meaning, and the text of the file is changed where it must be."""

from __future__ import annotations

import tomllib

from datetime import UTC, datetime

import pytest

from hypothesis import given

from tests.declaration.states import any_callers, caller
from tokenauthority.callers.file_edit import CallersEditError, format_entry
from tokenauthority.callers.file_models import CallerTable
from tokenauthority.declaration.caller_plan import changed_file, plan_callers
from tokenauthority.declaration.plan import FieldChange, PlannedChange, Verb
from tokenauthority.declaration.reading import CallersNow, Declaration


def _file(*callers: CallerTable) -> bytes:
    return "\n".join(format_entry(each.model_dump(exclude_unset=True)) for each in callers).encode()


def _plan(
    data: bytes, *callers: CallerTable, keyless: frozenset[str] = frozenset(), prune: bool = False
) -> list[PlannedChange]:
    return plan_callers(Declaration(None, callers, keyless), CallersNow.parse(data), "c.toml", prune=prune)


def test_what_means_the_same_is_no_change() -> None:
    """The order of a list, another unit, a default that is written out, a list of one key."""
    now = _file(caller(actions=["tokens.verify", "tokens.watch"], max_ttl="1h", rate="9/s", burst=9))
    same = caller(
        actions=["tokens.watch", "tokens.verify"], max_ttl="60m", rate="9/s", api_key_sha256=["d" * 64], formats=["*"]
    )

    assert [] == _plan(now, same)


def test_a_change_has_the_fields_whose_meaning_differs() -> None:
    """With both values as they are written."""
    now = _file(caller(rate="1/s"))
    (change,) = _plan(now, caller(rate="2/s", daily_quota=5, expires=datetime(2027, 1, 1, tzinfo=UTC)))

    assert (
        FieldChange("expires", None, datetime(2027, 1, 1, tzinfo=UTC)),
        FieldChange("rate", "1/s", "2/s"),
        FieldChange("daily_quota", None, 5),
    ) == change.fields


def test_a_burst_is_written_where_the_rate_changes_its_default() -> None:
    """Else the burst that is declared would come with a second run alone."""
    now = _file(caller(rate="1/s"))
    (change,) = _plan(now, caller(rate="60/m", burst=1))

    assert (FieldChange("rate", "1/s", "60/m"), FieldChange("burst", None, 1)) == change.fields


def test_a_new_caller_without_key_has_the_command_that_makes_one() -> None:
    """With all that the caller may do, so that the key never opens more."""
    new = caller(
        "ns/a", actions=["tokens.generate", "*"], roles=["no"], max_ttl="1h", rate="1/s", burst=2, daily_quota=3
    )
    (change,) = _plan(b"", new, keyless=frozenset({"ns/a"}))

    assert Verb.BY_HAND is change.verb
    assert (
        "tokenauthority callers add c.toml --name ns/a --project 47 --action tokens.generate --action '*' --role no "
        "--max-ttl 1h --rate 1/s --burst 2 --daily-quota 3 --key-file ns-a.key"
    ) == change.note


def test_a_caller_that_is_not_declared_is_removed_only_on_request() -> None:
    """Until then it is shown."""
    now = _file(caller(), caller("other", api_key_sha256="e" * 64))

    assert [(Verb.NOT_DECLARED, "other")] == [(each.verb, each.name) for each in _plan(now, caller())]
    assert [(Verb.DELETE, "other")] == [(each.verb, each.name) for each in _plan(now, caller(), prune=True)]
    assert [] == plan_callers(Declaration(None, None), CallersNow.parse(now), "c.toml", prune=True)


@given(any_callers(), any_callers())
def test_the_changed_file_has_what_is_declared(before: list[CallerTable], after: list[CallerTable]) -> None:
    """From any file to any other: a second plan is empty, and comments stay."""
    data = b"# all\n" + _file(*before)
    text = changed_file(data, _plan(data, *after, prune=True))

    assert [] == _plan(text.encode(), *after, prune=True)
    assert {each.name for each in after} == {each["name"] for each in tomllib.loads(text)["callers"]}
    assert text.startswith("# all\n")


def test_a_table_that_no_program_can_change_is_left_to_a_person() -> None:
    """An error in place of a guess."""
    data = (
        f"callers = [{{ name = 'rooms', api_key_sha256 = '{'d' * 64}', projects = ['47'], actions = ['*'] }}]".encode()
    )

    with pytest.raises(CallersEditError, match="edit the file by hand"):
        changed_file(data, _plan(data, caller()))
