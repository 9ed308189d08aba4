"""Standing aside: for a while, with all threads, and without forgetting what may be used."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from workers import cpus
from workers.cpus import aside, own_cpus, standing_aside
from workers.link import WorkerLink


@pytest.fixture
def tasks(monkeypatch: pytest.MonkeyPatch) -> dict[int, set[int]]:
    """Two threads on four CPUs, one of them on two only; 0 is the caller."""
    affinity = {0: {0, 1, 2, 3}, 11: {0, 1, 2, 3}, 12: {2, 3}}

    def pin(task: int, wanted: set[int]) -> None:
        if task not in affinity:
            raise ProcessLookupError
        affinity[task] = set(wanted)
        if task == 11:
            affinity[0] = set(wanted)

    monkeypatch.setattr(os, "sched_getaffinity", lambda task: set(affinity[task]))
    monkeypatch.setattr(os, "sched_setaffinity", pin)
    monkeypatch.setattr(cpus, "_tasks", lambda: [task for task in affinity if task])
    return affinity


def test_all_threads_keep_off_and_come_back(tasks: dict[int, set[int]]) -> None:
    with aside((3,)):
        assert (tasks[11], tasks[12]) == ({0, 1, 2}, {2})
        assert standing_aside()
        assert own_cpus() == {0, 1, 2, 3}
        tasks[13] = {0, 1, 2}
    assert tasks == {0: {0, 1, 2, 3}, 11: {0, 1, 2, 3}, 12: {2, 3}, 13: {0, 1, 2, 3}}
    assert not standing_aside()


def test_a_thread_that_has_no_other_cpu_stays(tasks: dict[int, set[int]]) -> None:
    with aside((2, 3)):
        assert (tasks[11], tasks[12]) == ({0, 1}, {2, 3})


@pytest.mark.parametrize("measuring", [(0, 1, 2, 3), (7,), ()])
def test_without_a_complement_nothing_changes(tasks: dict[int, set[int]], measuring: tuple[int, ...]) -> None:
    before = {task: set(found) for task, found in tasks.items()}
    with aside(measuring):
        assert not standing_aside()
        assert tasks == before


def test_a_raising_block_comes_back_too(tasks: dict[int, set[int]]) -> None:
    def fail() -> None:
        tasks.pop(12)
        raise RuntimeError

    with pytest.raises(RuntimeError), aside((3,)):
        fail()
    assert tasks[11] == {0, 1, 2, 3}


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two CPUs")
def test_real_threads_are_moved() -> None:
    mine, done = os.sched_getaffinity(0), threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    number = thread.native_id or 0
    with aside((max(mine),)):
        assert os.sched_getaffinity(number) == os.sched_getaffinity(0) == mine - {max(mine)}
    assert os.sched_getaffinity(number) == os.sched_getaffinity(0) == mine
    done.set()
    thread.join()


def test_a_worker_started_meanwhile_is_told_what_it_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[tuple[str, ...]] = []

    class Process:
        def __init__(self, command: tuple[str, ...], *rest: object) -> None:
            started.append(tuple(command))

        def end(self, grace_s: float) -> int:
            return 0

    monkeypatch.setattr("workers.link.PipedProcess", Process)
    WorkerLink(command=["w"]).close()
    monkeypatch.setattr(cpus, "_BEFORE", [frozenset({1, 0})])
    WorkerLink(command=["w"]).close()
    assert [[word for word in command if word.startswith("--cpus")] for command in started] == [[], ["--cpus=0,1"]]


def test_a_worker_uses_the_cpus_it_is_told_before_it_counts_them() -> None:
    cpu = max(os.sched_getaffinity(0))
    command = [sys.executable, "-P", "-m", "workers.worker", "--probe", f"--cpus={cpu}"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert '"cores":1' in said
    refused = subprocess.run([*command[:-1], "--cpus=4095"], capture_output=True, text=True, check=False, timeout=60)
    assert refused.returncode != 0
    assert "must be able to use the CPUs [4095]" in refused.stderr
