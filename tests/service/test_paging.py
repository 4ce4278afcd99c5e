"""Lists: every page size visits every object exactly once, also where many were made in one millisecond."""

from __future__ import annotations

import contextlib
import itertools

from collections.abc import Callable, Sequence
from functools import partial

import attrs
import grpc
import pytest

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.service.api import PUBLISH, Api, Connect, failure
from tests.service.conftest import AWAY, HOME, NOW
from tests.support.authority import EVERYTHING, Clock, StartAuthority, make_caller
from tokenauthority.callers.api_keys import new_api_key
from tokenauthority.domain.errors import InvalidRequestError
from tokenauthority.domain.times import Millis
from tokenauthority.service import paging
from tokenauthority.v1 import key_pb2, project_pb2, role_pb2, session_pb2


SIZES = [1, 2, 3, 7, 24, 25, 26, 1000]


@attrs.frozen
class Page:
    """Names of objects, and the token of the next page."""

    names: Sequence[str]
    next_token: str


def sessions_of(
    api: Api, project_id: str, state: session_pb2.SessionState.ValueType = session_pb2.SESSION_STATE_UNSPECIFIED
) -> Callable[[int, str], Page]:
    """Lists sessions."""

    def page(size: int, token: str) -> Page:
        request = session_pb2.ListSessionsRequest(project_id=project_id, page_size=size, page_token=token, state=state)
        answer = api.sessions.ListSessions(request)
        return Page([session.session_id for session in answer.sessions], answer.next_page_token)

    return page


def roles_of(api: Api, project_id: str) -> Callable[[int, str], Page]:
    """Lists roles."""

    def page(size: int, token: str) -> Page:
        request = role_pb2.ListRolesRequest(project_id=project_id, page_size=size, page_token=token)
        answer = api.roles.ListRoles(request)
        return Page([role.name for role in answer.roles], answer.next_page_token)

    return page


def projects_of(api: Api) -> Callable[[int, str], Page]:
    """Lists projects."""

    def page(size: int, token: str) -> Page:
        answer = api.projects.ListProjects(project_pb2.ListProjectsRequest(page_size=size, page_token=token))
        return Page([project.project_id for project in answer.projects], answer.next_page_token)

    return page


def keys_of(api: Api) -> Callable[[int, str], Page]:
    """Lists signing keys."""

    def page(size: int, token: str) -> Page:
        answer = api.keys.ListSigningKeys(key_pb2.ListSigningKeysRequest(page_size=size, page_token=token))
        return Page([key.key_id for key in answer.keys], answer.next_page_token)

    return page


def walk(page: Callable[[int, str], Page], size: int) -> list[list[str]]:
    """All pages."""
    pages = [page(size, "")]
    while pages[-1].next_token:
        pages.append(page(size, pages[-1].next_token))
        assert len(pages) <= 2000, "the list does not end"
    return [list(one.names) for one in pages]


def everything(page: Callable[[int, str], Page], size: int) -> list[str]:
    """The names on all pages."""
    return list(itertools.chain.from_iterable(walk(page, size)))


