"""The callers file gives each caller what it names, or names everything that is wrong with it."""

from __future__ import annotations

import os

from pathlib import Path

import pytest

from tokenauthority.callers.api_keys import digest, new_api_key
from tokenauthority.callers.file import MAX_FILE, CallersFile, CallersFileError, load_callers
from tokenauthority.callers.identity import ApiKeyIdentity, Identity, Issuer, JwtIdentity, SpiffeIdentity
from tokenauthority.callers.registry import CallerRegistry
from tokenauthority.domain.caller import ANY, Action, Caller, CallerKind, Grant, Rate
from tokenauthority.domain.times import Seconds
from tokenauthority.domain.token_format import TokenFormat


KEY = new_api_key()
DIGEST = digest(KEY)

GOOD = {
    "name": '"room-service"',
    "api_key_sha256": f'"{DIGEST}"',
    "projects": '["47000000", "48000000"]',
    "actions": '["sessions.create", "tokens.generate"]',
    "roles": '["subscriber", "publisher"]',
    "formats": '["SESSION_JWT"]',
    "max_ttl": '"1h"',
}


def entry(**changes: str | None) -> str:
    """The TOML of a good caller with some of its fields changed, or left out where None."""
    fields = {**GOOD, **changes}
    return "[[callers]]\n" + "".join(f"{name} = {value}\n" for name, value in fields.items() if value is not None)


ISSUER = """[[issuers]]
issuer = "https://issuer.example"
audience = "tokenauthority"
algorithms = ["RS256", "ES256"]
jwks_url = "https://issuer.example/jwks"
"""


def issuer(**changes: str | None) -> str:
    """The TOML of a good issuer with some of its fields changed, or left out where None."""
    fields = {name: value for name, _, value in (line.partition(" = ") for line in ISSUER.splitlines()[1:])}
    kept = {name: value for name, value in {**fields, **changes}.items() if value is not None}
    return "[[issuers]]\n" + "".join(f"{name} = {value}\n" for name, value in kept.items())


def book(directory: Path, text: str | bytes) -> CallerRegistry:
    """What a file with *text* says."""
    path = directory / "callers.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_callers(path, "https://tokens.example")


def load(directory: Path, text: str | bytes) -> dict[Identity, Caller]:
    """The callers of a file with *text*."""
    return {each.identity: each.caller for each in book(directory, text).entries}


def problems(directory: Path, text: str | bytes) -> tuple[str, ...]:
    """What the file is refused for, each with its line."""
    with pytest.raises(CallersFileError) as caught:
        load(directory, text)
    assert str(directory / "callers.toml") in str(caught.value)
    found = tuple(map(str, caught.value.problems))
    assert all(problem in str(caught.value) for problem in found)
    return found


def test_reads_every_field(tmp_path: Path) -> None:
    """The caller is found by the digest of its key and has exactly what is written."""
    expected = Caller(
        name="room-service",
        kind=CallerKind.API_KEY,
        identity=f"sha256:{DIGEST[:16]}",
        grant=Grant(
            projects=frozenset({"47000000", "48000000"}),
            actions=frozenset({Action.SESSIONS_CREATE, Action.TOKENS_GENERATE}),
            roles=frozenset({"subscriber", "publisher"}),
            formats=frozenset({TokenFormat.SESSION_JWT}),
            max_ttl=Seconds(3600),
        ),
    )

    assert {ApiKeyIdentity(DIGEST): expected} == load(tmp_path, entry())


def test_reads_several_callers(tmp_path: Path) -> None:
    """Each with its own key."""
    other = digest(new_api_key())
    found = load(tmp_path, entry() + entry(name='"other"', api_key_sha256=f'"{other}"'))

    assert {ApiKeyIdentity(DIGEST): "room-service", ApiKeyIdentity(other): "other"} == {
        identity: caller.name for identity, caller in found.items()
    }


