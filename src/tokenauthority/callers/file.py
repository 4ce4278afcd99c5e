"""Reads `callers.toml`: who may call and what each may do. All errors at once, or all callers."""

from __future__ import annotations

import re
import tomllib

from typing import TYPE_CHECKING, Final

from tokenauthority.callers.api_keys import is_digest
from tokenauthority.domain.caller import ANY, Action, Caller, CallerKind, Grant
from tokenauthority.domain.ids import is_project_id, is_role_name
from tokenauthority.domain.times import MAX_TTL, Seconds
from tokenauthority.domain.token import TokenFormat


if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


MAX_FILE: Final = 1_048_576
"""Bytes of a callers file."""

_FIELDS: Final = frozenset({"name", "api_key_sha256", "projects", "actions", "roles", "formats", "max_ttl"})
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,127}", re.ASCII)
_TTL: Final = re.compile(r"([0-9]{1,8})([smhd])", re.ASCII)
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class CallersFileError(Exception):
    """The file is not valid; `problems` names every one."""

    def __init__(self, path: Path, problems: list[str]) -> None:
        super().__init__(f"callers file {path}: " + "; ".join(problems))
        self.problems = tuple(problems)


def load_callers(path: Path) -> Mapping[str, Caller]:
    """The callers of the file, by the digest of their API key.

    Raises:
        CallersFileError: the file cannot be read, is not TOML, or any entry is wrong.
    """
    try:
        with path.open("rb") as file:
            text = file.read(MAX_FILE + 1)
        if len(text) > MAX_FILE:
            raise CallersFileError(path, [f"is larger than {MAX_FILE} bytes"])
        document = tomllib.loads(text.decode("utf-8"))
    except OSError as error:
        raise CallersFileError(path, [f"cannot be read: {error.strerror}"]) from error
    except ValueError as error:
        raise CallersFileError(path, [f"is not valid TOML: {error}"]) from error
    return _Reader(path).read(document)


class _Reader:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._problems: list[str] = []

    def read(self, document: Mapping[str, object]) -> Mapping[str, Caller]:
        unknown = sorted(set(document) - {"callers"})
        if unknown:
            self._problems.append(f"unknown keys: {', '.join(unknown)}")
        entries = document.get("callers", [])
        if not isinstance(entries, list) or not entries:
            self._problems.append("has no [[callers]]")
            entries = []
        found: dict[str, Caller] = {}
        names: set[str] = set()
        for number, entry in enumerate(entries, 1):
            where = f"caller {number}"
            if not isinstance(entry, dict):
                self._problems.append(f"{where}: must be a table")
                continue
            self._add(where, entry, found, names)
        if self._problems:
            raise CallersFileError(self._path, self._problems)
        return found

    def _add(self, where: str, entry: dict[str, object], found: dict[str, Caller], names: set[str]) -> None:
        name = entry.get("name")
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            self._problems.append(f"{where}: name must be 1 to 128 of A-Z a-z 0-9 . _ / -")
            name = ""
        elif name in names:
            self._problems.append(f"{where}: the name {name} is used twice")
        else:
            where = f"caller {name}"
        names.add(name)
        unknown = sorted(set(entry) - _FIELDS)
        if unknown:
            self._problems.append(f"{where}: unknown or not yet supported: {', '.join(unknown)}")
        key = entry.get("api_key_sha256")
        if not isinstance(key, str) or not is_digest(key):
            self._problems.append(f"{where}: api_key_sha256 must be 64 lower-case hex characters")
            key = ""
        elif key in found:
            self._problems.append(f"{where}: its API key is that of {found[key].name or 'another'}")
        grant = self._grant(where, entry)
        found[key] = Caller(name=name, kind=CallerKind.API_KEY, identity=f"sha256:{key[:16]}", grant=grant)

    def _grant(self, where: str, entry: dict[str, object]) -> Grant:
        actions = self._names(where, entry, "actions", lambda text: text in Action.__members__.values())
        if ANY in actions:
            actions = frozenset(Action)
        if Action.TOKENS_GENERATE in actions and not entry.get("roles"):
            self._problems.append(f"{where}: roles must name what tokens.generate may give out")
        return Grant(
            projects=self._names(where, entry, "projects", is_project_id),
            actions=frozenset(Action(name) for name in actions),
            roles=self._names(where, entry, "roles", is_role_name) if "roles" in entry else frozenset(),
            formats=self._names(where, entry, "formats", lambda text: text in TokenFormat.__members__)
            if "formats" in entry
            else frozenset({ANY}),
            max_ttl=self._max_ttl(where, entry.get("max_ttl", f"{MAX_TTL}s")),
        )

    def _names(self, where: str, entry: dict[str, object], field: str, valid: Callable[[str], bool]) -> frozenset[str]:
        value = entry.get(field)
        if not isinstance(value, list) or not value:
            self._problems.append(f"{where}: {field} must be a list of at least one name")
            return frozenset()
        bad = [item for item in value if not (isinstance(item, str) and (item == ANY or valid(item)))]
        if bad:
            self._problems.append(f"{where}: {field} has unknown entries: {', '.join(repr(item) for item in bad)}")
        return frozenset(item for item in value if item not in bad)

    def _max_ttl(self, where: str, value: object) -> Seconds:
        match = _TTL.fullmatch(value) if isinstance(value, str) else None
        seconds = int(match[1]) * _UNITS[match[2]] if match else 0
        if not 1 <= seconds <= MAX_TTL:
            self._problems.append(f"{where}: max_ttl must be such as '90s', '15m', '1h' or '30d', at most 30d")
        return Seconds(seconds)
