"""Arguments of a wrong type: refused by their names, before anything is sent."""

from __future__ import annotations

import inspect

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from inspect import Parameter
from types import UnionType
from typing import Any, Union, cast, get_args, get_origin, get_type_hints

import pytest

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.client.conftest import Client, ScriptedServer, collected, done, entered
from tokenauthority.client import Authority, AuthorityError, TokenOptions, TokenRequest
from tokenauthority.client.connection import Connection
from tokenauthority.client.requests import revoke_tokens_request
from tokenauthority.verifier import Verifier


def arguments_of(method: object) -> dict[str, Any]:
    """The arguments of a client's method and the options that it unpacks, with their annotations."""
    hints = get_type_hints(method)
    del hints["return"]
    options = hints.pop("options", None)
    return hints if options is None else hints | get_type_hints(*get_args(options))


METHODS: dict[str, dict[str, Any]] = {
    name: arguments_of(method)
    for name, method in inspect.getmembers(Authority, inspect.isfunction)
    if not name.startswith("_")
}
"""Each method of a client, and the annotation of each argument. A new method is held to the promises below too."""

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.binary(),
    st.text(),
    st.dates(),
    st.timedeltas(),
    st.lists(st.one_of(st.integers(), st.binary(), st.none()), min_size=1),
    st.just(object()),
)


def takes(annotation: Any, value: object) -> bool:
    """Whether *value* has the type that an argument is annotated with; a bool is no number, and a str no list."""
    origin, inner = get_origin(annotation) or annotation, get_args(annotation)
    if origin in {Union, UnionType}:
        return any(takes(each, value) for each in inner)
    if not inner:
        return type(value) in ({int, float} if origin is float else {origin})
    if isinstance(value, str | bytes) or not isinstance(value, origin):
        return False
    return not isinstance(value, Iterable) or all(takes(inner[0], each) for each in value)


def required_by(method: str) -> dict[str, object]:
    """A value of the right type for each argument that *method* requires."""
    parameters = inspect.signature(getattr(Authority, method)).parameters
    needed = [name for name in METHODS[method] if name in parameters and parameters[name].default is Parameter.empty]
    values: tuple[object, ...] = ("x", [])
    return {name: next(value for value in values if takes(METHODS[method][name], value)) for name in needed}


def test_the_arguments_of_every_method_are_found() -> None:
    """Those of the signature and those of the unpacked options, with what each takes."""
    assert {("session_id", str), ("role", str)} <= METHODS["generate_token"].items()
    assert {"wanted": []} == required_by("generate_tokens")
    assert takes(METHODS["revoke_tokens"]["issued_before"], 1.5)
    assert not takes(METHODS["verify_token"]["required_permissions"], [b"publish"])


@pytest.fixture(scope="module")
def unreachable() -> Iterator[Authority]:
    """A client of no server: a call that is sent fails as an AuthorityError."""
    with Authority("127.0.0.1:1", api_key="tak_x", plaintext=True, timeout=0.01) as authority:
        yield authority


@pytest.mark.parametrize(("method", "argument"), [(method, name) for method in METHODS for name in METHODS[method]])
def test_a_wrong_type_is_refused_by_its_name(unreachable: Authority, method: str, argument: str) -> None:
    """Before anything is sent: whatever the value is, it is not converted."""

    @settings(max_examples=25, suppress_health_check=list(HealthCheck), deadline=None)
    @given(VALUES)
    def refuses(value: object) -> None:
        assume(not takes(METHODS[method][argument], value))
        with pytest.raises((TypeError, ValueError), match=argument):
            list(cast("Any", getattr(unreachable, method)(**{**required_by(method), argument: value}) or ()))

    refuses()