def test_a_star_is_everything(tmp_path: Path) -> None:
    """Of projects, actions, roles and formats."""
    star = '["*"]'
    (caller,) = load(tmp_path, entry(projects=star, actions=star, roles=star, formats=star)).values()
    everything = frozenset({ANY})

    assert (everything, frozenset(Action), everything, everything) == (
        caller.grant.projects,
        caller.grant.actions,
        caller.grant.roles,
        caller.grant.formats,
    )


def test_what_is_left_out_grants_no_role_and_any_format(tmp_path: Path) -> None:
    """A caller that makes no tokens needs no roles; formats and lifetime are then the contract's."""
    lines = entry(actions='["sessions.read"]', roles=None, formats=None, max_ttl=None)
    (caller,) = load(tmp_path, lines).values()

    assert (frozenset(), frozenset({ANY}), 30 * 86400) == (
        caller.grant.roles,
        caller.grant.formats,
        caller.grant.max_ttl,
    )


@pytest.mark.parametrize(("text", "seconds"), [("1s", 1), ("90s", 90), ("15m", 900), ("1h", 3600), ("30d", 2592000)])
def test_reads_lifetimes(tmp_path: Path, text: str, seconds: int) -> None:
    """Seconds, minutes, hours and days."""
    (caller,) = load(tmp_path, entry(max_ttl=f'"{text}"')).values()

    assert seconds == caller.grant.max_ttl


