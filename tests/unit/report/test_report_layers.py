"""Layers: effects that are told and such that are not, and what really ran."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import report_records_models as model_records

from qsearch.report.layers import layers_answer
from qsearch.report.operators import CAST, DEQUANTIZE, FLOAT, INTEGER, QUANTIZE, operator_counts
from qsearch.report.writers import write


def test_an_effect_that_is_not_told_apart_is_null_and_never_a_number() -> None:
    rows = {(row["layer"], row["choice"]): row for row in layers_answer(model_records.layers()).rows}
    told, untold = rows["encoder.0", "int8-dynamic"], rows["head", "int8-dynamic"]
    assert (told["drop_search"], told["drop_search_low"], told["drop_search_high"]) == (0.003, 0.001, 0.005)
    assert (told["told_apart"], told["trials"], told["front"], told["pick"]) == (True, 4, 2, True)
    assert (untold["drop_search"], untold["told_apart"], untold["trials"]) == (None, False, 3)


def test_the_document_has_the_pick_and_the_front_of_each_layer() -> None:
    document = json.loads(write(layers_answer(model_records.layers()), "json"))
    assert document["schema"] == "qsearch.layers/1"
    first, second = document["layers"]
    assert (first["pick"], first["front"]) == ("int8-dynamic", {"fp32": 1, "int8-dynamic": 2})
    assert first["effects"]["int8-dynamic"]["drop_search"]["low"] == 0.001
    assert (second["pick"], second["front"]) == ("fp32", {"fp32": 3})
    assert second["effects"]["int8-dynamic"] == {"trials": 3, "told_apart": False, "drop_search": None}


def test_tables_tell_effects_with_their_trials() -> None:
    _, effects, graphs = layers_answer(model_records.layers()).tables
    assert [line.cells for line in effects.lines] == [
        ("encoder.0", "0.3 % [0.1, 0.5] (4)", "–"),
        ("head", "not told apart (3)", "–"),
    ]
    assert [line.cells[1] for line in graphs.lines] == ["front, fp32", "uniform int8-dynamic", "the pick, front"]
    assert [line.cells[2:] for line in graphs.lines] == [
        ("3", "0", "0", "0", "0", "3"),
        ("0", "3", "2", "0", "3", "3"),
        ("1", "2", "2", "1", "0", "0"),
    ]


def test_where_nothing_is_told_only_trials_are_counted_and_the_reason_stands_below() -> None:
    view = model_records.layers(notes=("6 trials do not tell 2 effects apart.",))
    silent = tuple(
        replace(seen, effects=tuple(replace(effect, drop=None) for effect in seen.effects)) for seen in view.layers
    )
    effects = layers_answer(replace(view, layers=silent)).tables[1]
    assert [line.cells[1] for line in effects.lines] == ["4 trials", "3 trials"]
    assert effects.notes == ("6 trials do not tell 2 effects apart.",)


def test_before_the_first_trial_layers_are_listed_with_a_line_that_says_so() -> None:
    view = model_records.layers(trials=0, samples=0, graphs=(), notes=("No trial has finished yet.",))
    (table,) = layers_answer(view).tables
    assert len(table.lines) == 2
    assert table.notes == ("No trial has finished yet.",)


def test_every_operator_is_counted_once() -> None:
    kinds = [FLOAT, INTEGER, QUANTIZE, DEQUANTIZE, CAST]
    assert sum(map(len, kinds)) == len(frozenset().union(*kinds))
    counts = operator_counts({"MatMul": 1, "QGemm": 2, "QuantizeLinear": 3, "Cast": 4, "Shape": 5})
    assert (counts.float_ops, counts.integer_ops, counts.quantize, counts.dequantize) == (1, 2, 3, 0)
    assert (counts.cast, counts.other) == (4, 5)


@pytest.mark.parametrize("operator", ["FullyConnected", "Convolution", "MatMul"])
@pytest.mark.parametrize(
    ("precision", "integer"), [("f32", 0), ("f16", 0), ("bf16", 0), ("u8", 1), ("i8", 1), ("u2", 1), ("u4", 1)]
)
def test_openvinos_precision_tells_float_from_integer(operator: str, precision: str, integer: int) -> None:
    counts = operator_counts({f"{operator}:{precision}": 2, "Eltwise:u8": 1})
    assert (counts.float_ops, counts.integer_ops, counts.other) == (2 * (1 - integer), 2 * integer, 1)


def test_openvinos_quantize_and_conversions_are_counted_in_every_precision() -> None:
    counts = operator_counts({"FakeQuantize:f32": 1, "FakeQuantize:u8": 2, "Convert:u8": 4, "Reorder:f32": 8})
    assert (counts.quantize, counts.cast, counts.other) == (3, 12, 0)


def test_a_job_that_is_not_prepared_has_an_answer_too() -> None:
    answer = layers_answer(
        model_records.layers(trials=0, samples=0, layers=(), graphs=(), notes=("Not prepared yet.",))
    )
    assert json.loads(write(answer, "json"))["notes"] == ["Not prepared yet."]
    assert "Not prepared yet" in write(answer, "md")
    assert write(answer, "jsonl") == ""
