"""A line to a PostgreSQL server that breaks at a COMMIT."""

from __future__ import annotations

import socket
import threading
import time


class Line:
    """A line to the server that is cut at the next COMMIT when `cut` says so: before, after or late.

    `asked` is set when somebody has asked since then what became of the transaction.
    """

    def __init__(self, url: str) -> None:
        self._port = int(url.rsplit(":", 1)[1].split("/", maxsplit=1)[0])
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = url.replace(f":{self._port}/", f":{self._listener.getsockname()[1]}/")
        self.cut = ""
        self.asked = threading.Event()
        self._came_back = threading.Event()
        self._swallows = False
        self._swallowed = threading.Event()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Line:
        self._run(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._port))
            self._run(self._forward, client, server)
            self._run(self._back, client, server)

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        with client, server:
            while words := _received(client):
                if self.cut and b"COMMIT\0" in words:
                    self._cut(client, server, words)
                    return
                if b"pg_xact_status" in words:
                    self.asked.set()
                if b"pg_xact_status" in words or b"FOR UPDATE" in words:
                    self._came_back.set()
                server.sendall(words)

    def _cut(self, client: socket.socket, server: socket.socket, words: bytes) -> None:
        for event in (self.asked, self._came_back, self._swallowed):
            event.clear()
        moment, self.cut = self.cut, ""
        if moment == "after":
            self._swallows = True
            server.sendall(words)
            assert self._swallowed.wait(10), "the server answers COMMIT"
        client.shutdown(socket.SHUT_RDWR)
        if moment == "late":
            # Whoever asks now must be told "in progress", and whoever writes again must wait.
            assert self._came_back.wait(10), "the client comes back"
            time.sleep(0.1)
            server.sendall(words)
        server.shutdown(socket.SHUT_RDWR)

    def _back(self, client: socket.socket, server: socket.socket) -> None:
        while words := _received(server):
            if self._swallows:
                self._swallows = False
                self._swallowed.set()
                continue
            try:
                client.sendall(words)
            except OSError:
                return

    def _run(self, work: object, *given: object) -> None:
        thread = threading.Thread(target=work, args=given, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()


def _received(end: socket.socket) -> bytes:
    try:
        return end.recv(65536)
    except OSError:
        return b""