LIST = "must be a list of at least one name"
TTL = "line 8: caller room-service: max_ttl must be such as '90s', '15m', '1h' or '30d', at most 30d"
NAME = "caller 1: name must be 1 to 128 of A-Z a-z 0-9 . _ / -, and no API key"
SHA = "line 3: caller room-service: api_key_sha256 must be 64 lower-case hex characters, or a list of up to 2"
STRAY = "what looks like an API key"
IDENTITY = "caller room-service: needs exactly one of api_key_sha256, spiffe_id, jwt"
SPIFFE = "line 8: caller room-service: spiffe_id must be like spiffe://trust-domain/path, as SPIFFE-ID defines it"
RATE = "line 9: caller room-service: rate must be such as '200/s', '50/m', '1000/h' or '5000/d'"
OTHER = digest(new_api_key())


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"name": None}, f"line 1: {NAME}"),
        ({"name": '""'}, f"line 2: {NAME}"),
        ({"name": "7"}, f"line 2: {NAME}"),
        ({"name": '"a b"'}, f"line 2: {NAME}"),
        ({"name": '"a\\nb"'}, f"line 2: {NAME}"),
        ({"name": '"-a"'}, f"line 2: {NAME}"),
        ({"name": f'"{KEY}"'}, f"line 2: {NAME}"),
        ({KEY: "1"}, "line 9: caller room-service: what looks like an API key is not a field"),
        ({"projects": f'["{KEY}"]'}, "line 4: caller room-service: projects has an unknown entry: " + STRAY),
        ({"name": f'"{"a" * 129}"'}, f"line 2: {NAME}"),
        ({"api_key_sha256": None}, f"line 1: {IDENTITY}"),
        ({"api_key_sha256": f'"{KEY}"'}, SHA),
        ({"api_key_sha256": f'"{DIGEST.upper()}"'}, SHA),
        ({"api_key_sha256": "7"}, SHA),
        ({"api_key_sha256": "[]"}, SHA),
        ({"api_key_sha256": f'["{DIGEST}", "{KEY}"]'}, SHA),
        ({"api_key_sha256": str([digest(str(n)) for n in range(3)])}, SHA),
        ({"spiffe_id": '"spiffe://a/b"'}, f"line 9: {IDENTITY}"),
        ({"jwt": '{ issuer = "a", subject = "b" }'}, f"line 9: {IDENTITY}"),
        ({"projects": None}, f"line 1: caller room-service: projects {LIST}"),
        ({"projects": "[]"}, f"line 4: caller room-service: projects {LIST}"),
        ({"projects": '"*"'}, f"line 4: caller room-service: projects {LIST}"),
        ({"projects": '["0"]'}, "line 4: caller room-service: projects has an unknown entry: '0'"),
        ({"projects": '[\n"47",\n"0"]'}, "line 6: caller room-service: projects has an unknown entry: '0'"),
        ({"projects": '["2147483648"]'}, "line 4: caller room-service: projects has an unknown entry: '2147483648'"),
        ({"projects": "[47]"}, "line 4: caller room-service: projects has an unknown entry: 47"),
        ({"projects": "[[]]"}, "line 4: caller room-service: projects has an unknown entry: []"),
        ({"actions": None}, f"line 1: caller room-service: actions {LIST}"),
        ({"actions": '["tokens.steal"]'}, "line 5: caller room-service: actions has an unknown entry: 'tokens.steal'"),
        ({"actions": '["tokens.*"]'}, "line 5: caller room-service: actions has an unknown entry: 'tokens.*'"),
        ({"roles": None}, "line 1: caller room-service: roles must name what tokens.generate may give out"),
        ({"roles": "[]"}, "line 6: caller room-service: roles must name what tokens.generate may give out"),
        ({"roles": '["a b"]'}, "line 6: caller room-service: roles has an unknown entry: 'a b'"),
        ({"formats": "[]"}, f"line 7: caller room-service: formats {LIST}"),
        ({"formats": '["session_jwt"]'}, "line 7: caller room-service: formats has an unknown entry: 'session_jwt'"),
        ({"max_ttl": '"0s"'}, TTL),
        ({"max_ttl": '"31d"'}, TTL),
        ({"max_ttl": '"1w"'}, TTL),
        ({"max_ttl": '"-1h"'}, TTL),
        ({"max_ttl": '"1.5h"'}, TTL),
        ({"max_ttl": '""'}, TTL),
        ({"max_ttl": '"999999999999d"'}, TTL),
        ({"max_ttl": "3600"}, TTL),
        ({"rate": '"0/s"'}, RATE),
        ({"rate": '"200"'}, RATE),
        ({"rate": '"200/w"'}, RATE),
        ({"rate": '"-1/s"'}, RATE),
        ({"rate": '"2000000/s"'}, RATE),
        ({"rate": "200"}, RATE),
        ({"burst": "5"}, "line 9: caller room-service: burst goes with rate only"),
        (
            {"daily_quota": "0"},
            "line 9: caller room-service: daily_quota must be a whole number from 1 to 1000000000000",
        ),
        (
            {"daily_quota": "true"},
            "line 9: caller room-service: daily_quota must be a whole number from 1 to 1000000000000",
        ),
        ({"api_key": f'"{KEY}"'}, "line 9: caller room-service: 'api_key' is not a field"),
        ({"role": '["publisher"]'}, "line 9: caller room-service: 'role' is not a field"),
        ({f'"{"a" * 99}"': "1"}, f"line 9: caller room-service: '{'a' * 59}... is not a field"),
    ],
)
def test_names_what_is_wrong(tmp_path: Path, changes: dict[str, str | None], problem: str) -> None:
    """One wrong field is one problem, with its line and the caller's name where it has one, never with the key."""
    found = problems(tmp_path, entry(**changes))

    assert (problem,) == found
    assert KEY not in str(found)


@pytest.mark.parametrize("burst", ["0", "-1", "1000001", "1.5", "true", '"5"'])
def test_names_a_burst_that_is_none(tmp_path: Path, burst: str) -> None:
    """A whole number that a batch can reach."""
    found = problems(tmp_path, entry(rate='"5/s"', burst=burst))

    assert ("line 10: caller room-service: burst must be a whole number from 1 to 1000000",) == found


