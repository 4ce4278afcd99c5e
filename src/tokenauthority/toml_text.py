"""Parse the TOML of an operator's file, and name the line of what is wrong with it."""

from __future__ import annotations

import codecs
import re
import tomllib

from typing import Any, Final


_PLACE: Final = re.compile(r" \(at (?:line ([0-9]+), column [0-9]+|end of document)\)")
_UTF_16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class TomlTextError(ValueError):
    """The text is no TOML. `line` counts from 1, and is 0 where no line is known; the message may quote the text."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(problem)
        self.line = line


def parse_toml(data: bytes) -> tuple[str, dict[str, Any]]:
    """Return the text of *data* without a byte order mark, and the document in it.

    Raises:
        TomlTextError: it is not UTF-8, not TOML, or nested too deep.
    """
    text = decode_text(data)
    try:
        return text, tomllib.loads(text)
    except RecursionError:
        raise TomlTextError(0, "is nested too deep") from None
    except ValueError as error:
        place = _PLACE.search(str(error))
        line = int(place[1] or text.count("\n") + 1) if place else 0
        raise TomlTextError(line, f"is not valid TOML: {_PLACE.sub('', str(error))}") from None


def decode_text(data: bytes) -> str:
    """Return the text of *data* without a byte order mark.

    Raises:
        TomlTextError: it is not UTF-8.
    """
    if data.startswith(_UTF_16) or b"\0" in data:
        line = data.count(b"\n", 0, data.index(b"\0")) + 1 if b"\0" in data else 1
        raise TomlTextError(line, "is UTF-16 or binary: save the file in UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise TomlTextError(line, "is not UTF-8: save the file in UTF-8") from None
