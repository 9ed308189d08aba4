"""Sittings with real children that go wrong in every way a process can, and leave nothing behind."""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, save

from qsearch.contracts.causes import Cause
from qsearch.contracts.errors import Unsupported, UsageError, WorkFailed
from qsearch.contracts.measurement import Tier
from qsearch.contracts.meter import Arm
from qsearch.contracts.target import Target
from qsearch.measure.latency import summarise
from qsearch.measure.samples import write_samples
from workers.child_process import CHILD
from workers.sitting import ChildMeter, predict, read_outputs
from workers.slot_lock import slot_lock

TARGET = Target(name="here")


def _model(path: Path, layers: int = 1, size: int = 64) -> Path:
    rng = np.random.default_rng(0)
    names = [f"t{i}" for i in range(layers)] + ["y"]
    nodes = [helper.make_node("MatMul", ["x" if not i else names[i], f"W{i}"], [names[i + 1]]) for i in range(layers)]
    weights = [(rng.standard_normal((size, size)) / size**0.5).astype(np.float32) for _ in range(layers)]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", size])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", size])],
        [numpy_helper.from_array(w, f"W{i}") for i, w in enumerate(weights)],
    )
    save(helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    rng = np.random.default_rng(1)
    write_samples(
        tmp_path / "s.npz", [{"x": rng.standard_normal((4, 64)).astype(np.float32)} for _ in range(5)], {}, [4] * 5
    )
    return tmp_path / "s.npz"


@pytest.fixture
def arm(tmp_path: Path, samples: Path) -> Callable[[str], Arm]:
    def make(name: str) -> Arm:
        model = _model(tmp_path / f"{name}.onnx")
        return Arm(
            name=name,
            model=model,
            sha256=hashlib.sha256(model.read_bytes()).hexdigest(),
            target=TARGET,
            samples=samples,
        )

    return make


def _script(path: Path, text: str) -> str:
    """An interpreter of our own: what a broken environment looks like to the parent."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def _children() -> set[int]:
    """Processes that run the child's file."""
    found = set()
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                words = (folder / "cmdline").read_bytes().split(b"\0")
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError):
                continue
            if str(CHILD).encode() in words and parent == os.getpid():
                found.add(int(folder.name))
    return found


