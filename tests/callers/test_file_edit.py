"""The text of a callers file is changed where it must be, and nowhere else."""

from __future__ import annotations

import tomllib

import pytest

from hypothesis import given
from hypothesis import strategies as st

from tokenauthority.callers.file_edit import CallersEditError, format_entry, with_entry, without_caller


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
