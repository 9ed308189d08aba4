"""What every `Runtime` promises, over ONNX Runtime, OpenVINO and the in-memory twin; and through a child, the real
ones by the interpreter of an environment that holds nothing but the runtime and numpy."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, load, numpy_helper, save

from qsearch.contracts.candidate import Candidate
from qsearch.contracts.causes import Cause
from qsearch.contracts.choices import AVAILABLE, TIMED, UNTIMED, Choice
from qsearch.contracts.errors import DataError, ModelError, Unsupported, WorkFailed
from qsearch.contracts.runtime import Runtime
from qsearch.contracts.target import Target
from qsearch.graph.every_operator import TIME, every_operator_feeds, write_every_operator
from qsearch.measure.memory import MemoryModel, MemoryRuntime
from qsearch.measure.ort import OnnxRuntime
from qsearch.measure.ov import OpenVino
from qsearch.measure.samples import write_samples
from qsearch.quantize.assemble import assemble
from qsearch.quantize.prepare import prepare_model
from tests.environments import make_environment
from workers.sitting import predict, read_outputs

WEIGHT = np.random.default_rng(0).standard_normal((8, 4)).astype(np.float32)
TARGET = Target(name="here")


def _write(path: Path) -> None:
    """y = relu(x · W), s = Σ y."""
    nodes = [
        helper.make_node("MatMul", ["x", "W"], ["m"]),
        helper.make_node("Relu", ["m"], ["y"]),
        helper.make_node("ReduceSum", ["y"], ["s"], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 8])],
        [
            helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4]),
            helper.make_tensor_value_info("s", TensorProto.FLOAT, []),
        ],
        [numpy_helper.from_array(WEIGHT, "W")],
    )
    save(helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 17)]), path)


def _function(feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    y = np.maximum(feeds["x"] @ WEIGHT, 0)
    return {"y": y, "s": y.sum()}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    _write(tmp_path / "tiny.onnx")
    return tmp_path / "tiny.onnx"


REAL = {"onnxruntime": OnnxRuntime, "openvino": OpenVino}
#: options with which u8×s8 sums do not saturate on any CPU
EXACT = {OnnxRuntime: {"session.x64quantprecision": "1"}}


@pytest.fixture(params=[*REAL, "memory"])
def runtime(request: pytest.FixtureRequest, model: Path) -> Runtime:
    if request.param in REAL:
        return REAL[request.param]()
    twin = MemoryModel(
        inputs={"x": ("float32", ("batch", 8))},
        function=_function,
        outputs=("y", "s"),
        operators={"MatMul": 1, "Relu": 1, "ReduceSum": 1},
    )
    return MemoryRuntime({model: twin})


def test_it_says_its_name_and_version(runtime: Runtime) -> None:
    name, version = runtime.version().split()
    assert name
    assert version[0].isdigit()


def test_its_table_has_fp32_first_everywhere(runtime: Runtime) -> None:
    table = runtime.capabilities()
    assert set(table) == {"MatMul", "Gemm", "Conv", "Gather"}
    assert all(choices[0] is Choice.FP32 for choices in table.values())
    # int8-dynamic is one that a runtime may lack: OpenVINO computes its nodes in float; it has no scales by time either
    assert set(table["MatMul"]) - {Choice.INT8_DYNAMIC, *TIMED} == set(UNTIMED) - {Choice.INT8_DYNAMIC}
    # no embedding is kept as signs alone
    assert set(table["Gather"]) == {Choice.FP32, Choice.INT8_WEIGHT, Choice.INT4_WEIGHT, Choice.TERNARY}


#: choice → least cosine to fp32's outputs, of weights drawn from a bell curve; others 0.999
COSINES = {Choice.INT4_WEIGHT: 0.99, Choice.TERNARY: 0.8, Choice.BINARY: 0.7}


@pytest.mark.parametrize("runtime", list(REAL), indirect=True)
def test_it_runs_every_choice_of_its_table_and_the_product_builds_no_other(runtime: Runtime, tmp_path: Path) -> None:
    feeds, target = every_operator_feeds(), Target(name="here", options=EXACT.get(type(runtime), {}))
    layers = prepare_model(
        write_every_operator(tmp_path / "all.onnx"),
        tmp_path / "prepared",
        calibration=[feeds, every_operator_feeds(1.0)],
        runtime=runtime,
        target=target,
        choices=AVAILABLE,
        time_input=TIME,
    ).inspection.layers
    assert {layer.op: set(layer.choices) for layer in layers} == {
        op: set(choices) for op, choices in runtime.capabilities().items()
    }
    floats = Candidate(choices={layer.id: Choice.FP32 for layer in layers})
    exact = runtime.load(assemble(tmp_path / "prepared", floats, tmp_path / "fp32").path, target).run(feeds)
    for choice in AVAILABLE[1:]:
        wanted = {layer.id: choice if choice in layer.choices else Choice.FP32 for layer in layers}
        model = assemble(tmp_path / "prepared", Candidate(choices=wanted), tmp_path / choice.value).path
        found = runtime.load(model, target).run(feeds)
        for name, array in exact.items():
            cosine = np.sum(found[name] * array) / np.linalg.norm(found[name]) / np.linalg.norm(array)
            assert cosine > COSINES.get(choice, 0.999), (choice, name)
    lacking = {layer.id: Choice.BINARY if layer.op == "Gather" else Choice.FP32 for layer in layers}
    with pytest.raises(Unsupported, match=r"\(Gather\) has no choice binary"):
        assemble(tmp_path / "prepared", Candidate(choices=lacking), tmp_path / "none")


def test_inputs_have_names_types_and_shapes(runtime: Runtime, model: Path) -> None:
    assert runtime.load(model, TARGET).inputs() == {"x": ("float32", ("batch", 8))}


def test_outputs_are_the_models_in_its_order(runtime: Runtime, model: Path) -> None:
    x = np.random.default_rng(1).standard_normal((3, 8)).astype(np.float32)
    found = runtime.load(model, TARGET).run({"x": x})
    assert list(found) == ["y", "s"]
    np.testing.assert_allclose(found["y"], np.maximum(x @ WEIGHT, 0), rtol=1e-5, atol=1e-6)


def test_equal_feeds_give_equal_bits(runtime: Runtime, model: Path) -> None:
    x = np.random.default_rng(2).standard_normal((5, 8)).astype(np.float32)
    one, two = runtime.load(model, TARGET), runtime.load(model, TARGET)
    bits = {one.run({"x": x})["y"].tobytes() for _ in range(3)} | {two.run({"x": x})["y"].tobytes()}
    assert len(bits) == 1


def test_feeds_are_left_as_they_are_and_outputs_stay(runtime: Runtime, model: Path) -> None:
    x = np.random.default_rng(3).standard_normal((2, 8)).astype(np.float32)
    kept, loaded = x.copy(), runtime.load(model, TARGET)
    first = loaded.run({"x": x})["y"]
    before = first.copy()
    loaded.run({"x": -x})
    np.testing.assert_array_equal(x, kept)
    np.testing.assert_array_equal(first, before)


@pytest.mark.parametrize("rows", [1, 4, 0])
def test_open_axes_take_any_size_and_no_axis_is_one_number(runtime: Runtime, model: Path, rows: int) -> None:
    found = runtime.load(model, TARGET).run({"x": np.ones((rows, 8), np.float32)})
    assert found["y"].shape == (rows, 4)
    assert found["s"].shape == ()
    assert found["s"] == pytest.approx(float(found["y"].sum()), rel=1e-5)


def test_memory_need_not_be_in_one_piece_or_writable(runtime: Runtime, model: Path) -> None:
    x = np.random.default_rng(4).standard_normal((8, 3)).astype(np.float32).T
    x.flags.writeable = False
    found = runtime.load(model, TARGET).run({"x": x})
    np.testing.assert_allclose(found["y"], np.maximum(x @ WEIGHT, 0), rtol=1e-5, atol=1e-6)


def test_a_refused_feed_does_not_spoil_the_next(runtime: Runtime, model: Path) -> None:
    loaded, x = runtime.load(model, TARGET), np.ones((2, 8), np.float32)
    expected = loaded.run({"x": x})["y"]
    for feeds in ({}, {"x": x.astype(np.float64)}, {"x": x[:, :7]}):
        with pytest.raises(DataError):
            loaded.run(feeds)
    np.testing.assert_array_equal(loaded.run({"x": x})["y"], expected)


def test_outputs_can_be_picked(runtime: Runtime, model: Path) -> None:
    loaded = runtime.load(model, TARGET, outputs=["s"])
    assert list(loaded.run({"x": np.ones((1, 8), np.float32)})) == ["s"]
    with pytest.raises(ModelError, match="has no output z; it has y, s"):
        runtime.load(model, TARGET, outputs=["z"])


def test_operators_of_what_runs_are_counted(runtime: Runtime, model: Path) -> None:
    loaded = runtime.load(model, TARGET)
    loaded.run({"x": np.ones((1, 8), np.float32)})
    counts = loaded.float_ops()
    own = {"FullyConnected:f32": 1, "Reduce:f32": 1} if isinstance(runtime, OpenVino) else {"MatMul": 1, "ReduceSum": 1}
    assert {name: counts[name] for name in own} == own


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_are_told_as_asked_or_left_to_be_counted(runtime: Runtime, model: Path, threads: int) -> None:
    if threads > len(os.sched_getaffinity(0)):
        pytest.skip("needs two CPUs")
    told = runtime.load(model, Target(name="t", threads=threads)).threads()
    assert told == (0 if isinstance(runtime, OnnxRuntime) else threads)


@pytest.mark.parametrize(
    ("feeds", "said"),
    [
        ({}, "expected the inputs x; found none"),
        ({"z": np.ones((1, 8), np.float32)}, "expected the inputs x; found z"),
        ({"x": np.ones((1, 8), np.float32), "z": np.ones(1)}, "unknown: z"),
        ({"x": np.ones((1, 8), np.float64)}, "input x: expected float32, found float64"),
        ({"x": np.ones((1, 7), np.float32)}, r"input x: expected shape \[batch, 8\], found \[1, 7\]"),
        ({"x": np.ones(8, np.float32)}, r"input x: expected shape \[batch, 8\], found \[8\]"),
    ],
)
def test_wrong_feeds_say_what_was_expected(runtime: Runtime, model: Path, feeds: dict, said: str) -> None:
    with pytest.raises(DataError, match=said):
        runtime.load(model, TARGET).run(feeds)


def test_what_is_no_model_is_refused(runtime: Runtime, tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        runtime.load(tmp_path / "absent.onnx", TARGET)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (Target(name="gpu", provider="Abacus"), "provider Abacus"),
        (Target(name="odd", options={"session.no_such_thing": "1"}), "session.no_such_thing"),
        (Target(name="none", threads=0), "threads must be at least 1"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(runtime: Runtime, model: Path, target: Target, said: str) -> None:
    with pytest.raises(Unsupported, match=said):
        runtime.load(model, target)


@pytest.mark.parametrize("runtime", list(REAL), indirect=True)
@pytest.mark.parametrize("content", [b"", b"hello", b"\x08\x07" * 100, None])
def test_files_that_are_no_models_are_refused(runtime: Runtime, model: Path, content: bytes | None) -> None:
    """None stands for two thirds of a real one."""
    whole = model.read_bytes()
    model.write_bytes(whole[: len(whole) * 2 // 3] if content is None else content)
    with pytest.raises(ModelError, match=r"tiny\.onnx"):
        runtime.load(model, TARGET)


@pytest.mark.parametrize("runtime", list(REAL), indirect=True)
def test_an_operator_that_it_does_not_have_is_named(runtime: Runtime, tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Sprocket", ["x"], ["y"], domain="some.where")],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n"])],
    )
    versions = [helper.make_opsetid("", 17), helper.make_opsetid("some.where", 1)]
    save(helper.make_model(graph, ir_version=10, opset_imports=versions), tmp_path / "odd.onnx")
    with pytest.raises(ModelError, match="Sprocket"):
        runtime.load(tmp_path / "odd.onnx", TARGET)


@pytest.mark.parametrize("runtime", list(REAL), indirect=True)
def test_weights_beside_the_file_are_read(runtime: Runtime, tmp_path: Path) -> None:
    """As trials have them: a second name of one file of tensors, beside a small graph."""
    _write(tmp_path / "tiny.onnx")
    proto = load(tmp_path / "tiny.onnx")
    (tmp_path / "trial").mkdir()
    file = tmp_path / "trial" / "model.onnx"
    save(proto, file, save_as_external_data=True, location="tensors.bin", size_threshold=0)
    (tmp_path / "trial" / "tensors.bin").rename(tmp_path / "kept.bin")
    (tmp_path / "trial" / "tensors.bin").hardlink_to(tmp_path / "kept.bin")
    x = np.ones((1, 8), np.float32)
    np.testing.assert_allclose(runtime.load(file, TARGET).run({"x": x})["y"], np.maximum(x @ WEIGHT, 0), rtol=1e-5)


@pytest.mark.parametrize("runtime", list(REAL), indirect=True)
def test_too_little_memory_is_said(runtime: Runtime, tmp_path: Path) -> None:
    """256 GiB of ones, their number an input so that nothing can be computed before."""
    graph = helper.make_graph(
        [
            helper.make_node("ConstantOfShape", ["size"], ["ones"], value=numpy_helper.from_array(WEIGHT[:1, 0])),
            helper.make_node("ReduceSum", ["ones"], ["s"], keepdims=0),
        ],
        "huge",
        [helper.make_tensor_value_info("size", TensorProto.INT64, [2])],
        [helper.make_tensor_value_info("s", TensorProto.FLOAT, [])],
    )
    save(helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 17)]), tmp_path / "huge.onnx")
    loaded = runtime.load(tmp_path / "huge.onnx", TARGET)
    with pytest.raises(WorkFailed) as caught:
        loaded.run({"size": np.array([2**18, 2**18], np.int64)})
    assert caught.value.cause is Cause.OUT_OF_MEMORY


def test_the_cpu_is_among_its_providers(runtime: Runtime) -> None:
    assert "CPU" in runtime.providers()
    assert runtime.capabilities("CPU") == runtime.capabilities()


def test_nothing_runs_elsewhere_on_the_cpu(runtime: Runtime, model: Path) -> None:
    assert runtime.load(model, TARGET).facts() == {}


def test_an_option_of_the_provider_that_cannot_be_honoured_is_refused_by_name(runtime: Runtime, model: Path) -> None:
    with pytest.raises(Unsupported, match=r"target odd: .*provider.* option.*no_such"):
        runtime.load(model, Target(name="odd", provider_options={"no_such": "1"}))


@pytest.fixture(scope="module", params=list(REAL))
def elsewhere(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Target:
    """The runtime in an environment of its own."""
    folder = tmp_path_factory.mktemp("elsewhere") / "venv"
    return Target(name="other", runtime=request.param, python=make_environment(folder, ("numpy", request.param)))


def test_elsewhere_it_gives_the_bits_that_it_gives_here(elsewhere: Target, model: Path) -> None:
    x = np.random.default_rng(5).standard_normal((3, 8)).astype(np.float32)
    write_samples(model.with_name("x.npz"), [{"x": x}], {}, [3])
    keep_batch = load(model)
    del keep_batch.graph.output[1]  # a single number has no batch axis, which predictions need
    save(keep_batch, model)
    found = predict(model, elsewhere, model.with_name("x.npz"), model.with_name("y.npz"), deadline_s=60)
    here = REAL[elsewhere.runtime]().load(model, TARGET).run({"x": x})["y"]
    np.testing.assert_array_equal(np.stack(read_outputs(found.outputs)["y"]), here)
    assert found.circumstances.runtime == REAL[elsewhere.runtime]().version()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"options": {"session.no_such_thing": "1"}}, "session.no_such_thing"),
        ({"provider_options": {"no_such": "1"}}, "no_such"),
    ],
)
def test_elsewhere_what_cannot_be_honoured_is_refused_by_name(
    elsewhere: Target, model: Path, change: dict, said: str
) -> None:
    write_samples(model.with_name("x.npz"), [{"x": np.ones((1, 8), np.float32)}], {}, [1])
    with pytest.raises(WorkFailed, match=f"target other: .*{said}") as caught:
        predict(model, replace(elsewhere, **change), model.with_name("x.npz"), model.with_name("y.npz"), deadline_s=60)
    assert caught.value.cause is Cause.BAD_MODEL


@pytest.mark.parametrize("runtime", list(REAL), indirect=True)
def test_importing_it_imports_no_runtime(runtime: Runtime) -> None:
    module = type(runtime).__module__
    code = f"import sys, {module}; print([n for n in ('onnxruntime', 'openvino') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
