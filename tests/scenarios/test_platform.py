"""Whole servers whose project's sessions the platform makes: over TLS, while it is away, and over a restart."""

from __future__ import annotations

import pytest
import trustme

from tests.support.platform import BROKEN, running_platform, write_ca
from tests.support.production import Production
from tokenauthority.client import Unavailable
from tokenauthority.domain.ids import project_in_session_id
from tokenauthority.v1 import project_pb2


API_KEY = "123456"
SECRET = "0123456789abcdef" * 2 + "01234567"


def test_sessions_of_the_platform_outlive_it_and_the_server(production: Production) -> None:
    """A private CA signs for the platform; without it no session is made, and those that there are still get tokens."""
    roots = trustme.CA()
    ca_file = write_ca(roots, production.directory / "platform-ca.pem")
    with running_platform(roots) as platform:
        variables = {"PLATFORM__URLS": platform.url, "PLATFORM__CA_FILE": str(ca_file)}
        first = production.start(**variables)
        with production.client(first.address, API_KEY) as client:
            credential = project_pb2.OpenTokCredential(api_key=API_KEY, api_secret=SECRET)
            request = project_pb2.ImportProjectRequest(opentok=credential, platform_url=platform.url)
            client.projects.ImportProject(request)
            session = client.create_session(media_mode="routed")
            token = session.generate_token()
            platform.always = BROKEN
            with pytest.raises(Unavailable) as caught:
                client.create_session()
        assert 0 == first.stop()

    second = production.start(**variables)
    with production.client(second.address, API_KEY) as client:
        verified = client.verify_token(token, session_id=session.session_id)
        again = client.get_session(session.session_id).generate_token()
        with pytest.raises(Unavailable):
            client.create_session()
    failed = [line for line in first.audited() if line.get("reason") == "PLATFORM_UNAVAILABLE"]

    assert API_KEY == project_in_session_id(session.session_id)
    assert "PLATFORM_UNAVAILABLE" == caught.value.reason
    assert {platform.url} == {line["platform_url"] for line in failed}
    assert (True, session.session_id) == (verified.active, again.session_id)
    for text in (first.log(), second.log(), first.audit_path.read_text(encoding="utf-8")):
        assert SECRET not in text
        assert not any(request.headers["x-opentok-auth"] in text for request in platform.requests)
