"""Declare the tables of the callers file: what each field means and which values it takes."""

from __future__ import annotations

import ipaddress
import re

from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo

from tokenauthority.callers.api_keys import is_api_key
from tokenauthority.callers.identity import ALGORITHMS, Issuer, is_spiffe_id
from tokenauthority.domain.caller import ANY, Action, Grant, Rate
from tokenauthority.domain.ids import is_project_id, is_role_name, is_uuid
from tokenauthority.domain.times import MAX_TTL, SECONDS_OF, Millis, Seconds
from tokenauthority.domain.token_format import TokenFormat
from tokenauthority.signing.jose import ALGORITHM_ALIASES, canonical_algorithm


def _valid(check: Callable[[str], object]) -> AfterValidator:
    def validate(text: str) -> str:
        if not check(text):
            raise ValueError  # without a text: messages quote the field's description alone
        return text

    return AfterValidator(validate)


def _valid_moment() -> AfterValidator:
    def validate(moment: datetime) -> datetime:
        if moment.tzinfo is None:
            raise ValueError
        return moment

    return AfterValidator(validate)


def _one_of(names: Iterable[str]) -> FieldInfo:
    ordered = sorted(names)
    pattern = f"^(?:{'|'.join(map(re.escape, ordered))})$"
    info: FieldInfo = Field(pattern=pattern, json_schema_extra={"enum": [*ordered]})
    return info


def _to_seconds(lifetime: str) -> Seconds:
    return Seconds(int(lifetime[:-1]) * SECONDS_OF[lifetime[-1]])


def _is_ttl(lifetime: str) -> bool:
    return 1 <= _to_seconds(lifetime) <= MAX_TTL


def _is_jwks_url(text: str) -> bool:
    try:
        url = urlsplit(text)
        host, _ = url.hostname, url.port
    except ValueError:
        return False
    if not host or "@" in url.netloc or "#" in text:
        return False
    return url.scheme == "https" or (url.scheme == "http" and _is_loopback(host))


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


_Digest: TypeAlias = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
_Moment: TypeAlias = Annotated[datetime, _valid_moment()]
_Moments: TypeAlias = _Moment | Annotated[list[_Moment], Field(min_length=1, max_length=2)] | None
_VisibleAscii: TypeAlias = Annotated[str, Field(pattern="^[!-~]{1,2048}$")]
_Printable: TypeAlias = Annotated[str, Field(min_length=1, max_length=1024), _valid(str.isprintable)]
_FilePath: TypeAlias = Annotated[str, Field(min_length=1), _valid(lambda text: "\0" not in text)]
_SOME: Final = Field(min_length=1)


class _Table(BaseModel):
    """A table of the file. The description of a field is also what a message about an invalid value says."""

    model_config = ConfigDict(
        strict=True, frozen=True, extra="forbid", hide_input_in_errors=True, use_attribute_docstrings=True
    )


class JwtTable(_Table):
    """The JWTs that identify a caller."""

    issuer: str
    """`iss` of the JWTs: the `issuer` of one of the `[[issuers]]`."""
    subject: _Printable
    """`sub` of the JWTs: 1 to 1024 printable characters."""


