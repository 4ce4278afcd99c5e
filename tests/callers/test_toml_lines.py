"""Each key and table is found on the line where it stands, whatever else the document holds."""

from __future__ import annotations

import json
import tomllib

import pytest

from hypothesis import given
from hypothesis import strategies as st

from tokenauthority.callers.toml_lines import Path, locate


DOCUMENT = '''\
# [[callers]] in a comment
version = 2                     # ] and } too
a."b.c".'d' = """x
[[callers]]
""\\"
e = 1"""
[[callers]]
name = "a#b]"
projects = [                    # first
  "1", # ] }
  [ 2,
    { deep = 3 } ],
]
jwt = { issuer = "x", "sub\\u006aect" = 'y}' }
[callers.grant."x y"]
when = 2026-01-01 10:00:00
[[callers.keys]]
k = \'\'\'
"""\'\'\'\'
[[callers.keys]]
k = """\\\\"""
[[ callers ]]
'name' = -1.5e3

[other . table]
last = true'''

EXPECTED: dict[Path, int] = {
    ("version",): 2,
    ("a",): 3,
    ("a", "b.c"): 3,
    ("a", "b.c", "d"): 3,
    ("callers",): 7,
    ("callers", 0): 7,
    ("callers", 0, "name"): 8,
    ("callers", 0, "projects"): 9,
    ("callers", 0, "projects", 0): 10,
    ("callers", 0, "projects", 1): 11,
    ("callers", 0, "projects", 1, 0): 11,
    ("callers", 0, "projects", 1, 1): 12,
    ("callers", 0, "projects", 1, 1, "deep"): 12,
    ("callers", 0, "jwt"): 14,
    ("callers", 0, "jwt", "issuer"): 14,
    ("callers", 0, "jwt", "subject"): 14,
    ("callers", 0, "grant"): 15,
    ("callers", 0, "grant", "x y"): 15,
    ("callers", 0, "grant", "x y", "when"): 16,
    ("callers", 0, "keys"): 17,
    ("callers", 0, "keys", 0): 17,
    ("callers", 0, "keys", 0, "k"): 18,
    ("callers", 0, "keys", 1): 20,
    ("callers", 0, "keys", 1, "k"): 21,
    ("callers", 1): 22,
    ("callers", 1, "name"): 23,
    ("other",): 25,
    ("other", "table"): 25,
    ("other", "table", "last"): 26,
}


def paths(value: object, path: Path = ()) -> set[Path]:
    """The way to every part of *value*."""
    found = {path} if path else set()
    if isinstance(value, dict):
        found = found.union(*(paths(part, (*path, key)) for key, part in value.items()))
    elif isinstance(value, list):
        found = found.union(*(paths(part, (*path, index)) for index, part in enumerate(value)))
    return found


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_finds_every_line(ends: str) -> None:
    """Comments, strings of all kinds, arrays over lines, inline tables, dotted and quoted keys."""
    document = DOCUMENT.replace("\n", ends)

    assert EXPECTED == dict(locate(document))
    assert paths(tomllib.loads(document)) == set(EXPECTED)


def test_finds_nothing_in_nothing() -> None:
    """Blank lines and comments alone."""
    assert not locate("")
    assert not locate("\n # x\n\n\t")


names = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=8)
values = st.recursive(
    st.integers() | st.booleans() | st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)


def written(value: object, gap: str) -> str:
    """*value* in TOML; items of arrays stand on lines of their own where *gap* is one."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{text(key)} = {written(part, gap)}" for key, part in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ",".join(f"{gap}{written(part, gap)}" for part in value) + f"{gap}]"
    return text(value) if isinstance(value, str) else json.dumps(value)


def text(value: str) -> str:
    """A basic string."""
    return "".join(
        f"\\U{ord(c):08x}" if ord(c) < 32 or ord(c) == 127 else c for c in json.dumps(value, ensure_ascii=False)
    )


@given(st.lists(st.dictionaries(names, values, max_size=4), max_size=4), st.sampled_from(["", "\n", ' # ] "\n\t']))
def test_finds_every_part_of_any_document(tables: list[dict[str, object]], gap: str) -> None:
    """What the parser finds the reader finds too, and each field after the one before it."""
    lines = ["[[callers]]\n" + "".join(f"{text(k)} = {written(v, gap)}\n" for k, v in each.items()) for each in tables]
    document = "".join(lines)
    found = locate(document)

    assert paths(tomllib.loads(document)) == set(found)
    for index, table in enumerate(tables):
        line = "".join(lines[:index]).count("\n") + 1
        assert line == found["callers", index]
        for key, value in table.items():
            line += 1
            assert line == found["callers", index, key]
            line += written(value, gap).count("\n")
