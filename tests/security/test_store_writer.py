"""Whoever writes to the store without the master key has nothing sign for somebody else, and no key destroyed."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import secrets

from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs
import httpx
import jwt
import pkcs11
import psycopg
import pytest
import sqlalchemy as sa

from structlog.typing import EventDict

from tests.authority.world import platform_session, rsa_pem
from tests.support.authority import RunningAuthority, eventually, make_caller
from tests.support.authority import _running as running
from tests.support.logs import capture_logs
from tests.support.postgres import PostgresServer
from tests.support.softhsm import SoftHsm
from tokenauthority.callers.api_keys import digest, new_api_key
from tokenauthority.client import Authority, AuthorityError, Unavailable
from tokenauthority.config.settings import Settings
from tokenauthority.domain.times import Millis
from tokenauthority.server.master_keys import sealer_for
from tokenauthority.server.wiring import system_clock
from tokenauthority.signing.sealing import MasterKey, SealBrokenError
from tokenauthority.storage.address import SqliteAddress, parse_address
from tokenauthority.storage.migrate import migrate
from tokenauthority.storage.sql import open_store
from tokenauthority.v1 import key_pb2, project_pb2


DAY = 24 * 3600 * 1000


@attrs.frozen
class Writer:
    """A server, and somebody who can write to its store."""

    authority: RunningAuthority
    engine: sa.Engine
    url: str
    master_key: MasterKey

    def client(self, project_id: str) -> Authority:
        """A client for a project."""
        return Authority(self.authority.address, api_key=self.authority.api_key, project_id=project_id, plaintext=True)

    def write(self, *statements: str, **values: object) -> None:
        """Write to the store, and have the server read again whatever it has cached."""
        with self.engine.begin() as connection:
            for statement in statements:
                connection.execute(sa.text(statement), values)
            change = sa.text("INSERT INTO changes (mark, kind, project_id, subject) VALUES (:mark, :kind, :id, :id)")
            projects = connection.execute(sa.text("SELECT project_id FROM projects")).scalars().all()
            marks = [{"mark": secrets.randbits(62), "kind": "project", "id": project} for project in projects]
            connection.execute(change, [*marks, {"mark": secrets.randbits(62), "kind": "key", "id": ""}])
            last = connection.execute(sa.text("SELECT max(sequence) FROM changes")).scalar_one()
        follower = self.authority.app.follower
        eventually(lambda: follower._cursor.sequence >= last, "the server does not read the changes")

    @property
    def envelopes(self) -> dict[str, object]:
        """Values for statements: envelopes that name the server's master key, and one that it lacks."""
        known = b"\x02" + bytes.fromhex(self.master_key.key_id)
        return {"forged": known + bytes(60), "unknown": b"\x02unknown." + bytes(60)}

    def readyz(self) -> httpx.Response:
        """What the server says of itself."""
        return httpx.get(self.authority.ops_url + "/readyz")

    def unopened(self, kind: str) -> str:
        """The metric of what does not open: of this moment, as `/metrics` may answer what was collected before."""
        return str(self.authority.app.registry.get_sample_value("tokenauthority_unopened", {"kind": kind}))

    @contextlib.contextmanager
    def ring_restored(self) -> Iterator[None]:
        """Put the ring back when the block ends, as from a backup."""
        with self.engine.connect() as connection:
            rows = [dict(row) for row in connection.execute(sa.text("SELECT * FROM signing_keys")).mappings()]
        yield
        columns = ", ".join(rows[0])
        values = ", ".join(f":{column}" for column in rows[0])
        with self.engine.begin() as connection:
            connection.execute(sa.text("DELETE FROM signing_keys"))
            connection.execute(sa.text(f"INSERT INTO signing_keys ({columns}) VALUES ({values})"), rows)  # noqa: S608 - names of columns
        self.write()


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def writer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Writer]:
    """On each engine. The tests share it, and each has projects of its own."""
    directory = tmp_path_factory.mktemp("store")
    if request.param == "sqlite":
        url = f"sqlite:///{directory}/store.db"
    else:
        server: PostgresServer = request.getfixturevalue("postgres_server")
        url = server.url(server.create_database())
    with _writer(url, directory) as writer:
        yield writer


