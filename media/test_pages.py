"""The how-to pages of real-time servers: all their blocks, in their order, let a person into a real server."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import attrs
import pytest

from media import centrifugo, livekit
from media.programs import free_ports, installed
from tests.docs.blocks import ROOT, blocks_of
from tests.docs.workspace import Workspace
from tests.support.authority import clean_environment, launch


@attrs.frozen
class Guide:
    """A page, the name by which it calls its server, and the ports that it names."""

    page: str
    program: str
    ports: tuple[str, ...]

    def path(self) -> Path:
        """Where the program is."""
        built = {"livekit-server": livekit.PROGRAM, "centrifugo": centrifugo.PROGRAM}
        return built[self.program].path if self.program in built else installed(self.program, self.program)


GUIDES = [
    Guide("livekit.md", "livekit-server", ("7880", "7881", "7882")),
    Guide("centrifugo.md", "centrifugo", ("8000",)),
    Guide("janus.md", "janus", ("8188",)),
]


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.page)
def test_the_steps_of_a_page_let_a_person_in(guide: Guide, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also the blocks that the tests of the documentation cannot run."""
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / guide.program).symlink_to(guide.path())
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    # What the page names is the default of a server at its usual port.
    authority = launch(tmp_path, TOKENAUTHORITY_ISSUANCE__ISSUER="http://127.0.0.1:8080")
    try:
        workspace = Workspace(tmp_path, clean_environment(**authority.environment), _places(guide, authority.http_url))
        problems = [ran.problem for ran in workspace.run(blocks_of(ROOT / "docs" / "how-to" / guide.page))]
    finally:
        authority.stop()
        if authority.process.stdout is not None:
            authority.process.stdout.close()

    assert 6 < len(problems)
    assert "" == "".join(problems), _logs(tmp_path)


def _places(guide: Guide, http_url: str) -> Mapping[str, str]:
    candidates = iter(lambda: [str(port) for port in free_ports(len(guide.ports))], [])
    # One is replaced after another: no free port may contain one that the page names.
    free = next(found for found in candidates if not any(named in port for named in guide.ports for port in found))
    return {
        **dict(zip(guide.ports, free, strict=True)),
        "http://localhost:8080": http_url,
        "examples/servers": str(ROOT / "examples" / "servers"),
    }


def _logs(directory: Path) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace")[-4000:] for log in directory.glob("*.log"))
