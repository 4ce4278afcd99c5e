"""A declaration is taken whole, or each of its problems is named with its line and field."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tokenauthority.declaration.reading import (
    CallersNow,
    Declaration,
    DeclarationError,
    check_declaration,
    parse_declaration,
)
from tokenauthority.domain.profile import RealTimeServer
from tokenauthority.domain.role import Permission
from tokenauthority.domain.token_format import TokenFormat


KEY = "tak_" + "a" * 43
DIGEST = "d" * 64
CALLERS = f"""\
[[callers]]
name = "rooms"
api_key_sha256 = "{DIGEST}"
created = 2026-01-01T00:00:00Z
expires = 2027-01-01T00:00:00Z
projects = ["47"]
actions = ["tokens.verify"]

[[issuers]]
issuer = "https://issuer.example"
audience = "authority"
algorithms = ["ES256"]
jwks_file = "jwks.json"
"""
NOW = CallersNow.parse(CALLERS.encode())


def _read(text: str, now: CallersNow | None = NOW) -> Declaration:
    return check_declaration(parse_declaration(text.encode()), now)


def _problems(text: str) -> list[str]:
    with pytest.raises(DeclarationError) as found:
        _read(text)
    return [str(problem) for problem in found.value.problems]


def test_reads_every_field_of_a_project() -> None:
    """What is left out is not declared, which is not the same as empty."""
    text = """\
version: 1
projects:
  - project_id: 47
    display_name: 0123
    default_format: LIVEKIT_JWT
    default_ttl: 90m
    max_ttl: 1d
    external_sessions: false
    platform_url: ""
    claims_for: [mediamtx, centrifugo, mediamtx]
    disabled: true
    imported: {source: livekit, id: APIx}
    roles:
      - name: no
        permissions: [publish, subscribe, publish]
  - {project_id: "48"}
