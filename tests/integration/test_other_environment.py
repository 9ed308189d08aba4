"""Runtimes of another environment: what runs there, what is refused, and nothing that slips in from here."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, save

from qsearch.contracts.causes import Cause
from qsearch.contracts.choices import Choice
from qsearch.contracts.errors import Unsupported, WorkFailed
from qsearch.contracts.measurement import Tier
from qsearch.contracts.meter import Arm
from qsearch.contracts.target import Target
from qsearch.contracts.work import ProbeOrder
from qsearch.measure.latency import summarise
from qsearch.measure.ort import OnnxRuntime
from qsearch.measure.samples import write_samples
from tests.environments import make_environment
from workers import kernels
from workers.calibrator import Calibrator, capabilities_for
from workers.deadline import deadline
from workers.hashing import file_sha256
from workers.interpreters import probed
from workers.kernels import Kernels, kernels_of
from workers.probing import probe
from workers.sitting import ChildMeter, predict, read_outputs

BATCHES = [np.arange(12, dtype=np.float32).reshape(3, 4), np.ones((2, 4), np.float32)]
WEIGHT = np.random.default_rng(0).standard_normal((4, 4)).astype(np.float32)


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_environment(tmp_path_factory.mktemp("other") / "venv")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "W"], ["m"]), helper.make_node("Erf", ["m"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])],
        [numpy_helper.from_array(WEIGHT, "W")],
    )
    save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]), tmp_path / "m.onnx")
    return tmp_path / "m.onnx"


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    write_samples(tmp_path / "samples.npz", [{"x": batch} for batch in BATCHES], {}, [3, 2])
    return tmp_path / "samples.npz"


def _target(python: str, **more: object) -> Target:
    return replace(Target(name="other", python=python), **more)  # type: ignore[arg-type]


def test_the_environment_lacks_everything_else(python: str) -> None:
    code = "import importlib.util as u; print([n for n in %r if u.find_spec(n)])"
    names = ("typer", "sqlalchemy", "optuna", "onnx", "pydantic", "psutil", "qsearch")
    done = subprocess.run([python, "-I", "-c", code % (names,)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_probe_says_what_serves_the_target(python: str, tmp_path: Path) -> None:
    found = probe(ProbeOrder(target=_target(python)), tmp_path, 60.0)
    assert found.runtime.startswith("onnxruntime ")
    assert found.numpy == np.__version__
    assert found.python == sys.version.split()[0]
    assert "CPU" in found.providers


def test_predictions_there_are_those_of_here_and_say_where_they_ran(python: str, model: Path, samples: Path) -> None:
    there = predict(model, _target(python), samples, model.with_name("there.npz"), deadline_s=60)
    here = predict(model, Target(name="here"), samples, model.with_name("here.npz"), deadline_s=60)
    for one, two in zip(read_outputs(there.outputs)["y"], read_outputs(here.outputs)["y"], strict=True):
        np.testing.assert_array_equal(one, two)
    assert there.circumstances.details["interpreter"] == python
    assert there.circumstances.runtime_key == here.circumstances.runtime_key
    assert there.circumstances.numerics == here.circumstances.numerics != ""


def test_two_runtimes_compute_in_two_classes(model: Path, samples: Path) -> None:
    one, two = (
        predict(model, Target(name="t", runtime=name), samples, model.with_name(f"{name}.npz"), deadline_s=60)
        for name in ("onnxruntime", "openvino")
    )
    assert one.circumstances.numerics != two.circumstances.numerics


def test_arms_of_two_environments_and_two_runtimes_sit_together(python: str, model: Path, samples: Path) -> None:
    targets = {"here": Target(name="here"), "other": _target(python), "ov": Target(name="ov", runtime="openvino")}
    sha256 = file_sha256(model)
    arms = [Arm(name=n, model=model, sha256=sha256, target=t, samples=samples) for n, t in targets.items()]
    sitting = ChildMeter().sit(arms, Tier.QUICK, seed=0)
    seen = {run.arm: run.circumstances for run in sitting.runs}
    assert seen["ov"].runtime.startswith("openvino ")
    assert seen["other"].details["interpreter"] == python
    assert seen["here"].shapes == seen["other"].shapes == seen["ov"].shapes != ""
    assert seen["here"].details["shapes"] == "x 3×4 | x 2×4"
    assert {summarise(sitting, arm).shapes for arm in ("other", "ov")} == {seen["here"].shapes}


def test_ranges_are_found_by_the_workers_own_runtime(python: str, model: Path) -> None:
    asked = _target(python, options={"session.set_denormal_as_zero": "1"})
    calibrator = Calibrator(asked)
    assert calibrator.version() == OnnxRuntime().version()
    loaded = calibrator.load(model, replace(asked, options={"session.only_there": "1"}))
    assert loaded.run({"x": BATCHES[0]})["y"].shape == (3, 4)


def test_kernels_are_tried_before_the_search_is_told_of_them(python: str) -> None:
    table = {"MatMul": (Choice.FP32, Choice.INT8_STATIC), "Gather": (Choice.FP32,)}
    assert kernels_of(_target(python), table, OnnxRuntime()) == Kernels(table=table)
    assert kernels_of(_target(sys.executable, runtime="openvino"), {"MatMul": (Choice.FP32,)}, OnnxRuntime()).table


def test_a_kernel_that_crashes_or_hangs_there_is_left_out_and_takes_nothing_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = make_environment(tmp_path / "venv")
    _do_wrong(tmp_path / "venv", crash="int8-dynamic-(MatMul)?/", sleep="ternary-(Gather)?/")
    monkeypatch.setattr(kernels, "_CHOICE_S", 4.0)
    every = (Choice.FP32, Choice.INT8_STATIC, Choice.INT8_DYNAMIC, Choice.TERNARY)
    table = {"MatMul": every, "Gemm": every, "Gather": (Choice.FP32, Choice.TERNARY)}
    found = kernels_of(_target(python), table, OnnxRuntime())
    assert found.table == {
        "MatMul": (Choice.FP32, Choice.INT8_STATIC, Choice.TERNARY),
        "Gemm": every,
        "Gather": (Choice.FP32,),
    }
    crashed, hung = found.notes
    assert crashed.startswith("target other runs no int8-dynamic for MatMul: ")
    assert crashed.endswith("died by SIGSEGV (native-crash)")
    assert hung.startswith("target other runs no ternary for Gather: ")
    assert hung.endswith("(timeout)")


def test_a_float_model_that_crashes_there_ends_the_preparation(tmp_path: Path) -> None:
    python = make_environment(tmp_path / "venv")
    _do_wrong(tmp_path / "venv", crash="fp32-/")
    with pytest.raises(WorkFailed, match="died by SIGSEGV") as caught:
        kernels_of(_target(python), {"MatMul": (Choice.FP32, Choice.INT8_STATIC)}, OnnxRuntime())
    assert caught.value.cause is Cause.NATIVE_CRASH


def test_the_end_of_the_work_is_no_refusal_of_a_choice(tmp_path: Path) -> None:
    python = make_environment(tmp_path / "venv")
    _do_wrong(tmp_path / "venv", sleep="int8-static-/")
    table = {"MatMul": (Choice.FP32, Choice.INT8_STATIC)}
    with deadline(4.0), pytest.raises(WorkFailed) as caught:
        kernels_of(_target(python), table, OnnxRuntime())
    assert caught.value.cause is Cause.TIMEOUT


def _do_wrong(environment: Path, *, crash: str = "", sleep: str = "") -> None:
    """Its runtime crashes, or sleeps, where the folder of the model that it is to run fits a pattern."""
    site = next((environment / "lib").glob("python3*/site-packages"))
    (site / "wrong.pth").write_text("import wrong\n")
    (site / "wrong.py").write_text(
        "import ctypes, json, re, time\n"
        f"CRASH, SLEEP = {crash!r}, {sleep!r}\n"
        "loads = json.loads\n"
        "def hear(text, **more):\n"
        "    said = text if isinstance(text, str) else text.decode()\n"
        "    if CRASH and re.search(CRASH, said): ctypes.string_at(0)\n"
        "    if SLEEP and re.search(SLEEP, said): time.sleep(600)\n"
        "    return loads(text, **more)\n"
        "json.loads = hear\n"
    )


def test_what_the_environment_lacks_is_not_found_here_instead(tmp_path: Path, model: Path, samples: Path) -> None:
    python = make_environment(tmp_path / "venv", ("numpy",))
    with pytest.raises(Unsupported, match=r"target other: .* cannot run it: .*No module named 'onnxruntime'") as caught:
        predict(model, _target(python), samples, tmp_path / "out.npz", deadline_s=60)
    assert caught.value.hint == f"{python} -m pip install onnxruntime"


def test_another_qsearch_there_is_not_taken_for_this_one(tmp_path: Path, model: Path, samples: Path) -> None:
    python = make_environment(tmp_path / "venv")
    site = next((tmp_path / "venv" / "lib").glob("python3*/site-packages"))
    (site / "qsearch").mkdir()
    (site / "qsearch" / "__init__.py").write_text("raise SystemExit('the other one')\n")
    found = predict(model, _target(python), samples, tmp_path / "out.npz", deadline_s=60)
    assert found.circumstances.runtime.startswith("onnxruntime ")


def test_an_environment_without_numpy_is_refused(tmp_path: Path) -> None:
    python = make_environment(tmp_path / "venv", ())
    with pytest.raises(Unsupported, match="has no numpy, which measuring needs"):
        probed(_target(python))


def test_a_provider_that_its_build_lacks_is_refused_with_what_it_has(python: str) -> None:
    with pytest.raises(Unsupported, match=r"provider CUDA is not in onnxruntime .* of .*; it has .*CPU"):
        probed(_target(python, provider="CUDA"))


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ('echo \'{"python": [3, 9, 18], "numpy": "1.26.4"}\'', r"is Python 3\.9\.18; measuring needs 3\.11 or newer"),
        ("echo hello", r"did not tell its version \(exit code 0\); it said: hello"),
        ("echo no such library >&2; exit 127", r"did not tell its version \(exit code 127\); it said: no such library"),
    ],
)
def test_what_is_no_python_or_too_old_is_refused_before_anything_is_measured(
    tmp_path: Path, model: Path, samples: Path, script: str, said: str
) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    arm = Arm(name="R", model=model, sha256="0", target=_target(str(python)), samples=samples)
    with pytest.raises(Unsupported, match=f"target other: {python} {said}"):
        ChildMeter().sit([arm], Tier.QUICK, seed=0)


def test_an_interpreter_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match=r"there is no interpreter .*/gone/bin/python: No such file"):
        probed(_target(str(tmp_path / "gone/bin/python")))
    with pytest.raises(Unsupported, match="cannot be started"):
        probed(_target(str(tmp_path)))


@pytest.mark.parametrize("name", ["python2.7", "python3.6", "python3.8", "python3.10"])
def test_real_old_interpreters_are_refused_by_their_version(name: str) -> None:
    found = shutil.which(name)
    if found is None or subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode:
        pytest.skip(f"no {name} here")
    with pytest.raises(Unsupported, match=f"is Python {name.removeprefix('python')}"):
        probed(_target(found))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_older_runtime_in_a_venv_of_its_own(tmp_path: Path, model: Path, samples: Path) -> None:
    """Downloads the older runtime by pip, and skips where there is no index."""
    made = subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=False, capture_output=True)
    python = str(tmp_path / "venv" / "bin" / "python")
    wanted = ("onnxruntime==1.20.1", "numpy==1.26.4")
    pip = [python, "-m", "pip", "install", "--quiet", *wanted]
    if made.returncode or subprocess.run(pip, check=False, capture_output=True).returncode:
        pytest.skip("no package index")
    old, new = _target(python), Target(name="new")
    assert probed(old).runtime == "onnxruntime 1.20.1"
    sha256 = file_sha256(model)
    arms = [Arm(name=t.name, model=model, sha256=sha256, target=t, samples=samples) for t in (new, old)]
    sitting = ChildMeter().sit(arms, Tier.QUICK, seed=0)
    seen = {run.arm: run.circumstances for run in sitting.runs}
    assert seen["other"].runtime == "onnxruntime 1.20.1"
    assert seen["other"].details["numpy"] == "1.26.4"
    assert seen["other"].runtime_key != seen["new"].runtime_key
    found = predict(model, old, samples, tmp_path / "out.npz", deadline_s=60)
    assert len(found.circumstances.numerics) == 16
    # its MatMulNBits knows four bits only, and ternary weights are kept in two
    table = capabilities_for(old)
    assert Choice.TERNARY not in table["MatMul"]
    assert Choice.INT8_STATIC in table["MatMul"]
    with pytest.raises(WorkFailed, match=r"ONNX Runtime 1\.20\.1 has no session option session\.no_such"):
        predict(model, replace(old, options={"session.no_such": "1"}), samples, tmp_path / "o.npz", deadline_s=60)
