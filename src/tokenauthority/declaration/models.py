"""Define the fields of a declaration: what each means and which values it takes.

A value comes as the text that stands in the file. A field that is left out is None: it is not declared.
"""

from __future__ import annotations

import re

from typing import Annotated, Final, Literal, Self, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from tokenauthority.callers.file_models import CallerTable
from tokenauthority.domain.errors import stored_text_violations
from tokenauthority.domain.ids import is_project_id, is_role_name, is_server_key_id, is_uuid
from tokenauthority.domain.profile import RealTimeServer
from tokenauthority.domain.project import MAX_DISPLAY_NAME
from tokenauthority.domain.role import BUILT_IN_ROLES, MAX_DESCRIPTION, MAX_ROLES, Permission, in_order
from tokenauthority.domain.times import MAX_TTL, SECONDS_OF, Seconds
from tokenauthority.domain.token_format import TokenFormat


_LIFETIME: Final = re.compile(r"[0-9]{1,8}[smhd]", re.ASCII)
_FLAGS: Final = {"true": True, "false": False}

# Each raises without a text: messages quote the field's description alone, and never a value.


def _to_seconds(text: object) -> Seconds:
    if not isinstance(text, str) or not _LIFETIME.fullmatch(text):
        raise ValueError
    seconds = Seconds(int(text[:-1]) * SECONDS_OF[text[-1]])
    if not 1 <= seconds <= MAX_TTL:
        raise ValueError
    return seconds


def _to_flag(text: object) -> bool:
    if not isinstance(text, str) or text not in _FLAGS:
        raise ValueError
    return _FLAGS[text]


def _to_server(text: object) -> RealTimeServer:
    if not isinstance(text, str) or text != text.lower():
        raise ValueError
    return RealTimeServer(text.upper())


def _to_format(text: object) -> TokenFormat:
    return TokenFormat(str(text))


def _to_permission(text: object) -> Permission:
    return Permission(str(text))


def _to_version(text: object) -> int:
    if text != "1":
        raise ValueError
    return 1


def _project_id(text: str) -> str:
    if not is_project_id(text):
        raise ValueError
    return text


def _own_role(text: str) -> str:
    if not is_role_name(text) or text in BUILT_IN_ROLES:
        raise ValueError
    return text


def _short_name(text: str) -> str:
    if stored_text_violations("", text, MAX_DISPLAY_NAME):
        raise ValueError
    return text


def _short_description(text: str) -> str:
    if stored_text_violations("", text, MAX_DESCRIPTION):
        raise ValueError
    return text


def _some_in_order(permissions: tuple[Permission, ...]) -> tuple[Permission, ...]:
    if not permissions:
        raise ValueError
    return in_order(permissions)


def _each_once(servers: tuple[RealTimeServer, ...]) -> tuple[RealTimeServer, ...]:
    return tuple(server for server in RealTimeServer if server in servers)


def _is_empty(text: str) -> bool:
    return not text


def _enum(*names: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "enum": [*names]})


_Lifetime: TypeAlias = Annotated[
    Seconds, BeforeValidator(_to_seconds), WithJsonSchema({"type": "string", "pattern": "^[0-9]{1,8}[smhd]$"})
]
_Flag: TypeAlias = Annotated[bool, BeforeValidator(_to_flag)]
_Format: TypeAlias = Annotated[TokenFormat, BeforeValidator(_to_format), _enum(*TokenFormat)]
_Server: TypeAlias = Annotated[
    RealTimeServer, BeforeValidator(_to_server), _enum(*(each.lower() for each in RealTimeServer))
]
_ProjectId: TypeAlias = Annotated[
    str, AfterValidator(_project_id), WithJsonSchema({"type": ["string", "integer"], "pattern": "^[1-9][0-9]{0,9}$"})
]
_Permission: TypeAlias = Annotated[Permission, BeforeValidator(_to_permission), _enum(*Permission)]


