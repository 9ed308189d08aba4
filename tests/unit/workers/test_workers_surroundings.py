"""The canary, the gate and the lock around real sittings."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qsearch.contracts.codec import from_data, to_data
from qsearch.contracts.errors import WorkFailed
from qsearch.contracts.limits import Limits, Thresholds
from qsearch.contracts.measurement import Sitting, Tier
from qsearch.contracts.meter import Arm
from qsearch.contracts.target import Target
from qsearch.contracts.verdict import Verdict
from qsearch.graph.canary import ROWS, WIDTH, write_canary
from qsearch.measure.latency import summarise
from qsearch.measure.samples import write_samples
from workers.canary import Canary
from workers.child_process import CHILD
from workers.cpus import choose_cpus
from workers.sitting import ChildMeter
from workers.slot_lock import slot_lock

TARGET = Target(name="here")


@pytest.fixture
def arms(tmp_path: Path) -> list[Arm]:
    feeds = [{"x": np.random.default_rng(i).standard_normal((4, ROWS, WIDTH)).astype(np.float32)} for i in range(3)]
    write_samples(tmp_path / "s.npz", feeds, {}, [4] * 3)
    model = write_canary(tmp_path / "m.onnx")
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    return [Arm(name=n, model=model, sha256=digest, target=TARGET, samples=tmp_path / "s.npz") for n in "RC"]


def _held(path: Path) -> bool:
    try:
        with slot_lock(path, True, 0):
            return False
    except WorkFailed:
        return True


def _until(true: Callable[[], bool], seconds: float = 20) -> bool:
    until = time.monotonic() + seconds
    while not true() and time.monotonic() < until:
        time.sleep(0.02)
    return true()


def test_a_sitting_says_what_was_seen_beside_its_arms(arms: list[Arm], tmp_path: Path) -> None:
    lock, children = tmp_path / "l", set()
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            children.update(_holders(lock))

    watcher = threading.Thread(target=watch)
    watcher.start()
    found = ChildMeter(lock=lock).sit(arms, Tier.QUICK, seed=0)
    done.set()
    watcher.join()
    # the canary and both arms held the machine's lock, and it is free with the last of them
    assert len(children) >= 3
    assert not _held(lock)
    assert found.cpus == choose_cpus(1)
    assert [(r.session, r.rounds) for r in found.canary][:2] == [(0, 0), (0, 2)]
    assert min(r.typical_ns for r in found.canary) > 0
    assert [w.session for w in found.readiness] == [0]
    assert found.limits == Limits()
    assert not {"steal", "foreign work", "canary"} & set(found.unavailable)
    assert from_data(Sitting, to_data(found)) == found


def _holders(lock: Path) -> Iterator[int]:
    """Measuring children that have the lock's file open."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            measures = str(CHILD).encode() in (folder / "cmdline").read_bytes().split(b"\0")
            if measures and any(os.readlink(file) == str(lock) for file in (folder / "fd").iterdir()):
                yield int(folder.name)
        except OSError:
            continue


def test_limits_of_the_caller_decide(arms: list[Arm]) -> None:
    limits = Limits(reject=Thresholds(canary=0.0))
    found = ChildMeter(limits=limits).sit(arms, Tier.QUICK, seed=0)
    assert found.limits == limits
    assert any(block.rejected for block in found.blocks)
    assert all(block.rejected for block in found.blocks if block.round < 2)


def test_a_canary_that_cannot_run_never_ends_a_sitting(arms: list[Arm], tmp_path: Path) -> None:
    # the first child is the canary's
    once = tmp_path / "python"
    flag = tmp_path / "flag"
    once.write_text(f'#!/bin/sh\n[ -e {flag} ] && exec {sys.executable} "$@"\ntouch {flag}; exit 3\n')
    once.chmod(0o755)
    found = ChildMeter(child_python=str(once)).sit(arms, Tier.QUICK, seed=0)
    assert found.canary == ()
    assert found.unavailable["canary"].startswith("it could not be run: ")
    assert found.blocks


