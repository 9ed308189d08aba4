"""Every built-in metric from an .npz to fp32's score, and the aggregate of a task's own scoring."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from qsearch.contracts.choices import Choice
from qsearch.contracts.errors import TaskError
from qsearch.contracts.job import DataRef, ModelRef
from qsearch.contracts.target import Target
from qsearch.contracts.work import Materialized, MaterializeOrder, Prepared, PrepareOrder
from qsearch.measure.metrics import METRICS, metric
from workers.materializing import materialize
from workers.preparing import prepare

COUNT, STEPS, CLASSES = 36, 6, 5
FIDELITY = [name for name, found in METRICS.items() if found.needs_reference]
OWN = """
from pathlib import Path
import numpy as np
from qsearch.contracts.task import Scores, Split, Task

def task():
    x = np.load(Path(__file__).with_name("samples.npz"))["x"]
    part = lambda a: Split(samples=[{"x": row} for row in x[a:a + 12]])
    return Task(metric="errors", score=score, higher_is_better=False, calibration=part(0), search=part(12),
                heldout=part(24), per_sample=True)

def score(outputs, labels):
    n = len(outputs["y"])
    return Scores(outcomes=np.arange(n) + 1.0, weights=np.full(n, 10.0), aggregate="AGGREGATE")
"""


def _model(path: Path, *, sequence: bool, outputs: int = CLASSES) -> None:
    """y = x · w, one vector or one row per step for each sample; w nearly picks the largest of x."""
    axes: list[str | int] = ["batch", STEPS] if sequence else ["batch"]
    weight = (np.eye(CLASSES) + 0.01).astype(np.float32)[:, :outputs]
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, [*axes, CLASSES])
    got = helper.make_tensor_value_info("y", TensorProto.FLOAT, [*axes, outputs])
    node = helper.make_node("MatMul", ["x", "w"], ["y"], name="layer")
    graph = helper.make_graph([node], "g", [given], [got], [numpy_helper.from_array(weight, "w")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def _scored(folder: Path, name: str, *, task: str = "") -> tuple[Materialized, Prepared]:
    model = ModelRef(path=str(folder / "model.onnx"))
    order = MaterializeOrder(
        model=model,
        task=task,
        folder=str(folder),
        data=None if task else DataRef(path=str(folder / "samples.npz")),
        metric=name,
        seed=0,
        batches=(1,),
    )
    found = materialize(order, folder, 60)
    preparing = PrepareOrder(
        model=model,
        splits=str(folder / "splits"),
        materialized=found,
        folder=str(folder),
        choices=(Choice.FP32,),
        target=Target(name="here"),
    )
    return found, prepare(preparing, folder, 60)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("top1", 1.0),
        ("top3", 1.0),
        ("f1-macro", 1.0),
        ("mrr", 1.0),
        ("retrieval@2", 1.0),
        *((n, None) for n in FIDELITY),
    ],
)
def test_classes(name: str, expected: float | None, tmp_path: Path) -> None:
    _model(tmp_path / "model.onnx", sequence=False)
    labels = np.arange(COUNT) % CLASSES
    rows = (8 * np.eye(CLASSES)[labels] + np.random.default_rng(1).random((COUNT, CLASSES))).astype(np.float32)
    np.savez(tmp_path / "samples.npz", x=rows, labels=labels)
    found, prepared = _scored(tmp_path, name)
    assert found.per_sample is metric(name).per_sample
    assert prepared.reference.metric == name
    if expected is not None:
        assert prepared.reference.score == pytest.approx(expected)
    assert prepared.reference.drop.value == 0


@pytest.mark.parametrize(
    ("name", "expected"), [("exact", 1.0), ("cer", 0.0), ("edit-distance", 0.0), ("perplexity", 1.0)]
)
@pytest.mark.parametrize("text", [True, False])
def test_sequences(name: str, expected: float, text: bool, tmp_path: Path) -> None:
    if text and name == "perplexity":
        pytest.skip("perplexity is of tokens")
    _model(tmp_path / "model.onnx", sequence=True)
    rng = np.random.default_rng(2)
    # neighbours differ and nobody is blank, so that what is written is what is decoded
    steps = 1 + (rng.integers(0, 4, (COUNT, 1)) + np.cumsum(rng.integers(1, 4, (COUNT, STEPS)), axis=1)) % 4
    arrays = {"x": (40 * np.eye(CLASSES)[steps]).astype(np.float32), "labels": steps}
    if text:
        charset = np.array(["", *"abcd"])
        arrays |= {"labels": np.array(["".join(charset[row]) for row in steps]), "charset": charset}
    np.savez(tmp_path / "samples.npz", **arrays)
    _, prepared = _scored(tmp_path, name)
    assert prepared.reference.score == pytest.approx(expected)
    assert prepared.reference.higher_is_better is metric(name).higher_is_better


def test_a_scoring_function_of_ones_own_can_name_an_aggregate(tmp_path: Path) -> None:
    _model(tmp_path / "model.onnx", sequence=False)
    np.savez(tmp_path / "samples.npz", x=np.ones((COUNT, CLASSES), np.float32))
    (tmp_path / "ratios.py").write_text(OWN.replace("AGGREGATE", "ratio"))
    found, prepared = _scored(tmp_path, "", task="ratios:task")
    assert found.per_sample
    assert prepared.reference.aggregate == "ratio"
    assert prepared.reference.score == pytest.approx(78 / 120)


def test_a_model_of_one_number_is_not_scored_by_an_angle(tmp_path: Path) -> None:
    _model(tmp_path / "model.onnx", sequence=False, outputs=1)
    np.savez(tmp_path / "samples.npz", x=np.random.default_rng(3).random((COUNT, CLASSES)).astype(np.float32))
    found, prepared = _scored(tmp_path, "")
    assert found.metric == "sqnr-to-fp32"
    assert any("40 dB is within a drop limit of 73%" in note for note in found.notes)
    assert prepared.reference.score == pytest.approx(144.5, abs=0.01)


@pytest.mark.parametrize("name", ["cosine-to-fp32", "agreement-to-fp32"])
def test_such_a_metric_is_refused_where_it_was_asked_for(name: str, tmp_path: Path) -> None:
    _model(tmp_path / "model.onnx", sequence=False, outputs=1)
    np.savez(tmp_path / "samples.npz", x=np.ones((COUNT, CLASSES), np.float32))
    with pytest.raises(TaskError, match=f"{name}: expected two"):
        _scored(tmp_path, name)
