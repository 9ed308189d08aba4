"""What is particular to OpenVINO: which choices have a kernel, properties honoured or refused, errors it hides."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from onnx import NodeProto, TensorProto, helper, numpy_helper, save

from qsearch.contracts.candidate import Candidate
from qsearch.contracts.causes import Cause
from qsearch.contracts.choices import Choice
from qsearch.contracts.errors import ModelError, Unsupported, WorkFailed
from qsearch.contracts.installing import install_hint
from qsearch.contracts.target import Target
from qsearch.measure.fingerprint import circumstances, runtime_key, saturates, this_machine
from qsearch.measure.ort import OnnxRuntime
from qsearch.measure.ov import CAPABILITIES, OpenVino
from qsearch.measure.ov_properties import must_be_honoured, ready_core
from qsearch.measure.ov_signal_stack import signal_stack_kept
from qsearch.measure.runtimes import settings_of
from qsearch.quantize.assemble import assemble
from qsearch.quantize.prepare import prepare_model
from qsearch.quantize.rounding import WeightRules

TARGET = Target(name="here", runtime="openvino")
TWO = Target(name="two", runtime="openvino", threads=2)
RNG = np.random.default_rng(0)
Axes = Sequence[int | str | None]


def _weight(*shape: int) -> np.ndarray:
    return (RNG.standard_normal(shape) / np.sqrt(shape[-1])).astype(np.float32)


def _save(
    path: Path,
    nodes: Sequence[NodeProto],
    shape: Axes | None = ("n", 4),
    weights: Mapping[str, np.ndarray] | None = None,
    kind: int = TensorProto.FLOAT,
    outputs: Sequence[str] = ("y",),
) -> Path:
    inputs = [helper.make_tensor_value_info("x", kind, shape)]
    given = [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()]
    results = [helper.make_empty_tensor_value_info(name) for name in outputs]
    for value in results:
        value.type.tensor_type.elem_type = kind if kind != TensorProto.INT64 else TensorProto.FLOAT
    graph = helper.make_graph(nodes, "g", inputs, results, given)
    save(helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


#: operator → one layer of it, the shape of its input
LAYERS: dict[str, tuple[list[NodeProto], dict[str, np.ndarray], tuple[int, ...]]] = {
    "MatMul": ([helper.make_node("MatMul", ["x", "W"], ["y"], "layer")], {"W": _weight(64, 24)}, (3, 5, 64)),
    "MatMul, odd": ([helper.make_node("MatMul", ["x", "W"], ["y"], "layer")], {"W": _weight(37, 5)}, (4, 37)),
    "MatMul, left": ([helper.make_node("MatMul", ["W", "x"], ["y"], "layer")], {"W": _weight(24, 64)}, (2, 64, 5)),
    "MatMul, Add": (
        [helper.make_node("MatMul", ["x", "W"], ["m"], "layer"), helper.make_node("Add", ["m", "b"], ["y"], "add")],
        {"W": _weight(64, 24), "b": _weight(24)},
        (3, 64),
    ),
    "Gemm": (
        [helper.make_node("Gemm", ["x", "W", "b"], ["y"], "layer", transB=1, alpha=0.5)],
        {"W": _weight(24, 64), "b": _weight(24)},
        (3, 64),
    ),
    "Conv": (
        [
            helper.make_node("Conv", ["x", "W", "b"], ["c"], "layer", pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["c"], ["y"]),
        ],
        {"W": _weight(16, 8, 3, 3), "b": _weight(16)},
        (2, 8, 10, 10),
    ),
    "Conv, depthwise": (
        [helper.make_node("Conv", ["x", "W"], ["y"], "layer", group=8)],
        {"W": _weight(8, 1, 3, 3)},
        (2, 8, 10, 10),
    ),
    "Gather": (
        [helper.make_node("Gather", ["W", "x"], ["g"], "layer"), helper.make_node("Relu", ["g"], ["y"])],
        {"W": _weight(50, 30)},
        (2, 7),
    ),
}


#: choice of weights alone → what OpenVINO keeps whole blocks of a matrix in
PACKED = {Choice.INT8_WEIGHT: "u8", Choice.INT4_WEIGHT: "u4", Choice.BINARY: "u2"}


def _built(folder: Path, name: str, choice: Choice, *, promised: bool = True) -> tuple[Path, np.ndarray]:
    """A one-layer model with that choice, as the product assembles it, and an input."""
    nodes, weights, shape = LAYERS[name]
    kind = TensorProto.INT64 if name == "Gather" else TensorProto.FLOAT
    source = _save(folder / "source.onnx", nodes, ["n", *shape[1:]], weights, kind)

    def drawn() -> np.ndarray:
        return RNG.integers(0, 50, shape) if name == "Gather" else RNG.standard_normal(shape).astype(np.float32)

    prepared = prepare_model(
        source,
        folder / "prepared",
        calibration=[{"x": drawn()} for _ in range(3)],
        runtime=OpenVino() if promised else OnnxRuntime(),
        target=TARGET if promised else Target(name="t"),
        choices=[choice],
        rules=WeightRules(bits=7 if saturates(this_machine()) else 8),
    )
    (layer,) = prepared.inspection.layers
    assert choice in layer.choices
    return assemble(folder / "prepared", Candidate(choices={layer.id: choice}), folder / "built").path, drawn()


def _both(model: Path, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, dict[str, int]]:
    """OpenVINO's output, ONNX Runtime's, and the operators that OpenVINO ran."""
    loaded = OpenVino().load(model, TARGET)
    found = loaded.run({"x": x})["y"]
    return found, OnnxRuntime().load(model, Target(name="t")).run({"x": x})["y"], dict(loaded.float_ops())


@pytest.mark.parametrize("name", [n for n in LAYERS if n not in {"MatMul, left", "Gather"}])
def test_static_int8_runs_in_integer_kernels_and_is_right(tmp_path: Path, name: str) -> None:
    model, x = _built(tmp_path, name, Choice.INT8_STATIC)
    found, expected, operators = _both(model, x)
    kernel = "Convolution" if name.startswith("Conv") else "FullyConnected"
    assert operators[f"{kernel}:u8"] == 1
    assert f"{kernel}:f32" not in operators
    # A Conv writes codes: where the two round a tie differently they are one step apart.
    step = np.ptp(expected) / 255 if kernel == "Convolution" else 1e-5 * np.abs(expected).max()
    assert np.abs(found - expected).max() <= 1.01 * step


@pytest.mark.parametrize("name", LAYERS)
def test_ternary_is_right_whatever_the_kernel(tmp_path: Path, name: str) -> None:
    model, x = _built(tmp_path, name, Choice.TERNARY)
    found, expected, operators = _both(model, x)
    # Both may round the activation of a MatMul to int8 inside the kernel, each in its own blocks.
    inside = name in {"MatMul", "MatMul, odd", "MatMul, Add", "Gemm"}
    assert np.abs(found - expected).max() <= (0.03 if inside else 1e-5) * np.abs(expected).max()
    if name in {"MatMul", "Gemm"}:
        assert operators["FullyConnected:u2"] == 1


@pytest.mark.parametrize("choice", PACKED)
@pytest.mark.parametrize("name", LAYERS)
def test_packed_weights_are_right_whatever_the_kernel(tmp_path: Path, name: str, choice: Choice) -> None:
    if name == "Gather" and choice is Choice.BINARY:
        assert choice not in CAPABILITIES[name]
        return
    model, x = _built(tmp_path, name, choice)
    found, expected, operators = _both(model, x)
    inside = name in {"MatMul", "MatMul, odd", "MatMul, Add", "Gemm"}
    assert np.abs(found - expected).max() <= (0.03 if inside else 1e-5) * np.abs(expected).max()
    if name in {"MatMul", "Gemm"}:
        assert operators[f"FullyConnected:{PACKED[choice]}"] == 1


@pytest.mark.parametrize("name", ["MatMul", "Gemm", "Conv"])
def test_dynamic_int8_is_not_promised_because_it_would_run_in_float(tmp_path: Path, name: str) -> None:
    """When this fails OpenVINO has learnt it: add the choice to the table."""
    model, x = _built(tmp_path, name, Choice.INT8_DYNAMIC, promised=False)
    found, expected, operators = _both(model, x)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert operators[f"{'Convolution' if name == 'Conv' else 'FullyConnected'}:f32"] == 1
    assert Choice.INT8_DYNAMIC not in CAPABILITIES[name]


def test_fp32_is_computed_in_fp32_whatever_the_cpu_would_rather_take(tmp_path: Path) -> None:
    nodes, weights, shape = LAYERS["MatMul"]
    model = _save(tmp_path / "m.onnx", nodes, ["n", *shape[1:]], weights)
    x = RNG.standard_normal(shape).astype(np.float32)
    found, expected, operators = _both(model, x)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert operators == {"FullyConnected:f32": 1}


@pytest.fixture
def relu(tmp_path: Path) -> Path:
    return _save(tmp_path / "relu.onnx", [helper.make_node("Relu", ["x"], ["y"])])


@pytest.mark.parametrize(
    ("options", "said", "hint"),
    [
        ({"INFERENCE_PRECISON_HINT": "f32"}, "has no property INFERENCE_PRECISON_HINT", "Did you mean INFERENCE_PREC"),
        ({"session.x64quantprecision": "1"}, "has no property session.x64quantprecision", "It has .*TBB_PARTITIONER"),
        ({"FULL_DEVICE_NAME": "mine"}, "has no property FULL_DEVICE_NAME", ""),
        ({"INFERENCE_NUM_THREADS": "4"}, "INFERENCE_NUM_THREADS cannot be set; use threads", ""),
        ({"NUM_STREAMS": "2"}, "NUM_STREAMS cannot be set", ""),
        ({"CACHE_DIR": "/tmp/x"}, "CACHE_DIR cannot be set", ""),
        ({"SCHEDULING_CORE_TYPE": "ECORE_ONLY"}, "SCHEDULING_CORE_TYPE cannot be set; use nothing: the measuring", ""),
        ({"ENABLE_CPU_PINNING": "YES"}, "ENABLE_CPU_PINNING cannot be set; use nothing: the measuring child", ""),
        ({"DYNAMIC_QUANTIZATION_GROUP_SIZE": "many"}, "DYNAMIC_QUANTIZATION_GROUP_SIZE=many: Wrong value", ""),
        ({"INFERENCE_PRECISION_HINT": "f99"}, "INFERENCE_PRECISION_HINT=f99: Wrong value f99", ""),
    ],
)
def test_properties_that_cannot_be_had_are_refused_by_name(relu: Path, options: dict, said: str, hint: str) -> None:
    with pytest.raises(Unsupported, match=said) as caught:
        OpenVino().load(relu, Target(name="o", runtime="openvino", options=options))
    assert re.search(hint, caught.value.hint)


def test_properties_reach_the_model_and_no_other(tmp_path: Path) -> None:
    model, x = _built(tmp_path, "MatMul", Choice.TERNARY)
    exact = Target(name="exact", runtime="openvino", options={"DYNAMIC_QUANTIZATION_GROUP_SIZE": "0"})
    before = OpenVino().load(model, TARGET).run({"x": x})["y"]
    OpenVino().load(model, exact).run({"x": x})
    np.testing.assert_array_equal(OpenVino().load(model, TARGET).run({"x": x})["y"], before)


@pytest.mark.skipif({"avx512_fp16", "amx_fp16"} & set(this_machine().isa), reason="this CPU computes in float16")
def test_a_precision_that_the_cpu_lacks_is_refused(relu: Path) -> None:
    half = Target(name="half", runtime="openvino", options={"INFERENCE_PRECISION_HINT": "f16"})
    with pytest.raises(Unsupported, match=r"INFERENCE_PRECISION_HINT=f16: this CPU computes in b?f(16|32) instead"):
        OpenVino().load(relu, half)


def test_an_option_that_cannot_be_read_back_is_refused(relu: Path) -> None:
    for value in ("YES", "NO"):
        with pytest.raises(Unsupported, match=f"ENABLE_WEIGHTLESS={value}: a compiled model does not tell") as caught:
            OpenVino().load(relu, Target(name="w", runtime="openvino", options={"ENABLE_WEIGHTLESS": value}))
        assert caught.value.hint


@signal_stack_kept()
def test_an_option_that_reads_back_otherwise_is_refused(relu: Path) -> None:
    """As if a machine had not taken what its core was told."""
    asked, got = (
        Target(name="g", runtime="openvino", options={"DYNAMIC_QUANTIZATION_GROUP_SIZE": size}) for size in ("64", "0")
    )
    told, other = ready_core(asked), ready_core(got)
    compiled = other.compile_model(other.read_model(str(relu)), "CPU")
    must_be_honoured(other, compiled, got)
    with pytest.raises(Unsupported, match=r"option DYNAMIC_QUANTIZATION_GROUP_SIZE=64 is not honoured here: .* has 0"):
        must_be_honoured(told, compiled, asked)


def test_options_that_read_back_in_other_words_are_honoured(relu: Path) -> None:
    options = {
        "EXECUTION_MODE_HINT": "ACCURACY",
        "CPU_SPARSE_WEIGHTS_DECOMPRESSION_RATE": "0.30",
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": "064",
        "KV_CACHE_PRECISION": "f32",
    }
    loaded = OpenVino().load(relu, Target(name="many", runtime="openvino", options=options))
    np.testing.assert_array_equal(loaded.run({"x": -np.ones((1, 4), np.float32)})["y"], 0)


def test_an_option_that_changes_a_threads_floats_is_honoured(relu: Path) -> None:
    """In a process of its own: OpenVINO leaves the loading thread without denormals for good."""
    script = (
        "import sys; from pathlib import Path; from qsearch.contracts.target import Target\n"
        "from qsearch.measure.ov import OpenVino\n"
        "options = {'CPU_DENORMALS_OPTIMIZATION': 'YES'}\n"
        "OpenVino().load(Path(sys.argv[1]), Target(name='flush', runtime='openvino', options=options))"
    )
    subprocess.run([sys.executable, "-c", script, str(relu)], check=True, timeout=60)


def test_more_threads_than_cpus_are_refused(relu: Path) -> None:
    many = len(os.sched_getaffinity(0)) + 1
    with pytest.raises(Unsupported, match=f"asks for {many} threads; OpenVINO runs with {many - 1} here"):
        OpenVino().load(relu, Target(name="many", runtime="openvino", threads=many))


def _spent() -> dict[str, int]:
    """Thread → nanoseconds of CPU so far."""
    tasks = Path("/proc/self/task")
    return {name: int((tasks / name / "schedstat").read_text().split()[0]) for name in os.listdir(tasks)}


def test_one_thread_is_the_callers_and_no_other_is_started(tmp_path: Path) -> None:
    model = _save(
        tmp_path / "m.onnx", [helper.make_node("MatMul", ["x", "W"], ["y"])], ["n", 512], {"W": _weight(512, 512)}
    )
    OpenVino().version()
    before = set(os.listdir("/proc/self/task"))
    loaded, x = OpenVino().load(model, TARGET), np.ones((256, 512), np.float32)
    for _ in range(5):
        loaded.run({"x": x})
    assert set(os.listdir("/proc/self/task")) <= before


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two CPUs")
def test_two_threads_are_no_more_at_work(tmp_path: Path) -> None:
    model = _save(
        tmp_path / "m.onnx", [helper.make_node("MatMul", ["x", "W"], ["y"])], ["n", 512], {"W": _weight(512, 512)}
    )
    loaded, x = OpenVino().load(model, TWO), np.ones((256, 512), np.float32)
    bits = {loaded.run({"x": x})["y"].tobytes() for _ in range(3)}
    before = _spent()
    bits |= {loaded.run({"x": x})["y"].tobytes() for _ in range(20)}
    spent = {name: total - before.get(name, 0) for name, total in _spent().items()}
    assert len(bits) == 1
    # On a busy machine the second may come too late for its share; a third there never is.
    assert sum(used > 0.05 * max(spent.values()) for used in spent.values()) <= 2


@pytest.mark.parametrize("target", [TARGET, TWO], ids=["one", "two"])
def test_what_fails_in_a_run_is_never_silent(tmp_path: Path, target: Target) -> None:
    """A synchronous request in a stream of one thread would return as if nothing were wrong."""
    if target.threads > len(os.sched_getaffinity(0)):
        pytest.skip("needs two CPUs")
    model = _save(
        tmp_path / "r.onnx", [helper.make_node("Reshape", ["x", "s"], ["y"])], weights={"s": np.array([3, -1, 5])}
    )
    loaded = OpenVino().load(model, target)
    assert loaded.run({"x": np.ones((15, 4), np.float32)})["y"].shape == (3, 4, 5)
    with pytest.raises(ModelError, match=r"r\.onnx loaded, and failed when run: .*reshape"):
        loaded.run({"x": np.ones((2, 4), np.float32)})
    assert loaded.run({"x": np.ones((15, 4), np.float32)})["y"].shape == (3, 4, 5)


def test_a_model_that_is_too_large_to_compile_is_out_of_memory(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("ConstantOfShape", ["s"], ["ones"]),
        helper.make_node("ReduceSum", ["ones"], ["sum"], keepdims=0),
        helper.make_node("Add", ["x", "sum"], ["y"]),
    ]
    model = _save(tmp_path / "huge.onnx", nodes, weights={"s": np.array([2**18, 2**18])})
    with pytest.raises(WorkFailed, match="out of memory") as caught:
        OpenVino().load(model, TARGET)
    assert caught.value.cause is Cause.OUT_OF_MEMORY


@pytest.mark.parametrize(
    ("kind", "said"), [(TensorProto.STRING, "'x' holds strings"), (TensorProto.BFLOAT16, "'x' holds bfloat16")]
)
def test_types_that_it_breaks_are_refused(tmp_path: Path, kind: int, said: str) -> None:
    model = _save(tmp_path / "k.onnx", [helper.make_node("Identity", ["x"], ["y"])], ["n"], kind=kind)
    with pytest.raises(Unsupported, match=said):
        OpenVino().load(model, TARGET)


def test_an_input_without_known_axes_is_refused(tmp_path: Path) -> None:
    model = _save(tmp_path / "r.onnx", [helper.make_node("Relu", ["x"], ["y"])], None)
    with pytest.raises(ModelError, match=r"refuses r\.onnx: .*dynamic rank.*: x"):
        OpenVino().load(model, TARGET)


def test_outputs_have_the_names_of_the_file(tmp_path: Path) -> None:
    """One tensor under three names, and an input that is an output too."""
    nodes = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("Identity", ["a"], ["y"]),
        helper.make_node("Identity", ["a"], ["z"]),
    ]
    model = _save(tmp_path / "n.onnx", nodes, outputs=("z", "x", "a", "y"))
    x = np.array([[-1, 2, -3, 4]], np.float32)
    found = OpenVino().load(model, TARGET).run({"x": x})
    assert list(found) == ["z", "x", "a", "y"]
    np.testing.assert_array_equal(found["x"], x)
    for name in ("z", "a", "y"):
        np.testing.assert_array_equal(found[name], np.maximum(x, 0))


def test_axes_of_one_name_may_differ_where_the_model_runs_all_the_same(tmp_path: Path) -> None:
    """Exporters name axes carelessly; ONNX Runtime does not compare them either."""
    graph = helper.make_graph(
        [helper.make_node("ReduceSum", ["u"], ["s"], keepdims=0), helper.make_node("Add", ["x", "s"], ["y"])],
        "g",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in ("x", "u")],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n"])],
    )
    save(helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 17)]), tmp_path / "a.onnx")
    found = OpenVino().load(tmp_path / "a.onnx", TARGET).run({"x": np.ones(2, np.float32), "u": np.ones(3, np.float32)})
    np.testing.assert_array_equal(found["y"], [4, 4])


@pytest.mark.parametrize("gone", ["first, second", "second, first", "first"])
@pytest.mark.parametrize("watched", [True, False], ids=["faulthandler", "plain"])
def test_a_signal_finds_its_handler_whichever_model_goes_first(relu: Path, gone: str, watched: bool) -> None:
    code = (
        "import faulthandler, os, signal\nfrom pathlib import Path\n"
        "from qsearch.contracts.target import Target\nfrom qsearch.measure.ov import OpenVino\n"
        f"if {watched}:\n    faulthandler.enable()\n"
        "signal.signal(signal.SIGINT, lambda *_: print('handled'))\n"
        "target = Target(name='t', runtime='openvino')\n"
        f"first, second = (OpenVino().load(Path({str(relu)!r}), target) for _ in range(2))\n"
        f"del {gone}\nos.kill(os.getpid(), signal.SIGINT)\n"
    )
    assert _output(code) == ["handled"]


def test_telemetry_is_left_out_and_the_package_is_whole() -> None:
    code = (
        "import sys\nfrom qsearch.measure.ov import OpenVino\nOpenVino().version()\n"
        "print([n for n in sys.modules if n.startswith('openvino_telemetry')])\n"
        "import openvino\nprint(callable(openvino.convert_model))\n"
    )
    assert _output(code) == ["[]", "True"]


def test_without_the_package_it_says_how_to_get_it() -> None:
    code = (
        "import sys\nsys.modules['openvino'] = None\n"
        "from qsearch.contracts.errors import Unsupported\nfrom qsearch.measure.ov import OpenVino\n"
        "try:\n    OpenVino().version()\nexcept Unsupported as error:\n    print(error)\n"
    )
    message, hint = _output(code)
    assert message.startswith("runtime openvino cannot be imported: ")
    assert hint == install_hint("openvino")


def test_its_own_settings_are_in_its_key() -> None:
    found = circumstances(TARGET, "openvino 2026.4.1", this_machine())
    assert "INFERENCE_PRECISION_HINT=f32" in found.details["options"]
    assert "NUM_STREAMS=0" in found.details["options"]
    assert "session." not in found.details["options"]
    narrow = Target(name="b", runtime="openvino", options={"INFERENCE_PRECISION_HINT": "bf16"})
    assert runtime_key(narrow, "openvino 2026.4.1") != runtime_key(TARGET, "openvino 2026.4.1")
    with pytest.raises(Unsupported, match="runtime abacus is not in this version; it has onnxruntime, openvino"):
        settings_of(Target(name="a", runtime="abacus"))


def _output(code: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip().splitlines()