@contextlib.contextmanager
def _writer(url: str, directory: Path, **keys: object) -> Iterator[Writer]:
    migrate(url)
    address = parse_address(url)
    if isinstance(address, SqliteAddress):
        engine = sa.create_engine(sa.URL.create("sqlite", database=str(address.path)))
    else:
        engine = sa.create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(url))
    master_key = MasterKey.generate()
    with _serving(url, directory, master_key, **keys) as authority:
        yield Writer(authority, engine, url, master_key)
    engine.dispose()


@contextlib.contextmanager
def _serving(url: str, directory: Path, master_key: MasterKey, **keys: object) -> Iterator[RunningAuthority]:
    values = {
        "dev": True,
        "data_dir": directory / secrets.token_hex(4),
        "listen": {"grpc": "127.0.0.1:0", "http": "127.0.0.1:0", "ops": "127.0.0.1:0"},
        "database": {"poll_interval": 0.05},
        "keys": {"master_key": master_key.reveal(), **keys},
    }
    store, api_key = open_store(url), new_api_key()
    callers, settings = {digest(api_key): make_caller()}, Settings.model_validate(values)
    try:
        sealer = asyncio.run(sealer_for(settings, store))
        with running(settings, store, sealer, callers, api_key) as authority:
            yield authority
    finally:
        asyncio.run(store.close())


@attrs.frozen
class Tenants:
    """A victim with a Vonage application and a secret of its own, a project with two secrets, and the attacker's."""

    victim: str
    vonage: str
    application: str
    attacker: str
    known: str
    """The value of the attacker's secret."""
    known_id: str

    @property
    def names(self) -> dict[str, object]:
        """The values for statements."""
        return attrs.asdict(self)


def _tenants(writer: Writer) -> Tenants:
    with writer.client("") as client:
        victim, attacker = (client.projects.CreateProject(project_pb2.CreateProjectRequest()) for _ in range(2))
        application = "11111111-2222-3333-4444-" + secrets.token_hex(6)
        source = project_pb2.VonageCredential(application_id=application, private_key=rsa_pem())
        vonage = client.projects.ImportProject(project_pb2.ImportProjectRequest(vonage=source))
        victim_id = victim.project.project_id
        client.projects.RotateProjectSecret(project_pb2.RotateProjectSecretRequest(project_id=victim_id))
    return Tenants(
        victim_id,
        vonage.project.project_id,
        application,
        attacker.project.project_id,
        attacker.secret.secret,
        attacker.secret.secret_id,
    )


def _call(writer: Writer, project_id: str) -> str:
    """Have a token made for the project; why that is refused, or nothing."""
    with writer.client(project_id) as client:
        try:
            session = client.create_session()
            made = [session.generate_token(format="session_jwt"), session.generate_token(format="opentok_t1")]
            assert [True, True] == [client.verify_token(token).active for token in made]
        except AuthorityError as error:
            return error.reason or ""
    return ""


def _forged(tenants: Tenants, writer: Writer) -> bool:
    """Whether a token of the victim counts that the attacker has signed with the secret that she knows."""
    with writer.client(tenants.victim) as client:
        try:
            session = client.create_session().session_id
            fields = f"session_id={session}&create_time={system_clock() // 1000}&nonce=1&role=moderator"
            signature = hmac.new(tenants.known.encode(), fields.encode(), hashlib.sha1).hexdigest()
            body = f"partner_id={tenants.victim}&sig={signature}:{fields}"
            return client.verify_token("T1==" + base64.b64encode(body.encode()).decode()).active
        except AuthorityError:
            return False


