"""Which calls each language repeats after UNAVAILABLE, and how often: as the published service config says.

A store that fails stands for all that a client cannot see: a database that is replaced, a server that has just started.
"""

from __future__ import annotations

import attrs
import pytest

from clients.interop.client import Client
from clients.interop.driver import packed
from tests.support.authority import RunningAuthority, StartAuthority
from tests.support.faulty_store import FaultyStore
from tests.support.wire import V1, records
from tokenauthority.client import Authority
from tokenauthority.signing.sealing import MasterKey, Sealer
from tokenauthority.v1 import project_pb2, role_pb2


ATTEMPTS = 5
LARGE_BATCH = 500
"""Items of 4 KB: eight times what gRPC stores for a retry by default."""


@attrs.frozen
class Failing:
    """An authority of the test's own, in plaintext, whose store fails as the test says."""

    authority: RunningAuthority
    store: FaultyStore
    session_id: str
    """A session that the authority has to read: another one of the store has made it."""

    @property
    def environment(self) -> dict[str, str]:
        """The variables of a client that has the time for all attempts."""
        return {**self.authority.environment, "TOKENAUTHORITY_TIMEOUT": "30"}

    def codes(self, method: str) -> list[object]:
        """How the attempts of a call ended."""
        return [record["code"] for record in records(self.authority.audit_path) if record["method"] == V1 + method]


@pytest.fixture
def failing(start_authority: StartAuthority) -> Failing:
    """It does not fail yet."""
    store, sealer = FaultyStore(), Sealer(MasterKey.generate())
    other, authority = (start_authority(store=store, sealer=sealer) for _ in range(2))
    with Authority(other.address, api_key=other.api_key, project_id=other.project_id, plaintext=True) as elsewhere:
        return Failing(authority, store, elsewhere.create_session().session_id)


def test_a_large_batch_is_sent_again(client: Client, failing: Failing) -> None:
    """All of its two megabytes."""
    failing.store.fail("get_session", times=1)
    item = {"session_id": failing.session_id, "data": "😀" * 1000}
    with client.started(failing.environment) as driver:
        tokens = driver.ok("generate_tokens", requests=[item] * LARGE_BATCH)["tokens"]

    assert LARGE_BATCH == len(tokens)
    assert ["UNAVAILABLE", "OK"] == failing.codes("TokenService/BatchGenerateTokens")


def test_a_session_is_created_once(client: Client, failing: Failing) -> None:
    """Each attempt has the request id of the first."""
    failing.store.fail("create_session", times=2)
    observer = failing.store.observe("create_session")
    with client.started(failing.environment) as driver:
        driver.ok("create_session", options={})

    assert ["UNAVAILABLE", "UNAVAILABLE", "OK"] == failing.codes("SessionService/CreateSession")
    keys = observer.arguments("idempotency_key")
    assert keys[0] is not None
    assert [keys[0]] * 3 == keys


def test_what_is_not_safe_to_repeat_is_not_repeated(client: Client, failing: Failing) -> None:
    """CreateProject makes one more project each time, so a person decides."""
    failing.store.fail("create_project", times=1)
    with client.started(failing.environment) as driver:
        request = packed("ProjectService/CreateProject", project_pb2.CreateProjectRequest())
        failure = driver.failure("call", **request)

    assert ("UNAVAILABLE", "STORE_UNAVAILABLE") == (failure.code, failure.reason)
    assert ["UNAVAILABLE"] == failing.codes("ProjectService/CreateProject")


def test_a_call_that_repeats_on_unavailable_alone_is_repeated(client: Client, failing: Failing) -> None:
    """The stubs have the same retries."""
    failing.store.fail("create_role", times=1)
    request = role_pb2.CreateRoleRequest(
        project_id=failing.authority.project_id, name="speaker", permissions=[role_pb2.PERMISSION_PUBLISH]
    )
    with client.started(failing.environment) as driver:
        made = driver.call("RoleService/CreateRole", request, role_pb2.CreateRoleResponse)

    assert "speaker" == made.role.name
    assert ["UNAVAILABLE", "OK"] == failing.codes("RoleService/CreateRole")


def test_attempts_have_an_end(client: Client, failing: Failing) -> None:
    """Five, and then the error of the last one."""
    failing.store.fail("get_session")
    with client.started(failing.environment) as driver:
        failure = driver.failure("generate_token", session_id=failing.session_id, via="authority", options={})

    assert ("UNAVAILABLE", "STORE_UNAVAILABLE") == (failure.code, failure.reason)
    assert ["UNAVAILABLE"] * ATTEMPTS == failing.codes("TokenService/GenerateToken")


def test_a_refusal_is_not_repeated(client: Client, failing: Failing) -> None:
    """Another attempt would be refused in the same way."""
    with client.started(failing.environment) as driver:
        driver.failure("generate_token", session_id=failing.session_id, via="authority", options={"role": "nobody"})

    assert ["NOT_FOUND"] == failing.codes("TokenService/GenerateToken")
