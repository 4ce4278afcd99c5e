"""Parse YAML in which each value is the text that stands there, and name the line of what is wrong with it.

YAML 1.1 reads `no` as false and `0123` as 83. Here both stay text, and the field that takes a text says what it means.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeAlias

import yaml

from tokenauthority.callers.toml_lines import Path
from tokenauthority.toml_text import TomlTextError, decode_text


MAX_YAML: Final = 16_777_216
"""Bytes of a file: 16 MiB. 1,000 projects with 100 roles each are 11 MB, in 18 seconds."""

MAX_DEPTH: Final = 8
"""Lists and mappings within each other; the deepest field of a declaration is in the sixth."""

Node: TypeAlias = "str | list[Node] | dict[str, Node]"

_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})


class YamlTextError(ValueError):
    """The text is no YAML that is taken here. `line` counts from 1, and is 0 for the text as a whole."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(problem)
        self.line = line


def parse_yaml(data: bytes) -> tuple[Node, dict[Path, int]]:
    """Return the one document in *data*, and the line of each key and list item, from 1.

    Raises:
        YamlTextError: it is larger than 16 MiB, not UTF-8, not YAML or nested too deep; or it has `&` or `*`, a tag, a
            null, a key twice, or a second document.
    """
    if len(data) > MAX_YAML:
        raise YamlTextError(0, f"is larger than {MAX_YAML} bytes")
    try:
        text = decode_text(data)
    except TomlTextError as error:
        raise YamlTextError(error.line, str(error)) from None
    try:
        return _YamlReader(text).read_document()
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise YamlTextError(line, "has a character that YAML does not allow") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise YamlTextError(line, f"is not valid YAML: {error.problem}") from None


class _YamlReader:
    """Builds the document from the parser's events, one by one, so that limits hold before anything is built."""

    def __init__(self, text: str) -> None:
        self._events: Iterator[yaml.Event] = yaml.parse(text, Loader=yaml.SafeLoader)
        self._lines: dict[Path, int] = {}

    def read_document(self) -> tuple[Node, dict[Path, int]]:
        next(self._events)
        if isinstance(next(self._events), yaml.StreamEndEvent):
            raise YamlTextError(0, "is empty")
        found = self._read_value(next(self._events), ())
        next(self._events)
        event = next(self._events)
        if not isinstance(event, yaml.StreamEndEvent):
            raise YamlTextError(_line_of(event), "begins a second document")
        return found, self._lines

    def _read_value(self, event: yaml.Event, path: Path) -> Node:
        _require_plain_node(event)
        if len(path) > MAX_DEPTH:
            raise YamlTextError(_line_of(event), "is nested too deep")
        if isinstance(event, yaml.MappingStartEvent):
            return self._read_mapping(path)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._read_sequence(path)
        return _text_of(event)

    def _read_mapping(self, path: Path) -> Node:
        found: dict[str, Node] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            _require_plain_node(event)
            if not isinstance(event, yaml.ScalarEvent):
                raise YamlTextError(_line_of(event), "has a list or a mapping as a key")
            key, line = _text_of(event), _line_of(event)
            if key in found:
                raise YamlTextError(line, f"has the key of line {self._lines[*path, key]} again")
            self._lines[*path, key] = line
            found[key] = self._read_value(next(self._events), (*path, key))
        return found

    def _read_sequence(self, path: Path) -> Node:
        found: list[Node] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            place = (*path, len(found))
            self._lines[place] = _line_of(event)
            found.append(self._read_value(event, place))
        return found


def _require_plain_node(event: yaml.Event) -> None:
    if isinstance(event, yaml.NodeEvent) and event.anchor is not None:
        raise YamlTextError(_line_of(event), "has a & or a * of YAML: write the value out, or quote it")
    if getattr(event, "tag", None) is not None:
        raise YamlTextError(_line_of(event), "has a tag (!): quote the value if the mark belongs to it")


def _text_of(event: yaml.Event) -> str:
    text, style = str(getattr(event, "value", "")), getattr(event, "style", None)
    if style is None and text in _NULLS:
        raise YamlTextError(_line_of(event), "has no value here: leave the field out, or quote the value")
    if text.isascii():
        return text
    try:
        # JSON, which is YAML, writes a character beyond U+FFFF as a pair of escapes.
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        raise YamlTextError(_line_of(event), "has half of a pair: \\uD800 to \\uDFFF alone are no character") from None


def _line_of(event: yaml.Event) -> int:
    mark = event.start_mark
    return mark.line + 1 if mark else 0