MOVED = "UPDATE project_credentials SET project_id = :victim WHERE project_id = :attacker"
COPIED = (
    "INSERT INTO project_credentials (project_id, credential_id, kind, create_time, sealed)"
    " SELECT :victim, credential_id, kind, create_time, sealed FROM project_credentials WHERE project_id = :attacker"
)
SWAPPED = (
    "UPDATE project_credentials SET sealed = (SELECT sealed FROM project_credentials WHERE project_id = :attacker)"
    " WHERE project_id = :victim"
)
NEWEST_REMOVED = (
    "DELETE FROM project_credentials WHERE project_id = :victim"
    " AND create_time = (SELECT max(create_time) FROM project_credentials WHERE project_id = :victim)"
)
NEWEST_MADE_OLDEST = (
    "UPDATE project_credentials SET create_time = create_time - 9999999 WHERE project_id = :victim"
    " AND create_time = (SELECT max(create_time) FROM project_credentials WHERE project_id = :victim)"
)
APPLICATION = (
    "UPDATE projects SET vonage_application_id = NULL WHERE project_id = :vonage",
    "UPDATE projects SET vonage_application_id = :application WHERE project_id = :attacker",
    "UPDATE projects SET external_sessions = (1 = 1) WHERE project_id = :attacker",
)


@pytest.mark.parametrize(
    ("statements", "broken"),
    [
        ([MOVED], ["attacker"]),
        ([COPIED], []),
        (["DELETE FROM project_credentials WHERE project_id = :victim", MOVED], ["victim", "attacker"]),
        (
            [
                "DELETE FROM project_credentials WHERE project_id = :victim",
                COPIED,
                "UPDATE project_credentials SET credential_id = 'sec_0' WHERE project_id = :victim",
            ],
            ["victim"],
        ),
        ([SWAPPED], ["victim"]),
        ([NEWEST_REMOVED], ["victim"]),
        ([NEWEST_MADE_OLDEST], ["victim"]),
        (["UPDATE project_credentials SET kind = 'vonage_key' WHERE project_id = :victim"], ["victim"]),
        (
            [*APPLICATION, "UPDATE project_credentials SET project_id = :attacker WHERE project_id = :vonage"],
            ["attacker", "vonage"],
        ),
        ([*APPLICATION], ["attacker", "vonage"]),
        (["UPDATE project_credentials SET sealed = '' WHERE project_id = :victim"], ["victim"]),
    ],
    ids=[
        "moved",
        "copied",
        "replaced by a moved one",
        "replaced by a copy of another name",
        "swapped envelopes",
        "newest removed",
        "newest made the oldest",
        "another kind",
        "application and key moved",
        "application moved",
        "emptied",
    ],
)
def test_a_row_that_was_moved_or_changed_signs_nothing(
    writer: Writer, statements: list[str], broken: list[str]
) -> None:
    """The project of the row is refused, the log, `/readyz` and the metric say so, and other tenants go on."""
    tenants = _tenants(writer)
    with capture_logs() as logs:
        writer.write(*statements, **tenants.names)
        forged = _forged(tenants, writer)
        refused = {name for name in ("victim", "attacker") if _call(writer, getattr(tenants, name)) == "SEAL_BROKEN"}
        with writer.client(tenants.vonage) as client, contextlib.suppress(Unavailable):
            client.verify_token("T1==")
        with writer.client(tenants.attacker) as client:
            try:
                made = client.generate_token(platform_session(tenants.application), format="vonage_jwt")
                foreign = "vonage" in broken and made is not None
            except AuthorityError:
                foreign = False
    ready, unopened = writer.readyz(), writer.unopened("project")
    # A server that starts reports these of all projects at once: leave none to the other tests of this store.
    writer.write("DELETE FROM project_credentials WHERE sealed = ''")

    assert set(broken) - {"vonage"} == refused
    assert not foreign
    assert not forged
    reported = {
        line["project_id"] for line in logs if line["event"] in ("project.not_opened", "project.credentials_ignored")
    }
    assert reported
    assert {getattr(tenants, name) for name in broken if name != "vonage"} <= reported
    assert 200 == ready.status_code
    assert "cannot be opened, the log says which" in ready.json()["details"]["projects"]
    assert float(unopened) >= 1
    assert "" == _call(writer, writer.authority.project_id)