class CallerTable(_Table):
    """A caller: a back end that may make RPCs, and what it may do."""

    name: Annotated[
        str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,127}$"), _valid(lambda text: not is_api_key(text))
    ]
    """Name in the audit log, unique in the file: 1 to 128 of `A-Z a-z 0-9 . _ / -`, and no API key."""
    api_key_sha256: _Digest | Annotated[list[_Digest], Field(min_length=1, max_length=2)] | None = None
    """SHA-256 of the API key, 64 lower-case hex characters; or a list of two, the current key and its replacement."""
    expires: _Moments = None
    """When the API key ends, with a time zone, such as `2027-01-31T00:00:00Z`; or a list, one for each of two keys in
    their order; default: never."""
    created: _Moments = None
    """When the API key was made, in the form of `expires`, for `callers list`; default: unknown."""
    spiffe_id: Annotated[str, _valid(is_spiffe_id)] | None = None
    """SPIFFE id of the client certificate, `spiffe://trust-domain/path`, at most 2048 characters."""
    jwt: JwtTable | None = None
    """JWTs of the caller: `{ issuer = "...", subject = "..." }`, the subject of 1 to 1024 printable characters."""
    opentok_project: Annotated[str, _valid(is_project_id)] | None = None
    """Project whose secret or Vonage key proves the caller at `POST /session/create`, where the official OpenTok SDKs
    create sessions; the only one of its `projects`."""
    projects: Annotated[list[Annotated[str, _valid(lambda text: text == ANY or is_project_id(text))]], _SOME]
    """Projects that the caller may use: at least one id, or `["*"]` for all."""
    actions: Annotated[list[Annotated[str, _one_of({*Action, ANY})]], _SOME]
    """Actions that the caller may take: at least one, or `["*"]` for all."""
    roles: Annotated[list[Annotated[str, _valid(lambda text: text == ANY or is_role_name(text))]], _SOME] | None = None
    """Roles that the caller's tokens may carry: at least one, or `["*"]` for all. Required with `tokens.generate`."""
    vonage_applications: Annotated[list[Annotated[str, _valid(is_uuid)]], _SOME] | None = None
    """Vonage applications that the caller may import: at least one UUID; not needed with `projects = ["*"]`."""
    formats: Annotated[list[Annotated[str, _one_of({*TokenFormat, ANY})]], _SOME] | None = None
    """Formats that the caller's tokens may have: at least one; default: all."""
    max_ttl: Annotated[str, Field(pattern="^[0-9]{1,8}[smhd]$"), _valid(_is_ttl)] = "30d"
    """Longest lifetime of the caller's tokens: a whole number and one of `s`, `m`, `h` and `d`, such as `90s` or `1h`;
    default and limit: `30d`."""
    rate: Annotated[str, Field(pattern="^[0-9]{1,6}/[smhd]$"), _valid(lambda text: int(text[:-2]))] | None = None
    """Items on average: a whole number from 1 to 999999, `/` and one of `s`, `m`, `h` and `d`, such as `200/s`; a batch
    of 9 is 9 items; default: no limit."""
    burst: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Items at once, a whole number from 1 to 1000000; a larger batch never passes; default: the count in `rate`."""
    daily_quota: Annotated[int, Field(ge=1, le=1_000_000_000_000)] | None = None
    """Items of one day in UTC at all servers together, a whole number from 1 to 1000000000000; default: no limit."""

    def moment_of_key(self, moments: _Moments, number: int) -> Millis | None:
        """Return which of *moments*, `expires` or `created`, is that of the key *number* (0 or 1)."""
        moment = moments[number] if isinstance(moments, list) else moments
        return None if moment is None else Millis(int(moment.timestamp() * 1000))

    def to_grant(self) -> Grant:
        """Return what the caller may do."""
        rate = None
        if self.rate is not None:
            count = int(self.rate[:-2])
            rate = Rate(per_second=count / SECONDS_OF[self.rate[-1]], burst=self.burst or count)
        return Grant(
            projects=frozenset(self.projects),
            actions=frozenset(Action if ANY in self.actions else map(Action, self.actions)),
            roles=frozenset(self.roles or ()),
            vonage_applications=frozenset(map(str.lower, self.vonage_applications or ())),
            formats=frozenset(self.formats or (ANY,)),
            max_ttl=_to_seconds(self.max_ttl),
            rate=rate,
            daily_quota=self.daily_quota,
        )


class IssuerTable(_Table):
    """An issuer whose JWTs prove callers."""

    issuer: _VisibleAscii
    """`iss` of the tokens, exactly: 1 to 2048 visible ASCII characters; never the authority's own issuer."""
    audience: _Printable
    """Name that `aud` must hold and that only tokens for this authority have: 1 to 1024 printable characters."""
    algorithms: Annotated[list[Annotated[str, _one_of({*ALGORITHMS, *ALGORITHM_ALIASES})]], _SOME]
    """Algorithms that the issuer may sign with: at least one."""
    jwks_url: Annotated[_VisibleAscii, _valid(_is_jwks_url)] | None = None
    """URL of the issuer's keys: `https`, or `http` on loopback; without user and fragment."""
    jwks_file: _FilePath | None = None
    """Path of a file with the issuer's keys, relative to the callers file; the server checks it every second."""
    ca_file: _FilePath | None = None
    """Path of a PEM file with the roots that verify the server of `jwks_url`; default: the system's roots."""
    token_file: _FilePath | None = None
    """Path of a file with a bearer token to send to `jwks_url`; default: no token."""

    def to_issuer(self, directory: Path) -> Issuer:
        """Return the issuer, whose paths are relative to *directory*."""
        return Issuer(
            issuer=self.issuer,
            audience=self.audience,
            algorithms=tuple(sorted({*map(canonical_algorithm, self.algorithms)})),
            jwks_url=self.jwks_url or "",
            jwks_file=directory / self.jwks_file if self.jwks_file else None,
            ca_file=directory / self.ca_file if self.ca_file else None,
            token_file=directory / self.token_file if self.token_file else None,
        )


class CallersDocument(_Table):
    """The callers file."""

    callers: Annotated[list[CallerTable], _SOME]
    """Who may call: at least one table."""
    issuers: list[IssuerTable] = []
    """Whose JWTs prove callers; default: nobody's."""
