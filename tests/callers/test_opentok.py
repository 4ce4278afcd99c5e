"""An official SDK is a caller of the callers file if a live key of the caller's one project signed its JWT."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import msgspec
import pytest

from tests.authority.world import NOW, World, make_server, make_world, rsa_pem
from tests.callers.opentok import APPLICATION, SDKS, opentok_auth, vonage_bearer
from tests.support.authority import EVERYTHING, make_caller
from tests.support.faulty_store import FaultyStore
from tokenauthority.authority.project_spec import ProjectSpec, VonageImport
from tokenauthority.authority.tenant_cache import TenantCache
from tokenauthority.callers.authenticator import CredentialError, PresentedCredentials
from tokenauthority.callers.identity import OpentokIdentity
from tokenauthority.callers.opentok import SCHEME, OpentokAuthenticator
from tokenauthority.callers.registry import CallerEntry, CallerRegistry, CurrentCallers
from tokenauthority.domain.caller import Caller
from tokenauthority.domain.errors import UnavailableError
from tokenauthority.signing.mac import Mac


MOMENT = NOW // 1000


@attrs.define
class Known:
    """A world with an authenticator; `waits` counts how often it waited for a read of the store."""

    world: World
    callers: CurrentCallers
    tenants: TenantCache
    waits: int = 0

    async def wait(self) -> None:
        """Count."""
        self.waits += 1

    async def of(self, presented: PresentedCredentials) -> Caller:
        """Whom it proves."""
        return await OpentokAuthenticator(self.callers, self.tenants, lambda: NOW, self.wait).authenticate(presented)

    async def refuses(self, presented: PresentedCredentials) -> str:
        """Why it proves nobody."""
        with pytest.raises(CredentialError) as caught:
            await self.of(presented)
        return str(caught.value)


def registry(*projects: str) -> CallerRegistry:
    """One caller a project."""
    return CallerRegistry(CallerEntry(make_caller(f"sdk-{each}"), OpentokIdentity(each)) for each in projects)


@pytest.fixture
async def known() -> Known:
    """A project whose secret proves the caller `sdk-ID`."""
    world = await make_world()
    return Known(world, CurrentCallers(registry(world.project_id)), world.tenants)


def signed(known: Known, secret: str | None = None, **changes: Any) -> PresentedCredentials:
    """X-OPENTOK-AUTH of now, by the project's secret unless another is given."""
    said: dict[str, Any] = {"iat": MOMENT, "exp": MOMENT + 180, "iss": known.world.project_id, **changes}
    return presented(opentok_auth(secret or known.world.secret, **said))


def presented(*values: str, bearer: Sequence[str] = ()) -> PresentedCredentials:
    """What a call brings along in X-OPENTOK-AUTH and in authorization."""
    opentok_values = [f"{SCHEME} {each}" for each in values]
    return PresentedCredentials(authorization=[*opentok_values, *(f"Bearer {each}" for each in bearer)])


def jwt_of(credentials: PresentedCredentials) -> str:
    """Its only JWT."""
    return str(credentials.authorization[0]).partition(" ")[2]


@pytest.mark.parametrize("sdk", SDKS)
async def test_finds_the_caller_of_the_project(known: Known, sdk: str) -> None:
    """However the SDK writes its JWT; the identity names the project and the secret that signed."""
    project = await known.world.store.get_project(known.world.project_id)
    assert project is not None
    caller = await known.of(signed(known, sdk=sdk))

    assert (f"sdk-{project.project_id}", f"{project.project_id} {project.secrets[0].credential_id}") == (
        caller.name,
        caller.identity,
    )


async def test_each_live_secret_counts_and_no_other(known: Known) -> None:
    """Also one that another server has made a moment ago; a deleted one at once."""
    other = make_server(known.world.store, known.world.sealer)
    added = await other.secrets.rotate(known.world.project_id, "tester", NOW)
    new = added.value.decode()

    assert (await known.of(signed(known, new))).identity.endswith(added.credential_id)
    assert (await known.of(signed(known))).name == f"sdk-{known.world.project_id}"
    project = await known.world.store.get_project(known.world.project_id)
    assert project is not None
    old_id = next(each.credential_id for each in project.secrets if each.credential_id != added.credential_id)
    await known.world.secrets.retire(known.world.project_id, old_id)
    assert "not that of a live secret" in await known.refuses(signed(known))


