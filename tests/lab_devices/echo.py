"""Somebody behind the router, and how it is asked."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Any

OUTSIDE, CLINIC, STRANGER = "127.0.0.66", "127.0.0.10", "127.0.0.11"


class Echo:
    """Answers every line with the address that it came from, and the line."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self.listener.getsockname()
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._run(self._accept)

    def _run(self, target: Any, *arguments: Any) -> None:
        self._threads.append(threading.Thread(target=target, args=arguments))
        self._threads[-1].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # the listener is closed: that is the end
            while True:
                connection, peer = self.listener.accept()
                self._open.append(connection)
                self._run(self._answer, connection, peer[0])

    @staticmethod
    def _answer(connection: socket.socket, peer: str) -> None:
        with connection, contextlib.suppress(OSError):  # reset by the other end
            while data := connection.recv(4096):
                connection.sendall(peer.encode() + b" " + data)

    def close(self) -> None:
        for one in (self.listener, *self._open):
            with contextlib.suppress(OSError):  # closed already
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        for thread in self._threads:
            thread.join(60)


def ask(to: tuple[str, int], source: str, patience: float = 0.4) -> str:
    """What comes back, or how it fails. ``patience``: seconds that a dropped SYN is waited for."""
    try:
        with socket.create_connection(to, timeout=patience, source_address=(source, 0)) as connection:
            connection.settimeout(60)
            connection.sendall(b"hello")
            return connection.recv(100).decode() or "closed"
    except TimeoutError:
        return "no answer"
    except ConnectionError as error:
        return type(error).__name__