def test_a_retired_secret_that_is_put_back_is_not_live_again(writer: Writer) -> None:
    """Its row is as it was, and the set of live secrets is not. The project goes on, and its secret can be rotated."""
    tenants = _tenants(writer)
    with writer.client(tenants.victim) as client:
        session = client.create_session()
        stolen = session.generate_token(format="opentok_t1")
        with writer.engine.connect() as connection:
            row = connection.execute(
                sa.text("SELECT * FROM project_credentials WHERE credential_id = :id"), {"id": stolen.key_id}
            )
            [stored] = row.mappings().all()
        request = project_pb2.RetireProjectSecretRequest(project_id=tenants.victim, secret_id=stolen.key_id)
        client.projects.RetireProjectSecret(request)
        rotate = project_pb2.RotateProjectSecretRequest(project_id=tenants.victim)
        insert = (
            "INSERT INTO project_credentials (project_id, credential_id, kind, create_time, sealed)"
            " VALUES (:project_id, :credential_id, :kind, :create_time, :sealed)"
        )
        with capture_logs() as logs:
            writer.write(insert, **stored)
            active = client.verify_token(stolen).active
            rotated = client.projects.RotateProjectSecret(rotate)
            token = session.generate_token(format="opentok_t1")
            verdicts = [client.verify_token(each).active for each in (stolen, token)]

    assert not active
    assert [False, True] == verdicts
    assert rotated.secret.secret_id == token.key_id
    assert stolen.key_id in {line.get("credential_ids") for line in logs}


def test_an_invented_project_is_none(writer: Writer) -> None:
    """Nothing that is sealed says that there is one."""
    writer.write(
        "INSERT INTO projects (project_id, number, display_name, default_format, default_ttl, max_ttl,"
        " external_sessions, create_time) VALUES ('77', 77, '', 'SESSION_JWT', 60, 60, (1 = 1), 0)"
    )

    assert "SEAL_BROKEN" == _call(writer, "77")


def test_a_session_is_that_of_the_project_in_its_id(writer: Writer) -> None:
    """Whatever project its row names."""
    tenants = _tenants(writer)
    with writer.client(tenants.victim) as client:
        session = client.create_session()
    writer.write("UPDATE sessions SET project_id = :attacker", **tenants.names)
    with writer.client(tenants.attacker) as client:
        token = client.generate_token(session.session_id, format="session_jwt")

    claims = jwt.decode(token.token, options={"verify_signature": False})
    assert tenants.victim == claims["aud"]


def test_a_name_leads_to_no_session_of_another_project(writer: Writer) -> None:
    """Whatever project the row of the session names, and whoever has signed the token."""
    tenants = _tenants(writer)
    with writer.client(tenants.victim) as client:
        session_id = client.create_session(name="standup").session_id
    writer.write("UPDATE sessions SET project_id = :attacker WHERE name = 'standup'", **tenants.names)
    video = {"roomJoin": True, "room": "standup"}
    now = system_clock() // 1000
    said = {"iss": tenants.known_id, "sub": "mallory", "nbf": now, "exp": now + 60, "video": video}
    with writer.client(tenants.attacker) as client:
        verdict = client.verify_token(jwt.encode(said, tenants.known, "HS256"))

    assert "SESSION_MISMATCH" == verdict.reason
    assert verdict.claims is not None
    assert session_id != verdict.claims.session_id


def _signs(writer: Writer) -> tuple[str, str]:
    """Make a token with the authority's key: the key's id and the token."""
    with writer.client(writer.authority.project_id) as client:
        token = client.create_session().generate_token(format="session_jwt")
    return token.key_id, token.token


def _is_active(writer: Writer, token: str) -> bool:
    with writer.client(writer.authority.project_id) as client:
        return client.verify_token(token).active


def _events(logs: Sequence[EventDict]) -> list[str]:
    return [line["event"] for line in logs]