def test_names_everything_at_once(tmp_path: Path) -> None:
    """Several callers with several faults are put right in one go; the problems are in the order of the file."""
    found = problems(
        tmp_path,
        "version = 2\n"
        + entry(name=None, max_ttl='"x"')
        + entry(projects=None)
        + issuer(audience=None)
        + entry(api_key_sha256=None, actions="7"),
    )

    assert (
        "line 1: 'version' is not a field",
        f"line 2: {NAME}",
        TTL.replace("room-service", "1"),
        f"line 9: caller room-service: projects {LIST}",
        "line 11: caller room-service: its API key is that of another",
        f"line 16: issuer https://issuer.example: {AUDIENCE}",
        "line 20: caller 3: needs exactly one of api_key_sha256, spiffe_id, jwt",
        "line 21: caller 3: name room-service is used twice",
        f"line 23: caller 3: actions {LIST}",
    ) == found


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("200/s", Rate(200.0, 200)),
        ("50/m", Rate(50 / 60, 50)),
        ("7200/h", Rate(2.0, 7200)),
        ("86400/d", Rate(1.0, 86400)),
    ],
)
def test_reads_rates(tmp_path: Path, text: str, rate: Rate) -> None:
    """By second, minute, hour and day; all of one period may come at once, unless a burst says otherwise."""
    (caller,) = load(tmp_path, entry(rate=f'"{text}"')).values()
    (other,) = load(tmp_path, entry(rate=f'"{text}"', burst="7", daily_quota="100")).values()

    assert (rate, None) == (caller.grant.rate, caller.grant.daily_quota)
    assert (Rate(rate.per_second, 7), 100) == (other.grant.rate, other.grant.daily_quota)


def test_two_keys_are_one_caller(tmp_path: Path) -> None:
    """While one replaces the other, both are good; they differ in what the audit log shows of them."""
    found = load(tmp_path, entry(api_key_sha256=f'["{DIGEST}", "{OTHER}"]'))

    assert {
        ApiKeyIdentity(DIGEST): ("room-service", f"sha256:{DIGEST[:16]}"),
        ApiKeyIdentity(OTHER): ("room-service", f"sha256:{OTHER[:16]}"),
    } == {identity: (caller.name, caller.identity) for identity, caller in found.items()}


def test_the_example_of_the_design_is_valid(tmp_path: Path) -> None:
    """A SPIFFE id and a rate; it is found by that id."""
    spiffe_id = "spiffe://prod.example/ns/video/sa/room-service"
    found = book(tmp_path, entry(api_key_sha256=None, spiffe_id=f'"{spiffe_id}"', rate='"200/s"'))
    caller = found.find_caller(SpiffeIdentity(spiffe_id))

    assert caller is not None
    assert ("room-service", CallerKind.SPIFFE, spiffe_id) == (caller.name, caller.kind, caller.identity)


@pytest.mark.parametrize("spiffe_id", [
    "spiffe://a/b", "spiffe://a.b-c_d.1/x", "spiffe://a/B/c.D_e-f", "spiffe://a/...", "spiffe://a/.b", "spiffe://a/b..",
    "spiffe://" + "a" * 255 + "/b", "spiffe://a/" + "b" * 2037,
])  # fmt: skip
def test_takes_spiffe_ids(tmp_path: Path, spiffe_id: str) -> None:
    """All that the specification allows a workload."""
    assert {SpiffeIdentity(spiffe_id)} == set(load(tmp_path, entry(api_key_sha256=None, spiffe_id=f'"{spiffe_id}"')))


@pytest.mark.parametrize("spiffe_id", [
    "", "spiffe://", "spiffe://a", "spiffe://a/", "spiffe:///b", "spiffe://a/b/", "spiffe://a//b", "spiffe://a/./b",
    "spiffe://a/..", "spiffe://a/../b", "spiffe://a/b/.", "Spiffe://a/b", "https://a/b", "spiffe://A/b", "spiffe://a:1/b",
    "spiffe://u@a/b", "spiffe://a/b?c", "spiffe://a/b#c", "spiffe://a/%62", "spiffe://a/b c", "spiffe://a/\u00e9",
    "spiffe://\u00e9/b", " spiffe://a/b", "spiffe://a/b ", "spiffe://a/b\\n", "spiffe://" + "a" * 256 + "/b",
    "spiffe://a/" + "b" * 2038, "spiffe://a/*", "spiffe://*/b",
])  # fmt: skip
def test_refuses_what_is_no_spiffe_id(tmp_path: Path, spiffe_id: str) -> None:
    """Nothing that a peer could spell in two ways."""
    assert (SPIFFE,) == problems(tmp_path, entry(api_key_sha256=None, spiffe_id=f'"{spiffe_id}"'))


