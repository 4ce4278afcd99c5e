"""Every store keeps every duty that the protocol states (`storage/store.py`)."""

from __future__ import annotations

import asyncio

from collections.abc import Awaitable, Sequence
from typing import Any

import attrs
import msgspec
import pytest

from tests.storage.builders import (
    DAY,
    NOW,
    PROJECT,
    later,
    make_credential,
    make_idempotency_key,
    make_key,
    make_project,
    make_revocation,
    make_role,
    make_session,
)
from tokenauthority.domain.change import Change, ChangeKind, Cursor, HistoryLostError
from tokenauthority.domain.errors import (
    AlreadyExistsError,
    FieldViolation,
    InvalidRequestError,
    NotFoundError,
    PreconditionError,
    Reason,
    TokenAuthorityError,
)
from tokenauthority.domain.key import KeyState, StoredKey
from tokenauthority.domain.project import CredentialKind, Project
from tokenauthority.domain.revocation import StoredSessionEnd, TargetKind
from tokenauthority.domain.revoked import CLOCK_MARGIN, oldest_kept
from tokenauthority.domain.role import Permission, Role
from tokenauthority.domain.session import ArchiveMode, MediaMode, SessionSpec, SessionState, StoredSession
from tokenauthority.domain.times import Millis, Seconds
from tokenauthority.domain.token_format import TokenFormat
from tokenauthority.storage.store import Store


APPLICATION = "0f4b7c1e-0000-4000-8000-0000000000aa"


async def _refusal(call: Awaitable[object], kind: type[TokenAuthorityError]) -> Reason:
    with pytest.raises(kind) as caught:
        await call
    return caught.value.reason


async def _changes(store: Store, after: Cursor | None = None) -> list[tuple[ChangeKind, str, str]]:
    found = await store.changes_after(after or Cursor(), 1000)
    return [(c.kind, c.project_id, c.subject) for c in found if c.kind is not ChangeKind.ORIGIN]


async def _add_key(store: Store, key: StoredKey) -> Sequence[StoredKey]:
    return await store.update_keys(lambda ring: [*ring, key])


async def _add_first_key(store: Store, key: StoredKey) -> Sequence[StoredKey]:
    return await store.update_keys(lambda ring: ring or [key])


