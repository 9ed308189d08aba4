"""Candidates become models: bit-equal where promised, refused by name where not."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from qsearch.contracts.candidate import Candidate
from qsearch.contracts.choices import QUANTIZER, UNTIMED, Choice
from qsearch.contracts.errors import DataError, Unsupported
from qsearch.quantize.assemble import assemble, write_model
from qsearch.quantize.index import read_index
from tests.unit.quantize.tiny_graphs import Session, draw, model, node, prepare, run_candidate, uniform


def chain(opset: int = 17) -> onnx.ModelProto:
    """Embedding, convolution, matrix products and a Gemm: one of each operator."""
    nodes = [
        node("Gather", ["table", "ids"], ["e"], "embed"),
        node("MatMul", ["e", "w1"], ["m1"], "mm1"),
        node("Add", ["m1", "b1"], ["a1"], "add1"),
        node("Relu", ["a1"], ["r1"], "relu1"),
        node("Transpose", ["r1"], ["t1"], "move", perm=[0, 2, 1]),
        node("Conv", ["t1", "k", "kb"], ["c1"], "conv", kernel_shape=[3], pads=[1, 1]),
        node("Relu", ["c1"], ["r2"], "relu2"),
        node("GlobalAveragePool", ["r2"], ["p"], "pool"),
        node("Flatten", ["p"], ["f"], "flat"),
        node("Gemm", ["f", "g", "gb"], ["y"], "gemm", transB=1),
    ]
    weights = {
        "table": draw(50, 33),
        "w1": draw(33, 70, seed=1, scale=0.2),
        "b1": draw(70, seed=2),
        "k": draw(80, 70, 3, seed=3, scale=0.1),
        "kb": draw(80, seed=4),
        "g": draw(7, 80, seed=5),
        "gb": draw(7, seed=6),
    }
    return model(nodes, {"ids": ["n", "t"]}, "y", weights, opset, {"ids": "int64"})


def feeds(seed: int = 0) -> dict[str, np.ndarray]:
    return {"ids": np.random.default_rng(seed).integers(0, 50, (2, 9))}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    prepare(chain(), tmp_path, [feeds(i) for i in range(4)])
    return tmp_path


@pytest.mark.parametrize("opset", [11, 13, 17, 21])
def test_every_choice_runs_at_every_opset(tmp_path: Path, opset: int) -> None:
    prepare(chain(opset), tmp_path, [feeds(i) for i in range(4)])
    source = ort.InferenceSession(str(tmp_path / "source.onnx"), providers=["CPUExecutionProvider"])
    expected = source.run(None, feeds(9))[0]
    written = onnx.load(tmp_path / "prepared" / "model.onnx", load_external_data=False)
    assert written.opset_import[0].version == max(opset, 13)
    for choice, limit in zip(UNTIMED, (1e-5, 0.05, 0.05, 0.05, 0.3, 1.0, 1.5), strict=True):
        found = run_candidate(tmp_path, uniform(tmp_path, choice), feeds(9))["y"]
        assert np.abs(found - expected).max() <= limit * np.abs(expected).max(), choice


def test_all_fp32_is_bit_equal_to_the_normalised_model(folder: Path) -> None:
    expected = Session(folder / "prepared" / "model.onnx").run(feeds())["y"]
    found = run_candidate(folder, uniform(folder, Choice.FP32), feeds())["y"]
    np.testing.assert_array_equal(found, expected)
    before = onnx.load(folder / "prepared" / "model.onnx", load_external_data=False)
    after = onnx.load(folder / "assembled" / "model.onnx", load_external_data=False)
    assert list(before.graph.node) == list(after.graph.node)


@pytest.mark.parametrize("seed", range(6))
def test_mixed_candidates_agree_with_their_written_file(folder: Path, seed: int) -> None:
    pick = np.random.default_rng(seed)
    layers = read_index(folder / "prepared").layers
    candidate = Candidate(choices={x.id: x.choices[pick.integers(len(x.choices))] for x in layers})
    found = run_candidate(folder, candidate, feeds())["y"]
    assert np.isfinite(found).all()


def test_a_trial_links_the_tensors_and_writes_little(folder: Path) -> None:
    candidate = uniform(folder, Choice.INT8_STATIC)
    first = assemble(folder / "prepared", candidate, folder / "a")
    again = assemble(folder / "prepared", candidate, folder / "a")
    assert first == again
    assert (folder / "a" / "tensors.bin").samefile(folder / "prepared" / "tensors.bin")
    assert first.path.stat().st_size < first.size_bytes
    assert sorted(f.name for f in (folder / "a").iterdir()) == ["model.onnx", "tensors.bin"]


def test_tensors_are_copied_where_linking_is_impossible(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    made = assemble(folder / "prepared", uniform(folder, Choice.TERNARY), folder / "a")
    assert not (folder / "a" / "tensors.bin").samefile(folder / "prepared" / "tensors.bin")
    assert np.isfinite(Session(made.path).run(feeds())["y"]).all()


def test_written_files_hold_only_what_they_use(folder: Path) -> None:
    sizes = [
        write_model(folder / "prepared", uniform(folder, c), folder / f"{c}.onnx").size_bytes
        for c in (Choice.TERNARY, Choice.INT8_DYNAMIC, Choice.FP32)
    ]
    assert sizes == sorted(sizes)
    assert sizes[2] > 2 * sizes[1]


def test_large_models_keep_their_weights_beside_the_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qsearch.quantize.standalone._LIMIT", 1000)
    made = write_model(folder / "prepared", uniform(folder, Choice.INT8_STATIC), folder / "out" / "m.onnx")
    assert sorted(f.name for f in (folder / "out").iterdir()) == ["m.onnx", "m.onnx.data"]
    short = assemble(folder / "prepared", uniform(folder, Choice.INT8_STATIC), folder / "a")
    np.testing.assert_array_equal(Session(made.path).run(feeds())["y"], Session(short.path).run(feeds())["y"])


def test_bad_candidates_are_refused_by_name(folder: Path) -> None:
    good = dict(uniform(folder, Choice.FP32).choices)
    with pytest.raises(DataError, match="'nobody'"):
        assemble(folder / "prepared", Candidate(choices=good | {"nobody": Choice.FP32}), folder / "a")
    with pytest.raises(DataError, match="'mm1'"):
        assemble(folder / "prepared", Candidate(choices={k: v for k, v in good.items() if k != "mm1"}), folder / "a")
    with pytest.raises(Unsupported, match=r"'embed'.*int8-static"):
        assemble(folder / "prepared", Candidate(choices=good | {"embed": Choice.INT8_STATIC}), folder / "a")
    assert not (folder / "a").exists()


def test_a_folder_that_is_not_prepared_is_refused(folder: Path) -> None:
    with pytest.raises(DataError, match=r"index\.json"):
        assemble(folder, uniform(folder, Choice.FP32), folder / "a")
    index = folder / "prepared" / "index.json"
    candidate = uniform(folder, Choice.FP32)
    index.write_text(index.read_text().replace(QUANTIZER, "qsearch-quantize/0"))
    with pytest.raises(DataError, match="qsearch-quantize/0"):
        assemble(folder / "prepared", candidate, folder / "a")
    index.write_text("{")
    with pytest.raises(DataError, match="damaged"):
        assemble(folder / "prepared", candidate, folder / "a")


def test_a_source_with_external_data_and_a_subgraph(tmp_path: Path) -> None:
    branch = [
        helper.make_graph(
            [helper.make_node("MatMul", ["h", "v"], [f"{op}_m"]), helper.make_node(op, [f"{op}_m"], [f"{op}_y"])],
            op,
            [],
            [helper.make_tensor_value_info(f"{op}_y", TensorProto.FLOAT, None)],
        )
        for op in ("Relu", "Neg")
    ]
    nodes = [
        node("MatMul", "xw", "h", "mm"),
        node("ReduceSum", "h", "s", "sum", keepdims=0),
        node("Greater", "sz", "c", "gt"),
        helper.make_node("If", ["c"], ["y"], name="if", then_branch=branch[0], else_branch=branch[1]),
    ]
    weights = {"w": draw(32, 32), "v": draw(32, 40, seed=1), "z": np.float32(0)}
    proto = model(nodes, {"x": ["n", 32]}, "y", weights)
    onnx.save(proto, tmp_path / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0)
    x = {"x": draw(2, 32, seed=4)}
    found = prepare(tmp_path / "m.onnx", tmp_path, [x])
    assert [layer.id for layer in found.inspection.layers] == ["mm"]
    assert len(found.notes) == 2
    expected = Session(tmp_path / "m.onnx").run(x)["y"]
    for choice, limit in zip(UNTIMED, (1e-6, 0.03, 0.03, 0.03, 0.25, 0.9, 1.2), strict=True):
        got = run_candidate(tmp_path, uniform(tmp_path, choice), x)["y"]
        assert np.abs(got - expected).max() <= limit * np.abs(expected).max()


def test_nodes_and_tensors_of_one_name_do_not_collide(tmp_path: Path) -> None:
    nodes = [node("Gather", ["t", "ids"], ["e"], "e"), node("MatMul", ["e", "w"], ["m"], "m")]
    nodes += [node("Conv", ["m", "k"], ["c"], "c"), node("MatMul", ["c", "v"], ["y"], "y")]
    weights = {"t": draw(9, 6), "w": draw(6, 5), "k": draw(3, 4, 1), "v": draw(5, 4)}
    x = {"ids": np.arange(8).reshape(2, 4)}
    prepare(model(nodes, {"ids": ["n", 4]}, "y", weights, dtypes={"ids": "int64"}), tmp_path, [x])
    for e in (Choice.FP32, Choice.TERNARY):
        for rest in itertools.product(UNTIMED, repeat=3):
            candidate = Candidate(choices=dict(zip("emcy", (e, *rest), strict=True)))
            assert np.isfinite(run_candidate(tmp_path, candidate, x)["y"]).all()