LIES = {
    "all retired and over": "UPDATE signing_keys SET state = 'retired', expire_time = 1",
    "all revoked": "UPDATE signing_keys SET state = 'revoked', retire_time = 1, expire_time = 1",
    "ended": "UPDATE signing_keys SET sign_until = 1",
    "never ends": "UPDATE signing_keys SET sign_until = 9000000000000",
    "old": "UPDATE signing_keys SET create_time = 1, activate_time = 1",
    "elsewhere": "UPDATE signing_keys SET location = 'pkcs11:token=other'",
    "another algorithm": "UPDATE signing_keys SET algorithm = 'RS256'",
    "swapped": "UPDATE signing_keys SET sealed = (SELECT sealed FROM signing_keys ORDER BY key_id LIMIT 1)",
    "emptied": "UPDATE signing_keys SET sealed = ''",
    "of an unknown master key": "UPDATE signing_keys SET sealed = :unknown WHERE state <> 'active'",
    "of another key under the same master key": "UPDATE signing_keys SET sealed = :forged",
}


@pytest.mark.parametrize("statement", LIES.values(), ids=LIES)
def test_a_running_server_goes_on_with_the_keys_that_it_knows(writer: Writer, statement: str) -> None:
    """Whatever their rows say. The log, `/readyz` and the metric say that the rows were changed, until they open."""
    # What an earlier test did to the ring must be over.
    eventually(lambda: "keys" not in writer.readyz().json()["details"], "the ring is not restored")
    key_id, token = _signs(writer)
    with capture_logs() as logs:
        with writer.ring_restored():
            writer.write(statement, **writer.envelopes)
            writer.authority.do(writer.authority.app.keys.maintain(system_clock()))
            again, _ = _signs(writer)
            ready, unopened, is_active = writer.readyz(), writer.unopened("signing_key"), _is_active(writer, token)
        # Else the next test could hear of it.
        eventually(lambda: "keys.opened" in _events(logs), "the rows are not reported to open again")
        after = writer.readyz()

    assert (key_id, True) == (again, is_active)
    assert ["keys.not_opened", "keys.opened"] == [event for event in _events(logs) if event.startswith("keys.")]
    assert (200, 200) == (ready.status_code, after.status_code)
    assert "cannot be opened, the log says which" in ready.json()["details"]["keys"]
    assert "keys" not in after.json()["details"]
    assert float(unopened) >= 1
    eventually(lambda: float(writer.unopened("signing_key")) == 0, "the rows are reported for ever")


def test_a_server_that_starts_over_changed_rows_takes_no_key_from_them(tmp_path: Path) -> None:
    """It signs with the PREPARED key in place of one whose row was changed; if no key opens, it does not start."""
    with _writer(f"sqlite:///{tmp_path}/store.db", tmp_path) as writer:
        key_id, token = _signs(writer)
        writer.write("UPDATE signing_keys SET sign_until = 9000000000000 WHERE state = 'active'")
        with _serving(writer.url, tmp_path, writer.master_key) as authority:
            second = attrs.evolve(writer, authority=authority)
            other_id, other = _signs(second)
            verdicts = [_is_active(second, each) for each in (token, other)]
        writer.write("UPDATE signing_keys SET create_time = 1")
        with pytest.raises(SealBrokenError), _serving(writer.url, tmp_path, writer.master_key):
            pass

    assert key_id != other_id
    assert [False, True] == verdicts


def test_an_earlier_row_of_a_key_is_refused_and_replaced(writer: Writer) -> None:
    """The row of a key that was revoked meanwhile: the log says so, and soon the row says REVOKED again."""
    with writer.engine.connect() as connection:
        select = sa.text("SELECT * FROM signing_keys WHERE state = 'prepared' ORDER BY create_time DESC LIMIT 1")
        row = dict(connection.execute(select).mappings().one())
    with writer.client(writer.authority.project_id) as client:
        client.keys.RevokeSigningKey(key_pb2.RevokeSigningKeyRequest(key_id=row["key_id"]))
    values = ", ".join(f"{column} = :{column}" for column in row)
    with capture_logs() as logs:
        writer.write(f"UPDATE signing_keys SET {values} WHERE key_id = :key_id", **row)  # noqa: S608 - names of columns
        eventually(lambda: _state(writer, row["key_id"]) == "revoked", "the row is not replaced")
        eventually(lambda: float(writer.unopened("signing_key")) == 0, "the row is reported for ever")

    assert writer.authority.app.keys.ring.verifying(row["key_id"]) is None
    problems = str([line["problem"] for line in logs if line["event"] == "keys.not_opened"])
    assert f"{row['key_id']}: an earlier row was put back: PREPARED, and the key is REVOKED" in problems