JWT = '{ issuer = "https://issuer.example", subject = "system:serviceaccount:video:rooms" }'


def test_reads_a_caller_who_sends_jwts(tmp_path: Path) -> None:
    """With its issuer, whose files are beside the callers file."""
    text = issuer(ca_file='"ca.pem"', token_file='"/var/run/token"') + entry(api_key_sha256=None, jwt=JWT)
    found = book(tmp_path, text)
    caller = found.find_caller(JwtIdentity("https://issuer.example", "system:serviceaccount:video:rooms"))

    assert caller is not None
    assert CallerKind.JWT is caller.kind
    assert "https://issuer.example system:serviceaccount:video:rooms" == caller.identity
    assert (
        Issuer(
            issuer="https://issuer.example",
            audience="tokenauthority",
            algorithms=("ES256", "RS256"),
            jwks_url="https://issuer.example/jwks",
            ca_file=tmp_path / "ca.pem",
            token_file=Path("/var/run/token"),
        )
        == found.find_issuer("https://issuer.example")
    )  # fmt: skip
    assert found.find_issuer("https://issuer.example/") is None


@pytest.mark.parametrize(
    ("jwt", "problem"),
    [
        ("7", 'jwt must be { issuer = "...", subject = "..." }'),
        ('{ issuer = "https://issuer.example" }', 'jwt must be { issuer = "...", subject = "..." }'),
        ('{ issuer = 1, subject = "x" }', 'jwt must be { issuer = "...", subject = "..." }'),
        (JWT.replace("}", ", aud = 1 }"), 'jwt must be { issuer = "...", subject = "..." }'),
        (JWT.replace("example", "other"), "jwt names an issuer that no [[issuers]] of this file has"),
        (JWT.replace("system:", ""), None),
        (
            '{ issuer = "https://issuer.example", subject = "" }',
            "jwt must have a subject of 1 to 1024 printable characters",
        ),
        (
            '{ issuer = "https://issuer.example", subject = "a\\n" }',
            "jwt must have a subject of 1 to 1024 printable characters",
        ),
    ],
)
def test_names_what_is_wrong_with_a_jwt(tmp_path: Path, jwt: str, problem: str | None) -> None:
    """Issuer and subject, both and nothing else; the issuer is one of the file's."""
    text = entry(api_key_sha256=None, jwt=jwt) + issuer()
    if problem is None:
        assert load(tmp_path, text)
    else:
        assert (f"line 8: caller room-service: {problem}",) == problems(tmp_path, text)