def make_sessions(api: Api, project_id: str, clock: Clock, count: int, ties: int) -> list[str]:
    """Sessions, so many of which share a millisecond, oldest first."""
    made = []
    for number in range(count):
        clock.fixed = Millis(NOW + number // ties)
        made.append(api.new_session(project_id).session_id)
    return made


@pytest.mark.parametrize("ties", [1, 4, 25])
def test_sessions_come_newest_first_each_once(api: Api, project_id: str, clock: Clock, ties: int) -> None:
    """With any page size, and however many share a moment."""
    made = make_sessions(api, project_id, clock, 25, ties)
    orders = [everything(sessions_of(api, project_id), size) for size in SIZES]

    assert all(orders[0] == order for order in orders)
    assert sorted(made) == sorted(orders[0])
    assert [made.index(name) // ties for name in orders[0]] == sorted((i // ties for i in range(25)), reverse=True)


@pytest.mark.parametrize("size", SIZES)
def test_pages_are_full_and_the_last_one_says_so(api: Api, project_id: str, clock: Clock, size: int) -> None:
    """No page is short but the last, and none is empty."""
    make_sessions(api, project_id, clock, 25, 4)

    lengths = [len(names) for names in walk(sessions_of(api, project_id), size)]

    full, rest = divmod(25, size)
    assert [size] * full + [rest] * (rest > 0) == lengths


def test_an_empty_list_is_one_empty_page(api: Api, project_id: str) -> None:
    """Without a token."""
    assert Page([], "") == sessions_of(api, project_id)(0, "")


def test_sessions_can_be_listed_by_state(api: Api, project_id: str, clock: Clock) -> None:
    """Each state has its own, in every page size."""
    made = make_sessions(api, project_id, clock, 9, 3)
    for session_id in made[::2]:
        api.end(session_id)
    states = (session_pb2.SESSION_STATE_ACTIVE, session_pb2.SESSION_STATE_ENDED, session_pb2.SESSION_STATE_UNSPECIFIED)

    found = [set(everything(sessions_of(api, project_id, state), 2)) for state in states]

    assert [set(made[1::2]), set(made[::2]), set(made)] == found
    assert ["state"] == failure(lambda: sessions_of(api, project_id, 9)(0, "")).fields  # type: ignore[arg-type]  # a number that no state has


def test_what_is_made_in_between_moves_nothing(api: Api, project_id: str, clock: Clock) -> None:
    """A list that grows at its newest end is still walked once."""
    made = make_sessions(api, project_id, clock, 6, 2)
    first = sessions_of(api, project_id)(2, "")
    make_sessions(api, project_id, clock, 3, 1)
    clock.fixed = Millis(NOW + 10**6)
    api.new_session(project_id)
    api.end(made[0])
    second = sessions_of(api, project_id)(1000, first.next_token)

    assert set(made) <= {*first.names, *second.names}
    assert set(first.names).isdisjoint(second.names)


@pytest.mark.parametrize("size", [1, 2, 4, 5, 9, 1000])
def test_roles_are_listed_each_once(api: Api, project_id: str, size: int) -> None:
    """Built-in ones first, then by name, across pages."""
    own = [f"r{number}" for number in range(5)]
    for name in reversed(own):
        api.roles.CreateRole(role_pb2.CreateRoleRequest(project_id=project_id, name=name, permissions=[PUBLISH]))

    names = everything(roles_of(api, project_id), size)

    assert ["subscriber", "publisher", "publisheronly", "moderator", *own] == names


def test_a_role_that_is_deleted_in_between_hides_no_other(api: Api, project_id: str) -> None:
    """The next page goes on where the deleted one stood."""
    for name in ("a", "b", "c", "d"):
        api.roles.CreateRole(role_pb2.CreateRoleRequest(project_id=project_id, name=name, permissions=[PUBLISH]))
    first = roles_of(api, project_id)(6, "")
    api.roles.DeleteRole(role_pb2.DeleteRoleRequest(project_id=project_id, name="b"))
    second = roles_of(api, project_id)(6, first.next_token)

    assert (["a", "b"], ["c", "d"]) == (list(first.names[4:]), list(second.names))


def test_projects_are_listed_by_number_each_once(start_authority: StartAuthority, connect: Connect) -> None:
    """As numbers, not as text, with any page size; a caller sees those of its grant alone."""
    some, key = frozenset({"9", "100", "77", "5"}), new_api_key()
    authority = start_authority(callers={key: make_caller("some", attrs.evolve(EVERYTHING, projects=some))})
    api = connect(authority=authority)
    made = ["9", "10", "100", "1000000", "77", "2147483647", "1"]
    for project_id in made:
        api.projects.CreateProject(project_pb2.CreateProjectRequest(project_id=project_id))
    expected = sorted([*made, authority.project_id], key=int)
    restricted = connect(authority=authority, api_key=key)

    assert [expected] * 4 == [everything(projects_of(api), size) for size in (1, 3, 8, 1000)]
    assert [["9", "77", "100"]] * 3 == [everything(projects_of(restricted), size) for size in (1, 2, 1000)]


def test_signing_keys_are_listed(api: Api) -> None:
    """Each once, whatever the size of the pages."""
    listed = [everything(keys_of(api), size) for size in (1, 2, 1000)]

    assert listed[0] == listed[1] == listed[2]
    assert 2 <= len(set(listed[0])) == len(listed[0])


def test_a_page_has_50_by_default_and_1000_at_the_most(api: Api, project_id: str) -> None:
    """0 is 50; more than 1000 is coerced."""
    store = api.authority.app.store
    session = api.new_session(project_id)
    kept = api.authority.do(store.get_session(session.session_id))
    assert kept is not None
    for number in range(1000):
        copy = attrs.evolve(kept, session_id=f"2_{number}")
        api.authority.do(store.create_session(copy, None))
    page = sessions_of(api, project_id)

    assert [50, 1000, 1000, 999] == [len(page(size, "").names) for size in (0, 1001, 2**31 - 1, 999)]


@pytest.mark.parametrize("kind", [sessions_of, roles_of])
@pytest.mark.parametrize(
    ("size", "token", "expected"),
    [
        (-1, "", ["page_size"]),
        (-(2**31), "", ["page_size"]),
        (0, "x", ["page_token"]),
        (0, "!", ["page_token"]),
        (0, "é", ["page_token"]),
        (0, "x" * 60_000, ["page_token"]),
        (0, paging.next_token("other", 1), ["page_token"]),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_refuses_bad_sizes_and_tokens(
    api: Api,
    project_id: str,
    kind: Callable[[Api, str], Callable[[int, str], Page]],
    *,
    size: int,
    token: str,
    expected: list[str],
) -> None:
    """INVALID_ARGUMENT with the field."""
    failed = failure(lambda: kind(api, project_id)(size, token))

    assert (grpc.StatusCode.INVALID_ARGUMENT, expected) == (failed.code, failed.fields)


def test_names_every_invalid_field_at_once(api: Api) -> None:
    """A token is not called another list's where the request does not say which list it means."""
    token = paging.next_token("other", (1, "x"))
    lists: list[Callable[[], object]] = [
        partial(sessions_of(api, "x", 99), -1, "!"),  # type: ignore[arg-type]  # as above
        partial(sessions_of(api, "x"), -1, token),
        partial(roles_of(api, "x"), -1, "!"),
        partial(projects_of(api), -1, "!"),
        partial(keys_of(api), -1, "!"),
    ]

    assert [
        ["page_size", "page_token", "project_id", "state"],
        ["page_size", "project_id"],
        ["page_size", "page_token", "project_id"],
        ["page_size", "page_token"],
        ["page_size", "page_token"],
    ] == [sorted(failure(call).fields) for call in lists]


@pytest.mark.parametrize("listing", [projects_of, keys_of])
def test_refuses_bad_sizes_and_tokens_of_lists_without_a_project(
    api: Api, listing: Callable[[Api], Callable[[int, str], Page]]
) -> None:
    """The same for projects and keys."""
    page = listing(api)

    assert ["page_size"] == failure(lambda: page(-1, "")).fields
    assert ["page_token"] == failure(lambda: page(0, paging.next_token("other", 1))).fields


def test_a_token_is_valid_for_its_own_list_alone(api: Api, project_id: str) -> None:
    """Not for another project, another state, or another kind of object."""
    for _ in range(3):
        api.new_session(project_id)
    token = sessions_of(api, project_id)(1, "").next_token
    others = [
        sessions_of(api, HOME),
        sessions_of(api, AWAY),
        sessions_of(api, project_id, session_pb2.SESSION_STATE_ACTIVE),
        roles_of(api, project_id),
    ]

    assert [["page_token"]] * 4 == [failure(partial(other, 0, token)).fields for other in others]


@pytest.mark.parametrize(
    "position",
    [(2**53 + 1, "x"), (-1, "x"), (10**30, "x"), (1, "a\x00"), (1.5, "x"), ("1", "x"), (1,), None, 1],
    ids=repr,
)
def test_a_forged_position_is_refused(position: object) -> None:
    """What a store could not look for is the caller's error, not the store's."""
    token = paging.next_token("list", position)

    with pytest.raises(InvalidRequestError):
        paging.decode_position(token, "list", tuple[int, str])


@settings(deadline=None)
@given(st.text())
def test_any_token_is_read_or_refused(token: str) -> None:
    """There is no other error."""
    found = None
    with contextlib.suppress(InvalidRequestError):
        found = paging.decode_position(token, "list", tuple[int, str])

    assert found is None


@settings(deadline=None)
@given(
    st.integers(0, 2**53), st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=100)
)
def test_a_position_comes_back(number: int, text: str) -> None:
    """What a page ends with is where the next one begins."""
    token = paging.next_token("list", (number, text))

    assert (number, text) == paging.decode_position(token, "list", tuple[int, str])


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(0, 80))
def test_pages_cut_a_list_without_loss(size: int, count: int) -> None:
    """Cutting off one page after another gives every item once and ends."""
    items = list(range(count))
    seen: list[int] = []
    while True:
        read = items[len(seen) : len(seen) + size + 1]
        page, next_page = paging.cut_page(read, size, "list", lambda last: last)
        seen += page
        if not next_page:
            break
        assert paging.decode_position(next_page, "list", int) == seen[-1]

    assert items == seen