class TestProjects:
    """Projects and their credentials."""

    async def test_keeps_a_project_with_its_credentials(self, store: Store) -> None:
        """What was kept is found again, whole, by its id."""
        key = make_credential("vonage-1", kind=CredentialKind.VONAGE_KEY, create_time=later(1), sealed=b"")
        project = make_project(
            vonage_application_id=APPLICATION,
            external_sessions=True,
            default_format=TokenFormat.VONAGE_JWT,
            credentials=(make_credential(), key),
        )
        await store.create_project(project)

        assert project == await store.get_project(PROJECT)

    async def test_credentials_come_oldest_first(self, store: Store) -> None:
        """Credentials come in the order of their times, ties by id, however they were given."""
        newest, tied, oldest = (
            make_credential("a", create_time=later(2)),
            make_credential("c", create_time=later(1)),
            make_credential("b", create_time=later(1)),
        )
        await store.create_project(make_project(credentials=(newest, tied, oldest)))

        project = await store.get_project(PROJECT)

        assert project is not None
        assert (oldest, tied, newest) == project.credentials

    async def test_finds_a_project_by_its_vonage_application(self, store: Store) -> None:
        """A Vonage application leads to its project and to no other."""
        project = make_project(vonage_application_id=APPLICATION)
        await store.create_project(project)
        await store.create_project(make_project("2"))

        assert project == await store.find_vonage_project(APPLICATION)
        assert await store.find_vonage_project(APPLICATION.upper()) is None
        assert await store.find_vonage_project("") is None

    async def test_knows_no_project_that_was_not_kept(self, store: Store) -> None:
        """An absent project is None."""
        await store.create_project(make_project())

        assert await store.get_project(PROJECT[:-1]) is None
        assert await store.get_project("0" + PROJECT) is None

    async def test_refuses_a_second_project_of_one_id(self, store: Store) -> None:
        """The id of a project is taken once, and the first one stays as it was."""
        await store.create_project(make_project())

        reason = await _refusal(store.create_project(make_project(display_name="other")), AlreadyExistsError)

        assert Reason.PROJECT_EXISTS == reason
        assert make_project() == await store.get_project(PROJECT)

    async def test_refuses_a_second_project_of_one_vonage_application(self, store: Store) -> None:
        """A Vonage application belongs to one project; many may have none."""
        await store.create_project(make_project("1"))
        await store.create_project(make_project("2", vonage_application_id=APPLICATION))

        reason = await _refusal(
            store.create_project(make_project("3", vonage_application_id=APPLICATION)), AlreadyExistsError
        )

        assert Reason.PROJECT_EXISTS == reason
        assert await store.get_project("3") is None
        assert ["1", "2"] == [p.project_id for p in await store.list_projects(after=0, limit=9, only=None)]

    async def test_lists_projects_by_number(self, store: Store) -> None:
        """Pages go by the id as a number, each project with its credentials, and pass over none."""
        ids = ["2147483647", "9", "10", "100", "11"]
        for project_id in ids:
            await store.create_project(make_project(project_id))

        first = await store.list_projects(after=0, limit=3, only=None)
        second = await store.list_projects(after=11, limit=3, only=None)

        assert [make_project(i) for i in ("9", "10", "11")] == list(first)
        assert [make_project(i) for i in ("100", "2147483647")] == list(second)

    async def test_lists_only_the_projects_of_a_grant(self, store: Store) -> None:
        """*only* restricts the page; ids that are unknown or malformed match nothing."""
        for project_id in ("1", "2", "3", "4"):
            await store.create_project(make_project(project_id))

        only = {"1", "3", "4", "99", "x", "03", ""}
        page = await store.list_projects(after=1, limit=9, only=only)
        short = await store.list_projects(after=0, limit=2, only=only)

        assert ["3", "4"] == [p.project_id for p in page]
        assert ["1", "3"] == [p.project_id for p in short]
        assert [] == list(await store.list_projects(after=0, limit=9, only=set()))

    async def test_lists_the_projects_of_a_large_grant(self, store: Store) -> None:
        """A grant may name thousands of projects."""
        for project_id in ("3", "700", "1400", "2900"):
            await store.create_project(make_project(project_id))

        page = await store.list_projects(after=3, limit=2, only={str(n) for n in range(1, 3000)})

        assert ["700", "1400"] == [p.project_id for p in page]

    async def test_updates_the_values_of_a_project(self, store: Store) -> None:
        """An update replaces what may change and keeps id, create time, Vonage application and credentials."""
        before = make_project(vonage_application_id=APPLICATION)
        await store.create_project(before)
        values: dict[str, Any] = {
            "display_name": "new",
            "default_format": TokenFormat.OPENTOK_T1,
            "default_ttl": Seconds(1),
            "max_ttl": Seconds(2),
            "external_sessions": True,
        }

        given: list[Project] = []

        def change(project: Project) -> Project:
            given.append(project)
            return make_project(**values, create_time=later(5), vonage_application_id=None, credentials=())

        answer = await store.update_project(PROJECT, change)

        assert [before] == given
        assert attrs.evolve(before, **values) == answer == await store.get_project(PROJECT)

    async def test_concurrent_updates_of_a_project_all_last(self, store: Store, second_store: Store) -> None:
        """Two servers change different fields at once, many times: every one of the changes is there in the end."""
        await store.create_project(make_project(display_name="", default_ttl=Seconds(1), max_ttl=Seconds(1000)))

        def longer_name(project: Project) -> Project:
            return attrs.evolve(project, display_name=project.display_name + "x")

        def longer_life(project: Project) -> Project:
            return attrs.evolve(project, default_ttl=Seconds(project.default_ttl + 1))

        await asyncio.gather(
            *(store.update_project(PROJECT, longer_name) for _ in range(20)),
            *(second_store.update_project(PROJECT, longer_life) for _ in range(20)),
        )
        project = await store.get_project(PROJECT)

        assert project is not None
        assert ("x" * 20, 21) == (project.display_name, project.default_ttl)

    async def test_an_update_that_is_refused_writes_nothing(self, store: Store) -> None:
        """The error of the change passes as it is."""
        await store.create_project(make_project())
        before = await store.last_change()

        def refuse(_: Project) -> Project:
            raise InvalidRequestError([FieldViolation("max_ttl", "no")])

        with pytest.raises(InvalidRequestError):
            await store.update_project(PROJECT, refuse)

        assert (make_project(), before) == (await store.get_project(PROJECT), await store.last_change())

    async def test_refuses_to_update_an_absent_project(self, store: Store) -> None:
        """An update makes no project."""
        assert Reason.PROJECT_NOT_FOUND == await _refusal(
            store.update_project(PROJECT, lambda project: project), NotFoundError
        )
        assert [] == await _changes(store)