async def test_a_project_that_did_not_opt_in_has_no_caller(known: Known) -> None:
    """Its genuine secret proves nothing, and the store is not even asked for it."""
    known.callers.replace(registry("1"))

    assert f"opentok_project for {known.world.project_id}" in await known.refuses(signed(known))


async def test_the_secret_of_another_project_proves_nothing(known: Known) -> None:
    """Both have callers: `iss` chooses the project, and its own secrets alone verify."""
    other, secret = await known.world.projects.create(ProjectSpec(), EVERYTHING, NOW)
    known.callers.replace(registry(known.world.project_id, other.project_id))

    assert "not that of a live secret" in await known.refuses(signed(known, secret.value.decode()))
    assert "not that of a live secret" in await known.refuses(signed(known, iss=other.project_id))


async def test_a_callers_file_that_changed_meanwhile_decides(known: Known) -> None:
    """A caller that is removed while the project is read is no caller."""
    credentials = signed(known)

    async def reload() -> None:
        known.callers.replace(registry())

    authenticator = OpentokAuthenticator(known.callers, known.tenants, lambda: NOW, reload)
    with pytest.raises(CredentialError):
        await authenticator.authenticate(credentials)


async def test_a_vonage_application_proves_the_caller_of_its_project(known: Known) -> None:
    """By RS256 as Bearer; its JWT in the other header proves nothing, nor does the secret's JWT as Bearer."""
    pem = rsa_pem()
    source = VonageImport(application_id=APPLICATION, private_key=pem)
    project = await known.world.projects.import_vonage(ProjectSpec(), source, make_caller(), NOW)
    known.callers.replace(registry(known.world.project_id, project.project_id))
    said: dict[str, Any] = {"iat": MOMENT, "exp": MOMENT + 900}
    genuine = vonage_bearer(pem, **said)

    assert f"sdk-{project.project_id}" == (await known.of(presented(bearer=[genuine]))).name
    assert "live vonage_key" in await known.refuses(presented(bearer=[vonage_bearer(rsa_pem(1), **said)]))
    await known.refuses(presented(genuine))
    await known.refuses(presented(bearer=[jwt_of(signed(known))]))
    known.callers.replace(registry(known.world.project_id))
    assert "opentok_project" in await known.refuses(presented(bearer=[genuine]))


async def test_a_made_up_signature_proves_nothing(known: Known) -> None:
    """None at all, or one by a secret that nobody has."""
    head, body, _ = jwt_of(signed(known)).split(".")

    await known.refuses(presented(f"{head}.{body}."))
    await known.refuses(signed(known, "0" * 40))


async def test_takes_exactly_one_jwt(known: Known) -> None:
    """Of several, another part of the way could have verified another one."""
    genuine = jwt_of(signed(known))

    await known.of(presented(genuine))
    basic = PresentedCredentials(authorization=[f"Basic {genuine}"])
    for wrong in (presented(), presented(genuine, genuine), presented(genuine, bearer=[genuine]), basic):
        await known.refuses(wrong)


async def test_verifies_nothing_for_a_throttled_address(known: Known) -> None:
    """Not even a genuine JWT is looked at."""
    throttled = msgspec.structs.replace(signed(known), may_verify=lambda: False)

    assert "too many failures" in await known.refuses(throttled)


async def test_a_store_that_is_away_is_no_verdict() -> None:
    """The project may be there: the call is UNAVAILABLE, and no failed authentication."""
    store = FaultyStore()
    world = await make_world(store)
    known = Known(world, CurrentCallers(registry(world.project_id)), make_server(store, world.sealer).tenants)
    store.fail("get_project")

    with pytest.raises(UnavailableError):
        await known.of(signed(known))
    assert 1 == known.waits


async def test_tries_every_secret(known: Known, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time does not say which of two secrets signed, nor whether the first one did."""
    added = await known.world.secrets.rotate(known.world.project_id, "tester", NOW)
    known.tenants.clear()
    tried: list[bytes] = []
    holds = Mac.holds

    def observe(self: Mac, message: bytes, signature: bytes) -> bool:
        tried.append(message)
        return holds(self, message, signature)

    monkeypatch.setattr(Mac, "holds", observe)
    for secret in (known.world.secret, added.value.decode()):
        await known.of(signed(known, secret))

    assert 4 == len(tried)
