"""Stand in for `tokenauthority` on the PATH of a page's shell: the fork server runs the command, with the same files.

It runs by itself, as a program without site-packages, so that it starts in a moment.
"""

import fcntl
import json
import os
import signal
import socket
import sys


def main() -> None:
    """Start the command, pass SIGTERM on to it, and end as it ends."""
    line = socket.socket(fileno=int(os.environ["FORKSERVER_LINE"]))
    status, status_end = os.pipe()
    directory = os.getcwd()  # noqa: PTH109 - pathlib takes longer to import than all the rest
    request = {"arguments": sys.argv[1:], "cwd": directory, "env": dict(os.environ)}
    # Two commands of one shell must not read each other's answers.
    fcntl.flock(lock := os.open(__file__, os.O_RDONLY), fcntl.LOCK_EX)
    socket.send_fds(line, [json.dumps(request).encode()], [0, 1, 2, status_end])
    pid = int(line.recv(16))
    os.close(lock)
    os.close(status_end)
    signal.signal(signal.SIGTERM, lambda *_: os.kill(pid, signal.SIGTERM))
    code = int(os.read(status, 16))
    sys.exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main()