class TestSecrets:
    """The one or two live secrets of a project."""

    async def test_adds_a_second_secret_and_removes_the_first(self, store: Store) -> None:
        """A secret is changed without a moment in which there is none."""
        await store.create_project(make_project())
        second = make_credential("secret-2", create_time=later(1))

        await store.add_secret(PROJECT, second)
        both = await store.get_project(PROJECT)
        await store.remove_secret(PROJECT, "secret-1")
        one = await store.get_project(PROJECT)

        assert both == make_project(credentials=(make_credential(), second))
        assert one == make_project(credentials=(second,))

    @pytest.mark.parametrize(
        "credentials",
        [
            pytest.param((), id="none"),
            pytest.param((make_credential(kind=CredentialKind.VONAGE_KEY),), id="only a Vonage key"),
            pytest.param((make_credential("a"), make_credential("b")), id="two"),
        ],
    )
    async def test_adds_a_secret_only_to_exactly_one(self, store: Store, credentials: tuple[object]) -> None:
        """Another number of live secrets than one refuses a further one."""
        await store.create_project(make_project(credentials=credentials))

        reason = await _refusal(store.add_secret(PROJECT, make_credential("new")), PreconditionError)

        assert Reason.SECRET_COUNT == reason
        assert make_project(credentials=credentials) == await store.get_project(PROJECT)

    async def test_concurrent_additions_make_two_secrets(self, store: Store, second_store: Store) -> None:
        """Of several additions at once one succeeds."""
        await store.create_project(make_project())

        outcomes = await asyncio.gather(
            *((store, second_store)[n % 2].add_secret(PROJECT, make_credential(f"new-{n}")) for n in range(8)),
            return_exceptions=True,
        )
        project = await store.get_project(PROJECT)

        assert [type(None)] + [PreconditionError] * 7 == sorted(
            map(type, outcomes), key=lambda kind: kind is PreconditionError
        )
        assert project is not None
        assert 2 == len(project.secrets)

    async def test_keeps_the_last_secret(self, store: Store) -> None:
        """The only live secret is not forgotten, whatever other credentials there are."""
        key = make_credential("vonage", kind=CredentialKind.VONAGE_KEY)
        await store.create_project(make_project(credentials=(make_credential(), key)))

        last = await _refusal(store.remove_secret(PROJECT, "secret-1"), PreconditionError)
        not_a_secret = await _refusal(store.remove_secret(PROJECT, "vonage"), NotFoundError)

        assert Reason.SECRET_COUNT == last
        assert Reason.SECRET_NOT_FOUND == not_a_secret
        assert make_project(credentials=(make_credential(), key)) == await store.get_project(PROJECT)

    async def test_tells_what_is_absent(self, store: Store) -> None:
        """An absent project and an absent secret are told apart; the case of an id matters."""
        no_project = [
            await _refusal(store.add_secret(PROJECT, make_credential()), NotFoundError),
            await _refusal(store.remove_secret(PROJECT, "secret-1"), NotFoundError),
        ]
        await store.create_project(make_project(credentials=(make_credential("a"), make_credential("b"))))

        assert [Reason.PROJECT_NOT_FOUND] * 2 == no_project
        assert Reason.SECRET_NOT_FOUND == await _refusal(store.remove_secret(PROJECT, "A"), NotFoundError)

    async def test_one_id_may_stand_in_two_projects(self, store: Store) -> None:
        """Credential ids are those of their project."""
        for project_id in ("1", "2"):
            await store.create_project(
                make_project(project_id, credentials=(make_credential("a"), make_credential("b")))
            )

        await store.remove_secret("1", "a")

        assert make_project("1", credentials=(make_credential("b"),)) == await store.get_project("1")
        assert make_project("2", credentials=(make_credential("a"), make_credential("b"))) == (
            await store.get_project("2")
        )