@contextmanager
def _sending(number: signal.Signals, at: int) -> Iterator[None]:
    """Send a signal to the newest child once so many of ours run and the last has been up a while."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            if len(found := _children()) >= at:
                if done.wait(0.9):
                    return
                os.kill(max(found), number)
                return

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        assert not _children()


def _sit(arms: list[Arm], **options: object) -> None:
    ChildMeter(**options).sit(arms, Tier.QUICK, seed=0)  # type: ignore[arg-type]


def test_a_child_killed_while_measuring_is_a_native_crash_and_ends_the_other_too(arm: Callable[[str], Arm]) -> None:
    with _sending(signal.SIGSEGV, at=2), pytest.raises(WorkFailed, match="died by SIGSEGV") as failed:
        _sit([arm("R"), arm("C")])
    assert failed.value.cause is Cause.NATIVE_CRASH


def test_a_child_killed_by_somebody_else_says_nothing_about_the_model(arm: Callable[[str], Arm]) -> None:
    with _sending(signal.SIGKILL, at=2), pytest.raises(WorkFailed, match="died by SIGKILL") as failed:
        _sit([arm("R"), arm("C")])
    assert failed.value.cause is Cause.INFRA


def test_a_child_that_hangs_is_a_timeout(arm: Callable[[str], Arm]) -> None:
    with _sending(signal.SIGSTOP, at=2), pytest.raises(WorkFailed, match="gave no answer in") as failed:
        _sit([arm("R"), arm("C")], patience_s=2.5)
    assert failed.value.cause is Cause.TIMEOUT


def test_a_model_that_is_none_is_a_bad_model(arm: Callable[[str], Arm]) -> None:
    broken = arm("C")
    broken.model.write_bytes(b"hello")
    with pytest.raises(WorkFailed, match=r"arm C: ONNX Runtime refuses C\.onnx") as failed:
        _sit([arm("R"), broken])
    assert failed.value.cause is Cause.BAD_MODEL
    assert not _children()


def test_another_file_than_announced_is_refused(arm: Callable[[str], Arm]) -> None:
    given = arm("C")
    _model(given.model, layers=2)
    with pytest.raises(WorkFailed, match="expected a model with SHA-256") as failed:
        _sit([arm("R"), given])
    assert failed.value.cause is Cause.BAD_MODEL


def test_a_child_without_memory_says_so(arm: Callable[[str], Arm], tmp_path: Path) -> None:
    nodes = [helper.make_node("Tile", ["x", "often"], ["y"])]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.array([1, 4_000_000], np.int64), "often")],
    )
    huge = tmp_path / "huge.onnx"
    save(helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 17)]), huge)
    tight = _script(tmp_path / "tight", f'ulimit -v 2000000; exec {sys.executable} "$@"')
    with pytest.raises(WorkFailed, match="out of memory") as failed:
        predict(huge, TARGET, arm("R").samples, tmp_path / "o.npz", deadline_s=60, child_python=tight)
    assert failed.value.cause is Cause.OUT_OF_MEMORY


def test_a_flood_of_errors_is_bounded_and_its_tail_is_kept(arm: Callable[[str], Arm], tmp_path: Path) -> None:
    flood = _script(tmp_path / "flood", "yes spam | head -c 50000000 >&2; echo last words >&2; exit 3")
    with pytest.raises(WorkFailed, match="ended with exit code 3") as failed:
        _sit([arm("R")], child_python=flood)
    assert failed.value.tail.endswith("last words")
    assert len(failed.value.tail) <= 8192
    assert failed.value.cause is Cause.INFRA


def test_a_flood_of_answers_is_bounded(arm: Callable[[str], Arm], tmp_path: Path) -> None:
    flood = _script(tmp_path / "flood", "exec tr '\\\\0' x < /dev/zero")
    with pytest.raises(WorkFailed, match="something else than answers"):
        _sit([arm("R")], child_python=flood)
    noise = _script(tmp_path / "noise", "echo Hello; exec sleep 60")
    with pytest.raises(WorkFailed, match="expected a message, found"):
        _sit([arm("R")], child_python=noise)


def test_whatever_a_child_started_dies_with_it(arm: Callable[[str], Arm], tmp_path: Path) -> None:
    note = tmp_path / "pid"
    nest = _script(tmp_path / "nest", f"sleep 300 & echo $! > {note}; echo Hello; wait")
    with pytest.raises(WorkFailed, match="expected a message"):
        _sit([arm("R")], child_python=nest)
    grandchild = int(note.read_text())
    for _ in range(200):
        try:
            state = Path(f"/proc/{grandchild}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return
        if state == "Z":
            return
        time.sleep(0.02)
    pytest.fail("the grandchild lives")


def test_an_interpreter_that_is_not_there_is_said(arm: Callable[[str], Arm], tmp_path: Path) -> None:
    with pytest.raises(WorkFailed, match="cannot start") as failed:
        _sit([arm("R")], child_python=str(tmp_path / "absent"))
    assert failed.value.cause is Cause.INFRA


def test_an_environment_without_numpy_is_said(arm: Callable[[str], Arm], tmp_path: Path) -> None:
    bare = _script(tmp_path / "bare", f'shift; exec {sys.executable} -I -S "$@"')
    with pytest.raises(WorkFailed, match="exit code 1") as failed:
        _sit([arm("R")], child_python=bare)
    assert "No module named 'numpy'" in failed.value.tail


def test_arms_need_different_names_and_enough_cpus(arm: Callable[[str], Arm]) -> None:
    with pytest.raises(UsageError, match="different names"):
        _sit([arm("R"), arm("R")])
    with pytest.raises(UsageError):
        _sit([])
    given = arm("C")
    many = Arm(
        name="M",
        model=given.model,
        sha256=given.sha256,
        samples=given.samples,
        target=Target(name="many", threads=1 + len(os.sched_getaffinity(0))),
    )
    with pytest.raises(Unsupported, match="threads need as many CPUs"):
        _sit([many])


def test_blocks_are_whole_cycles_of_the_shapes_and_say_so(arm: Callable[[str], Arm], tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    sizes = [1, 64, 16] * 30
    feeds = [{"x": rng.standard_normal((s, 64)).astype(np.float32)} for s in sizes]
    write_samples(tmp_path / "mix.npz", feeds, {}, sizes)
    arms = [replace(arm(name), samples=tmp_path / "mix.npz") for name in "RC"]
    found = ChildMeter().sit(arms, Tier.QUICK, seed=0)
    for block in found.blocks:
        assert (block.group > 1, block.cycle) in {(True, 1), (False, 3)}
        assert block.group % 3 == 0 or block.group == 1
        assert len(block.samples_ns) * block.group % 3 == 0
    assert 0.2 < summarise(found, "C").ratio.value < 5


def test_arms_over_other_shapes_are_refused(arm: Callable[[str], Arm], tmp_path: Path) -> None:
    write_samples(tmp_path / "o.npz", [{"x": np.ones((s, 64), np.float32)} for s in (1, 2)], {}, [1, 2])
    with pytest.raises(UsageError, match="must be fed the same samples; their shapes repeat: R every 1, C every 2"):
        _sit([arm("R"), replace(arm("C"), samples=tmp_path / "o.npz")])


def test_an_interpreter_that_sets_other_threads_is_refused(arm: Callable[[str], Arm], tmp_path: Path) -> None:
    meddling = _script(tmp_path / "meddling", f'OMP_NUM_THREADS=7 exec {sys.executable} "$@"')
    with pytest.raises(WorkFailed, match="asks for 1 threads, OMP_NUM_THREADS is 7"):
        _sit([arm("R")], child_python=meddling)


def test_the_machines_lock_is_asked_for(
    arm: Callable[[str], Arm], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.sitting.LOCK_WAIT_S", 0.0)
    with slot_lock(tmp_path / "l", False, 0):
        with pytest.raises(WorkFailed, match="is held by others"):
            _sit([arm("R")], lock=tmp_path / "l")
        predict(arm("R").model, TARGET, arm("R").samples, tmp_path / "o.npz", deadline_s=60, lock=tmp_path / "l")
    with slot_lock(tmp_path / "l", True, 0):
        pass


def test_outputs_come_back_sample_by_sample(arm: Callable[[str], Arm], tmp_path: Path) -> None:
    found = predict(arm("R").model, TARGET, arm("R").samples, tmp_path / "o.npz", deadline_s=60)
    outputs = read_outputs(found.outputs)
    assert [len(outputs["y"]), outputs["y"][0].shape] == [20, (64,)]
    assert found.float_ops == {"MatMul": 1}
    assert found.seconds > 0
    assert found.circumstances.details["omp_num_threads"] == "1"


def test_a_deadline_is_kept_and_leaves_no_file(arm: Callable[[str], Arm], tmp_path: Path) -> None:
    given = arm("R")
    with pytest.raises(WorkFailed) as failed:
        predict(given.model, TARGET, given.samples, tmp_path / "o.npz", deadline_s=0.01)
    assert failed.value.cause is Cause.TIMEOUT
    assert not (tmp_path / "o.npz").exists()
    assert not _children()
