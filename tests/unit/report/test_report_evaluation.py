"""Files against fp32: in which order, what is named, what stands beside a number."""

from __future__ import annotations

import json
from dataclasses import replace

import report_records as records
import report_records_models as model_records

from qsearch.contracts.measurement import Tier
from qsearch.contracts.verdict import Verdict
from qsearch.report.answer import Mark
from qsearch.report.evaluation import evaluation_answer, operators_text, ranked
from qsearch.report.writers import write


def test_what_keeps_the_limit_comes_first_by_speed_and_failures_last() -> None:
    view = model_records.evaluation()
    assert list(ranked(view)) == [3, 0, 1, 2]
    assert list(ranked(replace(view, limit=None, keeps={}))) == [1, 3, 0, 2]
    table = evaluation_answer(view).tables[0]
    assert [line.cells[0] for line in table.lines] == ["fp32", "j1/4", "slow.onnx", "fast.onnx", "broken.onnx"]
    assert [row["model"] for row in evaluation_answer(view).rows] == [line.cells[0] for line in table.lines]


def test_a_polluted_time_leads_nothing_and_is_dimmed() -> None:
    view = model_records.evaluation()
    lucky = records.latency(9.0, verdict=Verdict.POLLUTED)
    models = {**view.result.models, 0: replace(view.result.models[0], latency=lucky)}
    view = replace(view, result=replace(view.result, models=models))
    assert list(ranked(view)) == [3, 1, 0, 2]
    marks = {line.cells[0]: line.mark for line in evaluation_answer(view).tables[0].lines}
    assert (marks["slow.onnx"], marks["j1/4"]) == (Mark.DIM, Mark.NONE)


def test_a_failure_is_named_with_its_cause_and_has_no_numbers() -> None:
    answer = evaluation_answer(model_records.evaluation())
    assert answer.rows[-1] == {
        "model": "broken.onnx",
        "reference": False,
        "cause": "bad-model",
        "message": "it has no output 'out'",
    }
    assert "bad-model: it has no output 'out'" in answer.tables[0].lines[-1].cells
    document = json.loads(write(answer, "json"))
    assert document["models"][-1]["failure"] == {"cause": "bad-model", "message": "it has no output 'out'"}


def test_every_number_has_its_interval_and_its_n() -> None:
    document = json.loads(write(evaluation_answer(model_records.evaluation()), "json"))
    assert document["schema"] == "qsearch.evaluation/1"
    assert (document["spec"], document["target"], document["max_drop"]) == ("minilm", "cpu-1thread", "1%")
    best = document["models"][0]
    assert (best["model"], best["position"], best["keeps_drop"]) == ("j1/4", 3, True)
    assert best["drop"] == {"value": 0.006, "low": 0.001, "high": 0.011, "n": 1500}
    assert best["latency"]["speedup"]["low"] < 1.6 < best["latency"]["speedup"]["high"]
    assert best["operators"] == {"QLinearMatMul": 3, "QuantizeLinear": 1, "DequantizeLinear": 2}
    assert document["reference"]["operators"] == {"MatMul": 3, "Add": 2}


def test_a_broken_limit_is_said_beside_the_verdict() -> None:
    view = model_records.evaluation()
    told = {line.cells[0]: line.cells[3] for line in evaluation_answer(view).tables[0].lines}
    assert told["fast.onnx"].endswith("breaks the limit of 1%")
    assert "limit" not in told["j1/4"]


def test_the_tier_and_whose_samples_they_are_stand_below() -> None:
    view = model_records.evaluation()
    quick = replace(view, result=replace(view.result, sitting=replace(records.sitting(), tier=Tier.QUICK)))
    first, under, second = evaluation_answer(quick).tables[0].notes
    assert under == "Measured under machine class mk, runtime key rk, threads 1."
    assert first.startswith("One sitting of 4 arms, tier quick, ")
    assert second == "The samples and fp32 are those of job j1."


def test_operators_are_told_by_number_and_those_that_move_between_types_apart() -> None:
    seen = {"Add": 2, "MatMulInteger": 9, "DynamicQuantizeLinear": 4, "Cast": 9, "Mul": 1, "Relu": 1, "Pad": 1}
    assert operators_text(seen) == "MatMulInteger 9, Add 2, Mul 1, Relu 1, 1 kinds more; dynamic Q 4; Cast 9"
    assert operators_text({"MatMul": 1, "DequantizeLinear": 2}) == "MatMul 1; Q/DQ 0/2"
    assert operators_text({}) == ""


def test_openvinos_operators_keep_their_precision_and_its_movers_are_found_behind_it() -> None:
    seen = {"FullyConnected:u8": 3, "FullyConnected:f32": 1, "FakeQuantize:f32": 2, "Convert:u8": 1, "Reorder:f32": 3}
    assert operators_text(seen) == "FullyConnected:u8 3, FullyConnected:f32 1; Q/DQ 2/0; Cast 4"
