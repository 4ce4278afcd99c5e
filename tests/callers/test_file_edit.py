"""The text of a callers file is changed where it must be, and nowhere else."""

from __future__ import annotations

import tomllib

import pytest

from hypothesis import given
from hypothesis import strategies as st

from tokenauthority.callers.file_edit import (
    CallersEditError,
    Value,
    format_entry,
    with_entry,
    with_fields,
    without_caller,
)


COMMENTS = st.lists(st.sampled_from(["", "# [[callers]]", "# name = 'x'", "  # é"]), max_size=3)


@st.composite
def _files(draw: st.DrawFn) -> tuple[str, list[str], dict[str, str]]:
    """A file, the names of its callers, and the lines between its tables."""
    names = draw(st.lists(st.from_regex(r"[a-z]{1,3}", fullmatch=True), min_size=1, max_size=4, unique=True))
    lines: list[str] = []
    notes: dict[str, str] = {}
    for name in names:
        notes[name] = f"# note on {name}!"
        body = draw(st.sampled_from(["x = [1, # one\n 2]", "[callers.jwt]\nissuer = 'i'", 'y = "a # [[callers]]"']))
        lines += ["", *draw(COMMENTS), "", notes[name], "[[callers]]", f"name = '{name}'", body]
        if draw(st.booleans()):
            lines += ["", f"# issuer after {name}", "[[issuers]]", "issuer = 'i'"]
    return "\n".join(lines) + "\n", names, notes


@given(_files(), st.data())
def test_a_removed_caller_is_all_that_is_missing(
    file: tuple[str, list[str], dict[str, str]], data: st.DataObject
) -> None:
    """Whatever surrounds it; the lines that are left are lines of the old text, in their order."""
    text, names, notes = file
    name = data.draw(st.sampled_from(names))
    left, removed = without_caller(text.encode(), name)
    before = tomllib.loads(text)
    callers = [each for each in before.pop("callers") if each["name"] != name]

    assert {**before, **({"callers": callers} if callers else {})} == tomllib.loads(left)
    assert {name} == {other for other, note in notes.items() if note in removed}
    assert {*names} - {name} == {other for other, note in notes.items() if note in left}
    assert sorted(filter(None, text.split("\n"))) == sorted(filter(None, (left + removed).split("\n")))


def test_the_top_of_the_file_stays() -> None:
    """A comment there is about the file."""
    left, removed = without_caller(b"# file\n[[callers]]\nname = 'a'\n[[callers]]\nname = 'b'\n", "a")

    assert ("# file\n[[callers]]\nname = 'b'\n", "[[callers]]\nname = 'a'\n") == (left, removed)


def test_a_table_that_is_no_block_is_not_removed() -> None:
    """An inline table is left to a person."""
    with pytest.raises(CallersEditError, match="edit the file by hand"):
        without_caller(b"callers = [{ name = 'a' }, { name = 'b' }]\n", "a")


@given(
    st.dictionaries(
        st.sampled_from(["name", "rate", "roles"]),
        st.one_of(
            st.integers(0, 9),
            st.text(st.characters(min_codepoint=32, exclude_categories=["Cs", "Cc"])),
            st.lists(st.sampled_from(["a", "b"])),
        ),
        min_size=1,
    )
)
def test_an_entry_says_what_was_asked(fields: dict[str, int | str | list[str]]) -> None:
    """At the end of whatever file."""
    entry = format_entry({**fields, "jwt": {"issuer": "i", "subject": 'é"'}})

    assert [{**fields, "jwt": {"issuer": "i", "subject": 'é"'}}] == tomllib.loads(entry)["callers"]
    assert 2 == len(tomllib.loads(with_entry(with_entry("x = 1", entry), entry))["callers"])


FILE = b"""\
# all callers

# of the rooms
[[callers]]
name     = "rooms"  # ours
projects = [  # two
  "47",  # the first
  "48",
]
actions  = ["tokens.verify"]
rate     = "1/s"  # '#' is no comment
# after
[[callers]]
name = "watch"
projects = ["*"]
actions = ["tokens.watch"]
"""


def test_a_change_leaves_comments_and_places() -> None:
    """A value is replaced on its line, a new field stands below the others, and a removed one takes its line along."""
    fields: dict[str, Value | None] = {"actions": ["*"], "rate": "2/s", "daily_quota": 9, "burst": None}

    changed = with_fields(FILE, "rooms", fields)
    less = with_fields(changed.encode(), "rooms", {"projects": ["49"], "rate": None})

    assert (
        FILE.decode()
        .replace('["tokens.verify"]', '["*"]')
        .replace("\"1/s\"  # '#' is no comment\n", "\"2/s\"  # '#' is no comment\ndaily_quota = 9\n")
    ) == changed
    assert '# ours\nprojects = ["49"]\nactions  = ["*"]\ndaily_quota = 9\n# after\n' in less


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        (b"callers = [{ name = 'a', x = 1 }]\n", {"x": 2}),
        (b"[[callers]]\nname = 'a'\n[callers.jwt]\nissuer = 'i'\n", {"jwt": {"issuer": "j"}}),
        (b"[[callers]]\njwt.issuer = 'i'\njwt.subject = 's'\nname = 'a'\n", {"jwt": {"issuer": "j", "subject": "s"}}),
    ],
)
def test_a_field_that_is_no_line_is_not_changed(text: bytes, fields: dict[str, Value | None]) -> None:
    """It is left to a person, and so is a caller that is not there."""
    with pytest.raises(CallersEditError, match="edit the file by hand"):
        with_fields(text, "a", fields)
    with pytest.raises(CallersEditError, match="has no caller 'b'"):
        with_fields(text, "b", fields)


@given(
    _files(),
    st.dictionaries(st.sampled_from(["x", "y", "rate", "new"]), st.none() | st.integers(0, 9) | st.lists(st.text())),
    st.data(),
)
def test_a_change_is_all_that_differs(
    file: tuple[str, list[str], dict[str, str]], fields: dict[str, Value | None], data: st.DataObject
) -> None:
    """The other tables and all notes stay, whatever surrounds them; or the file is left to a person."""
    text, names, notes = file
    name = data.draw(st.sampled_from(names))
    try:
        changed = with_fields(text.encode(), name, fields)
    except CallersEditError:
        assert "[callers.jwt]" in text
        return
    before = tomllib.loads(text)
    for table in before["callers"]:
        if table["name"] == name:
            table.update(fields)
            for field in [field for field, value in table.items() if value is None]:
                del table[field]

    assert before == tomllib.loads(changed)
    assert all(note in changed for note in notes.values())
