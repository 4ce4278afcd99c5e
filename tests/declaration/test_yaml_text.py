"""YAML is read as the text that stands there, within limits, and each problem has its line."""

from __future__ import annotations

import pytest

from tokenauthority.declaration.yaml_text import MAX_DEPTH, MAX_YAML, YamlTextError, parse_yaml


@pytest.mark.parametrize("text", ["no", "0123", "1_000", "0x1F", "1e3", "1:30", "true", "2027-01-31", "1.10", "on"])
def test_a_value_is_the_text_that_stands_there(text: str) -> None:
    """YAML 1.1 makes booleans, numbers and dates of these."""
    document, _ = parse_yaml(f"a: {text}\nb: '{text}'\n{text}: x\n".encode())

    assert {"a": text, "b": text, text: "x"} == document


def test_takes_the_escapes_of_json() -> None:
    """JSON is YAML, and writes a character beyond U+FFFF as a pair."""
    document, _ = parse_yaml(b'{"a": "\\ud83d\\ude00 \\u00e9"}')

    assert {"a": "\U0001f600 \u00e9"} == document


def test_each_part_has_its_line() -> None:
    """Keys and items, in blocks and within brackets."""
    _, lines = parse_yaml(b"\xef\xbb\xbfa:\n  - b: 1\n    c: [x,\n      y]\n  # comment\n  - d\n")

    assert {
        ("a",): 1,
        ("a", 0): 2,
        ("a", 0, "b"): 2,
        ("a", 0, "c"): 3,
        ("a", 0, "c", 0): 3,
        ("a", 0, "c", 1): 4,
        ("a", 1): 6,
    } == lines


@pytest.mark.parametrize(
    ("data", "line", "problem"),
    [
        (b"a: 1\nb: &x 1\n", 2, "has a & or a \\* of YAML"),
        (b"a: &x [*x]\n", 1, "has a & or a \\* of YAML"),
        (b"a: 1\n&x b: 1\n", 2, "has a & or a \\* of YAML"),
        (b"a: 1\nb: !!python/object:os.system x\n", 2, "has a tag"),
        (b"a: !x [1]\n", 1, "has a tag"),
        (b"a: 1\nb: 2\na: 3\n", 3, "has the key of line 1 again"),
        (b"{a: 1, a: 2}\n", 1, "has the key of line 1 again"),
        (b"a:\nb: 2\n", 1, "has no value"),
        (b"a: 1\nb: null\n", 2, "has no value"),
        (b"a: ~\n", 1, "has no value"),
        (b"[a]: 1\n", 1, "a mapping as a key"),
        (b"a: 1\n---\nb: 2\n", 2, "a second document"),
        (b"# nothing\n", 0, "is empty"),
        (b"", 0, "is empty"),
        (b"a: 1\nb: [1\n", 3, "is not valid YAML"),
        (b"a: 1\n\tb: 2\n", 2, "is not valid YAML"),
        (b"a: 1\nb: \x01\n", 2, "a character that YAML does not allow"),
        (b"a: 1\nb: \xff\n", 2, "is not UTF-8"),
        (b"a\0", 1, "UTF-16 or binary"),
        (b'a: 1\nb: "\\ud800"\n', 2, "half of a pair"),
        (b'a: 1\n"\\udc00\\ud800": 1\n', 2, "half of a pair"),
        (b"[" * 200_000, 1, "nested too deep"),
        (b"- " * 200_000, 1, "nested too deep"),
        (b"{a: " * 100_000, 1, "nested too deep"),
        (b"a" * (MAX_YAML + 1), 0, "is larger than"),
    ],
)
def test_refuses_what_is_ambiguous_or_costs_much(data: bytes, line: int, problem: str) -> None:
    """With the line; nothing is built before its limit is checked."""
    with pytest.raises(YamlTextError, match=problem) as found:
        parse_yaml(data)

    assert line == found.value.line


def test_takes_lists_up_to_the_limit() -> None:
    """One more is refused."""
    parse_yaml(b"[" * MAX_DEPTH + b"a" + b"]" * MAX_DEPTH)

    with pytest.raises(YamlTextError, match="nested too deep"):
        parse_yaml(b"[" * (MAX_DEPTH + 1) + b"a" + b"]" * (MAX_DEPTH + 1))
