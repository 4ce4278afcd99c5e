"""Reads `[[callers]]` of the callers file: by what each is known, and what it may do."""

from __future__ import annotations

import re

from typing import TYPE_CHECKING, Final

from tokenauthority.callers.api_keys import is_api_key, is_digest
from tokenauthority.callers.identity import (
    MAX_SUBJECT,
    ApiKeyIdentity,
    JwtIdentity,
    SpiffeIdentity,
    is_spiffe_id,
)
from tokenauthority.callers.registry import CallerEntry
from tokenauthority.domain.caller import ANY, Action, Caller, CallerKind, Grant, Rate
from tokenauthority.domain.ids import is_project_id, is_role_name
from tokenauthority.domain.times import MAX_TTL, Seconds
from tokenauthority.domain.token_format import TokenFormat


if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from tokenauthority.callers.identity import Identity
    from tokenauthority.callers.toml_fields import Table


MAX_API_KEYS: Final = 2
"""API keys of one caller: the one in use and the one that replaces it."""

MAX_BURST: Final = 1_000_000
MAX_QUOTA: Final = 1_000_000_000_000

_IDENTITIES: Final = {
    "api_key_sha256": (CallerKind.API_KEY, "API key"),
    "spiffe_id": (CallerKind.SPIFFE, "SPIFFE id"),
    "jwt": (CallerKind.JWT, "JWT"),
}
_LIMITS: Final = ("max_ttl", "rate", "burst", "daily_quota")
_FIELDS: Final = frozenset({"name", *_IDENTITIES, "projects", "actions", "roles", "formats", *_LIMITS})
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,127}", re.ASCII)
_RATE: Final = re.compile(r"([0-9]{1,6})/([smhd])", re.ASCII)
_PERIODS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def read_callers(tables: Iterable[Table], issuers: Collection[str]) -> list[CallerEntry]:
    """The callers; a JWT's issuer must be one of *issuers*."""
    entries: list[CallerEntry] = []
    names: set[str] = set()
    owners: dict[Identity, str] = {}
    for table in tables:
        name = _name(table, names)
        table.refuse_unknown(_FIELDS)
        grant = _grant(table)
        for field, identity in _identities(table, issuers):
            kind, what = _IDENTITIES[field]
            if identity in owners:
                table.refuse_whole(f"its {what} is that of {owners[identity] or 'another'}", field)
            owners.setdefault(identity, name)
            caller = Caller(name=name, kind=kind, identity=str(identity), grant=grant)
            entries.append(CallerEntry(caller, identity, table.line, table.lines))
    return entries


def _name(table: Table, names: set[str]) -> str:
    rule = "must be 1 to 128 of A-Z a-z 0-9 . _ / -, and no API key"
    name = table.text("name", lambda text: _NAME.fullmatch(text) and not is_api_key(text), rule)
    if name in names:
        table.refuse("name", f"{name} is used twice")
    elif name:
        table.where = f"caller {name}"
        names.add(name)
    return name


def _identities(table: Table, issuers: Collection[str]) -> list[tuple[str, Identity]]:
    given = [field for field in _IDENTITIES if field in table]
    if len(given) != 1:
        table.refuse_whole(f"needs exactly one of {', '.join(_IDENTITIES)}", given[-1] if given else "")
        return []
    (field,) = given
    found: list[Identity]
    match field:
        case "api_key_sha256":
            found = [ApiKeyIdentity(digest) for digest in _digests(table)]
        case "spiffe_id":
            rule = "must be like spiffe://trust-domain/path, as SPIFFE-ID defines it"
            spiffe_id = table.text(field, is_spiffe_id, rule)
            found = [SpiffeIdentity(spiffe_id)] if spiffe_id else []
        case _:
            found = _jwt(table, issuers)
    return [(field, identity) for identity in found]


def _digests(table: Table) -> list[str]:
    value = table.value("api_key_sha256")
    digests = value if isinstance(value, list) else [value]
    good = [digest for digest in digests if isinstance(digest, str) and is_digest(digest)]
    if not good or len(good) < len(digests) or len(digests) > MAX_API_KEYS:
        # Not shown: it may be the key itself.
        table.refuse("api_key_sha256", f"must be 64 lower-case hex characters, or a list of up to {MAX_API_KEYS}")
        return []
    return good


def _jwt(table: Table, issuers: Collection[str]) -> list[Identity]:
    value = table.value("jwt")
    fields = value if isinstance(value, dict) else {}
    issuer, subject = fields.get("issuer"), fields.get("subject")
    if fields.keys() != {"issuer", "subject"} or not isinstance(issuer, str) or not isinstance(subject, str):
        table.refuse("jwt", 'must be { issuer = "...", subject = "..." }')
        return []
    if issuer not in issuers:
        table.refuse("jwt", "names an issuer that no [[issuers]] of this file has")
    if not 1 <= len(subject) <= MAX_SUBJECT or not subject.isprintable():
        table.refuse("jwt", f"must have a subject of 1 to {MAX_SUBJECT} printable characters")
    return [JwtIdentity(issuer, subject)]


def _grant(table: Table) -> Grant:
    actions = table.names("actions", lambda text: text == ANY or text in Action.__members__.values())
    if ANY in actions:
        actions = frozenset(Action)
    return Grant(
        projects=table.names("projects", lambda text: text == ANY or is_project_id(text)),
        actions=frozenset(Action(name) for name in actions),
        roles=_roles(table, actions),
        formats=table.names("formats", lambda text: text == ANY or text in TokenFormat.__members__)
        if "formats" in table
        else frozenset({ANY}),
        max_ttl=_max_ttl(table),
        rate=_rate(table),
        daily_quota=table.count("daily_quota", MAX_QUOTA) if "daily_quota" in table else None,
    )


def _roles(table: Table, actions: Collection[str]) -> frozenset[str]:
    if Action.TOKENS_GENERATE in actions and not table.value("roles"):
        table.refuse("roles", "must name what tokens.generate may give out")
        return frozenset()
    return table.names("roles", lambda text: text == ANY or is_role_name(text)) if "roles" in table else frozenset()


def _max_ttl(table: Table) -> Seconds:
    if "max_ttl" not in table:
        return MAX_TTL
    return table.lifetime("max_ttl", MAX_TTL, "must be such as '90s', '15m', '1h' or '30d', at most 30d")


def _rate(table: Table) -> Rate | None:
    """Where no burst is named, all of one period may come at once: of `50/m`, fifty."""
    if "rate" not in table:
        if "burst" in table:
            table.refuse("burst", "goes with rate only")
        return None
    value = table.value("rate")
    match = _RATE.fullmatch(value) if isinstance(value, str) else None
    count = int(match[1]) if match else 0
    if match is None or not count:
        table.refuse("rate", "must be such as '200/s', '50/m', '1000/h' or '5000/d'")
        return None
    burst = table.count("burst", MAX_BURST) if "burst" in table else count
    return Rate(per_second=count / _PERIODS[match[2]], burst=burst)