AUDIENCE = "audience is required: 1 to 1024 printable characters, one that only tokens for this authority have"
ROW = "issuer https://issuer.example"
URL = f"line 5: {ROW}: jwks_url must be an https URL (http only on loopback) without user or fragment"
NAMED = "issuer must be 1 to 2048 visible ASCII characters, as `iss` has them"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"issuer": None}, f"line 1: issuer 1: {NAMED}"),
        ({"issuer": '""'}, f"line 2: issuer 1: {NAMED}"),
        ({"issuer": '"a b"'}, f"line 2: issuer 1: {NAMED}"),
        ({"audience": None}, f"line 1: {ROW}: {AUDIENCE}"),
        ({"audience": '""'}, f"line 3: {ROW}: {AUDIENCE}"),
        ({"audience": '["a"]'}, f"line 3: {ROW}: {AUDIENCE}"),
        ({"algorithms": None}, f"line 1: {ROW}: algorithms {LIST}"),
        ({"algorithms": "[]"}, f"line 4: {ROW}: algorithms {LIST}"),
        ({"algorithms": '["HS256"]'}, f"line 4: {ROW}: algorithms has an unknown entry: 'HS256'"),
        ({"algorithms": '["none"]'}, f"line 4: {ROW}: algorithms has an unknown entry: 'none'"),
        ({"algorithms": '["*"]'}, f"line 4: {ROW}: algorithms has an unknown entry: '*'"),
        ({"algorithms": '["ES256K"]'}, f"line 4: {ROW}: algorithms has an unknown entry: 'ES256K'"),
        ({"jwks_url": None}, f"line 1: {ROW}: needs exactly one of jwks_url and jwks_file"),
        ({"jwks_file": '"x"'}, f"line 6: {ROW}: needs exactly one of jwks_url and jwks_file"),
        ({"jwks_url": None, "jwks_file": '""'}, f"line 5: {ROW}: jwks_file must be the path of a file"),
        ({"jwks_url": None, "jwks_file": '"x"', "ca_file": '"x"'}, f"line 6: {ROW}: ca_file goes with jwks_url only"),
        ({"leeway": "5"}, f"line 6: {ROW}: 'leeway' is not a field"),
        *(
            ({"jwks_url": f'"{url}"'}, URL)
            for url in (
                "http://issuer.example/jwks", "http://10.0.0.1/", "http://127.0.0.1.example/", "http://localhost.example/",
                "http://[::2]/", "file:///etc/passwd", "ftp://a/b", "data:,{}", "https://", "https:///jwks", "//a/b",
                "https://u:p@a/b", "https://a/b#c", "https://a/b#", "https://a:99999/", "https://a/ b", "https://[a/",
                "", "a",
            )
        ),
    ],
)  # fmt: skip
def test_names_what_is_wrong_with_an_issuer(tmp_path: Path, changes: dict[str, str | None], problem: str) -> None:
    """One wrong field is one problem."""
    assert (problem,) == problems(tmp_path, issuer(**changes) + entry())


@pytest.mark.parametrize(
    "url", ["https://a", "https://a:8443/x?y=z", "http://127.0.0.1:9/x", "http://127.9.9.9/", "http://[::1]:9/", "http://localhost/"]
)  # fmt: skip
def test_takes_https_and_plaintext_on_loopback(tmp_path: Path, url: str) -> None:
    """Keys that anyone on the way could change would prove nothing."""
    (found,) = book(tmp_path, issuer(jwks_url=f'"{url}"') + entry()).issuers

    assert url == found.jwks_url


@pytest.mark.parametrize("own", ["https://tokens.example", "https://tokens.example/", "HTTPS://Tokens.Example"])
def test_the_authority_is_no_issuer_of_callers(tmp_path: Path, own: str) -> None:
    """What people join with must never be a caller's credential, in whatever spelling."""
    problem = (
        f"line 2: issuer {own}: issuer is the authority's own: its tokens are for people who join, never for callers"
    )

    assert (problem,) == problems(tmp_path, issuer(issuer=f'"{own}"') + entry())


def test_an_issuer_has_one_row(tmp_path: Path) -> None:
    """Which of two would decide would be a matter of order."""
    problem = "line 7: issuer https://issuer.example: issuer is that of line 1"

    assert (problem,) == problems(tmp_path, issuer() + issuer() + entry())


@pytest.mark.parametrize(
    ("row", "what"),
    [
        (entry(), "API key"),
        (entry(api_key_sha256=None, spiffe_id='"spiffe://a/b"'), "SPIFFE id"),
        (entry(api_key_sha256=None, jwt=JWT), "JWT"),
    ],
    ids=["API key", "SPIFFE id", "JWT"],
)
def test_an_identity_belongs_to_one_caller(tmp_path: Path, row: str, what: str) -> None:
    """Who called would otherwise be a matter of order."""
    second = row.replace('"room-service"', '"other"')
    (found,) = problems(tmp_path, issuer() + row + second)

    assert found.endswith(f": caller other: its {what} is that of room-service")


