"""Controllers as the OpenTok documentation for Ruby has them, in front of an authority: another require line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from clients.interop.client import Client
from tests.conformance.sdk.programs import run


RUN_SECONDS = 60
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


@pytest.mark.parametrize("client", ["ruby"], indirect=True)
def test_controllers_of_the_documentation_run(client: Client) -> None:
    """They get the tokens that they ask for, by an API key of the authority in place of the project secret."""
    where = client.world.environment(API_KEY="")
    values = {"API_KEY": client.project_id, "API_SECRET": client.world.keys["backend"]}
    variables = {**client.toolchain.variables, **where, **values}
    before = datetime.now(UTC) - timedelta(seconds=1)

    made = run(["ruby", "-Ilib", "examples/opentok_controllers.rb"], client.directory, RUN_SECONDS, "", variables)

    tokens = made.split()
    assert ["T1=="] * 3 == [token[:4] for token in tokens]
    with client.world.authority() as authority:
        verified = [authority.verify_token(token) for token in tokens]
        claims = [each.claims for each in verified if each.active and each.claims]
        sessions = [authority.get_session(found.session_id) for found in claims]
    assert [
        ("publisher", "", (), client.project_id),
        ("moderator", "username=bob", (), client.project_id),
        ("publisher", "username=eve", ("focus", "inactive"), client.project_id),
    ] == [(found.role, found.data, found.initial_layout_class_list, found.project_id) for found in claims]
    for found, lifetime in zip(claims, (DAY, DAY, HOUR), strict=True):
        assert before + lifetime <= found.expire_time <= datetime.now(UTC) + lifetime
    assert [
        ("relayed", "manual", "", ""),
        ("routed", "always", "lesson", ""),
        ("relayed", "manual", "", "12.34.56.78"),
    ] == [(made.media_mode, made.archive_mode, made.archive_name, made.location) for made in sessions]


@pytest.mark.parametrize("client", ["ruby"], indirect=True)
def test_the_errors_are_those_that_users_of_the_sdk_rescue(client: Client) -> None:
    """By class: of the credential, of an option of a session, of an option of a token."""
    program = """
        require "tokenauthority/opentok"
        name = ->(&call) { begin; call.call; "none"; rescue => e; e.class.name; end }
        wrong = OpenTok::OpenTok.new(ENV["API_KEY"], "tak_wrong")
        right = OpenTok::OpenTok.new(ENV["API_KEY"], ENV["API_SECRET"])
        session = right.create_session
        puts name.call { wrong.create_session }
        puts name.call { right.create_session :archive_mode => :always }
        puts name.call { session.generate_token :role => :king }
        puts name.call { session.generate_token :expire_time => Time.now.to_i - 9 }
        puts name.call { right.generate_token "1_none" }
    """
    where = client.world.environment(API_KEY="")
    values = {"API_KEY": client.project_id, "API_SECRET": client.world.keys["backend"]}
    variables = {**client.toolchain.variables, **where, **values}

    printed = run(["ruby", "-Ilib", "-e", program], client.directory, RUN_SECONDS, "", variables)

    expected = ["OpenTok::OpenTokAuthenticationError", "ArgumentError", "RuntimeError", "RuntimeError", "RuntimeError"]
    assert expected == printed.split()