@pytest.mark.parametrize("field", TokenRequest.__annotations__)
def test_a_request_of_a_batch_is_held_to_the_same(unreachable: Authority, field: str) -> None:
    """The message names the field, or the place of what is no request."""
    request = TokenRequest(**cast("dict[str, Any]", {"session_id": "2_abc", field: b"bytes"}))

    with pytest.raises(TypeError, match=field):
        unreachable.generate_tokens([request])
    with pytest.raises(TypeError, match=r"wanted\[1\] must be TokenRequest, not dict"):
        unreachable.generate_tokens([TokenRequest("2_abc"), cast("Any", {"session_id": "2_abc"})])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("address", b"localhost:1"),
        ("address", None),
        ("api_key", b"tak_x"),
        ("token_file", b"token"),
        ("credentials", "tak_x"),
        ("cert_file", b"cert.pem"),
        ("project_id", 47000000),
        ("project_id", None),
        ("plaintext", "false"),
        ("plaintext", 1),
        ("root_certificates", "-----BEGIN CERTIFICATE-----"),
        ("timeout", "5"),
        ("timeout", True),
        ("timeout", timedelta(seconds=5)),
        ("tls_server_name", b"authority.test"),
    ],
)
def test_a_connection_names_what_has_the_wrong_type(name: str, value: object) -> None:
    """The text "false" would be plaintext else, and a project that is a number another project."""
    arguments = {"address": "localhost:1", "api_key": "tak_x", name: value}

    with pytest.raises(TypeError, match=f"{name} must be"):
        Connection(**cast("Any", arguments))
    with pytest.raises(TypeError, match=f"{name} must be"):
        Authority(**cast("Any", arguments))


@pytest.mark.parametrize("make", [Authority.from_environment, Verifier.from_environment])
def test_variables_must_be_a_mapping(make: Callable[[Any], object]) -> None:
    """A list of pairs or nothing is named."""
    with pytest.raises(TypeError, match="environ must be a mapping"):
        make(None)


def test_a_connection_is_no_address() -> None:
    """The usual mistake is named."""
    with pytest.raises(TypeError, match="connection must be Connection, not str"):
        Authority.from_connection(cast("Any", "localhost:1"))
    with pytest.raises(TypeError, match="connection must be Connection, not str"):
        Verifier(cast("Any", "localhost:1"), project_ids=["47000000"])


async def test_nothing_is_sent_for_a_wrong_argument(kind: type[Client], scripted_server: ScriptedServer) -> None:
    """Of either client."""
    async with entered(kind(scripted_server.address, api_key="tak_x", plaintext=True)) as client:
        with pytest.raises(TypeError, match="token must be str or Token, not bytes"):
            await done(client.verify_token(cast("Any", b"T1==abc")))
        with pytest.raises(TypeError, match="token must be str or Token, not NoneType"):
            await done(client.verify_token(cast("Any", None)))
        with pytest.raises(TypeError, match="page_size"):
            await collected(client.list_sessions(page_size=cast("Any", "2")))

    assert [] == scripted_server.metadata


def test_a_target_that_is_none_is_left_out() -> None:
    """As a program passes on what it was not given."""
    request = revoke_tokens_request("47", token=None, token_id=None, session_id=None, subject="bob")

    assert "subject" == request.WhichOneof("target")


@pytest.mark.parametrize("argument", ["data", "role", "subject"])
def test_a_lone_surrogate_is_refused_by_the_name_of_its_argument(unreachable: Authority, argument: str) -> None:
    """As `json.loads` makes of some input; no message can carry it."""
    with pytest.raises(ValueError, match=f"{argument} has a character that is not Unicode text"):
        unreachable.generate_token("2_abc", **cast("TokenOptions", {argument: "a\ud800b"}))


async def test_a_token_of_any_text_is_an_answer(client: Client) -> None:
    """Whoever presents a token decides what it holds, and must not cause an error."""
    assert "MALFORMED" == (await done(client.verify_token("T1==\ud800"))).reason


def test_an_aware_moment_and_a_lifetime_are_taken(unreachable: Authority) -> None:
    """Every type that the options name: the call is sent, and only the server is missing."""
    for options in ({"expire_time": datetime.now(UTC)}, {"expire_time": 1.5e9}, {"ttl": timedelta(hours=1)}):
        with pytest.raises(AuthorityError):
            unreachable.generate_token("2_abc", **cast("TokenOptions", options))
