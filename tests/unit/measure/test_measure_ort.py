"""What is particular to ONNX Runtime: refusals in its own words, options it really knows, the optimised graph."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, load, numpy_helper, save

from qsearch.contracts.errors import ModelError, Unsupported
from qsearch.contracts.target import Target
from qsearch.measure.optimised import count_operators
from qsearch.measure.ort import OnnxRuntime

TARGET = Target(name="here")


def _save(path: Path, nodes: list, **weights: np.ndarray) -> Path:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    save(helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


@pytest.fixture
def gemm(tmp_path: Path) -> Path:
    nodes = [
        helper.make_node("MatMul", ["x", "W"], ["m"]),
        helper.make_node("Add", ["m", "b"], ["a"]),
        helper.make_node("Relu", ["a"], ["y"]),
    ]
    return _save(tmp_path / "gemm.onnx", nodes, W=np.ones((4, 4), np.float32), b=np.ones(4, np.float32))


def test_the_optimised_graph_is_counted_and_not_the_written_one(gemm: Path) -> None:
    counts = OnnxRuntime().load(gemm, TARGET).float_ops()
    assert "Add" not in counts
    assert "Relu" not in counts
    assert sum(counts.values()) == 1


def test_options_reach_the_optimiser(gemm: Path) -> None:
    off = Target(name="o", options={"optimization.disable_specified_optimizers": "MatMulAddFusion"})
    assert OnnxRuntime().load(gemm, off).float_ops()["MatMul"] == 1


def test_options_the_binary_knows_are_taken_and_owned_ones_are_not(gemm: Path) -> None:
    known = Target(name="o", options={"session.x64quantprecision": "1", "session.force_spinning_stop": "0"})
    OnnxRuntime().load(gemm, known)
    for options, said in [
        ({"session.x64quantprecison": "1"}, "has no session option session.x64quantprecison"),
        ({"nodots": "1"}, "has no session option nodots"),
        ({"session.intra_op_num_threads": "4"}, "cannot be set; use threads"),
    ]:
        with pytest.raises(Unsupported, match=said):
            OnnxRuntime().load(gemm, Target(name="o", options=options))


def test_threads_are_as_asked(gemm: Path) -> None:
    def threads() -> int:
        return len(os.listdir("/proc/self/task"))

    OnnxRuntime().load(gemm, TARGET)
    before = threads()
    held = OnnxRuntime().load(gemm, Target(name="two", threads=2))
    assert threads() == before + 1
    held.run({"x": np.ones((1, 4), np.float32)})


def test_providers_are_found_by_their_short_names(gemm: Path) -> None:
    OnnxRuntime().load(gemm, Target(name="cpu", provider="cpu"))
    with pytest.raises(Unsupported, match=r"provider CUDA is not in this ONNX Runtime; it has .*CPU"):
        OnnxRuntime().load(gemm, Target(name="gpu", provider="CUDA"))


@pytest.mark.parametrize("content", [b"", b"hello", b"\x08\x07" * 100])
def test_files_that_are_no_models_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.onnx").write_bytes(content)
    with pytest.raises(ModelError, match=r"refuses bad\.onnx"):
        OnnxRuntime().load(tmp_path / "bad.onnx", TARGET)


def test_a_truncated_model_is_refused(gemm: Path) -> None:
    whole = gemm.read_bytes()
    gemm.write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(ModelError):
        OnnxRuntime().load(gemm, TARGET)


def test_a_model_that_fails_when_run_is_the_models_fault(tmp_path: Path) -> None:
    nodes = [helper.make_node("Reshape", ["x", "shape"], ["y"])]
    model = _save(tmp_path / "r.onnx", nodes, shape=np.array([3, 5], np.int64))
    loaded = OnnxRuntime().load(model, TARGET)
    with pytest.raises(ModelError, match="loaded, and failed when run"):
        loaded.run({"x": np.ones((2, 4), np.float32)})


def test_nothing_is_imported_before_the_first_call() -> None:
    code = "import sys, qsearch.measure.ort, qsearch.measure.fingerprint; print('onnxruntime' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_operators_in_subgraphs_are_counted_as_onnx_counts_them(tmp_path: Path) -> None:
    def branch(name: str, op: str) -> object:
        out = helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        return helper.make_graph([helper.make_node(op, ["x"], [name])], name, [], [out])

    nodes = [
        helper.make_node("ReduceSum", ["x"], ["s"], keepdims=0),
        helper.make_node("Greater", ["s", "zero"], ["c"]),
        helper.make_node("If", ["c"], ["y"], then_branch=branch("a", "Exp"), else_branch=branch("b", "Neg")),
    ]
    model = _save(tmp_path / "if.onnx", nodes, zero=np.zeros((), np.float32))
    assert count_operators(model) == {"ReduceSum": 1, "Greater": 1, "If": 1, "Exp": 1, "Neg": 1}
    assert load(model).graph.node[2].op_type == "If"


@pytest.mark.parametrize("content", [b"\xff" * 40, b"\x3a\xff\x01ab", b"\x3a\x80", b"", b"\x3b\x01"])
def test_the_reader_is_bounded_by_the_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad").write_bytes(content)
    with pytest.raises(ModelError, match="cannot read the operators"):
        count_operators(tmp_path / "bad")


@pytest.mark.parametrize("said", ["", "0"])
def test_nothing_is_told_to_its_maker_unless_somebody_wants_it(gemm: Path, tmp_path: Path, said: str) -> None:
    home = tmp_path / "home"
    home.mkdir()
    code = (
        "import os; from pathlib import Path; from qsearch.contracts.target import Target;"
        "from qsearch.measure.ort import OnnxRuntime; OnnxRuntime().version();"
        f"OnnxRuntime().load(Path({str(gemm)!r}), Target(name='here'));"
        "print(os.environ['ORT_DISABLE_TELEMETRY'])"
    )
    # where it runs tests it is silent by itself
    kept = {n: v for n, v in os.environ.items() if n in {"PATH", "LD_LIBRARY_PATH"}}
    asked = {"ORT_DISABLE_TELEMETRY": said} if said else {}
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env={**kept, **asked, "HOME": str(home)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.strip() == (said or "1")
    assert said or not list(home.iterdir())
