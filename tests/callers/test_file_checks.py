"""Everything that is wrong with a callers file is named at once, each problem with its line and never a secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.callers.callers_file import DIGEST, JWT, KEY, OTHER, entry, issuer, load, problems
from tokenauthority.callers.api_keys import digest
from tokenauthority.callers.file import CallersFileError, load_callers
from tokenauthority.callers.file_models import CallerTable, IssuerTable


def missing(problem: str) -> str:
    """The problem of a field that is not there."""
    return problem.replace(" is invalid. ", " is missing. ")


PROJECTS = 'projects is invalid. Projects that the caller may use: at least one id, or `["*"]` for all.'
ACTIONS = 'actions is invalid. Actions that the caller may take: at least one, or `["*"]` for all.'
FORMATS = "formats is invalid. Formats that the caller's tokens may have: at least one; default: all."
TTL = (
    "line 8: caller room-service: max_ttl is invalid. Longest lifetime of the caller's tokens: "
    "a whole number and one of `s`, `m`, `h` and `d`, such as `90s` or `1h`; default and limit: `30d`."
)
NAME = (
    "caller 1: name is invalid. Name in the audit log, unique in the file: "
    "1 to 128 of `A-Z a-z 0-9 . _ / -`, and no API key."
)
SHA = (
    "line 3: caller room-service: api_key_sha256 is invalid. SHA-256 of the API key, 64 lower-case hex characters; "
    "or a list of two, the current key and its replacement."
)
STRAY = "what looks like an API key"
IDENTITY = "caller room-service: needs exactly one of api_key_sha256, spiffe_id, jwt, opentok_project"
SPIFFE = (
    "line 8: caller room-service: spiffe_id is invalid. SPIFFE id of the client certificate, "
    "`spiffe://trust-domain/path`, at most 2048 characters."
)
RATE = (
    "line 9: caller room-service: rate is invalid. Items on average: a whole number from 1 to 999999, `/` and one of "
    "`s`, `m`, `h` and `d`, such as `200/s`; a batch of 9 is 9 items; default: no limit."
)
BURST = (
    "line 10: caller room-service: burst is invalid. Items at once, a whole number from 1 to 1000000; "
    "a larger batch never passes; default: the count in `rate`."
)
EXPIRES = (
    "line 9: caller room-service: expires is invalid. When the API key ends, with a time zone, such as "
    "`2027-01-31T00:00:00Z`; or a list, one for each of two keys in their order; default: never."
)
QUOTA = (
    "line 9: caller room-service: daily_quota is invalid. Items of one day in UTC at all servers together, "
    "a whole number from 1 to 1000000000000; default: no limit."
)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"name": None}, f"line 1: {missing(NAME)}"),
        ({"name": '""'}, f"line 2: {NAME}"),
        ({"name": "7"}, f"line 2: {NAME}"),
        ({"name": '"a b"'}, f"line 2: {NAME}"),
        ({"name": '"a\\nb"'}, f"line 2: {NAME}"),
        ({"name": '"-a"'}, f"line 2: {NAME}"),
        ({"name": f'"{KEY}"'}, f"line 2: {NAME}"),
        ({KEY: "1"}, "line 9: caller room-service: what looks like an API key is not a field"),
        ({"projects": f'["{KEY}"]'}, "line 4: caller room-service: projects has an invalid item: " + STRAY),
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
        ({"opentok_project": '"47000000"', "projects": '["47000000"]'}, f"line 9: {IDENTITY}"),
        ({"projects": None}, f"line 1: caller room-service: {missing(PROJECTS)}"),
        ({"projects": "[]"}, f"line 4: caller room-service: {PROJECTS}"),
        ({"projects": '"*"'}, f"line 4: caller room-service: {PROJECTS}"),
        ({"projects": '["0"]'}, "line 4: caller room-service: projects has an invalid item: '0'"),
        ({"projects": '[\n"47",\n"0"]'}, "line 6: caller room-service: projects has an invalid item: '0'"),
        ({"projects": '["2147483648"]'}, "line 4: caller room-service: projects has an invalid item: '2147483648'"),
        ({"projects": "[47]"}, "line 4: caller room-service: projects has an invalid item: 47"),
        ({"projects": "[[]]"}, "line 4: caller room-service: projects has an invalid item: []"),
        (
            {"projects": f"[[0x{'f' * 5000}]]"},
            "line 4: caller room-service: projects has an invalid item: what is too long to show",
        ),
        ({"actions": None}, f"line 1: caller room-service: {missing(ACTIONS)}"),
        (
            {"actions": '["token.verify"]'},
            "line 5: caller room-service: actions has an invalid item: 'token.verify'; did you mean 'tokens.verify'?",
        ),
        ({"actions": '["steal"]'}, "line 5: caller room-service: actions has an invalid item: 'steal'"),
        (
            {"actions": f'["tokens.generate{"e" * 60}"]'},
            f"line 5: caller room-service: actions has an invalid item: 'tokens.generate{'e' * 44}...",
        ),
        ({"actions": '["tokens.*"]'}, "line 5: caller room-service: actions has an invalid item: 'tokens.*'"),
        ({"roles": None}, "line 1: caller room-service: roles must name what tokens.generate may give out"),
        ({"roles": "[]"}, "line 6: caller room-service: roles must name what tokens.generate may give out"),
        ({"roles": '["a b"]'}, "line 6: caller room-service: roles has an invalid item: 'a b'"),
        (
            {"vonage_applications": '["*"]'},
            "line 9: caller room-service: vonage_applications has an invalid item: '*'",
        ),
        (
            {"vonage_applications": '["47000000"]'},
            "line 9: caller room-service: vonage_applications has an invalid item: '47000000'",
        ),
        ({"formats": "[]"}, f"line 7: caller room-service: {FORMATS}"),
        (
            {"formats": '["session_jwt"]'},
            "line 7: caller room-service: formats has an invalid item: 'session_jwt'; did you mean 'SESSION_JWT'?",
        ),
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
        ({"expires": "2027-01-31T00:00:00"}, EXPIRES),
        ({"expires": "2027-01-31"}, EXPIRES),
        ({"expires": '"2027-01-31T00:00:00Z"'}, EXPIRES),
        (
            {"expires": "[2027-01-31T00:00:00Z, 2028-01-31T00:00:00Z]"},
            "line 9: caller room-service: expires must have one moment for each API key",
        ),
        (
            {"expires": "2027-01-31T00:00:00Z", "api_key_sha256": None, "spiffe_id": '"spiffe://a/b"'},
            "line 8: caller room-service: expires goes with api_key_sha256 only",
        ),
        ({"daily_quota": "0"}, QUOTA),
        ({"daily_quota": "true"}, QUOTA),
        (
            {"api_key": f'"{KEY}"'},
            "line 9: caller room-service: 'api_key' is not a field; did you mean 'api_key_sha256'?",
        ),
        ({"role": '["publisher"]'}, "line 9: caller room-service: 'role' is not a field; did you mean 'roles'?"),
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

    assert (BURST,) == found


AUDIENCE = (
    "audience is invalid. Name that `aud` must hold and that only tokens for this authority have: "
    "1 to 1024 printable characters."
)
ALGORITHMS = "algorithms is invalid. Algorithms that the issuer may sign with: at least one."
ROW = "issuer https://issuer.example"
URL = (
    f"line 5: {ROW}: jwks_url is invalid. URL of the issuer's keys: `https`, or `http` on loopback; "
    "without user and fragment."
)
NAMED = (
    "issuer is invalid. `iss` of the tokens, exactly: 1 to 2048 visible ASCII characters; "
    "never the authority's own issuer."
)
JWKS_FILE = (
    "jwks_file is invalid. Path of a file with the issuer's keys, relative to the callers file; "
    "the server checks it every second."
)


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
        f"line 2: {missing(NAME)}",
        TTL.replace("room-service", "1"),
        f"line 9: caller room-service: {missing(PROJECTS)}",
        "line 11: caller room-service: its API key is that of another",
        f"line 16: issuer https://issuer.example: {missing(AUDIENCE)}",
        "line 20: caller 3: needs exactly one of api_key_sha256, spiffe_id, jwt, opentok_project",
        "line 21: caller 3: name room-service is used twice",
        f"line 23: caller 3: {ACTIONS}",
    ) == found


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


JWT_TABLE = (
    'jwt is invalid. JWTs of the caller: `{ issuer = "...", subject = "..." }`, '
    "the subject of 1 to 1024 printable characters."
)


@pytest.mark.parametrize(
    ("jwt", "problem"),
    [
        ("7", JWT_TABLE),
        ('{ issuer = "https://issuer.example" }', JWT_TABLE),
        ('{ issuer = 1, subject = "x" }', JWT_TABLE),
        (JWT.replace("}", ", aud = 1 }"), JWT_TABLE),
        (JWT.replace("example", "other"), "jwt names an issuer that no [[issuers]] of the callers file has"),
        (JWT.replace("system:", ""), None),
        (
            '{ issuer = "https://issuer.example", subject = "" }',
            JWT_TABLE,
        ),
        (
            '{ issuer = "https://issuer.example", subject = "a\\n" }',
            JWT_TABLE,
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


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"issuer": None}, f"line 1: issuer 1: {missing(NAMED)}"),
        ({"issuer": '""'}, f"line 2: issuer 1: {NAMED}"),
        ({"issuer": '"a b"'}, f"line 2: issuer 1: {NAMED}"),
        ({"audience": None}, f"line 1: {ROW}: {missing(AUDIENCE)}"),
        ({"audience": '""'}, f"line 3: {ROW}: {AUDIENCE}"),
        ({"audience": '["a"]'}, f"line 3: {ROW}: {AUDIENCE}"),
        ({"algorithms": None}, f"line 1: {ROW}: {missing(ALGORITHMS)}"),
        ({"algorithms": "[]"}, f"line 4: {ROW}: {ALGORITHMS}"),
        ({"algorithms": '["HS256"]'}, f"line 4: {ROW}: algorithms has an invalid item: 'HS256'"),
        ({"algorithms": '["none"]'}, f"line 4: {ROW}: algorithms has an invalid item: 'none'"),
        ({"algorithms": '["*"]'}, f"line 4: {ROW}: algorithms has an invalid item: '*'"),
        ({"algorithms": '["ES256K"]'}, f"line 4: {ROW}: algorithms has an invalid item: 'ES256K'"),
        ({"jwks_url": None}, f"line 1: {ROW}: needs exactly one of jwks_url and jwks_file"),
        ({"jwks_file": '"x"'}, f"line 6: {ROW}: needs exactly one of jwks_url and jwks_file"),
        ({"jwks_url": None, "jwks_file": '""'}, f"line 5: {ROW}: {JWKS_FILE}"),
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
    """The audit log identifies callers by their names."""
    found = problems(tmp_path, entry() + entry(api_key_sha256=f'"{OTHER}"'))

    assert ("line 10: caller 2: name room-service is used twice",) == found


@pytest.mark.parametrize("field", [*CallerTable.model_fields, *IssuerTable.model_fields])
def test_quotes_no_api_key_whatever_field_holds_it(tmp_path: Path, field: str) -> None:
    """A key that was pasted into the wrong field must not reach a log."""
    table = entry if field in CallerTable.model_fields else issuer
    for value in (f'"{KEY}"', f'["{KEY}"]', f'{{ "{KEY}" = "{KEY}" }}'):
        path = tmp_path / "callers.toml"
        other = entry(name='"other"', api_key_sha256=f'"{OTHER}"', max_ttl='"x"')
        path.write_text(table(**{field: value}, unknown="1") + other)
        with pytest.raises(CallersFileError) as caught:
            load_callers(path)
        assert KEY not in str(caught.value) + repr(caught.value) + repr(caught.value.problems)