"""
    first, second = _read(text).projects or ()
    (role,) = first.roles or []

    assert ("47", "0123", TokenFormat.LIVEKIT_JWT, 5400, 86_400) == (
        *(first.project_id, first.display_name, first.default_format, first.default_ttl),
        first.max_ttl,
    )
    assert (False, "", True) == (first.external_sessions, first.platform_url, first.disabled)
    assert (RealTimeServer.CENTRIFUGO, RealTimeServer.MEDIAMTX) == first.claims_for
    assert ("no", (Permission.SUBSCRIBE, Permission.PUBLISH), None) == (
        *(role.name, role.permissions),
        role.description,
    )
    assert {"project_id"} == second.model_fields_set
    assert _read(text).callers is None


def test_every_problem_has_its_line_project_role_and_field() -> None:
    """With the field that may be meant."""
    assert [
        "line 1: version is invalid. Version of this format: `1`.",
        "line 2: 'project' is not a field; did you mean 'projects'?",
        (
            "line 4: project 47: disabled is invalid. Whether it gets no sessions and tokens, and its tokens are "
            "refused: `true` or `false`."
        ),
        "line 5: project 47: 'max_tll' is not a field; did you mean 'max_ttl'?",
        (
            "line 7: project 47: role camera: permissions is missing. What the role allows: at least one of "
            "`subscribe`, `publish`, `signal`, `force_disconnect`, `force_unpublish` and `force_mute`."
        ),
        "line 8: project 47: role camera: 'descripton' is not a field; did you mean 'description'?",
        "line 9: caller rooms: 'ratee' is not a field; did you mean 'rate'?",
    ] == _problems(
        "version: 2\nproject: []\nprojects: [{project_id: 47,\n  disabled: no,\n  max_tll: 1h,\n  roles: [\n"
        "  {name: camera,\n  descripton: x}]}]\n"
        "callers: [{name: rooms, projects: [47], actions: [tokens.verify], ratee: 1/s}]\n"
    )


@pytest.mark.parametrize(
    ("field", "named"),
    [
        ("display_name: " + "x" * 129, "display_name"),
        ("default_format: session_jwt", "default_format"),
        ("default_ttl: 0s", "default_ttl"),
        ("default_ttl: 90", "default_ttl"),
        ("max_ttl: 31d", "max_ttl"),
        ("max_ttl: [1d]", "max_ttl"),
        ("external_sessions: yes", "external_sessions"),
        ("claims_for: [galene]", "claims_for"),
        ("claims_for: mediamtx", "claims_for"),
        ("imported: {source: zoom}", "source"),
        ("imported: {source: opentok, id: x}", "imported"),
        ("imported: {source: vonage, id: APIx}", "imported"),
        ("imported: {source: jitsi}", "imported"),
        ("imported: {source: livekit, id: sec_0}", "imported"),
        ("roles: [{name: publisher, permissions: [publish]}]", "name"),
        ("roles: [{name: No, permissions: [publish]}]", "name"),
        ("roles: [{name: a, permissions: []}]", "permissions"),
        ("roles: [{name: a, permissions: [fly]}]", "permissions"),
        (f"roles: [{{name: a, permissions: [publish], description: {'x' * 257}}}]", "description"),
    ],
)
def test_refuses_a_value_by_its_field(field: str, named: str) -> None:
    """And quotes no value."""
    (problem,) = _problems(f"version: 1\nprojects:\n  - project_id: 47\n    {field}\n")

    assert problem.startswith("line 4: project 47: ")
    assert f"{named} is invalid. " in problem


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("projects: []", "line 0: version is missing"),
        ("[]", "must be a mapping"),
        ("version: 1\nprojects: {a: 1}", "line 2: projects is invalid"),
        ("version: 1\nprojects: [{project_id: 047}]", "project no. 1: project_id is invalid"),
        ("version: 1\nprojects: [{project_id: 1},\n{project_id: 1}]", "line 3: project 1 is declared twice"),
        (
            (
                "version: 1\nprojects: [{project_id: 1, roles: [{name: a, permissions: [publish]},\n"
                "{name: a, permissions: [publish]}]}]"
            ),
            "line 3: project 1: role a is declared twice",
        ),
        ("version: 1\ncallers: []", "line 2: callers must be a list of at least one caller"),
        ("version: 1\ncallers: {a: 1}", "callers must be a list"),
        ("version: 1\ncallers: [a]", "must be a table"),
    ],
)
def test_refuses_what_is_no_declaration(text: str, problem: str) -> None:
    """Each with what is wrong."""
    found = _problems(text)

    assert problem.removeprefix("line 0: ") in found[0]


def test_two_callers_of_one_name_are_one_problem() -> None:
    """The digest that stands in for a key that is still to be made is that of no other caller."""
    caller = "{name: new, projects: [47], actions: [tokens.verify]}"

    assert ["caller 2: name new is used twice"] == [
        problem.partition(": ")[2] for problem in _problems(f"version: 1\ncallers: [{caller}, {caller}]\n")
    ]


def test_an_api_key_is_never_quoted() -> None:
    """In whatever place it stands by mistake."""
    found = _problems(
        f"version: 1\n{KEY}: x\nprojects: [{{project_id: {KEY}, display_name: [{KEY}]}}]\n"
        f"callers: [{{name: {KEY}, api_key_sha256: {KEY}, {KEY}: 1, projects: [{KEY}], actions: [x]}}]\n"
    )

    assert 5 < len(found)
    assert KEY not in "".join(found)


def test_a_caller_keeps_the_api_key_that_the_declaration_leaves_out() -> None:
    """Digest, age and end are those of the callers file, unless they are declared."""
    entry = "version: 1\ncallers: [{name: rooms, projects: [47], actions: ['*'], roles: [a], burst: 9, rate: 1/s%s}]\n"
    (kept,) = _read(entry % "").callers or ()
    (moved,) = _read(entry % ", expires: 2028-01-01T00:00:00Z").callers or ()
    (other,) = _read(entry % f", api_key_sha256: {'e' * 64}").callers or ()
    (spiffe,) = _read(entry % ", spiffe_id: spiffe://a/b").callers or ()

    assert (DIGEST, datetime(2027, 1, 1, tzinfo=UTC), 9) == (kept.api_key_sha256, kept.expires, kept.burst)
    assert (DIGEST, datetime(2028, 1, 1, tzinfo=UTC)) == (moved.api_key_sha256, moved.expires)
    assert ("e" * 64, None, None) == (other.api_key_sha256, other.expires, other.created)
    assert (None, None) == (spiffe.api_key_sha256, spiffe.expires)


def test_a_caller_keeps_whatever_proves_it() -> None:
    """Where the declaration names nothing: no key is made up for it."""
    now = CallersNow.parse(CALLERS.replace(f'api_key_sha256 = "{DIGEST}"', 'spiffe_id = "spiffe://a/b"').encode())
    found = _read("version: 1\ncallers: [{name: rooms, projects: [47], actions: [tokens.verify]}]\n", now)
    (kept,) = found.callers or ()

    assert ("spiffe://a/b", None, frozenset()) == (kept.spiffe_id, kept.api_key_sha256, found.keyless)


def test_a_new_caller_without_a_proof_has_no_key_yet() -> None:
    """One that proves itself otherwise needs none, and an issuer must be in the callers file."""
    grant = "projects: [47], actions: [tokens.verify]"
    jwt = "jwt: {issuer: 'https://issuer.example', subject: s}"
    found = _read(f"version: 1\ncallers: [{{name: a, {grant}}}, {{name: b, {jwt}, {grant}}}]")

    assert {"a"} == found.keyless
    assert "names an issuer that no [[issuers]] of the callers file has" in str(
        _problems(f"version: 1\ncallers: [{{name: b, {jwt.replace('issuer.', 'other.')}, {grant}}}]")
    )