class TestRoles:
    """The roles that a project defines."""

    @pytest.fixture(autouse=True)
    async def project(self, store: Store) -> None:
        """The project that the roles belong to."""
        await store.create_project(make_project())

    async def test_lists_the_roles_of_a_project_by_name(self, store: Store) -> None:
        """Roles come by name, whole, and only those of the project."""
        await store.create_project(make_project("2"))
        roles = [make_role("a-b"), make_role("a_b"), make_role("ab", permissions=(Permission.SIGNAL,))]
        for role in reversed(roles):
            await store.create_role(role)
        await store.create_role(make_role("other", project_id="2"))

        assert roles == list(await store.list_roles(PROJECT))
        assert [] == list(await store.list_roles("3"))

    async def test_names_are_case_sensitive(self, store: Store) -> None:
        """Two names that differ in case are two roles, in the order of their bytes."""
        await store.create_role(make_role("host"))
        await store.create_role(make_role("Host"))
        await store.create_role(make_role("guest"))

        await store.delete_role(PROJECT, "host")

        assert ["Host", "guest"] == [role.name for role in await store.list_roles(PROJECT)]

    async def test_refuses_a_second_role_of_one_name(self, store: Store) -> None:
        """A name is taken once in a project, and once in another."""
        await store.create_project(make_project("2"))
        await store.create_role(make_role())
        await store.create_role(make_role(project_id="2"))

        assert Reason.ROLE_EXISTS == await _refusal(
            store.create_role(make_role(description="other")), AlreadyExistsError
        )
        assert [make_role()] == list(await store.list_roles(PROJECT))

    async def test_refuses_the_hundred_and_first_role(self, store: Store) -> None:
        """A project has at most 100 roles, however many ask at once."""
        for n in range(98):
            await store.create_role(make_role(f"role-{n}"))

        outcomes = await asyncio.gather(
            *(store.create_role(make_role(f"more-{n}")) for n in range(5)), return_exceptions=True
        )

        assert [Reason.ROLE_LIMIT] * 3 == [o.reason for o in outcomes if isinstance(o, PreconditionError)]
        assert 100 == len(await store.list_roles(PROJECT))

    async def test_updates_a_role(self, store: Store) -> None:
        """An update replaces permissions, description and update time, and nothing else."""
        await store.create_role(make_role())
        await store.create_role(make_role("other"))
        changed = make_role(permissions=(Permission.PUBLISH,), description="", update_time=later(9))

        given: list[Role] = []

        def change(role: Role) -> Role:
            given.append(role)
            return attrs.evolve(changed, name="renamed", create_time=later(5))

        answer = await store.update_role(PROJECT, "host", change)

        assert ([make_role()], changed) == (given, answer)
        assert [changed, make_role("other")] == list(await store.list_roles(PROJECT))

    async def test_concurrent_updates_of_a_role_all_last(self, store: Store, second_store: Store) -> None:
        """Two servers change different fields at once, many times: every one of the changes is there in the end."""
        await store.create_role(make_role(description=""))

        def longer(role: Role) -> Role:
            return attrs.evolve(role, description=role.description + "x")

        def newer(role: Role) -> Role:
            return attrs.evolve(role, update_time=Millis((role.update_time or 0) + 1))

        await asyncio.gather(
            *(store.update_role(PROJECT, "host", longer) for _ in range(20)),
            *(second_store.update_role(PROJECT, "host", newer) for _ in range(20)),
        )

        assert [make_role(description="x" * 20, update_time=later(20))] == list(await store.list_roles(PROJECT))

    async def test_deletes_a_role(self, store: Store) -> None:
        """A role that was deleted is gone, and its name is free."""
        await store.create_role(make_role())

        await store.delete_role(PROJECT, "host")
        gone = await store.list_roles(PROJECT)
        await store.create_role(make_role())

        assert [] == list(gone)
        assert [make_role()] == list(await store.list_roles(PROJECT))

    async def test_tells_what_is_absent(self, store: Store) -> None:
        """A role needs a project; an absent role is neither updated nor deleted."""
        orphan = await _refusal(store.create_role(make_role(project_id="3")), NotFoundError)
        updated = await _refusal(store.update_role(PROJECT, "host", lambda role: role), NotFoundError)
        deleted = await _refusal(store.delete_role(PROJECT, "host"), NotFoundError)

        assert (Reason.PROJECT_NOT_FOUND, Reason.ROLE_NOT_FOUND, Reason.ROLE_NOT_FOUND) == (orphan, updated, deleted)


