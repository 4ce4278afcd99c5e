"""A cable: an address that stays, with whatever a test puts behind it."""

from __future__ import annotations

import contextlib
import socket
import threading

from collections.abc import Iterator


class Cable:
    """A TCP port of loopback that leads to another one, until it is cut or leads elsewhere."""

    def __init__(self, port: int) -> None:
        self._to = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._lines: list[socket.socket] = []
        self._lock = threading.Lock()
        self._whole = True
        self._delay = 0.0
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, name="cable", daemon=True).start()

    def cut(self) -> None:
        """Break every connection, and refuse new ones."""
        with self._lock:
            self._whole = False
            lines, self._lines = self._lines, []
        for line in lines:
            _hang_up(line)

    def mend(self) -> None:
        """Let new connections through."""
        with self._lock:
            self._whole = True

    def lead_to(self, port: int) -> None:
        """Let new connections through to another port; those that are open stay as they are."""
        with self._lock:
            self._to, self._whole = ("127.0.0.1", port), True

    def slow_down(self, seconds: float) -> None:
        """Let each piece of data wait for so long in each direction; 0 for no longer than it takes."""
        self._delay = seconds

    def close(self) -> None:
        """Cut it for ever."""
        self.cut()
        _hang_up(self._listener)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                with self._lock:
                    if not self._whole:
                        near.close()
                        continue
                    try:
                        far = socket.create_connection(self._to)
                    except OSError:
                        _hang_up(near)
                        continue
                    self._lines += [near, far]
                for ends in ((near, far), (far, near)):
                    threading.Thread(target=self._pump, args=ends, name="cable", daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        never = threading.Event()
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                if self._delay:
                    never.wait(self._delay)
                sink.sendall(data)
        _hang_up(source)
        _hang_up(sink)


@contextlib.contextmanager
def cable_to(port: int) -> Iterator[Cable]:
    """A cable for as long as the block runs."""
    cable = Cable(port)
    try:
        yield cable
    finally:
        cable.close()


def _hang_up(line: socket.socket) -> None:
    with contextlib.suppress(OSError):
        line.shutdown(socket.SHUT_RDWR)
    line.close()