def _state(writer: Writer, key_id: str) -> object:
    with writer.engine.connect() as connection:
        return connection.execute(
            sa.text("SELECT state FROM signing_keys WHERE key_id = :id"), {"id": key_id}
        ).scalar_one()


@pytest.mark.parametrize("name", ["forged", "unknown", "empty"])
def test_one_damaged_row_of_a_tenant_stops_no_server(writer: Writer, tmp_path: Path, name: str) -> None:
    """A server that starts serves everybody else; a call of that tenant is refused and reported."""
    tenants, envelopes = _tenants(writer), {**writer.envelopes, "empty": b""}
    statement = "UPDATE project_credentials SET sealed = :sealed WHERE project_id = :attacker"
    writer.write(statement, sealed=envelopes[name], **tenants.names)
    with capture_logs() as logs, _serving(writer.url, tmp_path, writer.master_key) as authority:
        second = attrs.evolve(writer, authority=authority)
        refused = _call(second, tenants.attacker)
        served = _call(second, tenants.victim)
    sessions = "SELECT session_id FROM sessions WHERE project_id = :attacker"
    writer.write(f"DELETE FROM session_requests WHERE session_id IN ({sessions})", **tenants.names)  # noqa: S608 - a constant
    for table in ("sessions", "project_credentials", "projects"):
        writer.write(f"DELETE FROM {table} WHERE project_id = :attacker", **tenants.names)  # noqa: S608 - a constant

    assert ("SEAL_BROKEN", "") == (refused, served)
    assert tenants.attacker in {line.get("project_id") for line in logs if line["event"] == "project.not_opened"}
    assert (name != "forged") == ("store.not_opened" in {line["event"] for line in logs})


def test_no_row_has_a_key_in_an_hsm_destroyed(softhsm: SoftHsm, tmp_path: Path) -> None:
    """Whatever the rows say, or if they are absent, and however many rounds of upkeep follow."""
    with _writer(f"sqlite:///{tmp_path}/store.db", tmp_path, provider=softhsm.uri()) as writer:
        before = _private_keys(softhsm)
        with capture_logs() as logs:
            for statement in (*LIES.values(), "DELETE FROM signing_keys"):
                with writer.ring_restored():
                    writer.write(statement, **writer.envelopes)
                    for days in (0, 31, 32):
                        writer.authority.do(writer.authority.app.keys.maintain(Millis(system_clock() + days * DAY)))

        assert before <= _private_keys(softhsm)
    assert not before & {line["key_id"] for line in logs if line["event"] == "keys.destroyed"}


def test_a_key_in_an_hsm_is_destroyed_when_it_is_over(softhsm: SoftHsm, tmp_path: Path) -> None:
    """By the clock of the server and by what was sealed; the log names it, where it was, and why."""
    with _writer(f"sqlite:///{tmp_path}/store.db", tmp_path, provider=softhsm.uri()) as writer:
        [first] = [key for key in writer.authority.app.keys.ring.entries if key.stored.state == "active"]
        with capture_logs() as logs:
            # Time passes: the clock is not only set ahead.
            writer.authority.app.clock_watch._start = 2**60
            for days in (31, 62, 93, 124):
                writer.authority.clock.fixed = Millis(system_clock() + days * DAY)
                writer.authority.do(writer.authority.app.keys.maintain(writer.authority.clock.fixed))

        assert first.stored.key_id not in _private_keys(softhsm)
    [destroyed] = [line for line in logs if line["event"] == "keys.destroyed" and line["key_id"] == first.stored.key_id]
    assert "every token that it may have signed has expired" == destroyed["reason"]
    assert first.stored.location == destroyed["location"]


def _private_keys(softhsm: SoftHsm) -> set[str]:
    template = {pkcs11.Attribute.CLASS: pkcs11.ObjectClass.PRIVATE_KEY}
    return softhsm.token().call(
        lambda session: {bytes(key[pkcs11.Attribute.ID]).decode() for key in session.get_objects(template)}
    )
