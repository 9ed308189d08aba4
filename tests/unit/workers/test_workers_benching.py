"""Files side by side with the real runtimes: inputs that can be fed, failures that are named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from qsearch.contracts.bench import BenchOrder, BenchResult
from qsearch.contracts.causes import Cause
from qsearch.contracts.errors import DataError, ModelError, Unsupported
from qsearch.contracts.measurement import Tier
from qsearch.contracts.target import Target
from qsearch.contracts.work import Outcome, Work, WorkKind
from qsearch.graph.input_ranges import InputRange
from qsearch.measure.samples import read_samples, write_samples
from tests.acceptance.conftest import write_classifier
from workers import benching, evaluating
from workers.made_up import SAMPLES, _narrowed, made_up
from workers.perform import perform
from workers.wire import read_outcome, read_work, write_outcome, write_work

TARGET = Target(name="here")
OPENVINO = Target(name="there", runtime="openvino")


def _do(order: BenchOrder, scratch: Path) -> BenchResult:
    work = Work(kind=WorkKind.BENCH, key="bench", token=1, order=order, scratch=str(scratch), deadline_s=90)
    assert read_work(write_work(work)) == work
    found = perform(work)
    assert isinstance(found, BenchResult)
    outcome = Outcome(kind=WorkKind.BENCH, key="bench", token=1, result=found)
    assert read_outcome(write_outcome(outcome)).result == found
    return found


def _order(*models: Path, **changes: object) -> BenchOrder:
    made = BenchOrder(models=tuple(map(str, models)), data="", target=TARGET, tier=Tier.QUICK, seed=3)
    return replace(made, **changes)  # type: ignore[arg-type]


@pytest.fixture
def good(tmp_path: Path) -> Path:
    write_classifier(tmp_path / "model.onnx", tmp_path / "samples.npz", width=16, count=60)
    return tmp_path / "model.onnx"


def _embedding(path: Path, *, rows: int = 1000, output: str = "y") -> Path:
    """Looks token ids up, weighs them by a mask; refuses ids that its table does not have."""
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["e"]),
        helper.make_node("Cast", ["mask"], ["m"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["m", "axes"], ["w"]),
        helper.make_node("Mul", ["e", "w"], [output]),
    ]
    ints = [helper.make_tensor_value_info(n, TensorProto.INT64, ["batch", "length"]) for n in ("ids", "mask")]
    out = helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", "length", 4])
    weights = [
        numpy_helper.from_array(np.ones((rows, 4), np.float32), "table"),
        numpy_helper.from_array(np.array([2]), "axes"),
    ]
    graph = helper.make_graph(nodes, "g", ints, [out], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_made_up_ids_fill_their_table_masks_are_ones_and_the_seed_decides(tmp_path: Path) -> None:
    model = _embedding(tmp_path / "e.onnx")
    made = made_up(model, batch=2, seed=5)
    assert len(made.feeds) == SAMPLES
    ids = np.stack([feeds["ids"] for feeds in made.feeds])
    assert ids.shape == (SAMPLES, 2, 32)
    assert 0 <= ids.min() < 100
    assert 900 < ids.max() <= 999
    assert all((feeds["mask"] == 1).all() for feeds in made.feeds)
    assert made.how["ids"] == "int64, 0 to 999 (rows of table)"
    assert made.how["mask"].startswith("int64, always 1 (a mask")
    again, other = made_up(model, batch=2, seed=5), made_up(model, batch=2, seed=6)
    assert all(np.array_equal(a["ids"], b["ids"]) for a, b in zip(made.feeds, again.feeds, strict=True))
    assert not np.array_equal(made.feeds[0]["ids"], other.feeds[0]["ids"])


def test_made_up_ids_stay_within_every_files_table(tmp_path: Path) -> None:
    large, small = _embedding(tmp_path / "large.onnx"), _embedding(tmp_path / "small.onnx", rows=50)
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(small.read_bytes()[:100])
    files = [large, broken, small, large]
    how = benching._write_samples(_order(*files), files, tmp_path / "out.npz")
    assert how["ids"] == "int64, 0 to 49 (rows of table in small.onnx)"
    assert how["mask"].startswith("int64, always 1 (a mask")
    ids = np.stack([feeds["ids"] for feeds in read_samples(tmp_path / "out.npz").feeds])
    assert 40 < ids.max() <= 49
    again = benching._write_samples(_order(small, large), [small, large], tmp_path / "again.npz")
    assert again["ids"] == "int64, 0 to 49 (rows of table)"


def test_a_bound_goes_before_a_custom_and_ranges_that_do_not_meet_are_refused(tmp_path: Path) -> None:
    model = tmp_path / "m.onnx"
    table, custom = InputRange(low=0, high=9, reason="table"), InputRange(low=1, high=1, reason="a mask", bound=False)
    assert _narrowed({"i": custom}, {"i": table}, model)["i"] == replace(table, reason="table in m.onnx")
    assert _narrowed({"i": table}, {"i": custom, "other": table}, model) == {}
    with pytest.raises(DataError, match=r"m\.onnx takes 10 to 12 .*no number suits all"):
        _narrowed({"i": table}, {"i": InputRange(low=10, high=12, reason="one-hot")}, model)


def test_what_cannot_be_made_up_is_refused_by_name(tmp_path: Path, good: Path) -> None:
    model = onnx.load(good)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 3
    onnx.save(model, tmp_path / "fixed.onnx")
    with pytest.raises(DataError, match="first axis of input 'x' is 3, the batch is 1"):
        made_up(tmp_path / "fixed.onnx", batch=1, seed=0)
    assert made_up(tmp_path / "fixed.onnx", batch=3, seed=0).feeds[0]["x"].shape == (3, 16)
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.STRING
    onnx.save(model, tmp_path / "text.onnx")
    with pytest.raises(Unsupported, match="'x' holds text"):
        made_up(tmp_path / "text.onnx", batch=3, seed=0)


@pytest.mark.noisy
def test_two_runtimes_side_by_side_and_a_broken_file_named(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    model = _embedding(tmp_path / "e.onnx")
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(model.read_bytes()[:500])
    other = tmp_path / "other.onnx"
    write_classifier(other, tmp_path / "s.npz", width=16)
    order = _order(broken, model, other, model, targets=(TARGET, TARGET, TARGET, OPENVINO))
    found = _do(order, tmp_path / "scratch")
    assert found.sitting.reference == "1", "the first that runs"
    assert set(found.arms) == {1, 3}
    assert set(found.latencies) == {3}
    assert {at: f.cause for at, f in found.failures.items()} == dict.fromkeys((0, 2), Cause.BAD_MODEL)
    assert "truncated" in found.failures[0].message
    assert found.failures[2].message.startswith("expected the inputs x; found ids, mask")
    assert found.made_up["ids"].startswith("int64, 0 to 999")
    runtimes = {run.arm: run.circumstances.runtime.split()[0] for run in found.sitting.runs}
    assert runtimes == {"1": "onnxruntime", "3": "openvino"}
    assert found.arms[1].size_bytes == model.stat().st_size
    assert found.arms[1].optimised_ops["Gather"] == 1


@pytest.mark.noisy
def test_a_file_whose_outputs_no_score_could_use_is_timed_all_the_same(good: Path, tmp_path: Path) -> None:
    model = onnx.load(good)
    model.graph.node[-1].output[0] = "inner"
    model.graph.node.append(helper.make_node("ReduceSum", ["inner"], ["logits"], keepdims=0))
    del model.graph.output[0].type.tensor_type.shape.dim[:]
    onnx.save(model, tmp_path / "scalar.onnx")
    found = _do(_order(good, tmp_path / "scalar.onnx", data=str(good.with_name("samples.npz"))), tmp_path / "scratch")
    assert not found.failures
    assert not found.made_up, "the samples were given"
    assert found.arms[0].notes == ()
    assert found.arms[1].notes[0].startswith("output logits: expected 1 samples on its first axis")


def test_nothing_to_compare_names_every_reason(good: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(good.read_bytes()[:200])
    with pytest.raises(ModelError, match=r"1 of 2 arms can be measured.*broken\.onnx: .*truncated"):
        _do(_order(good, broken), tmp_path / "scratch")
    with pytest.raises(ModelError, match="truncated"):
        _do(_order(broken, broken), tmp_path / "again")


def test_data_that_does_not_fit_is_refused_by_name(good: Path, tmp_path: Path) -> None:
    data = tmp_path / "data.npz"
    np.savez(data, z=np.zeros((4, 16), np.float32))
    with pytest.raises(DataError, match=r"has no array 'x'; it has \['z'\]"):
        _do(_order(good, good, data=str(data)), tmp_path / "scratch")
    np.savez(data, x=np.zeros((4, 16), np.float32))
    eight = replace(TARGET, batch=8)
    with pytest.raises(DataError, match="4 samples, fewer than one batch of 8"):
        _do(_order(good, good, data=str(data), target=eight), tmp_path / "scratch")


def test_stored_samples_are_spread_over_the_file_and_shapes_cut_them(tmp_path: Path) -> None:
    from workers.benching import _write_samples

    model = _embedding(tmp_path / "e.onnx")
    ids = np.arange(200, dtype=np.int64).reshape(200, 1, 1).repeat(6, axis=2)
    write_samples(tmp_path / "s.npz", [{"ids": i, "mask": i * 0 + 1} for i in ids], {}, [1] * 200)
    order = _order(model, model, samples=str(tmp_path / "s.npz"))
    assert _write_samples(order, [model], tmp_path / "out.npz") == {}
    feeds = read_samples(tmp_path / "out.npz").feeds
    assert len(feeds) == 64
    assert int(feeds[-1]["ids"].max()) > 190
    _write_samples(replace(order, shapes={"length": (3,)}), [model], tmp_path / "out.npz")
    assert read_samples(tmp_path / "out.npz").feeds[0]["ids"].shape == (1, 3)


def test_more_arms_than_memory_are_refused_by_number(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Little:
        available = 1 << 20

    monkeypatch.setattr(evaluating.psutil, "virtual_memory", Little)
    with pytest.raises(Unsupported, match="2 models in memory at once"):
        _do(_order(good, good), tmp_path / "scratch")
