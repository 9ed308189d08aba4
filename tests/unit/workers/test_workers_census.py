"""Who ran most, from a /proc of our own making and from the real one."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from workers.census import Census


def _process(root: Path, pid: int, name: str, ticks: int, *, parent: int = 1, started: int = 5) -> None:
    (root / f"proc/{pid}").mkdir(parents=True, exist_ok=True)
    rest = f"S {parent} 0 0 0 0 0 0 0 0 0 {ticks} 0 0 0 20 0 1 0 {started} 0"
    (root / f"proc/{pid}/stat").write_text(f"{pid} ({name}) {rest}\n")


def test_names_are_summed_and_the_own_family_is_left_out(tmp_path: Path) -> None:
    for pid, name in ((10, "ours"), (12, "cc1"), (13, "cc1"), (14, "ld (x)"), (15, "idle")):
        _process(tmp_path, pid, name, 100)
    _process(tmp_path, 11, "arm", 100, parent=10)
    census = Census(tmp_path, own=10)
    for pid, name, ticks in ((10, "ours", 900), (12, "cc1", 150), (13, "cc1", 130), (14, "ld (x)", 110)):
        _process(tmp_path, pid, name, ticks)
    _process(tmp_path, 11, "arm", 900, parent=10)
    _process(tmp_path, 16, "new", 20)
    tick = 1000 / os.sysconf("SC_CLK_TCK")
    assert list(census.busiest().items()) == [("cc1", 80 * tick), ("new", 20 * tick), ("ld (x)", 10 * tick)]
    assert census.busiest() == {}


def test_a_number_that_was_given_out_again_is_another_process(tmp_path: Path) -> None:
    _process(tmp_path, 12, "old", 1000)
    census = Census(tmp_path, own=10)
    _process(tmp_path, 12, "young", 30, started=99)
    assert list(census.busiest()) == ["young"]


def test_without_a_proc_nobody_is_known(tmp_path: Path) -> None:
    assert Census(tmp_path / "nothing", own=1).busiest() == {}


def test_a_busy_process_of_this_machine_is_found() -> None:
    census = Census(own=2**30)
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        until, found = time.monotonic() + 20, 0.0
        while found == 0 and time.monotonic() < until:
            time.sleep(0.1)
            found = sum(census.busiest().values())
        assert found > 0
    finally:
        busy.kill()
        busy.wait()
