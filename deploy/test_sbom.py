"""The list of what a server consists of has each locked package, with its version and hashes."""

from __future__ import annotations

import json
import re
import subprocess

from pathlib import Path
from typing import Final


ROOT: Final = Path(__file__).resolve().parents[1]
LOCKED: Final = re.compile(r"^([a-z0-9.-]+)(?:\[[a-z,]+\])?==([^ ]+)", re.MULTILINE)


def test_the_list_has_what_is_locked(tmp_path: Path) -> None:
    """`make sbom` writes it, for the requirements that the image installs."""
    subprocess.run(["/usr/bin/env", "make", "sbom", f"DIST={tmp_path}"], cwd=ROOT, check=True, timeout=100)
    [path] = tmp_path.iterdir()
    listed = json.loads(path.read_text(encoding="utf-8"))
    hashed = {
        part["name"]: part["version"]
        for part in listed["components"]
        if any(reference.get("hashes") for reference in part["externalReferences"])
    }

    assert "CycloneDX" == listed["bomFormat"]
    assert "tokenauthority" == listed["metadata"]["component"]["name"]
    assert hashed == dict(LOCKED.findall((ROOT / "requirements" / "server.txt").read_text(encoding="utf-8")))
