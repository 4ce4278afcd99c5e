"""The callers file is read whole or refused, and a change of it is noticed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.callers.callers_file import KEY, entry, problems
from tokenauthority.callers.api_keys import new_api_key
from tokenauthority.callers.file import MAX_FILE, CallersFile, CallersFileError, load_callers


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", ("has no [[callers]]",)),
        ("callers = []", ("has no [[callers]]",)),
        ('callers = "x"', ("line 1: caller 1: must be a table under [[callers]]",)),
        ("[callers]\nname = 'a'", ("line 1: caller 1: must be a table under [[callers]]",)),
        ("callers = [\n1]", ("line 2: caller 1: must be a table under [[callers]]",)),
        ("issuers = 1\n" + entry(), ("line 1: issuer 1: must be a table under [[issuers]]",)),
        (b"\n\n# caf\xe9", ("line 3: is not UTF-8: save the file in UTF-8",)),
        (entry().encode("utf-16"), ("line 1: is UTF-16 or binary: save the file in UTF-8",)),
        (entry().encode("utf-16-le"), ("line 1: is UTF-16 or binary: save the file in UTF-8",)),
        (b"a = 1\nb = 2\0", ("line 2: is UTF-16 or binary: save the file in UTF-8",)),
        ("#" * (MAX_FILE + 1), (f"is larger than {MAX_FILE} bytes",)),
        ("a = " + "[" * 100_000, ("is nested too deep",)),
    ],
    ids=[
        "empty",
        "empty list",
        "text",
        "one table",
        "number",
        "issuers",
        "no UTF-8",
        "UTF-16",
        "UTF-16 without a mark",
        "NUL",
        "too large",
        "deep",
    ],
)
def test_refuses_what_is_no_callers_file(tmp_path: Path, text: str | bytes, found: tuple[str, ...]) -> None:
    """A file without callers would let nobody in, so it is a mistake."""
    assert found == problems(tmp_path, text)


def test_names_where_toml_breaks(tmp_path: Path) -> None:
    """The line and column of the parser, and nothing of the text."""
    (problem,) = problems(tmp_path, f'[[callers]]\nname = "{KEY}\n')

    assert problem.startswith("line 2: is not valid TOML: ")
    assert KEY not in problem


def test_takes_a_byte_order_mark(tmp_path: Path) -> None:
    """Editors of Windows write one; lines count from it."""
    path = tmp_path / "callers.toml"
    path.write_bytes(b"\xef\xbb\xbf" + entry().encode())

    assert [1] == [each.line for each in load_callers(path).entries]


def test_names_a_file_that_is_not_there(tmp_path: Path) -> None:
    """With the system's reason."""
    with pytest.raises(CallersFileError, match="cannot be read: No such file or directory"):
        load_callers(tmp_path / "absent.toml")


def test_knows_when_it_has_changed(tmp_path: Path) -> None:
    """Written, replaced or removed since it was last read, also if that failed; and not otherwise."""
    path = tmp_path / "callers.toml"
    file = CallersFile(path, "")
    absent = file.changed()
    path.write_text(entry())
    made = file.changed()
    file.load()
    read = file.changed()
    path.write_text("x")
    written = file.changed()
    with pytest.raises(CallersFileError):
        file.load()
    failed = file.changed()
    (tmp_path / "new").write_text(entry())
    (tmp_path / "new").replace(path)
    replaced = file.changed()
    file.load()
    path.unlink()
    removed = file.changed()
    with pytest.raises(CallersFileError):
        file.load()

    assert (False, True, False, True, False, True, True, False) == (
        absent, made, read, written, failed, replaced, removed, file.changed(),
    )  # fmt: skip


def test_an_api_key_in_the_wrong_place_is_not_quoted(tmp_path: Path) -> None:
    """Also not by the parser of TOML."""
    key = new_api_key()
    (tmp_path / "callers.toml").write_text(f"[{key}]\n[{key}]\n")

    with pytest.raises(CallersFileError) as caught:
        load_callers(tmp_path / "callers.toml")

    assert key not in str(caught.value)
    assert "is not valid TOML" in str(caught.value)
