"""The machine's lock: exclusive against shared, and alive as long as any process that inherited it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from qsearch.contracts.causes import Cause
from qsearch.contracts.errors import WorkFailed
from workers.slot_lock import machine_lock, slot_lock


class Time:
    def __init__(self) -> None:
        self.now = 0.0

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def _held(path: Path, *, exclusive: bool = True) -> bool:
    try:
        with slot_lock(path, exclusive, 0):
            return False
    except WorkFailed:
        return True


def test_measuring_is_alone_and_heavy_work_shares(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "slot.lock"
    with slot_lock(path, True, 0):
        assert _held(path)
        assert _held(path, exclusive=False)
    with slot_lock(path, False, 0):
        assert not _held(path, exclusive=False)
        assert _held(path)
    assert not _held(path)
    assert path.exists()


def test_waiting_ends_with_who_holds_it(tmp_path: Path) -> None:
    time = Time()
    with (
        slot_lock(tmp_path / "l", True, 0),
        pytest.raises(WorkFailed, match="the last to measure was process") as failed,
        slot_lock(tmp_path / "l", True, 3.0, clock=time.clock, sleep=time.sleep),
    ):
        pass
    assert failed.value.cause is Cause.INFRA
    assert 3.0 <= time.now < 3.2


def test_a_wait_that_is_over_in_time_succeeds(tmp_path: Path) -> None:
    time, first = Time(), slot_lock(tmp_path / "l", True, 0)
    first.__enter__()

    def sleep(seconds: float) -> None:
        time.sleep(seconds)
        if time.now > 1 and first is not None:
            first.__exit__(None, None, None)
            time.now -= 1e6

    with slot_lock(tmp_path / "l", True, 5.0, clock=time.clock, sleep=sleep):
        assert time.now < 0


def test_it_lives_as_long_as_a_child_that_inherited_it(tmp_path: Path) -> None:
    path = tmp_path / "l"
    with slot_lock(path, True, 0) as handle:
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[handle])
    try:
        assert _held(path)
    finally:
        child.communicate(b"\n")
    assert not _held(path)


def test_other_children_do_not_inherit_it(tmp_path: Path) -> None:
    with slot_lock(tmp_path / "l", True, 0):
        code = "print('up', flush=True); input()"
        child = subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, close_fds=False)
    assert child.stdout is not None
    child.stdout.readline()
    try:
        assert not _held(tmp_path / "l")
    finally:
        child.communicate(b"\n")


def test_a_lock_that_cannot_be_opened_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WorkFailed, match="cannot open the machine's lock"), slot_lock(tmp_path / "file" / "l", True, 0):
        pass


def test_a_link_laid_in_its_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("keep me")
    (tmp_path / "l").symlink_to(tmp_path / "precious")
    with pytest.raises(WorkFailed, match="cannot open"), slot_lock(tmp_path / "l", True, 0):
        pass
    assert (tmp_path / "precious").read_text() == "keep me"


def test_processes_of_one_user_agree_on_the_file() -> None:
    assert machine_lock() == machine_lock()
    assert machine_lock().parent.is_dir()