class _Declared(BaseModel):
    """A mapping of the file. The description of a field is also what a message about an invalid value says."""

    model_config = ConfigDict(
        strict=True, frozen=True, extra="forbid", hide_input_in_errors=True, use_attribute_docstrings=True
    )


class DeclaredImport(_Declared):
    """Where the credential of an imported project is from. The credential itself is never in the file."""

    source: Literal["opentok", "vonage", "livekit", "jitsi"]
    """Where the credential is from: `opentok`, `vonage`, `livekit` or `jitsi`."""
    id: str = ""
    """The Vonage application, API key of LiveKit or app id of Jitsi; none for `opentok`, where it is the project id."""

    @model_validator(mode="after")
    def _require_id_of_source(self) -> Self:
        if not {"opentok": _is_empty, "vonage": is_uuid}.get(self.source, is_server_key_id)(self.id):
            raise ValueError
        return self


class DeclaredRole(_Declared):
    """A role that a project defines itself."""

    name: Annotated[str, AfterValidator(_own_role)]
    """Name, unique in the project: 1 to 63 of `a-z 0-9 - _`, starting with a letter, and no built-in role."""
    permissions: Annotated[
        tuple[_Permission, ...], Field(strict=False, json_schema_extra={"minItems": 1}), AfterValidator(_some_in_order)
    ]
    """What the role allows: at least one of `subscribe`, `publish`, `signal`, `force_disconnect`, `force_unpublish` and
    `force_mute`."""
    description: Annotated[str, AfterValidator(_short_description), Field(max_length=MAX_DESCRIPTION)] | None = None
    """For people; at most 256 characters."""


class DeclaredProject(_Declared):
    """A project. What is left out stays as it is; a new project gets the default."""

    project_id: _ProjectId
    """Id, unique in the file: 1 to 2147483647. It says which project of the authority is meant."""
    display_name: Annotated[str, AfterValidator(_short_name), Field(max_length=MAX_DISPLAY_NAME)] | None = None
    """Name for people; at most 128 characters."""
    default_format: _Format | None = None
    """Format of a token whose request names none, such as `SESSION_JWT`."""
    default_ttl: _Lifetime | None = None
    """Lifetime of a token whose request names none, such as `90s`, `15m`, `1h` or `1d`: 1 second to `max_ttl`."""
    max_ttl: _Lifetime | None = None
    """Longest lifetime of its tokens, such as `12h` or `30d`: 1 second to 30 days."""
    external_sessions: _Flag | None = None
    """Whether session ids of the OpenTok or Vonage platform are accepted: `true` or `false`."""
    platform_url: str | None = None
    """Platform that makes the ids of its new sessions, one of `platform.urls` of the server; `""` for the authority."""
    claims_for: Annotated[tuple[_Server, ...], Field(strict=False), AfterValidator(_each_once)] | None = None
    """Servers that its `SESSION_JWT` tokens have claims for: `centrifugo`, `mediamtx`, both or none."""
    disabled: _Flag | None = None
    """Whether it gets no sessions and tokens, and its tokens are refused: `true` or `false`."""
    imported: DeclaredImport | None = None
    """Where its credential is from, if it is imported by hand: `{source: opentok}`, or `vonage`, `livekit` or `jitsi`
    with the `id` of the application, API key or app, such as `{source: livekit, id: APIx}`."""
    roles: Annotated[list[DeclaredRole], Field(max_length=MAX_ROLES)] | None = None
    """The roles that it defines itself, at most 100; `[]` for none."""


class AuthorityDocument(_Declared):
    """A declaration."""

    version: Annotated[Literal[1], BeforeValidator(_to_version)]
    """Version of this format: `1`."""
    projects: list[DeclaredProject] | None = None
    """The projects; if left out, projects and roles are not declared."""
    callers: list[CallerTable] | None = None
    """The callers, with the fields of the callers file; if left out, the callers file stays as it is."""
