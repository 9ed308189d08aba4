"""What a child has started ends with it, in a process that adopts orphans and in one that does not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from workers.offspring import end_child, hold, now_ours, release

#: starts a child that starts: one in a group of its own, one that also left its parent and its environment
_BODY = """
import json, os, subprocess, sys, time
nap = [sys.executable, "-c", "import time; time.sleep(300)"]
one = subprocess.Popen(nap, start_new_session=True)
tell = "import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(300)'], " \\
    "env={}, start_new_session=True, stdout=subprocess.DEVNULL).pid)"
away = int(subprocess.run([sys.executable, "-c", tell], stdout=subprocess.PIPE, start_new_session=True).stdout)
print(json.dumps([os.getpid(), one.pid, away]), flush=True)
time.sleep(300)
"""
_ADOPTER = f"""
import json, os, subprocess, sys, time
sys.path.insert(0, sys.argv[1])
from workers.offspring import adopt_orphans, end_child, end_orphans, now_ours
own = subprocess.Popen(["sleep", "300"])
adopt_orphans()
late = subprocess.Popen(["sleep", "300"])
child = subprocess.Popen([sys.executable, "-c", {_BODY!r}], stdout=subprocess.PIPE, start_new_session=True)
now_ours(child)
other = subprocess.Popen(["sleep", "300"], start_new_session=True)
now_ours(other)
pids = json.loads(child.stdout.readline())
end_child(child)
assert not any(os.path.exists(f"/proc/{{pid}}") for pid in pids), pids
assert [p.poll() for p in (own, late, other)] == [None] * 3, "what is ours stays"
end_orphans()
end_child(other)
own.kill(), late.kill(), own.wait(), late.wait()
print("clean", os.listdir("/proc/self/fd") and other.returncode)
"""


def test_a_worker_ends_whoever_has_left_and_nobody_else() -> None:
    root = str(Path(__file__).parents[3])
    done = subprocess.run(
        [sys.executable, "-c", _ADOPTER, root], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "clean -9\n", done.stderr


def _child(body: str) -> tuple[subprocess.Popen[bytes], list[int]]:
    child = subprocess.Popen([sys.executable, "-c", body], stdout=subprocess.PIPE, start_new_session=True)
    now_ours(child)
    assert child.stdout is not None
    return child, json.loads(child.stdout.readline())


def test_elsewhere_those_who_kept_their_parent_end() -> None:
    child, (leader, own_group, away) = _child(_BODY)
    try:
        assert end_child(child) == -9
        assert not psutil.pid_exists(leader)
        assert _eventually(lambda: _dead(own_group))
        assert end_child(child) == -9
    finally:
        os.kill(away, 9)
        if child.stdout is not None:
            child.stdout.close()


def test_held_children_do_not_run_until_they_are_released() -> None:
    child, (leader, own_group, away) = _child(_BODY)
    try:
        hold(child)
        assert _eventually(lambda: {psutil.Process(p).status() for p in (leader, own_group)} == {"stopped"})
        release(child)
        assert _eventually(lambda: "stopped" not in {psutil.Process(p).status() for p in (leader, own_group)})
        hold(child)
        assert end_child(child) == -9
    finally:
        os.kill(away, 9)
        if child.stdout is not None:
            child.stdout.close()


def test_shared_memory_of_a_killed_child_is_removed() -> None:
    body = (
        "import json, time; from multiprocessing import shared_memory\n"
        "print(json.dumps([shared_memory.SharedMemory(create=True, size=64).name]), flush=True); time.sleep(300)"
    )
    child, names = _child(body)
    segment = Path("/dev/shm") / str(names[0])
    try:
        if not segment.exists():
            pytest.skip("shared memory lies elsewhere here")
        hold(child)
        end_child(child)
        assert not segment.exists()
    finally:
        if child.stdout is not None:
            child.stdout.close()


def _dead(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _eventually(met: Callable[[], bool]) -> bool:
    until = time.monotonic() + 10
    while not met():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True
