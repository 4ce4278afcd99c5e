"""Collections look at new objects only, and still free cycles."""

from __future__ import annotations

import re
import subprocess
import sys

from typing import Final

import httpx

from tests.support.authority import NO_TRUST, AuthorityProcess, eventually


_START: Final = """
import asyncio, gc, weakref
from tokenauthority.server import garbage

class Cycle:
    def __init__(self):
        self.itself = self

def collect():
    for task in garbage.garbage_tasks():
        asyncio.run(task.work())
"""


def run(script: str) -> None:
    """Run *script* in a process of its own: what is frozen stays frozen."""
    done = subprocess.run([sys.executable, "-c", _START + script], capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr


def test_what_the_start_made_is_not_looked_at() -> None:
    """However much it is."""
    run("""
made = [[] for _ in range(50_000)]
garbage.freeze_start()
assert gc.get_freeze_count() > len(made)
assert len(gc.get_objects()) < 1000
""")


def test_old_objects_are_not_looked_at_for_ever() -> None:
    """What caches hold is frozen once it is much."""
    run("""
garbage.freeze_start()
before = gc.get_freeze_count()
cache = [[] for _ in range(50_000)]
collect()
assert gc.get_freeze_count() >= before + len(cache)
assert len(gc.get_objects()) < 1000
""")


def test_cycles_are_freed() -> None:
    """New ones by the next collection, and those that lived for longer before other old objects are frozen."""
    run("""
garbage.freeze_start()
new = weakref.ref(Cycle())
held = Cycle()
old = weakref.ref(held)
collect()
collect()
del held
assert new() is None
assert old() is not None
cache = [[] for _ in range(50_000)]
collect()
assert old() is None
""")


def test_a_server_collects_without_traffic(authority_process: AuthorityProcess) -> None:
    """Its metrics count the collections."""

    def collections() -> int:
        text = httpx.get(f"{authority_process.ops_url}/metrics", verify=NO_TRUST).text
        (count,) = re.findall(r'^python_gc_collections_total{generation="1"} ([0-9.]+)$', text, re.MULTILINE)
        return int(float(count))

    before = collections()
    eventually(lambda: collections() > before + 1, "the server does not collect")
