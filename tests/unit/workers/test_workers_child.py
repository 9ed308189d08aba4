"""The child as a program: light, started by path, its answers clean whatever else is printed."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, save

from qsearch.contracts.causes import Cause
from qsearch.contracts.errors import Unsupported
from qsearch.contracts.target import Target
from qsearch.measure import wire
from qsearch.measure.samples import read_samples, write_samples
from workers import child
from workers.child_process import CHILD
from workers.cpus import choose_cpus

CPUS = tuple(sorted(os.sched_getaffinity(0)))[-1:]
HEAVY = ("scipy", "onnx", "onnx_ir", "pydantic", "psutil", "sqlalchemy", "ray", "torch", "optuna", "yaml", "rich")


def _model(path: Path, op: str = "Relu", rows: str = "n") -> Path:
    """y = op(x · W): with Log, negative products are not numbers."""
    weight = np.eye(4, dtype=np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "W"], ["m"]), helper.make_node(op, ["m"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [rows, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weight, "W")],
    )
    save(helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


def _samples(path: Path) -> Path:
    rng = np.random.default_rng(0)
    sizes = [3, 3, 2]
    write_samples(path, [{"x": rng.standard_normal((s, 4)).astype(np.float32)} for s in sizes], {}, sizes)
    return path


def _arm(folder: Path, **change: object) -> wire.ArmOrder:
    given: dict = {
        "model": str(_model(folder / "m.onnx")),
        "target": Target(name="t"),
        "samples": str(_samples(folder / "s.npz")),
        "batches": 64,
        "cpus": CPUS,
        "warmup_cap_s": 0.1,
    }
    return wire.ArmOrder(**(given | change))


def _predict(folder: Path, model: Path, **change: object) -> wire.PredictOrder:
    given: dict = {
        "model": str(model),
        "target": Target(name="t"),
        "samples": str(_samples(folder / "s.npz")),
        "out": str(folder / "out.npz"),
        "cpus": CPUS,
    }
    return wire.PredictOrder(**(given | change))


def _ask(
    *messages: wire.Message, python: str = sys.executable, **environment: str
) -> tuple[int, list[wire.Message], str]:
    orders = b"".join(map(wire.encode, messages))
    done = subprocess.run(
        [python, "-I", str(CHILD)],
        input=orders,
        capture_output=True,
        timeout=60,
        check=False,
        env={name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"} | environment,
    )
    answers = [wire.decode(line) for line in done.stdout.splitlines(keepends=True)]
    return done.returncode, answers, done.stderr.decode()


def test_it_imports_nothing_heavy() -> None:
    code = (
        f"import runpy, sys; sys.modules['__name__'] = None; runpy.run_path({str(CHILD)!r}, run_name='child');"
        f"print([m for m in {HEAVY!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_arm_warms_up_then_times_a_block_for_every_turn(tmp_path: Path) -> None:
    order = _arm(tmp_path)
    code, answers, errors = _ask(order, wire.Turn(first=0, runs=5), wire.Turn(first=5, runs=7))
    assert (code, errors) == (0, "")
    warm, first, second = answers
    assert isinstance(warm, wire.Warm)
    assert isinstance(first, wire.Times)
    assert isinstance(second, wire.Times)
    assert warm.model_sha256 == hashlib.sha256(Path(order.model).read_bytes()).hexdigest()
    assert warm.runtime.startswith("onnxruntime ")
    assert (warm.facts["affinity"], warm.facts["nice"]) == (str(CPUS[0]), "0")
    assert min(warm.load_ms, warm.first_ms, warm.warmup_s, warm.typical_ns) > 0
    assert warm.cycle == 3
    assert [len(first.samples_ns), len(second.samples_ns)] == [5, 7]
    assert first.telemetry["elapsed_ms"] * 1e6 >= sum(first.samples_ns)
    assert 10 * 2**20 < first.peak_rss_bytes < 2**30


def test_memory_is_the_childs_own_and_not_that_of_a_large_parent(tmp_path: Path) -> None:
    ballast = np.ones(400 * 2**20, np.uint8)
    _, answers, _ = _ask(_arm(tmp_path), wire.Turn(first=0, runs=1))
    times = answers[1]
    assert isinstance(times, wire.Times)
    assert times.peak_rss_bytes < ballast.nbytes


def test_predictions_are_those_of_the_model_batch_by_batch(tmp_path: Path) -> None:
    code, answers, _ = _ask(_predict(tmp_path, _model(tmp_path / "m.onnx")))
    found = answers[0]
    assert code == 0
    assert isinstance(found, wire.Predictions)
    assert found.float_ops == {"MatMul": 1, "Relu": 1}
    given, out = read_samples(tmp_path / "s.npz"), read_samples(tmp_path / "out.npz")
    assert out.sizes == (3, 3, 2)
    for batch, result in zip(given.feeds, out.feeds, strict=True):
        np.testing.assert_allclose(result["y"], np.maximum(batch["x"], 0), rtol=1e-6)


def test_not_a_number_is_refused_by_output_and_sample_and_leaves_no_file(tmp_path: Path) -> None:
    code, answers, _ = _ask(_predict(tmp_path, _model(tmp_path / "m.onnx", "Log")))
    failed = answers[0]
    assert code == 1
    assert isinstance(failed, wire.Failure)
    assert failed.cause is Cause.BAD_MODEL
    assert failed.message.startswith("output y is not a number for sample ")
    assert not list(tmp_path.glob("out*"))


def test_an_output_without_the_batch_axis_is_refused(tmp_path: Path) -> None:
    _, answers, _ = _ask(_predict(tmp_path, _model(tmp_path / "m.onnx", "ReduceSum")))
    failed = answers[0]
    assert isinstance(failed, wire.Failure)
    assert failed.message == "output y: expected 3 samples on its first axis, found [1, 1]"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model": "/absent.onnx"}, "cannot read /absent.onnx"),
        ({"samples": "/absent.npz"}, "/absent.npz is not a file of samples"),
        ({"target": Target(name="t", runtime="abacus")}, "runtime abacus is not in this version"),
        ({"target": Target(name="t", options={"session.nothing": "1"})}, "session.nothing"),
        ({"cpus": (4095,)}, "cannot pin to the CPUs [4095]"),
        ({"target": Target(name="t", threads=2)}, "target t asks for 2 threads on 1 CPUs"),
    ],
)
def test_what_cannot_be_done_is_a_failure_with_its_reason(tmp_path: Path, change: dict, said: str) -> None:
    code, answers, _ = _ask(_arm(tmp_path, **change))
    failed = answers[0]
    assert code == 1
    assert isinstance(failed, wire.Failure)
    assert failed.cause is Cause.BAD_MODEL
    assert said in failed.message


def test_inputs_of_several_shapes_are_read_in_whole_cycles(tmp_path: Path) -> None:
    sizes = [1, 2, 4] * 5
    write_samples(tmp_path / "mix.npz", [{"x": np.ones((s, 4), np.float32)} for s in sizes], {}, sizes)
    order = _arm(tmp_path, samples=str(tmp_path / "mix.npz"), batches=8)
    _, answers, _ = _ask(order, wire.Turn(first=0, runs=6))
    warm = answers[0]
    assert isinstance(warm, wire.Warm)
    assert warm.cycle == 3


def test_an_environment_that_contradicts_the_target_is_refused(tmp_path: Path) -> None:
    for order in (_arm(tmp_path), _predict(tmp_path, _model(tmp_path / "m.onnx"))):
        _, answers, _ = _ask(order, OMP_NUM_THREADS="3")
        failed = answers[0]
        assert isinstance(failed, wire.Failure)
        assert "asks for 1 threads, OMP_NUM_THREADS is 3" in failed.message
    _, answers, _ = _ask(_arm(tmp_path), OMP_NUM_THREADS="1")
    assert isinstance(answers[0], wire.Warm)


def test_threads_are_counted_and_not_read_back(tmp_path: Path) -> None:
    two = Target(name="two", threads=2)
    child._check_threads(two, child._counted(3, 4))
    child._check_threads(two, child._counted(0, 0))
    child._check_threads(Target(name="gpu", provider="CUDA"), child._counted(3, 9))
    with pytest.raises(Unsupported, match="target two asks for 2 threads; onnxruntime runs with 1 here"):
        child._check_threads(two, child._counted(3, 3))
    with pytest.raises(Unsupported, match="runs with 5 here"):
        child._check_threads(two, child._counted(3, 7))
    cpus = tuple(sorted(os.sched_getaffinity(0)))[-2:]
    if len(cpus) == 2:
        _, answers, _ = _ask(_arm(tmp_path, target=two, cpus=cpus))
        assert isinstance(answers[0], wire.Warm)


def test_every_thread_is_pinned_and_what_the_system_leaves_out_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    pinned: dict[int, set[int]] = {}
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(os, "setpriority", lambda which, who, nice: None)
    monkeypatch.setattr(os, "sched_setaffinity", lambda task, cpus: pinned.update({task: set(cpus)}))
    monkeypatch.setattr(os, "sched_getaffinity", lambda task: set(CPUS))
    monkeypatch.setattr(child, "_tasks", lambda: [11, 12])
    child._settle_in(Target(name="t"), CPUS)
    assert pinned == {11: set(CPUS), 12: set(CPUS)}
    child._check_affinity(Target(name="t"))
    with pytest.raises(Unsupported, match="the system left"):
        child._settle_in(Target(name="t"), (*CPUS, 4095))
    monkeypatch.setattr(os, "sched_getaffinity", lambda task: {0, 1} if task == 12 else {0})
    with pytest.raises(Unsupported, match=r"a thread of onnxruntime may run on the CPUs \[0, 1\]"):
        child._check_affinity(Target(name="t"))


def test_niceness_that_cannot_be_had_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(which: int, who: int, nice: int) -> None:
        raise PermissionError

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(os, "sched_setaffinity", lambda pid, cpus: None)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(CPUS))
    monkeypatch.setattr(os, "setpriority", refuse)
    monkeypatch.setattr(os, "getpriority", lambda which, who: 5)
    child._settle_in(Target(name="t"), CPUS)
    assert child._facts()["nice"] == "5"


def test_wrong_inputs_say_what_was_expected(tmp_path: Path) -> None:
    write_samples(tmp_path / "other.npz", [{"z": np.ones((1, 4), np.float32)}], {}, [1])
    _, answers, _ = _ask(_arm(tmp_path, samples=str(tmp_path / "other.npz")))
    failed = answers[0]
    assert isinstance(failed, wire.Failure)
    assert "expected the inputs x; found z" in failed.message


def test_an_order_of_another_version_ends_it_with_words(tmp_path: Path) -> None:
    line = b'{"kind":"ArmOrder","body":{"colour":1}}\n'
    done = subprocess.run([sys.executable, "-I", str(CHILD)], input=line, capture_output=True, timeout=60, check=False)
    assert done.returncode == 1
    assert b"unknown key" in done.stdout + done.stderr


def test_it_dies_with_its_parent_even_when_busy(tmp_path: Path) -> None:
    order = wire.encode(_arm(tmp_path)) + wire.encode(wire.Turn(first=0, runs=10**9))
    code = (
        "import subprocess, sys, time\n"
        f"command = [sys.executable, '-I', {str(CHILD)!r}]\n"
        "child = subprocess.Popen(command, stdin=-1, stdout=-1, start_new_session=True)\n"
        f"child.stdin.write({order!r}); child.stdin.flush(); child.stdout.readline()\n"
        "print(child.pid, flush=True); time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    number = int(parent.stdout.readline())
    watch = os.pidfd_open(number)
    parent.send_signal(signal.SIGKILL)
    parent.communicate()
    try:
        import select

        assert select.select([watch], [], [], 20)[0], "the child outlived its parent"
    finally:
        os.close(watch)


def test_cpus_are_one_per_thread_cores_first_and_the_last_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    for cpu in range(8):
        (tmp_path / f"cpu{cpu}/topology").mkdir(parents=True)
        (tmp_path / f"cpu{cpu}/topology/thread_siblings_list").write_text(f"{cpu % 4},{cpu % 4 + 4}\n")
    assert choose_cpus(1, topology=tmp_path) == (7,)
    assert choose_cpus(4, topology=tmp_path) == (4, 5, 6, 7)
    assert choose_cpus(6, topology=tmp_path) == (2, 3, 4, 5, 6, 7)
    assert choose_cpus(1, [2, 0], tmp_path) == (2,)
    assert choose_cpus(2, topology=tmp_path / "nothing") == (6, 7)
    with pytest.raises(Unsupported, match="9 threads need as many CPUs, there are 8"):
        choose_cpus(9, topology=tmp_path)
    with pytest.raises(Unsupported, match="CPU 11 cannot be used"):
        choose_cpus(1, [11], tmp_path)
