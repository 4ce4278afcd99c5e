"""The policy: pure, monotone in the grant, and never above any cap."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from hypothesis import given, settings
from hypothesis import strategies as st

from tokenauthority.domain.caller import ANY, Grant
from tokenauthority.domain.errors import (
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionError,
    Reason,
    TokenAuthorityError,
)
from tokenauthority.domain.policy import Granted, Refused, decide, require_no_widening, turn_expire_time
from tokenauthority.domain.project import Project
from tokenauthority.domain.role import BUILT_IN_ROLES, Permission, Role
from tokenauthority.domain.session import SessionSpec, SessionState, StoredSession
from tokenauthority.domain.times import DAY, MAX_TTL, Millis, Seconds, whole_seconds
from tokenauthority.domain.token import TokenSpec, request_violations
from tokenauthority.domain.token_format import TokenFormat
from tokenauthority.domain.turn import MAX_TURN_TTL, TurnSpec


NOW = Millis(1_800_000_000_999)
SECOND = whole_seconds(NOW)
HOST = Role(name="host", permissions=(Permission.FORCE_MUTE,), project_id="1")
ROLES = {**BUILT_IN_ROLES, "host": HOST}
NAMES = (*ROLES, "absent")
SESSION = StoredSession(session_id="2_x", project_id="1", spec=SessionSpec(), create_time=NOW)
GRANT = Grant(projects=frozenset({"1"}), actions=frozenset(), roles=frozenset({ANY}))
PROJECT = Project(
    project_id="1",
    display_name="",
    default_format=TokenFormat.SESSION_JWT,
    default_ttl=DAY,
    max_ttl=MAX_TTL,
    external_sessions=False,
    create_time=NOW,
)

few = settings(max_examples=60, deadline=None)
lifetimes = st.one_of(st.integers(1, 10), st.integers(1, MAX_TTL), st.just(MAX_TTL)).map(Seconds)
formats = st.sampled_from(TokenFormat)


@st.composite
def projects(draw: st.DrawFn) -> Project:
    """A project whose lifetimes fit each other."""
    max_ttl = draw(lifetimes)
    default_ttl = draw(st.integers(1, max_ttl).map(Seconds))
    return attrs.evolve(PROJECT, default_format=draw(formats), default_ttl=default_ttl, max_ttl=max_ttl)


@st.composite
def requests(draw: st.DrawFn) -> TokenSpec:
    """A well-formed request."""
    asked = draw(st.sampled_from(("ttl", "expire_time", "none")))
    seconds = draw(lifetimes)
    return TokenSpec(
        session_id="2_x",
        role=draw(st.sampled_from(NAMES)),
        ttl=seconds if asked == "ttl" else None,
        expire_time=Seconds(SECOND + seconds) if asked == "expire_time" else None,
        format=draw(st.none() | formats),
        subject=draw(st.sampled_from(("", "alice"))),
    )


@st.composite
def grants(draw: st.DrawFn) -> Grant:
    """A grant of some roles and formats."""
    return Grant(
        projects=frozenset({"1"}),
        actions=frozenset(),
        roles=draw(st.frozensets(st.sampled_from((*NAMES, ANY)))),
        formats=draw(st.frozensets(st.sampled_from((*TokenFormat, ANY)))),
        max_ttl=draw(lifetimes),
    )


def fits(token_format: TokenFormat, role: str) -> bool:
    """Whether tokens of the format carry the role."""
    traits = token_format.traits
    if traits.table is not None:
        return not traits.table.misfit(ROLES[role].permissions)
    return traits.carries_permissions or role in BUILT_IN_ROLES


@st.composite
def allowed(draw: st.DrawFn) -> tuple[TokenSpec, Grant, Project]:
    """A request with a grant and a project that just allow it, or more."""
    project = draw(projects())
    native = draw(st.booleans())
    role = draw(st.sampled_from(tuple(ROLES) if native else tuple(BUILT_IN_ROLES)))
    token_format = TokenFormat.SESSION_JWT if native else draw(formats.filter(lambda each: fits(each, role)))
    grant = attrs.evolve(
        draw(grants()),
        roles=draw(st.sampled_from((frozenset({role}), frozenset({ANY}), frozenset({role, "other"})))),
        formats=draw(st.sampled_from((frozenset({token_format}), frozenset({ANY})))),
    )
    cap = min(project.max_ttl, grant.max_ttl)
    seconds = Seconds(draw(st.one_of(st.just(cap), st.integers(1, cap))))
    asked = draw(st.sampled_from(("ttl", "expire_time", "none")))
    request = TokenSpec(
        session_id="2_x",
        role=role,
        ttl=seconds if asked == "ttl" else None,
        expire_time=Seconds(SECOND + seconds) if asked == "expire_time" else None,
        format=token_format,
        subject=draw(st.sampled_from(("", "alice"))) if native else "",
    )
    return request, grant, project


@st.composite
def widened(draw: st.DrawFn, grant: Grant) -> Grant:
    """A grant that allows at least what *grant* does."""
    more = draw(grants())
    return attrs.evolve(
        grant,
        roles=grant.roles | more.roles,
        formats=grant.formats | more.formats,
        max_ttl=max(grant.max_ttl, more.max_ttl),
    )


def decision(
    request: TokenSpec, grant: Grant, project: Project = PROJECT, session: StoredSession | None = SESSION
) -> Granted | Refused:
    """What the policy says, with the role that the project has."""
    return decide(request, project=project, session=session, role=ROLES.get(request.role), grant=grant, now=NOW)


@few
@given(st.data(), allowed())
def test_a_wider_grant_never_refuses_what_a_narrower_one_allowed(
    data: st.DataObject, case: tuple[TokenSpec, Grant, Project]
) -> None:
    """To grant more takes nothing away."""
    request, narrow, project = case
    wide = data.draw(widened(narrow))

    assert isinstance(decision(request, narrow, project), Granted)
    assert isinstance(decision(request, wide, project), Granted)


@few
@given(allowed() | st.tuples(requests(), grants(), projects()))
def test_no_lifetime_exceeds_any_cap(case: tuple[TokenSpec, Grant, Project]) -> None:
    """What is granted fits the grant, the project and 30 days, starts now and lasts at least a second."""
    _, grant, project = case
    granted = decision(*case)

    lifetime = granted.expire_time - granted.issue_time if isinstance(granted, Granted) else 1
    assert not isinstance(granted, Granted) or SECOND == granted.issue_time
    assert 1 <= lifetime <= min(grant.max_ttl, project.max_ttl, MAX_TTL)


@few
@given(allowed())
def test_what_is_granted_is_what_was_asked_for(case: tuple[TokenSpec, Grant, Project]) -> None:
    """Role, format and a lifetime that the request names are given as they are."""
    request, grant, project = case

    granted = decision(request, grant, project)

    assert isinstance(granted, Granted)
    until = request.expire_time or Seconds(SECOND + (request.ttl or min(project.default_ttl, grant.max_ttl)))
    assert (request.role, request.format, until) == (granted.role.name, granted.format, granted.expire_time)


@few
@given(requests(), grants(), projects())
def test_nothing_is_granted_that_the_grant_does_not_name(request: TokenSpec, grant: Grant, project: Project) -> None:
    """A token is granted only in a role and a format of the grant."""
    granted = decision(request, grant, project)

    named = grant.allows_role(request.role) and grant.allows_format(request.format or project.default_format)
    assert named or isinstance(granted, Refused)


@few
@given(requests(), grants(), projects())
def test_the_same_facts_give_the_same_decision(request: TokenSpec, grant: Grant, project: Project) -> None:
    """The policy has no memory, clock or chance."""
    first, second = decision(request, grant, project), decision(request, grant, project)

    assert facts(first) == facts(second)


@few
@given(requests())
def test_generated_requests_are_well_formed(request: TokenSpec) -> None:
    """The properties above speak about requests that get as far as the policy."""
    assert [] == request_violations(request, NOW)


def facts(outcome: Granted | Refused) -> object:
    """What a decision says: two errors are never equal."""
    return outcome if isinstance(outcome, Granted) else (type(outcome.error), str(outcome.error))


def refusal(request: TokenSpec, grant: Grant = GRANT, project: Project = PROJECT, **more: Any) -> TokenAuthorityError:
    """The error of a request that must be refused."""
    outcome = decision(request, grant, project, **more)
    assert isinstance(outcome, Refused)
    return outcome.error


@pytest.mark.parametrize(
    ("request_", "grant", "expected"),
    [
        (
            TokenSpec(session_id="2_x"),
            attrs.evolve(GRANT, roles=frozenset()),
            (Reason.ROLE_NOT_GRANTED, "roles", "role"),
        ),
        (
            TokenSpec(session_id="2_x", role="absent"),
            attrs.evolve(GRANT, roles=frozenset({"host"})),
            (Reason.ROLE_NOT_GRANTED, "roles", "role"),
        ),
        (
            TokenSpec(session_id="2_x"),
            attrs.evolve(GRANT, formats=frozenset({TokenFormat.OPENTOK_T1})),
            (Reason.FORMAT_NOT_GRANTED, "formats", "format"),
        ),
        (
            TokenSpec(session_id="2_x", ttl=Seconds(61)),
            attrs.evolve(GRANT, max_ttl=Seconds(60)),
            (Reason.LIFETIME_NOT_GRANTED, "max_ttl=60s", "ttl"),
        ),
        (
            TokenSpec(session_id="2_x", expire_time=Seconds(SECOND + 61)),
            attrs.evolve(GRANT, max_ttl=Seconds(60)),
            (Reason.LIFETIME_NOT_GRANTED, "max_ttl=60s", "expire_time"),
        ),
    ],
    ids=["role", "role that is absent", "format", "ttl", "expire_time"],
)
def test_a_refusal_names_the_limit_of_the_grant(
    request_: TokenSpec, grant: Grant, expected: tuple[Reason, str, str]
) -> None:
    """The caller learns what it lacks, and nothing about what else exists."""
    error = refusal(request_, grant)

    assert isinstance(error, PermissionDeniedError)
    assert expected == (error.reason, error.limit, error.field)


@pytest.mark.parametrize(
    ("request_", "project", "expected"),
    [
        (TokenSpec(session_id="2_x", role="host", format=TokenFormat.OPENTOK_T1), PROJECT, "role"),
        (TokenSpec(session_id="2_x", role="host", format=TokenFormat.OPENTOK_JWT), PROJECT, "role"),
        (TokenSpec(session_id="2_x", role="host", format=TokenFormat.VONAGE_JWT), PROJECT, "role"),
        (TokenSpec(session_id="2_x", subject="a", format=TokenFormat.OPENTOK_T1), PROJECT, "subject"),
        (TokenSpec(session_id="2_x", ttl=Seconds(61)), attrs.evolve(PROJECT, max_ttl=Seconds(60)), "ttl"),
        (
            TokenSpec(session_id="2_x", expire_time=Seconds(SECOND + 61)),
            attrs.evolve(PROJECT, max_ttl=Seconds(60)),
            "expire_time",
        ),
    ],
    ids=["T1", "OpenTok JWT", "Vonage JWT", "subject", "ttl", "expire_time"],
)
def test_refuses_what_format_or_project_cannot_have(request_: TokenSpec, project: Project, expected: str) -> None:
    """The field is named."""
    error = refusal(request_, project=project)

    assert isinstance(error, InvalidRequestError)
    assert [expected] == [violation.field for violation in error.violations]


def test_a_role_that_the_project_lacks_is_not_found() -> None:
    """The role is named."""
    error = refusal(TokenSpec(session_id="2_x", role="absent"))

    assert isinstance(error, NotFoundError)
    assert (Reason.ROLE_NOT_FOUND, "absent") == (error.reason, error.name)


def test_an_ended_session_gets_no_tokens() -> None:
    """The session is named."""
    ended = attrs.evolve(SESSION, state=SessionState.ENDED, end_time=NOW)

    error = refusal(TokenSpec(session_id="2_x"), session=ended)

    assert isinstance(error, PreconditionError)
    assert (Reason.SESSION_ENDED, "2_x") == (error.reason, error.subject)


def test_a_session_of_the_platform_gets_tokens() -> None:
    """Whether the project accepts it was decided before."""
    assert isinstance(decision(TokenSpec(session_id="2_x"), GRANT, session=None), Granted)


PERMISSIONS = st.sets(st.sampled_from(Permission), min_size=1).map(tuple)


@few
@given(
    before=st.sets(st.sampled_from(Permission)),
    after=PERMISSIONS,
    names=st.sets(st.sampled_from(NAMES)),
    host=PERMISSIONS,
    named=st.booleans(),
)
def test_a_role_never_gains_what_its_changer_may_not_grant(
    before: set[Permission],
    after: tuple[Permission, ...],
    names: set[str],
    host: tuple[Permission, ...],
    *,
    named: bool,
) -> None:
    """Nor anything if another caller's grant names it; and it may always lose permissions."""
    roles = [*BUILT_IN_ROLES.values(), attrs.evolve(HOST, permissions=host)]
    grant = attrs.evolve(GRANT, roles=frozenset(names))
    changed = attrs.evolve(HOST, name="guest", permissions=after)
    grantable = {permission for role in roles if role.name in names for permission in role.permissions}
    gained = set(after) - before
    refused: Reason | None = None
    try:
        require_no_widening(changed, before, roles=roles, grant=grant, named_by_others=named)
    except (PermissionDeniedError, PreconditionError) as error:
        refused = error.reason
    expected = Reason.ROLE_NOT_GRANTED if gained - grantable else Reason.ROLE_IN_USE if gained and named else None

    assert expected is refused


def test_who_may_grant_every_role_may_give_every_permission() -> None:
    """Also one that no role has yet."""
    changed = attrs.evolve(HOST, permissions=tuple(Permission))

    require_no_widening(changed, (), roles=(), grant=GRANT, named_by_others=False)


@few
@given(
    st.none() | st.integers(1, MAX_TURN_TTL).map(Seconds),
    projects(),
    grants(),
    st.sampled_from([SESSION, SESSION.ended(NOW)]),
)
def test_turn_credentials_live_no_longer_than_any_cap_and_end_with_their_session(
    ttl: Seconds | None, project: Project, grant: Grant, session: StoredSession
) -> None:
    """They are refused exactly where a token of that lifetime would be; a default is cut to the caps instead."""
    request = TurnSpec(session_id="2_x", ttl=ttl)
    cap = min(MAX_TURN_TTL, project.max_ttl, grant.max_ttl)

    def expire() -> Seconds:
        return turn_expire_time(request, project=project, session=session, grant=grant, now=NOW)

    if session is not SESSION or (ttl is not None and ttl > cap):
        with pytest.raises(TokenAuthorityError):
            expire()
    else:
        assert SECOND + (min(cap, project.default_ttl) if ttl is None else ttl) == expire()
