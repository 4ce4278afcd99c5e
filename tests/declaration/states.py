"""Any projects, roles and callers that an authority may have."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, TypeAlias

import attrs

from hypothesis import strategies as st

from tokenauthority.callers.file_models import CallerTable
from tokenauthority.declaration.plan import ActualProject
from tokenauthority.domain.caller import Action
from tokenauthority.domain.credential import Credential, CredentialKind
from tokenauthority.domain.profile import RealTimeServer
from tokenauthority.domain.project import Project
from tokenauthority.domain.role import BUILT_IN_ROLES, Permission, Role, in_order
from tokenauthority.domain.times import MAX_TTL, Millis, Seconds
from tokenauthority.domain.token_format import TokenFormat


Projects: TypeAlias = dict[str, ActualProject]

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
AMBIGUOUS = st.sampled_from(
    ["no", "0123", "~", "null", "", "true", "1e3", "2027-01-31", "- a", "a: b", "a #b", " a ", "'"]
)
ROLE_NAMES = st.from_regex(r"[a-z][a-z0-9_-]{0,5}", fullmatch=True).filter(lambda name: name not in BUILT_IN_ROLES)
APPLICATION = "3e4b2a1c-1111-4222-8333-444455556666"


def project(project_id: str = "47", **fields: Any) -> Project:
    """A project as the authority makes it by default."""
    return attrs.evolve(
        Project(
            project_id=project_id,
            display_name="",
            default_format=TokenFormat.SESSION_JWT,
            default_ttl=Seconds(86_400),
            max_ttl=MAX_TTL,
            external_sessions=False,
            create_time=Millis(1),
            credentials=(secret("sec_0123456789abcdef"),),
        ),
        **fields,
    )


def secret(secret_id: str) -> Credential:
    """A secret without its value."""
    return Credential(credential_id=secret_id, kind=CredentialKind.SECRET, create_time=Millis(1), sealed=b"")


def role(name: str = "camera", **fields: Any) -> Role:
    """A role of project 47."""
    return attrs.evolve(Role(name=name, project_id="47", permissions=(Permission.PUBLISH,)), **fields)


@st.composite
def _any_project(draw: st.DrawFn, project_id: str) -> ActualProject:
    max_ttl = draw(st.integers(1, MAX_TTL))
    of_application = draw(st.booleans())
    formats = {each for each in TokenFormat if of_application or each is not TokenFormat.VONAGE_JWT}
    ids = draw(st.sampled_from([("sec_0123456789abcdef",), ("APIx",), ("APIx", "sec_0123456789abcdef")]))
    found = project(
        project_id,
        display_name=draw(TEXT | AMBIGUOUS),
        default_format=draw(st.sampled_from(sorted(formats))),
        max_ttl=Seconds(max_ttl),
        default_ttl=Seconds(draw(st.integers(1, max_ttl))),
        external_sessions=draw(st.booleans()),
        platform_url=draw(st.sampled_from(["", "https://api.opentok.com"])),
        claims_for=tuple(sorted(draw(st.sets(st.sampled_from(RealTimeServer))))),
        disabled=draw(st.booleans()),
        vonage_application_id=APPLICATION if of_application else None,
        credentials=tuple(map(secret, ids)),
    )
    names = draw(st.lists(ROLE_NAMES, max_size=3, unique=True))
    permissions = st.sets(st.sampled_from(Permission), min_size=1).map(in_order)
    roles = [
        role(name, project_id=project_id, permissions=draw(permissions), description=draw(TEXT | AMBIGUOUS))
        for name in names
    ]
    return ActualProject(found, tuple(roles))


@st.composite
def any_projects(draw: st.DrawFn) -> Projects:
    """Projects by id."""
    ids = draw(st.lists(st.integers(1, 2**31 - 1).map(str), max_size=4, unique=True))
    return {project_id: draw(_any_project(project_id)) for project_id in ids}


def caller(name: str = "rooms", **fields: Any) -> CallerTable:
    """A caller with an API key."""
    values = {"name": name, "api_key_sha256": "d" * 64, "projects": ["47"], "actions": ["tokens.verify"], **fields}
    return CallerTable(**{field: value for field, value in values.items() if value is not None})


_MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2099, 1, 1), timezones=st.just(UTC)).map(  # noqa: DTZ001 - hypothesis wants bounds without
    lambda moment: moment.replace(microsecond=0)
)


@st.composite
def _any_caller(draw: st.DrawFn, name: str, number: int) -> CallerTable:
    fields: dict[str, Any] = {
        "projects": draw(st.sampled_from([["*"], ["47"], ["47", "123"]])),
        "actions": draw(st.lists(st.sampled_from([*map(str, Action), "*"]), min_size=1, max_size=3)),
        "roles": draw(st.sampled_from([["*"], ["no", "publisher"]])),
    }
    if draw(st.booleans()):
        fields |= {"spiffe_id": f"spiffe://prod.example/{number}", "api_key_sha256": None}
    else:
        fields |= {"api_key_sha256": f"{number:064x}", "expires": draw(st.none() | _MOMENTS)}
    if draw(st.booleans()):
        fields |= {"rate": draw(st.sampled_from(["60/m", "1/s"])), "burst": draw(st.none() | st.integers(1, 99))}
    fields |= {
        "max_ttl": draw(st.sampled_from([None, "30d", "90s"])),
        "daily_quota": draw(st.none() | st.integers(1, 9)),
    }
    return caller(name, **fields)


@st.composite
def any_callers(draw: st.DrawFn) -> list[CallerTable]:
    """The callers of a file: at least one."""
    names = draw(st.lists(st.sampled_from(["no", "0123", "ns/a", "b", "true"]), min_size=1, max_size=4, unique=True))
    return [draw(_any_caller(name, number)) for number, name in enumerate(names)]