class TestSessions:
    """Sessions, and request ids that make creating one repeatable."""

    @pytest.fixture(autouse=True)
    async def project(self, store: Store) -> None:
        """The project that the sessions belong to."""
        await store.create_project(make_project())

    async def test_keeps_a_session(self, store: Store) -> None:
        """What was kept is found again, whole."""
        plain = make_session("2_plain")
        full = make_session(
            "2_full",
            spec=SessionSpec(
                media_mode=MediaMode.ROUTED,
                archive_mode=ArchiveMode.ALWAYS,
                location="12.34.56.78",
                e2ee=True,
                archive_name="Лекция",
                archive_resolution="1920x1080",
            ),
        )

        answers = [await store.create_session(plain, None), await store.create_session(full, None)]

        assert [plain, full] == answers
        assert plain == await store.get_session("2_plain")
        assert full == await store.get_session("2_full")

    async def test_ids_are_case_sensitive(self, store: Store) -> None:
        """Ids that differ in case are two sessions, and a third is neither."""
        upper, lower = make_session("2_AbC"), make_session("2_aBc")
        await store.create_session(upper, None)
        await store.create_session(lower, None)

        assert upper == await store.get_session("2_AbC")
        assert lower == await store.get_session("2_aBc")
        assert await store.get_session("2_abc") is None
        assert await store.get_session("2_AbC ") is None

    async def test_needs_a_project(self, store: Store) -> None:
        """A session of an absent project is refused and not kept."""
        orphan = make_session(project_id="3")
        refusals = [
            await _refusal(store.create_session(orphan, None), NotFoundError),
            await _refusal(store.create_session(orphan, make_idempotency_key()), NotFoundError),
            await _refusal(store.end_session(orphan, NOW), NotFoundError),
        ]

        assert [Reason.PROJECT_NOT_FOUND] * 3 == refusals
        assert await store.get_session(orphan.session_id) is None

    async def test_repeated_request_answers_the_first_session(self, store: Store) -> None:
        """The same key gives the same session, as it is by then, and keeps no second one."""
        first = await store.create_session(make_session("2_a"), make_idempotency_key())
        again = await store.create_session(make_session("2_b", create_time=later(DAY)), make_idempotency_key())
        ended = await store.end_session(first, later(1))
        at_last = await store.create_session(make_session("2_c"), make_idempotency_key())

        assert make_session("2_a") == again
        assert ended == at_last
        assert await store.get_session("2_b") is None
        assert await store.get_session("2_c") is None

    async def test_request_id_lasts_a_day(self, store: Store) -> None:
        """A key older than 24 hours makes a new session, with any body, and lasts from there."""
        await store.create_session(make_session("2_a"), make_idempotency_key())
        new = make_session("2_b", create_time=later(DAY + 1))

        made = await store.create_session(new, make_idempotency_key(body_digest="d2"))
        again = await store.create_session(
            make_session("2_c", create_time=later(2 * DAY)), make_idempotency_key(body_digest="d2")
        )

        assert new == made == again

    async def test_request_id_with_another_body_is_refused(self, store: Store) -> None:
        """A key stands for one body, and the refused session is not kept."""
        await store.create_session(make_session("2_a"), make_idempotency_key())

        reason = await _refusal(
            store.create_session(make_session("2_b"), make_idempotency_key(body_digest="d2")), AlreadyExistsError
        )

        assert Reason.REQUEST_ID_REUSED == reason
        assert await store.get_session("2_b") is None

    async def test_request_ids_are_those_of_their_caller(self, store: Store) -> None:
        """The same request id of another caller is another key, and case matters in both."""
        keys = [
            make_idempotency_key(caller="one", request_id="a"),
            make_idempotency_key(caller="two", request_id="a"),
            make_idempotency_key(caller="One", request_id="a"),
            make_idempotency_key(caller="one", request_id="A"),
        ]
        sessions = [make_session(f"2_{n}") for n in range(4)]

        made = [await store.create_session(s, key) for s, key in zip(sessions, keys, strict=True)]

        assert sessions == made

    async def test_concurrent_repeats_make_one_session(self, store: Store, second_store: Store) -> None:
        """Many calls at once with one key make one session, which all of them answer."""
        answers = await asyncio.gather(
            *(
                (store, second_store)[n % 2].create_session(make_session(f"2_{n}"), make_idempotency_key())
                for n in range(40)
            )
        )
        kept = await store.list_sessions(PROJECT, before=None, limit=100, state=None)

        assert 1 == len(kept)
        assert [kept[0]] * 40 == answers

    async def test_concurrent_calls_take_over_an_old_key_once(self, store: Store, second_store: Store) -> None:
        """Many calls at once with one key that is too old make one new session."""
        await store.create_session(make_session("2_old"), make_idempotency_key())

        answers = await asyncio.gather(
            *(
                (store, second_store)[n % 2].create_session(
                    make_session(f"2_{n}", create_time=later(2 * DAY)), make_idempotency_key()
                )
                for n in range(40)
            )
        )
        kept = await store.list_sessions(PROJECT, before=None, limit=100, state=None)

        assert 2 == len(kept)
        assert [kept[0]] * 40 == answers

    @pytest.mark.parametrize("state", [None, *SessionState])
    @pytest.mark.parametrize("size", [1, 3, 4, 100])
    async def test_pages_newest_first(self, store: Store, size: int, state: SessionState | None) -> None:
        """Pages of any size give each session once, newest first, ties by descending id."""
        await store.create_project(make_project("2"))
        await store.create_session(make_session("2_other", project_id="2"), None)
        for n, name in enumerate(["2_b", "2_B", "2_-", "2_a", "2__", "2_Z", "2_0", "2_aa", "2_A"]):
            session = await store.create_session(make_session(name, create_time=later(n // 4)), None)
            if n % 2:
                await store.end_session(session, later(100))
        expected = {
            None: ["2_A", "2_aa", "2__", "2_Z", "2_0", "2_b", "2_a", "2_B", "2_-"],
            SessionState.ACTIVE: ["2_A", "2__", "2_0", "2_b", "2_-"],
            SessionState.ENDED: ["2_aa", "2_Z", "2_a", "2_B"],
        }

        found: list[StoredSession] = []
        while page := await store.list_sessions(
            PROJECT,
            before=(found[-1].create_time, found[-1].session_id) if found else None,
            limit=size,
            state=state,
        ):
            found += page

        assert expected[state] == [session.session_id for session in found]

    async def test_lists_nothing_of_an_absent_project(self, store: Store) -> None:
        """A project that does not exist has no sessions."""
        assert [] == list(await store.list_sessions("3", before=None, limit=9, state=None))

    async def test_ends_a_session_once(self, store: Store) -> None:
        """A session ends at its first end; a later one changes nothing and tells nobody."""
        session = await store.create_session(make_session(), None)

        first = await store.end_session(session, later(5))
        seen = await store.last_change()
        second = await store.end_session(session, later(9))

        assert make_session(state=SessionState.ENDED, end_time=later(5)) == first == second
        assert first == await store.get_session(session.session_id)
        assert seen == await store.last_change()

    async def test_ends_a_session_that_it_never_saw(self, store: Store) -> None:
        """A session of the platform is kept as given, ended."""
        session = make_session("1_external", spec=SessionSpec(location="1.2.3.4"))

        ended = await store.end_session(session, later(5))

        assert session.ended(later(5)) == ended
        assert ended == await store.get_session("1_external")

    @pytest.mark.parametrize("known", [True, False])
    async def test_concurrent_ends_are_one(self, store: Store, second_store: Store, *, known: bool) -> None:
        """Of many ends at once one counts: all answer it, and one change tells of it."""
        session = make_session()
        if known:
            await store.create_session(session, None)
        before = await store.last_change()

        answers = await asyncio.gather(
            *((store, second_store)[n % 2].end_session(session, later(n)) for n in range(20))
        )

        assert [answers[0]] * 20 == answers
        assert [(ChangeKind.SESSION_END, PROJECT, session.session_id)] == await _changes(store, before)

    async def test_prunes_request_ids_older_than_a_day(self, store: Store) -> None:
        """Old keys go, in any number; sessions and younger keys stay."""
        for n in range(3):
            await store.create_session(make_session(f"2_old{n}"), make_idempotency_key(request_id=f"old{n}"))
        young = await store.create_session(make_session("2_y", create_time=later(1)), make_idempotency_key())

        gone = await store.delete_expired(later(DAY + 1))

        assert 3 == gone
        assert 0 == await store.delete_expired(later(DAY + 1))
        assert make_session("2_old0") == await store.get_session("2_old0")
        assert young == await store.create_session(make_session("2_z", create_time=later(2)), make_idempotency_key())

    async def test_prunes_nothing_within_a_day(self, store: Store) -> None:
        """A key of exactly 24 hours is still good."""
        await store.create_session(make_session(), make_idempotency_key())

        assert 0 == await store.delete_expired(later(DAY))


class TestKeys:
    """The signing keys of the authority."""

    async def test_keeps_a_ring_whole(self, store: Store) -> None:
        """Keys are kept with every field, answered, and made, changed and forgotten as the change says."""
        first = make_key(sign_until=later(3), location="pkcs11:id=%01")
        answers = [await store.update_keys(lambda _: [first])]
        retired = attrs.evolve(first, state=KeyState.RETIRED, retire_time=later(1), expire_time=later(2))
        second = make_key("key-2", create_time=later(1))
        answers.append(await store.update_keys(lambda ring: [*(retired for _ in ring), second]))
        answers.append(await store.update_keys(lambda ring: ring[:1]))

        assert [[first], [second, retired], [second]] == [list(answer) for answer in answers]
        assert [second] == list(await store.list_keys())
        assert ["key-1", "key-1", "key-2", "key-1"] == [subject for _, _, subject in await _changes(store)]

    async def test_a_ring_that_stays_as_it_is_tells_nothing(self, store: Store) -> None:
        """What did not change is not told, and a change that refuses writes nothing."""
        await store.update_keys(lambda _: [make_key()])
        before = await store.last_change()

        def refuse(_: Sequence[StoredKey]) -> Sequence[StoredKey]:
            raise PreconditionError(Reason.KEY_STATE, "key-1", "no")

        await store.update_keys(lambda ring: ring)
        reason = await _refusal(store.update_keys(refuse), PreconditionError)

        assert Reason.KEY_STATE is reason
        assert before == await store.last_change()

    async def test_lists_keys_newest_first(self, store: Store) -> None:
        """Keys come newest first, ties by descending id."""
        keys = [make_key(name, state=KeyState.PREPARED, activate_time=None) for name in ("a", "B")]
        newest = make_key("0", create_time=later(1))
        for key in (*keys, newest):
            await _add_key(store, key)

        assert [newest, *keys] == list(await store.list_keys())

    async def test_has_no_key_at_first(self, store: Store) -> None:
        """A new store has no keys."""
        assert [] == list(await store.list_keys())

    async def test_concurrent_starts_make_one_key(self, store: Store, second_store: Store) -> None:
        """Servers that start at once agree on one key."""
        answers = await asyncio.gather(
            *(_add_first_key((store, second_store)[n % 2], make_key(f"key-{n}")) for n in range(20))
        )
        [key] = answers[0]

        assert [[key]] * 20 == [list(answer) for answer in answers]
        assert [key] == list(await store.list_keys())
        assert [(ChangeKind.KEY, "", key.key_id)] == await _changes(store)


class TestRevocations:
    """What takes tokens out of force before they expire."""

    async def test_keeps_one_revocation_of_each_target(self, store: Store) -> None:
        """A later moment takes the place of an earlier one under the same id; an earlier one changes nothing."""
        await store.create_project(make_project())
        first = await store.create_revocation(make_revocation())
        later_moment = make_revocation("rev_2", issued_before=Seconds(first.issued_before + 5), comment="again")
        second = await store.create_revocation(later_moment)
        told = await store.last_change()
        third = await store.create_revocation(make_revocation("rev_3"))
        other = await store.create_revocation(make_revocation("rev_4", kind=TargetKind.SUBJECT))

        kept = msgspec.structs.replace(later_moment, revocation_id="rev_1")
        assert [make_revocation(), kept, kept] == [first, second, third]
        assert [kept, other] == list(await store.list_revocations(after="", limit=9, now=NOW))
        assert [(ChangeKind.REVOCATION, PROJECT, "rev_4")] == await _changes(store, told)

    async def test_refuses_a_revocation_in_an_absent_project(self, store: Store) -> None:
        """Only a project that exists has tokens to take back."""
        assert Reason.PROJECT_NOT_FOUND == await _refusal(store.create_revocation(make_revocation()), NotFoundError)

    async def test_concurrent_revocations_of_one_target_are_one(self, store: Store, second_store: Store) -> None:
        """The latest moment stays, whoever comes last."""
        await store.create_project(make_project())
        await asyncio.gather(
            *(
                (store, second_store)[n % 2].create_revocation(
                    make_revocation(f"rev_{n}", issued_before=Seconds(1_800_000_000 + n))
                )
                for n in range(20)
            )
        )

        [kept] = await store.list_revocations(after="", limit=9, now=NOW)

        assert 1_800_000_019 == kept.issued_before

    async def test_pages_revocations_by_id_and_leaves_out_what_is_over(self, store: Store) -> None:
        """Every revocation that may still cover a token comes once, in the order of the ids."""
        await store.create_project(make_project())
        oldest = oldest_kept(NOW)
        for n in range(5):
            moment = Seconds(oldest - 1) if n == 2 else oldest
            await store.create_revocation(make_revocation(f"rev_{n}", target=str(n), issued_before=moment))

        first = await store.list_revocations(after="", limit=3, now=NOW)
        second = await store.list_revocations(after=first[-1].revocation_id, limit=3, now=NOW)

        assert [["rev_0", "rev_1", "rev_3"], ["rev_4"]] == [[r.revocation_id for r in page] for page in (first, second)]

    async def test_lists_those_of_some_projects(self, store: Store) -> None:
        """Revocations and ends of sessions of others are left out, page by page."""
        for project_id in (PROJECT, "3"):
            await store.create_project(make_project(project_id))
            for n in range(3):
                await store.create_revocation(
                    make_revocation(f"rev_{project_id}_{n}", project_id=project_id, target=str(n))
                )
                await store.end_session(make_session(f"2_{project_id}_{n}", project_id=project_id), later(n))

        first = await store.list_revocations(project_ids={"3", "9"}, after="", limit=2, now=NOW)
        second = await store.list_revocations(project_ids={"3", "9"}, after="rev_3_1", limit=2, now=NOW)
        ends = await store.list_session_ends(project_ids={"3", "9"}, since=later(1), after=(later(1), ""), limit=9)

        assert ["rev_3_0", "rev_3_1", "rev_3_2"] == [r.revocation_id for r in (*first, *second)]
        assert ["2_3_1", "2_3_2"] == [end.session_id for end in ends]

    async def test_lists_the_same_revocations_as_plain_tuples(self, store: Store) -> None:
        """What a server reads at its start is what `list_revocations` tells, page by page."""
        await store.create_project(make_project())
        oldest = oldest_kept(NOW)
        for n in range(5):
            moment = Seconds(oldest - 1) if n == 2 else oldest
            await store.create_revocation(make_revocation(f"rev_{n}", target=str(n), issued_before=moment))

        first = await store.list_revoked(after="", limit=3, now=NOW)
        second = await store.list_revoked(after=first[-1][0], limit=3, now=NOW)

        assert [[(f"rev_{n}", PROJECT, "token", str(n), oldest) for n in page] for page in ((0, 1, 3), (4,))] == [
            first,
            second,
        ]

    async def test_prunes_revocations_that_are_over(self, store: Store) -> None:
        """What can cover no token any more goes, a day after that, and not before."""
        await store.create_project(make_project())
        kept = await store.create_revocation(make_revocation())
        margin = 1000 * CLOCK_MARGIN

        before = await store.delete_expired(Millis(kept.expire_time + margin))
        after = await store.delete_expired(Millis(kept.expire_time + margin + 1000))

        assert (0, 1) == (before, after)

    async def test_pages_ended_sessions_by_their_end(self, store: Store) -> None:
        """Sessions that ended since a moment come once each, oldest end first, ties by id."""
        await store.create_project(make_project())
        for name, end in (("2_a", 5), ("2_c", 7), ("2_b", 7), ("2_d", 9)):
            await store.end_session(make_session(name), later(end))
        await store.create_session(make_session("2_e"), None)

        first = await store.list_session_ends(since=later(6), after=(later(6), ""), limit=2)
        last = first[-1]
        second = await store.list_session_ends(since=later(6), after=(last.end_time, last.session_id), limit=2)

        assert [("2_b", later(7)), ("2_c", later(7)), ("2_d", later(9))] == [
            (end.session_id, end.end_time) for end in (*first, *second)
        ]

    async def test_tells_the_events_among_changes(self, store: Store) -> None:
        """Revocations and ended sessions come by the number of their change, as they are now; others do not."""
        await store.create_project(make_project())
        await store.end_session(make_session(), later(5))
        await store.create_revocation(make_revocation())
        changes = await store.changes_after(Cursor(), 100)

        events = await store.events_of(changes)

        by_kind = {change.kind: events[change.sequence] for change in changes if change.sequence in events}
        assert {
            ChangeKind.SESSION_END: StoredSessionEnd(session_id="2_session", project_id=PROJECT, end_time=later(5)),
            ChangeKind.REVOCATION: make_revocation(),
        } == by_kind


class TestChanges:
    """The sequence that tells the servers of one store what became untrue."""

    async def test_begins_with_an_origin(self, store: Store) -> None:
        """A new store has one change, so that every store has a place to follow it from."""
        [origin] = await store.changes_after(Cursor(), 10)

        assert ChangeKind.ORIGIN is origin.kind
        assert origin.cursor == await store.last_change()
        assert [] == list(await store.changes_after(origin.cursor, 10))

    @pytest.mark.parametrize(("step", "other"), [(0, 1), (1, 0), (1_000_000, 0)])
    async def test_refuses_to_go_on_from_a_place_of_another_history(self, store: Store, step: int, other: int) -> None:
        """A place that the store does not know, by number or by mark, is told from one that nothing follows."""
        await store.create_project(make_project())
        last = await store.last_change()

        with pytest.raises(HistoryLostError):
            await store.changes_after(Cursor(last.sequence + step, last.mark + other), 10)

    async def test_every_change_is_told_once(self, store: Store) -> None:
        """Each method that makes something untrue tells of it, by kind, project and subject; no other does."""
        await store.create_project(make_project())
        await store.update_project(PROJECT, lambda project: attrs.evolve(project, display_name="new"))
        await store.add_secret(PROJECT, make_credential("secret-2"))
        await store.remove_secret(PROJECT, "secret-1")
        await store.create_role(make_role())
        await store.update_role(PROJECT, "host", lambda role: role)
        await store.delete_role(PROJECT, "host")
        session = await store.create_session(make_session(), make_idempotency_key())
        await store.end_session(session, NOW)
        await store.update_keys(lambda _: [make_key()])
        await store.create_revocation(make_revocation())
        await store.delete_expired(later(2 * DAY))

        told = await _changes(store)

        project, role = (ChangeKind.PROJECT, PROJECT, PROJECT), (ChangeKind.ROLE, PROJECT, "host")
        assert [
            *[project] * 4,
            *[role] * 3,
            (ChangeKind.SESSION_END, PROJECT, session.session_id),
            (ChangeKind.KEY, "", "key-1"),
            (ChangeKind.REVOCATION, PROJECT, "rev_1"),
        ] == told

    async def test_refusals_tell_nothing(self, store: Store) -> None:
        """What did not happen is not told."""
        await store.create_project(make_project())
        await store.create_role(make_role())
        before = await store.last_change()

        await _refusal(store.create_project(make_project()), AlreadyExistsError)
        await _refusal(store.update_project("3", lambda project: project), NotFoundError)
        await _refusal(store.remove_secret(PROJECT, "secret-1"), PreconditionError)
        await _refusal(store.create_role(make_role()), AlreadyExistsError)
        await _refusal(store.delete_role(PROJECT, "absent"), NotFoundError)

        assert before == await store.last_change()

    async def test_pages_in_order(self, store: Store) -> None:
        """Pages give every change above a number once, in order, up to the newest."""
        start, found = await store.last_change(), list[Change]()
        for project_id in map(str, range(1, 8)):
            await store.create_project(make_project(project_id))
        while page := await store.changes_after(found[-1].cursor if found else start, 3):
            found += page

        assert list(map(str, range(1, 8))) == [change.subject for change in found]
        assert sorted({change.sequence for change in found}) == [change.sequence for change in found]
        assert found[-1].cursor == await store.last_change()

    async def test_follower_misses_nothing_while_writers_overlap(self, store: Store, second_store: Store) -> None:
        """Who follows from the last number that it saw sees every change, however writers overlap."""
        await store.create_project(make_project())
        start = await store.last_change()
        names = {f"2_{n}" for n in range(60)}

        async def follow() -> list[str]:
            seen: list[str] = []
            last = start
            while len(seen) < len(names):
                for change in await store.changes_after(last, 7):
                    seen.append(change.subject)
                    last = change.cursor
                await asyncio.sleep(0)
            return seen

        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            follower = group.create_task(follow())
            for n, name in enumerate(sorted(names)):
                group.create_task((store, second_store)[n % 2].end_session(make_session(name), NOW))

        assert sorted(names) == sorted(follower.result())


async def test_another_server_sees_what_was_kept(store: Store, second_store: Store) -> None:
    """What one server's call has returned from, another server reads at once, again and again."""
    seen = []
    for n in range(5):
        await store.create_project(make_project(str(n + 1)))
        seen.append((await second_store.get_project(str(n + 1)) is not None, await second_store.last_change()))

    assert [(True, n + 1) for n in range(5)] == [(found, n + 1) for n, (found, _) in enumerate(seen)]
    assert sorted({last.sequence for _, last in seen}) == [last.sequence for _, last in seen]
