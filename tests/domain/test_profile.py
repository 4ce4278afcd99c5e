"""Tables of servers: which role a server can keep to, and that none is ever rounded up."""

from __future__ import annotations

import itertools

import pytest

from tokenauthority.domain.profile import CENTRIFUGO, FORCE, JANUS, JITSI, LIVEKIT, MEDIAMTX, RealTimeServer, Table
from tokenauthority.domain.role import BUILT_IN_ROLES, Permission


TABLES = (LIVEKIT, JITSI, JANUS, CENTRIFUGO, MEDIAMTX)
EVERY_SET = [frozenset(found) for n in range(len(Permission) + 1) for found in itertools.combinations(Permission, n)]

each_table = pytest.mark.parametrize("table", TABLES, ids=lambda table: table.server)


def given(table: Table, permissions: frozenset[Permission]) -> frozenset[Permission]:
    """What the server gives to a bearer of the rights of *permissions*."""
    return table.implied.union(*(row.permissions for row in table.held(permissions)))


@each_table
@pytest.mark.parametrize("permissions", EVERY_SET, ids=lambda found: "+".join(sorted(found)) or "none")
def test_a_role_fits_if_the_server_gives_just_its_permissions(table: Table, permissions: frozenset[Permission]) -> None:
    """No permission more, and none less that the server knows: every set of them, for every server."""
    assert (given(table, permissions) == permissions - table.unknown) is (table.misfit(permissions) == "")


@each_table
@pytest.mark.parametrize("permissions", EVERY_SET, ids=lambda found: "+".join(sorted(found)) or "none")
def test_no_row_gives_a_permission_that_the_role_lacks(table: Table, permissions: frozenset[Permission]) -> None:
    """Only what the server gives to everyone can be too much, and such a role is refused."""
    assert given(table, permissions) - table.implied <= permissions


@pytest.mark.parametrize(
    ("table", "fitting"),
    [
        (LIVEKIT, {"subscriber", "publisher", "publisheronly", "moderator"}),
        (JITSI, {"publisher", "moderator"}),
        (JANUS, {"publisher"}),
        (CENTRIFUGO, {"publisher", "publisheronly", "moderator"}),
        (MEDIAMTX, {"subscriber", "publisher", "publisheronly", "moderator"}),
    ],
    ids=lambda value: value.server if isinstance(value, Table) else "",
)
def test_the_built_in_roles_that_fit(table: Table, fitting: set[str]) -> None:
    """Nobody in Jitsi can be kept from publishing, nor in a channel of Centrifugo, if it lets subscribers publish."""
    assert fitting == {name for name, role in BUILT_IN_ROLES.items() if not table.misfit(role.permissions)}


def test_a_misfit_says_what_would_be_too_much_or_missing() -> None:
    """The text names the server and each permission."""
    assert "Jitsi gives publish, signal to everyone" == JITSI.misfit(BUILT_IN_ROLES["subscriber"].permissions)
    assert "LiveKit cannot give force_mute without more" == LIVEKIT.misfit([Permission.FORCE_MUTE])
    assert "Janus cannot give force_mute" == JANUS.misfit([*JANUS.implied, Permission.FORCE_MUTE])


def test_livekits_room_admin_needs_every_permission() -> None:
    """A room admin may give itself the rest, by UpdateParticipant."""
    assert LIVEKIT.misfit({Permission.SUBSCRIBE, *FORCE})
    assert not LIVEKIT.misfit(tuple(Permission))


def test_each_server_of_session_jwts_has_a_table() -> None:
    """The enum of the contract leads to it."""
    assert [CENTRIFUGO, MEDIAMTX] == [server.table for server in RealTimeServer]
