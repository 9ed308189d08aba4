"""A head that lives and is slow: a keeper's lock and papers, and a server that answers when it is told to."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from qsearch.cluster import ray_head
from qsearch.cluster.file_lock import locked
from qsearch.cluster.ray_head import (
    Head,
    HeadFolder,
    ensure_head,
    find_head,
    living_head,
    note_handed,
    was_handed,
    write_papers,
    write_secret,
)
from qsearch.contracts.errors import Unreachable
from qsearch.service.heading import head_view

#: a keeper that must never be started
NEVER = [sys.executable, "-c", "import sys; sys.exit('error: a second head was started')"]


class _Slow(BaseHTTPRequestHandler):
    """Busy at first; then an empty list, whatever is asked."""

    busy = 0

    def do_GET(self) -> None:
        type(self).busy -= 1
        self.send_response(200 if self.busy < 0 else 503)
        self.end_headers()
        self.wfile.write(b"[]")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing: tests say themselves what is wrong."""


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    with HTTPServer(("127.0.0.1", 0), _Slow) as made:
        serving = threading.Thread(target=made.serve_forever, args=(0.01,))
        serving.start()
        yield made
        made.shutdown()
        serving.join()


@contextmanager
def kept(folder: HeadFolder, server: HTTPServer, *, busy: int) -> Iterator[Head]:
    """A head whose keeper holds its lock; a process that would die if somebody ended the keeper."""
    _Slow.busy = busy
    write_secret(folder.token, "token")
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as keeper, locked(folder.alive):
        head = Head(
            pid=keeper.pid,
            address="127.0.0.1:1",
            dashboard=f"http://127.0.0.1:{server.server_port}",
            scratch=str(folder.path),
            mark="m",
            started=datetime.now(UTC),
            idle_s=300.0,
        )
        write_papers(folder, head)
        yield head
        assert keeper.poll() is None, "the keeper, and with it every job, was ended"
        keeper.kill()


def test_a_head_that_is_slow_to_answer_is_waited_for(
    tmp_path: Path, server: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_head, "_PAUSE_S", 0.01)
    folder = HeadFolder(tmp_path)
    with kept(folder, server, busy=3) as head:
        assert ensure_head(folder, NEVER, os.environ, "secret") == (head, False)


def test_a_head_that_lives_and_never_answers_is_left_to_a_person(
    tmp_path: Path, server: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_head, "_PAUSE_S", 0.01)
    monkeypatch.setattr(ray_head, "START_S", 0.05)
    folder = HeadFolder(tmp_path)
    with kept(folder, server, busy=1 << 30) as head:
        with pytest.raises(Unreachable, match="lives and has not answered for") as told:
            ensure_head(folder, NEVER, os.environ, "secret")
        assert "qsearch head stop ends it, and what runs on it" in told.value.hint
        assert (find_head(folder), living_head(folder)) == (None, head)
        view = head_view(folder, living_head(folder))
        assert view is not None
        assert (view.answers, view.drivers) == (False, ())


def test_what_was_handed_in_is_remembered_beyond_the_head(tmp_path: Path) -> None:
    folder = HeadFolder(tmp_path)
    assert not was_handed(folder, "j1-1")
    note_handed(folder, "j1-1")
    note_handed(folder, "j2-1")
    assert was_handed(folder, "j1-1")
    assert was_handed(folder, "j2-1")
    assert not was_handed(folder, "j2-2")
    note_handed(HeadFolder(tmp_path / "not there"), "j1-1")