def test_a_caller_has_no_key_twice(tmp_path: Path) -> None:
    """A slip at a change of keys."""
    found = problems(tmp_path, entry(api_key_sha256=f'["{DIGEST}", "{DIGEST}"]'))

    assert ("line 3: caller room-service: its API key is that of room-service",) == found


def test_a_name_belongs_to_one_caller(tmp_path: Path) -> None:
    """The audit log tells callers by their names."""
    found = problems(tmp_path, entry() + entry(api_key_sha256=f'"{OTHER}"'))

    assert ("line 10: caller 2: name room-service is used twice",) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", ("has no [[callers]]",)),
        ("callers = []", ("has no [[callers]]",)),
        ('callers = "x"', ("line 1: caller 1: must be a table under [[callers]]",)),
        ("[callers]\nname = 'a'", ("line 1: caller 1: must be a table under [[callers]]",)),
        ("callers = [\n1]", ("line 2: caller 1: must be a table under [[callers]]",)),
        ("issuers = 1\n" + entry(), ("line 1: issuer 1: must be a table under [[issuers]]",)),
        (b"\xff", ("is not valid TOML: 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte",)),
        ("#" * (MAX_FILE + 1), (f"is larger than {MAX_FILE} bytes",)),
        ("a = " + "[" * 100_000, ("is nested too deep",)),
    ],
    ids=["empty", "empty list", "text", "one table", "number", "issuers", "no UTF-8", "too large", "deep"],
)
def test_refuses_what_is_no_callers_file(tmp_path: Path, text: str | bytes, found: tuple[str, ...]) -> None:
    """A file without callers would let nobody in, so it is a mistake."""
    assert found == problems(tmp_path, text)


def test_names_where_toml_breaks(tmp_path: Path) -> None:
    """The line and column of the parser, and nothing of the text."""
    (problem,) = problems(tmp_path, f'[[callers]]\nname = "{KEY}\n')

    assert problem.startswith("is not valid TOML: ")
    assert "line 2" in problem
    assert KEY not in problem


def test_names_a_file_that_is_not_there(tmp_path: Path) -> None:
    """With the system's reason."""
    with pytest.raises(CallersFileError, match="cannot be read: No such file or directory"):
        load_callers(tmp_path / "absent.toml")


def test_knows_when_it_has_changed(tmp_path: Path) -> None:
    """Written, replaced or removed since it was last read, also if that failed; and not otherwise."""
    path = tmp_path / "callers.toml"
    file = CallersFile(path, "")
    absent = file.changed()
    path.write_text(entry())
    made = file.changed()
    file.load()
    read = file.changed()
    path.write_text("x")
    written = file.changed()
    with pytest.raises(CallersFileError):
        file.load()
    failed = file.changed()
    (tmp_path / "new").write_text(entry())
    (tmp_path / "new").replace(path)
    replaced = file.changed()
    file.load()
    path.unlink()
    removed = file.changed()
    with pytest.raises(CallersFileError):
        file.load()

    assert (False, True, False, True, False, True, True, False) == (
        absent, made, read, written, failed, replaced, removed, file.changed(),
    )  # fmt: skip


def test_a_fifo_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    """Nobody may ever write into it."""
    os.mkfifo(tmp_path / "callers.toml")

    with pytest.raises(CallersFileError, match="cannot be read"):
        load_callers(tmp_path / "callers.toml")


def test_an_api_key_in_the_wrong_place_is_not_quoted(tmp_path: Path) -> None:
    """Also not by the parser of TOML."""
    key = new_api_key()
    (tmp_path / "callers.toml").write_text(f"[{key}]\n[{key}]\n")

    with pytest.raises(CallersFileError) as caught:
        load_callers(tmp_path / "callers.toml")

    assert key not in str(caught.value)
    assert "is not valid TOML" in str(caught.value)
