"""Write values as a declaration has them, and what there is as a declaration: the same text for the same state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import yaml

from tokenauthority.callers.file_models import CallerTable
from tokenauthority.domain.ids import is_server_key_id
from tokenauthority.domain.profile import JITSI, RealTimeServer
from tokenauthority.domain.project import Project
from tokenauthority.domain.role import Role
from tokenauthority.domain.times import SECONDS_OF


PROJECT_FIELDS: Final = (
    *("display_name", "default_format", "default_ttl", "max_ttl"),
    *("external_sessions", "platform_url", "claims_for", "disabled"),
)
"""The fields of a project that can be declared and changed, as the domain and the contract call them."""

ROLE_FIELDS: Final = ("permissions", "description")

_OF_THE_KEY: Final = frozenset({"api_key_sha256", "created", "expires"})
"""The fields of a caller about its API key, which stays as it is where a declaration leaves them out."""

_HEADER: Final = """\
# What a Token Authority has, as `tokenauthority export` has written it.
# Change it, and apply it: tokenauthority apply -f FILE
# There is no secret in it, and of API keys not even the SHA-256.
"""

_ONE_LINE: Final = 1_000_000
"""Columns: no text is folded."""


def as_written(value: object) -> object:
    """Return *value*, a field of a project or a role in the domain, as it is declared."""
    match value:
        case bool():
            return value
        case int():
            unit = next(unit for unit in reversed(SECONDS_OF) if value % SECONDS_OF[unit] == 0)
            return f"{value // SECONDS_OF[unit]}{unit}"
        case RealTimeServer():
            return value.lower()
        case tuple():
            return [as_written(each) for each in value]
    return str(value)


def write_declaration(projects: Sequence[tuple[Project, Sequence[Role]]], callers: Sequence[CallerTable] | None) -> str:
    """Return the declaration of all *projects* with their roles, and of *callers* unless it is None."""
    by_id = sorted(projects, key=lambda found: int(found[0].project_id))
    document: dict[str, object] = {"version": 1, "projects": [_project_mapping(*found) for found in by_id]}
    if callers is not None:
        document["callers"] = [_caller_mapping(table) for table in sorted(callers, key=lambda table: table.name)]
    text = yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_ONE_LINE)
    return f"{_HEADER}{text}"


class _Dumper(yaml.SafeDumper):
    """Indents lists, and quotes what a reader of YAML 1.1 would take for something else, such as `no`.

    Text with other characters than ASCII is in double quotes, where an output that escapes one means the same.
    """

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 - overrides
        super().increase_indent(flow, indentless=False)


def _write_text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if text.isascii() else '"')


_Dumper.add_representer(str, _write_text)


def _project_mapping(project: Project, roles: Sequence[Role]) -> Mapping[str, object]:
    imported = _imported(project)
    return {
        "project_id": project.project_id,
        **{name: as_written(getattr(project, name)) for name in PROJECT_FIELDS},
        **({"imported": imported} if imported else {}),
        "roles": [
            {"name": role.name, **{name: as_written(getattr(role, name)) for name in ROLE_FIELDS}}
            for role in sorted(roles, key=lambda role: role.name)
        ],
    }


def _imported(project: Project) -> dict[str, str]:
    """Return where the credential of *project* is from, as far as the authority shows it.

    A secret of the OpenTok platform looks like one that was made here. To take the platform's sessions makes sense only
    with the platform's secret, so a project that does counts as imported: made anew, it would have another secret.
    """
    if project.vonage_application_id:
        return {"source": "vonage", "id": project.vonage_application_id}
    key_id = next((each.credential_id for each in project.secrets if is_server_key_id(each.credential_id)), "")
    if key_id:
        return {"source": "jitsi" if project.default_format.traits.table is JITSI else "livekit", "id": key_id}
    return {"source": "opentok"} if project.external_sessions or project.platform_url else {}


def _caller_mapping(table: CallerTable) -> Mapping[str, object]:
    return table.model_dump(exclude_unset=True, exclude={*_OF_THE_KEY})
