"""Files against fp32 with the real runtime: the broken ones are named, the others are measured."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from qsearch.contracts.bench import BenchOrder
from qsearch.contracts.candidate import Candidate
from qsearch.contracts.causes import Cause
from qsearch.contracts.choices import UNTIMED, Choice
from qsearch.contracts.errors import ModelError, Unsupported, WorkFailed
from qsearch.contracts.job import DataRef, ModelRef
from qsearch.contracts.measurement import Sitting, Tier
from qsearch.contracts.meter import Arm
from qsearch.contracts.target import Target
from qsearch.contracts.work import (
    EvalOrder,
    EvalResult,
    FinalOrder,
    Materialized,
    MaterializeOrder,
    Outcome,
    Prepared,
    PrepareOrder,
    VerifyOrder,
    Work,
    WorkKind,
)
from tests.acceptance.conftest import write_classifier
from tests.contract import ledger_samples
from tests.factories import make_accuracy
from workers import benching, evaluating, trials
from workers.perform import perform
from workers.sitting import ChildMeter, Predicted
from workers.wire import read_outcome, read_work, write_outcome, write_work

TARGET = Target(name="here")


def _do(kind: WorkKind, order: object, scratch: Path) -> object:
    work = Work(kind=kind, key=str(kind), token=1, order=order, scratch=str(scratch), deadline_s=60)  # type: ignore[arg-type]
    assert read_work(write_work(work)) == work
    return perform(work)


@pytest.fixture(scope="module")
def order(tmp_path_factory: pytest.TempPathFactory) -> EvalOrder:
    """A prepared classifier and its splits; no model yet."""
    folder = tmp_path_factory.mktemp("prepared")
    write_classifier(folder / "model.onnx", folder / "samples.npz", width=16, count=60)
    model = ModelRef(path=str(folder / "model.onnx"))
    splits = MaterializeOrder(
        model=model,
        task="",
        folder="",
        data=DataRef(path=str(folder / "samples.npz")),
        metric="top1",
        seed=0,
        batches=(1,),
    )
    materialized = _do(WorkKind.MATERIALIZE, splits, folder)
    assert isinstance(materialized, Materialized)
    preparing = PrepareOrder(
        model=model,
        splits=str(folder / "splits"),
        materialized=materialized,
        folder="",
        choices=UNTIMED,
        target=TARGET,
    )
    prepared = _do(WorkKind.PREPARE, preparing, folder)
    assert isinstance(prepared, Prepared)
    return EvalOrder(
        prepared=str(folder / "prepared"),
        splits=str(folder / "splits"),
        materialized=materialized,
        folder="",
        reference=Candidate(choices={layer.id: Choice.FP32 for layer in prepared.layers}),
        models=(),
        target=TARGET,
        tier=Tier.QUICK,
        seed=0,
    )


@pytest.fixture
def good(order: EvalOrder, tmp_path: Path) -> Path:
    """The model as it was given, in a folder of its own."""
    return Path(shutil.copy(Path(order.prepared).parent / "model.onnx", tmp_path / "good.onnx"))


def _broken(good: Path) -> Path:
    broken = good.with_name("broken.onnx")
    broken.write_bytes(good.read_bytes()[:500])
    return broken


def _changed(good: Path, name: str, **renamed: str) -> Path:
    """The model with tensors of the graph renamed."""
    model = onnx.load(good)
    for value in (*model.graph.input, *model.graph.output):
        value.name = renamed.get(value.name, value.name)
    for node in model.graph.node:
        node.input[:] = [renamed.get(n, n) for n in node.input]
        node.output[:] = [renamed.get(n, n) for n in node.output]
    onnx.save(model, good.with_name(name))
    return good.with_name(name)


def _fixed_shape(good: Path) -> Path:
    """It loads, has the right names, and wants another shape than the samples have."""
    model = onnx.load(good)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 3
    onnx.save(model, good.with_name("fixed.onnx"))
    return good.with_name("fixed.onnx")


def _flat(good: Path) -> Path:
    """It gives one number per sample under the right name: whoever scores classes cannot take that."""
    model = onnx.load(good)
    model.graph.node[-1].output[0] = "inner"
    model.graph.node.append(onnx.helper.make_node("ReduceSum", ["inner", "axes"], ["logits"], keepdims=0))
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([1]), "axes"))
    del model.graph.output[0].type.tensor_type.shape.dim[1]
    onnx.save(model, good.with_name("flat.onnx"))
    return good.with_name("flat.onnx")


def test_the_broken_ones_are_named_and_the_others_measured(order: EvalOrder, good: Path, tmp_path: Path) -> None:
    files = (good, _broken(good), _changed(good, "renamed.onnx", logits="scores"), _fixed_shape(good), _flat(good))
    result = _do(WorkKind.EVAL, replace(order, models=tuple(map(str, files))), tmp_path / "scratch")
    assert isinstance(result, EvalResult)
    assert set(result.models) == {0}
    causes = {at: failure.cause for at, failure in result.failures.items()}
    assert causes == {**dict.fromkeys((1, 2, 3), Cause.BAD_MODEL), 4: Cause.USER_ERROR}
    assert "truncated" in result.failures[1].message
    assert result.failures[2].message == "it has no output 'logits', which the spec's model has; it has scores"
    assert result.failures[3].message == "input x: expected shape [3, 16], found [1, 16]"
    assert result.failures[4].message.startswith("top1: expected one vector of equal length per sample")
    mine, fp32 = result.models[0], result.reference
    assert mine.latency is not None
    assert fp32.latency is None
    assert mine.heldout.split == fp32.heldout.split == "heldout"
    assert mine.heldout.outcomes == fp32.heldout.outcomes
    assert mine.size_bytes == good.stat().st_size
    assert mine.optimised_ops["MatMul"] == 1
    assert {run.arm for run in result.sitting.runs} == {"fp32", "0"}
    assert not list((tmp_path / "scratch").glob("*-[0-9].npz")), "outputs of a measured file were left"
    outcome = Outcome(kind=WorkKind.EVAL, key="eval", token=1, result=result)
    assert read_outcome(write_outcome(outcome)).result == result


def test_when_none_can_be_measured_each_is_named(order: EvalOrder, good: Path, tmp_path: Path) -> None:
    files = (_broken(good), _changed(good, "renamed.onnx", x="image"))
    with pytest.raises(ModelError, match=r"not one of the 2 files .*truncated.*renamed\.onnx: it has no input 'x'"):
        _do(WorkKind.EVAL, replace(order, models=tuple(map(str, files))), tmp_path / "scratch")


class Asked(ChildMeter):
    """Tells the patience it was made with, and sits nothing."""

    def sit(self, arms: Sequence[Arm], tier: Tier, *, seed: int) -> Sitting:
        raise WorkFailed(Cause.TIMEOUT, f"patience {self._patience_s:g}")


@pytest.mark.parametrize(("fp32_s", "said"), [(10.0, "patience 230"), (0.0, "patience 120")])
def test_a_final_and_a_verification_wait_for_an_arm_as_long_as_a_trial(
    order: EvalOrder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fp32_s: float, said: str
) -> None:
    monkeypatch.setattr(trials, "ChildMeter", Asked)
    shared = {name: getattr(order, name) for name in ("prepared", "splits", "materialized", "folder", "target", "seed")}
    final = FinalOrder(**shared, finalists={1: order.reference}, fp32_s=fp32_s)
    with pytest.raises(WorkFailed, match=said):
        _do(WorkKind.FINAL, final, tmp_path / "final")
    verify = VerifyOrder(
        **shared,
        candidate=order.reference,
        reference=make_accuracy(),
        expected=ledger_samples.measurement(),
        measure=True,
        fp32_s=fp32_s,
    )
    with pytest.raises(WorkFailed, match=said):
        _do(WorkKind.VERIFY, verify, tmp_path / "verify")


def test_slow_files_are_waited_for_by_what_their_rehearsal_took(
    order: EvalOrder, good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = evaluating.predict

    def slow(*what: Any, **how: Any) -> Predicted:
        return replace(real(*what, **how), seconds=7.0)

    for module in (evaluating, benching):
        monkeypatch.setattr(module, "ChildMeter", Asked)
        monkeypatch.setattr(module, "predict", slow)
    with pytest.raises(WorkFailed, match="patience 170"):
        _do(WorkKind.EVAL, replace(order, models=(str(good),)), tmp_path / "eval")
    bench = BenchOrder(models=(str(good),) * 2, data="", target=TARGET, tier=Tier.QUICK, seed=0)
    with pytest.raises(WorkFailed, match="patience 170"):
        _do(WorkKind.BENCH, bench, tmp_path / "bench")
    assert evaluating.rehearsed_patience_s([0.5, 2.0]) == trials.UNKNOWN_ARM_S


def test_more_models_than_memory_are_refused_by_number(
    order: EvalOrder, good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Little:
        available = 1 << 20

    monkeypatch.setattr(evaluating.psutil, "virtual_memory", Little)
    with pytest.raises(Unsupported, match=r"2 models in memory at once take \d+ MiB, and 1 MiB are free"):
        _do(WorkKind.EVAL, replace(order, models=(str(good),)), tmp_path / "scratch")
