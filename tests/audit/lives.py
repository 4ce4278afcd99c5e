"""Short-lived servers: forked from one process that has imported everything, so that fifty start in seconds.

    python -m tests.audit.lives

Each line on standard input is a JSON object: the settings of a server. It is started as a process of its own, its
standard error in the file that `log` names; its process id is answered on standard output, and when it has ended, the
exit status too.
"""

from __future__ import annotations

import json
import os
import sys

from pathlib import Path

from tokenauthority.config.loading import ConfigError
from tokenauthority.config.settings import Settings
from tokenauthority.server.main import run


def main() -> None:
    """Start a server for each line and wait for its end."""
    for line in sys.stdin:
        asked = json.loads(line)
        log = Path(asked.pop("log"))
        pid = os.fork()
        if not pid:
            _serve(asked, log)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()
        _, status = os.waitpid(pid, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def _serve(settings: dict[str, object], log: Path) -> None:
    # With the pipes of the parent, a server that still runs would let its reader wait.
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    try:
        status = run(Settings.model_validate(settings))
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        status = 2
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    main()
