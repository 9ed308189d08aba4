"""The link and the worker behind it, with real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from pool_performer import HERE, piece, result

from qsearch.contracts.bench import BenchResult
from qsearch.contracts.causes import Cause
from qsearch.contracts.errors import DataError, Unreachable, UsageError
from qsearch.contracts.machine import Machine
from qsearch.contracts.pool import Slot
from qsearch.contracts.work import Outcome, Work, WorkKind
from workers.link import STARTS, WorkerLink
from workers.tree import MARK, family
from workers.wire import (
    WorkerOptions,
    failed,
    read_hello,
    read_outcome,
    read_work,
    write_hello,
    write_outcome,
    write_work,
)

OPTIONS = WorkerOptions(performer="pool_performer:perform", environment={"PYTHONPATH": HERE})


@pytest.fixture(scope="module")
def shared() -> Iterator[WorkerLink]:
    with_worker = WorkerLink(OPTIONS)
    yield with_worker
    with_worker.close()


def test_work_and_outcome_come_back_equal(tmp_path: Path) -> None:
    work = piece("echo:a", tmp_path)
    outcome = Outcome(kind=work.kind, key=work.key, token=1, result=result("a"), host="h", seconds=1.5)
    assert read_work(write_work(work)) == work
    assert read_outcome(write_outcome(outcome)) == outcome
    without = failed(work, Cause.TIMEOUT, "late", "tail")
    assert read_outcome(write_outcome(without)) == without


def test_unreadable_payloads_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="JSON"):
        read_work("{")
    with pytest.raises(DataError, match="kind: expected one of inspect"):
        read_outcome('{"kind":"dance"}')
    text = write_work(piece("echo", tmp_path))
    with pytest.raises(DataError, match="BenchOrder has an unknown key 'sneed'"):
        read_work(text.replace('"seed"', '"sneed"'))
    with pytest.raises(DataError, match="not finite"):
        write_outcome(Outcome(kind=WorkKind.BENCH, key="k", token=1, result=result(ratio=float("nan"))))


def test_hello_of_another_version_is_refused_before_its_slot_is_read() -> None:
    machine = Machine(host="h", cpu="c", isa=(), cores=2, virtualisation="none")
    slot = Slot(machine=machine, labels={"isa": "avx2"}, runtimes={"onnxruntime": "1"})
    assert read_hello(write_hello(slot)) == slot
    with pytest.raises(Unreachable, match=r"QSearch 9\.9"):
        read_hello('{"version": "9.9", "slot": {"shape": "unknown"}}')


def test_results_exceptions_and_prints_become_outcomes(shared: WorkerLink, tmp_path: Path) -> None:
    expected = {
        "echo:hi": None,
        "flood": None,
        "raise:task": Cause.USER_ERROR,
        "raise:model": Cause.BAD_MODEL,
        "raise:unsupported": Cause.BAD_MODEL,
        "raise:data": Cause.BAD_MODEL,
        "raise:memory": Cause.OUT_OF_MEMORY,
        "raise:crash": Cause.NATIVE_CRASH,
        "raise:full": Cause.DISK_FULL,
        "raise:bug": Cause.INFRA,
        "raise:exit": Cause.INFRA,
        "nan": Cause.BAD_MODEL,
        "wrong": Cause.INFRA,
    }
    found = {data: done(shared, piece(data, tmp_path / "made" / "here")) for data in expected}
    assert {data: outcome.cause for data, outcome in found.items()} == expected
    assert isinstance(found["echo:hi"].result, BenchResult)
    assert found["echo:hi"].result == result("hi")
    assert found["echo:hi"].host == ready(shared).machine.host
    assert found["raise:crash"].tail == "its last words"
    assert "Export it again" in found["raise:model"].message
    assert "no space is left on the disk of" in found["raise:full"].message
    assert "ZeroDivisionError" in found["raise:bug"].tail
    assert (tmp_path / "made" / "here").is_dir()


def test_worker_that_dies_is_an_outcome_and_the_next_piece_runs(shared: WorkerLink, tmp_path: Path) -> None:
    first = ready(shared)
    outcome = done(shared, piece("die:SIGSEGV", tmp_path, token=7))
    assert (outcome.cause, outcome.token, outcome.host) == (Cause.NATIVE_CRASH, 7, first.machine.host)
    assert "SIGSEGV" in outcome.message
    assert "about to die" in outcome.tail
    assert done(shared, piece("echo:again", tmp_path)).cause is None


def test_death_that_looks_like_the_kernels_is_out_of_memory(tmp_path: Path) -> None:
    kills = iter([3, 4])
    link = WorkerLink(OPTIONS, oom_kills=lambda: next(kills))
    try:
        assert done(link, piece("die:SIGKILL", tmp_path)).cause is Cause.OUT_OF_MEMORY
    finally:
        link.close()


def test_deadline_leaves_nobody_alive(shared: WorkerLink, tmp_path: Path) -> None:
    outcome = done(shared, piece("family:hang", tmp_path, deadline_s=2.0))
    assert outcome.cause is Cause.TIMEOUT
    assert "2 s" in outcome.message
    assert gone(tmp_path / "pids")


def test_children_of_a_crashed_worker_die_with_it(shared: WorkerLink, tmp_path: Path) -> None:
    assert done(shared, piece("family:die", tmp_path)).cause is Cause.INFRA
    assert gone(tmp_path / "pids")


def test_stop_cancels_what_runs_and_nothing_else(shared: WorkerLink, tmp_path: Path) -> None:
    ready(shared)
    assert shared.stop() is None
    shared.send(piece("family:hang", tmp_path))
    assert eventually((tmp_path / "pids").exists)
    outcome = shared.stop()
    assert outcome is not None
    assert outcome.cause is Cause.CANCELLED
    assert gone(tmp_path / "pids")


def test_idle_worker_that_dies_is_replaced_silently(shared: WorkerLink, tmp_path: Path) -> None:
    ready(shared)
    before = shared.pid
    os.kill(before, signal.SIGKILL)
    assert eventually(lambda: shared.poll(0.05) is None and shared.pid != before)
    assert done(shared, piece("echo:b", tmp_path)).cause is None


def test_stopped_worker_does_not_stop_its_parent(shared: WorkerLink, tmp_path: Path) -> None:
    ready(shared)
    os.kill(shared.pid, signal.SIGSTOP)
    # larger than the pipe: writing it in one go would wait for ever
    work = piece("echo:" + "z" * 300_000, tmp_path, deadline_s=1.0)
    assert done(shared, work).cause is Cause.TIMEOUT


def test_send_refuses_what_cannot_run(shared: WorkerLink, tmp_path: Path) -> None:
    ready(shared)
    shared.send(piece("echo:c", tmp_path))
    with pytest.raises(UsageError, match="it does job/echo:c"):
        shared.send(piece("echo:d", tmp_path))
    assert shared.poll(30.0) is not None


def test_close_is_final_and_leaves_nothing(tmp_path: Path) -> None:
    link = WorkerLink(OPTIONS)
    ready(link)
    link.send(piece("family:hang", tmp_path))
    assert eventually((tmp_path / "pids").exists)
    link.close()
    link.close()
    assert gone(tmp_path / "pids")
    assert link.poll() is None
    with pytest.raises(UsageError, match="closed"):
        link.send(piece("echo:e", tmp_path))


def test_worker_that_cannot_start_is_given_up_with_its_last_words() -> None:
    link = WorkerLink(command=(sys.executable, "-c", "import sys; sys.exit('no such library')"))
    assert eventually(lambda: link.poll(0.2) is None and bool(link.broken))
    link.close()
    assert f"{STARTS} times" in link.broken
    assert "no such library" in link.broken


def test_worker_of_another_version_is_refused() -> None:
    hello = 'import sys; print(\'{"version": "0.0.1"}\', flush=True); sys.stdin.read()'
    link = WorkerLink(command=(sys.executable, "-c", hello))
    assert eventually(lambda: link.poll(0.2) is None and bool(link.broken))
    link.close()
    assert "QSearch 0.0.1" in link.broken


def test_options_reach_the_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "secret")
    folder = tmp_path / "new"
    options = replace(
        OPTIONS, labels={"rack": "7"}, folder=str(folder), without=("OMP_NUM_THREADS",), niceness=os.nice(0)
    )
    link = WorkerLink(options)
    try:
        assert ready(link).labels["rack"] == "7"
        assert folder.is_dir()
        for name in ("OMP_NUM_THREADS", "RAY_AUTH_TOKEN"):
            outcome = done(link, piece(f"environment:{name}", tmp_path))
            assert isinstance(outcome.result, BenchResult)
            assert outcome.result.latencies[1].flags == (f"{name}= nice={os.nice(0)}",)
    finally:
        link.close()


def test_killed_parent_leaves_no_orphan(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from pool_performer import HERE, piece;"
        "from workers.link import WorkerLink; from workers.wire import WorkerOptions;"
        "link = WorkerLink(WorkerOptions(performer='pool_performer:perform', environment={'PYTHONPATH': HERE}));"
        "link.poll(30); link.send(piece('family:hang', Path(sys.argv[1]))); time.sleep(300)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], env={**os.environ, "PYTHONPATH": HERE})
    try:
        assert eventually((tmp_path / "pids").exists)
    finally:
        parent.kill()
        parent.wait()
    assert gone(tmp_path / "pids")


def test_worker_that_is_killed_alone_leaves_no_orphan(tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-m", "workers.worker", "--performer", "pool_performer:perform"]
    # no link here that would sweep: the guard has to do it
    environment = {**os.environ, "PYTHONPATH": HERE, MARK: "alone"}
    worker = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment, text=True, start_new_session=True
    )
    with worker:
        assert worker.stdin is not None
        worker.stdin.write(write_work(piece("family:hang", tmp_path)) + "\n")
        worker.stdin.flush()
        assert eventually((tmp_path / "pids").exists)
        worker.kill()
        assert gone(tmp_path / "pids")
    assert eventually(lambda: not family(worker.pid, "alone"))


def test_links_can_share_one_event(tmp_path: Path) -> None:
    wake = threading.Event()
    links = [WorkerLink(OPTIONS, wake=wake) for _ in range(2)]
    try:
        for link in links:
            ready(link)
            link.send(piece("echo:f", tmp_path))
        missing = set(links)
        while missing and wake.wait(30.0):
            wake.clear()
            missing -= {link for link in missing if link.poll() is not None}
        assert not missing
    finally:
        for link in links:
            link.close()


def test_probe_says_hello_and_ends() -> None:
    command = [sys.executable, "-P", "-m", "workers.worker", "--probe", "--label", "rack=7"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert read_hello(answer.stdout).labels["rack"] == "7"


def done(link: WorkerLink, work: Work) -> Outcome:
    """Send it as soon as the worker is ready; its outcome."""
    ready(link)
    link.send(work)
    outcome = link.poll(60.0)
    assert outcome is not None
    assert (outcome.kind, outcome.key, outcome.token) == (work.kind, work.key, work.token)
    return outcome


def ready(link: WorkerLink) -> Slot:
    assert eventually(lambda: link.poll(0.2) is None and (link.slot is not None or bool(link.broken)))
    assert link.slot is not None, link.broken
    return link.slot


def gone(pids: Path) -> bool:
    """Whether everybody named in the file has ended."""
    return eventually(lambda: not any(_lives(int(pid)) for pid in pids.read_text().split()))


def eventually(holds: Callable[[], bool], patience_s: float = 30.0) -> bool:
    until = time.monotonic() + patience_s
    while not holds():
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_folder_that_cannot_be_made_is_unreachable_by_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unreachable, match=r"no worker can be started in .*/file/below"):
        WorkerLink(replace(OPTIONS, folder=str(tmp_path / "file" / "below")))


def test_a_folder_that_is_lost_breaks_the_link_and_not_the_caller(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    link = WorkerLink(replace(OPTIONS, folder=str(folder)))
    try:
        ready(link)
        folder.rmdir()
        folder.write_text("in its place")
        assert done(link, piece("die:SIGSEGV", tmp_path)).cause is Cause.NATIVE_CRASH
        assert "no worker can be started" in link.broken
    finally:
        link.close()
