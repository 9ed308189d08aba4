"""Whether a submitted job still has a driver to come: papers and a lock as a keeper would hold them, no Ray."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest
from driver_world import World

from qsearch.cluster.file_lock import locked
from qsearch.cluster.ray_head import Head, HeadFolder, note_handed, write_papers
from qsearch.contracts.errors import Unreachable
from qsearch.service import awaited
from qsearch.service.awaited import ASK_S, AwaitedDriver


class ImaginedHead:
    """The head of one folder: alive or not, answering or not, with these drivers."""

    def __init__(self, folder: HeadFolder) -> None:
        self.folder = folder
        self.drivers: tuple[str, ...] | None = ()
        self.asked = 0
        self._lock = ExitStack()

    def begin(self) -> None:
        head = Head(
            pid=os.getpid(),
            address="127.0.0.1:1",
            dashboard="http://127.0.0.1:1",
            scratch="",
            mark="m",
            started=datetime.now(UTC),
            idle_s=300.0,
        )
        write_papers(self.folder, head)
        self._lock.enter_context(locked(self.folder.alive))

    def die(self) -> None:
        self._lock.close()

    def answer(self, folder: HeadFolder, head: Head) -> tuple[str, ...]:
        self.asked += 1
        if self.drivers is None:
            raise Unreachable("too busy")
        return self.drivers


@pytest.fixture
def head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ImaginedHead:
    made = ImaginedHead(HeadFolder(tmp_path / "head").made())
    monkeypatch.setattr(awaited, "folder_of", lambda database: made.folder)
    monkeypatch.setattr(awaited, "drivers_of", made.answer)
    return made


def clock() -> tuple[Callable[[], float], list[float]]:
    now = [0.0]
    return lambda: now[0], now


def test_a_driver_is_lost_with_its_head_or_without(tmp_path: Path, head: ImaginedHead) -> None:
    job = World(tmp_path).job(3)
    read, now = clock()
    looking = AwaitedDriver("d", read)
    note_handed(head.folder, f"{job.id}-1")
    assert looking.is_lost(job), "no head lives"
    head.begin()
    head.drivers = (f"{job.id}-1",)
    assert not looking.is_lost(job)
    head.drivers = ()
    assert not looking.is_lost(job), "Ray is not asked that often"
    now[0] += ASK_S
    assert looking.is_lost(job)
    head.drivers = None
    now[0] += ASK_S
    assert not looking.is_lost(job), "a head that is slow may have it"
    head.die()
    assert looking.is_lost(job)
    assert head.asked == 3


def test_of_a_job_that_was_not_handed_to_this_head_nothing_is_known(tmp_path: Path, head: ImaginedHead) -> None:
    job = World(tmp_path).job(3)
    note_handed(head.folder, "another-1")
    assert not AwaitedDriver("d").is_lost(job)
    assert head.asked == 0