def test_the_canary_runs_where_the_arms_do(arms: list[Arm], tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    there = tmp_path / "python"
    there.write_text(f'#!/bin/sh\necho >> {asked}; exec {sys.executable} "$@"\n')
    there.chmod(0o755)
    away = [replace(arm, target=replace(arm.target, python=str(there))) for arm in arms]
    found = ChildMeter(child_python="/nonexistent").sit(away, Tier.QUICK, seed=0)
    assert found.canary
    # one for the probe, one for the canary, one for each arm
    assert len(asked.read_text().splitlines()) >= 1 + len(arms)


def test_a_canary_that_dies_is_done_without() -> None:
    with Canary(TARGET, choose_cpus(1), sys.executable, ()) as canary:
        first = canary.read(0, 0)
        assert first is not None
        child = canary._child
        assert child is not None
        os.kill(child.pid, signal.SIGKILL)
        assert canary.read(0, 2) is None
        assert canary.read(0, 4) is None
        assert canary.unavailable
    with Canary(TARGET, choose_cpus(1), str(CHILD.parent / "absent"), ()) as absent:
        assert absent.read(0, 0) is None
        assert "cannot start" in absent.unavailable


def test_a_canary_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with Canary(TARGET, choose_cpus(1), sys.executable, ()) as canary:
        assert canary.read(0, 0) is not None
        # the model is gone once it is loaded; the child has a folder for as long as it lives
        assert not list(tmp_path.rglob("*.onnx"))
    assert list(tmp_path.iterdir()) == []


WORKER = """
import subprocess, sys, time
from pathlib import Path
from workers.slot_lock import slot_lock
with slot_lock(Path(sys.argv[1]), True, 0) as handle:
    arm = subprocess.Popen(["sleep", "300"], pass_fds=[handle])
    print(arm.pid, flush=True)
    time.sleep(300)
"""


def test_a_killed_worker_leaves_the_lock_with_its_arm_and_with_nobody_else(tmp_path: Path) -> None:
    lock = tmp_path / "l"
    worker = subprocess.Popen([sys.executable, "-c", WORKER, str(lock)], stdout=subprocess.PIPE, text=True)
    assert worker.stdout is not None
    arm = int(worker.stdout.readline())
    worker.stdout.close()
    worker.kill()
    worker.wait()
    try:
        assert _held(lock)
    finally:
        os.kill(arm, signal.SIGKILL)
    assert _until(lambda: not _held(lock))


SITTING = """
import sys
from pathlib import Path
from qsearch.contracts.measurement import Tier
from qsearch.contracts.meter import Arm
from qsearch.contracts.target import Target
from workers.sitting import ChildMeter
folder, digest = Path(sys.argv[1]), sys.argv[2]
arms = [Arm(name=n, model=folder / "m.onnx", sha256=digest, target=Target(name="t"), samples=folder / "s.npz")
        for n in "RC"]
ChildMeter(lock=folder / "l").sit(arms, Tier.FINAL, seed=0)
"""


def test_a_killed_sitting_frees_the_machine_with_its_last_arm(arms: list[Arm], tmp_path: Path) -> None:
    lock = tmp_path / "l"
    worker = subprocess.Popen([sys.executable, "-c", SITTING, str(tmp_path), arms[0].sha256])
    try:
        assert _until(lambda: len(set(_holders(lock))) >= 2)
        assert _held(lock)
    finally:
        worker.kill()
        worker.wait()
    assert _until(lambda: not _held(lock))
    assert not set(_holders(lock))


@contextmanager
def _busy(cpu: int) -> Iterator[None]:
    # its own parent is gone: whoever descends from the meter's process is not foreign
    code = f"import os\nif pid := os.fork(): print(pid); os._exit(0)\nos.close(1); os.sched_setaffinity(0, {{{cpu}}})"
    code += "\nwhile True: pass"
    started = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True)
    try:
        yield
    finally:
        os.kill(int(started.stdout), signal.SIGKILL)


@pytest.mark.noisy
def test_a_busy_process_on_the_same_cpu_is_seen_named_and_gives_no_wrong_verdict(arms: list[Arm]) -> None:
    cpus = choose_cpus(1)
    with _busy(cpus[0]):
        found = ChildMeter(cpus=cpus).sit(arms, Tier.QUICK, seed=0)
    said = summarise(found, "C")
    assert said.verdict in (Verdict.POLLUTED, Verdict.EQUIVALENT, Verdict.UNRESOLVED)
    assert "not_ready" in said.flags
    assert any(block.rejected for block in found.blocks)
    assert any(name.startswith("python") for name in found.polluters)
