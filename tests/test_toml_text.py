"""An operator's file is read as TOML in UTF-8, and what is wrong with it has a line."""

from __future__ import annotations

import contextlib

import pytest

from hypothesis import given
from hypothesis import strategies as st

from tokenauthority.toml_text import TomlTextError, parse_toml


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_takes_utf_8_with_and_without_a_mark(mark: bytes) -> None:
    """The mark is no part of the text."""
    assert ('a = "\u00e9"\r\n', {"a": "\u00e9"}) == parse_toml(mark + 'a = "\u00e9"\r\n'.encode())


@pytest.mark.parametrize(
    ("data", "line", "problem"),
    [
        ("a = 1\n".encode("utf-16"), 1, "is UTF-16"),
        ("a = 1\n".encode("utf-16-be"), 1, "is UTF-16"),
        (b"a = 1\nb = \xff", 2, "is not UTF-8"),
        (b"a = 1\nb = ", 2, "is not valid TOML"),
        (b"a = 1\na = 2", 2, "is not valid TOML: Cannot overwrite a value"),
        (b"\n\n[a", 3, "is not valid TOML: Expected ']'"),
        (b"a = " + b"[" * 100_000, 0, "is nested too deep"),
    ],
)
def test_names_the_line(data: bytes, line: int, problem: str) -> None:
    """Of the byte or the character where reading ends."""
    with pytest.raises(TomlTextError) as caught:
        parse_toml(data)

    assert line == caught.value.line
    assert str(caught.value).startswith(problem)
    assert "at line" not in str(caught.value)


@given(st.binary(max_size=50))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    """Whatever was saved there."""
    with contextlib.suppress(TomlTextError):
        parse_toml(data)
