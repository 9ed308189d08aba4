"""The comparison with ONNX Runtime's quantizers: who is compared, what a broken quantizer becomes, the one table."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "report"))

import report_records as records
import report_records_models as model_records

from qsearch.contracts.bench import EvalFailure
from qsearch.contracts.causes import Cause
from qsearch.contracts.measurement import Block
from qsearch.contracts.verdict import Verdict
from qsearch.measure.samples import write_samples
from tests.acceptance.conftest import write_classifier
from tests.bench.against_ort import chosen
from tests.bench.ort_files import ROOT, Recipe, make, recipes
from tests.bench.ort_table import OURS, THEIRS, Entry, found_of, table_of


def _entry(what: str, by: str = THEIRS, **changes: object) -> Entry:
    made = Entry(by=by, what=what, model=what, op_types="MatMul", per_channel=False, preprocessing="none")
    return replace(made, **changes)  # type: ignore[arg-type]


ENTRIES = (
    _entry("static"),
    _entry("raised", model="", error="ValueError: no such thing"),
    _entry("dynamic"),
    _entry("invalid"),
    _entry("j1/4", OURS, pick=True),
)


def test_the_pick_comes_first_then_the_fastest_feasible_then_the_uniform_ones() -> None:
    front = records.front()
    assert [row.trial for row in chosen(front, 2)] == ["j1/4", "j1/5", "j1/1", "j1/2"]
    assert [row.trial for row in chosen(front, 9)] == ["j1/4", "j1/5", "j1/1", "j1/3", "j1/6", "j1/2"]
    row = front.rows[5]
    polluted = replace(row, result=replace(row.result, latency=records.latency(9.0, verdict=Verdict.POLLUTED)))
    rows = (*front.rows[:5], polluted, *front.rows[6:])
    assert "j1/5" not in [row.trial for row in chosen(replace(front, rows=rows), 9)]


def test_their_recipes_follow_the_machine_and_have_names_of_their_own() -> None:
    for saturates in (False, True):
        made = recipes(saturates=saturates)
        assert len({recipe.name for recipe in made}) == len(made)
        assert {recipe.reduce_range for recipe in made if recipe.preprocess} == {saturates}
        assert {recipe.reduce_range for recipe in made if not recipe.preprocess} == {False}


def test_what_their_guide_says_for_throughput_and_for_accuracy_is_among_the_recipes() -> None:
    made = {recipe.name: recipe for recipe in recipes(saturates=False)}
    dynamic = made["dynamic, per channel, MatMul only"]
    assert (dynamic.static, dynamic.per_channel, dynamic.op_types) == (False, True, ("MatMul",))
    for name, op_types in (("static, uint8", ()), ("static, uint8, MatMul and Conv", ("MatMul", "Conv"))):
        fast = made[name]
        assert (fast.static, fast.unsigned, fast.per_channel, fast.op_types) == (True, True, False, op_types)
        assert fast.preprocess
    assert {recipe.entropy for recipe in made.values()} == {False, True}
    assert len(made) == 12


def test_a_quantizer_that_works_and_one_that_cannot(tmp_path: Path) -> None:
    write_classifier(tmp_path / "model.onnx", tmp_path / "data.npz", width=16, count=12)
    feeds = [{"x": np.ones((1, 16), np.float32)}] * 2
    write_samples(tmp_path / "s.npz", feeds, {}, [1] * 2)
    made = make(Recipe(name="s", static=True), tmp_path / "model.onnx", tmp_path / "s.npz", tmp_path / "out.onnx")
    assert (made.error, made.op_types) == ("", ("Gemm", "MatMul", "Relu"))
    assert made.file is not None
    assert "QuantizeLinear" in {node.op_type for node in onnx.load(made.file).graph.node}
    entropy = Recipe(name="s", static=True, unsigned=True, entropy=True)
    made = make(entropy, tmp_path / "model.onnx", tmp_path / "s.npz", tmp_path / "entropy.onnx")
    assert made.error == ""
    assert (tmp_path / "entropy.onnx").read_bytes() != (tmp_path / "out.onnx").read_bytes()
    write_samples(tmp_path / "bad.npz", [{"y": feeds[0]["x"]}], {}, [1])
    made = make(Recipe(name="s", static=True), tmp_path / "model.onnx", tmp_path / "bad.npz", tmp_path / "no.onnx")
    assert made.file is None
    assert "x" in made.error
    assert "\n" not in made.error
    made = make(Recipe(name="s", static=True), tmp_path / "model.onnx", tmp_path / "s.npz", tmp_path / "o", 0.01)
    assert made.error == "no file after 0.01 s"


def test_what_a_quantizer_leaves_in_the_current_folder_goes_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Symbolic shape inference writes the model it gave up on into the current folder, weights beside it."""
    monkeypatch.chdir(tmp_path)
    Path("made").mkdir()
    one = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 4])
    out = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)
    nodes = [
        onnx.helper.make_node("Sprocket", ["x"], ["s"], domain="some.where"),
        onnx.helper.make_node("Relu", ["s"], ["y"]),
    ]
    graph = onnx.helper.make_graph(nodes, "g", [one], [out])
    versions = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("some.where", 1)]
    onnx.save(onnx.helper.make_model(graph, ir_version=8, opset_imports=versions), "model.onnx")
    write_samples(Path("s.npz"), [{"x": np.ones((1, 4), np.float32)}], {}, [1])
    before = {*ROOT.glob("*.data"), *ROOT.glob("*.onnx")}
    recipe = Recipe(name="s", static=True, preprocess=True)
    made = make(recipe, Path("model.onnx"), Path("s.npz"), Path("made/out.onnx"))
    assert "Incomplete symbolic shape inference" in made.preprocessing
    assert "Sprocket" in made.error
    assert {*os.listdir(tmp_path)} == {"model.onnx", "s.npz", "made"}
    assert {*os.listdir("made")} <= {"out.prepared.onnx"}
    assert {*ROOT.glob("*.data"), *ROOT.glob("*.onnx")} <= before


@pytest.fixture
def view() -> records.EvalView:
    """Positions 0, 1, 2, 3 are the entries that have a file; every arm has blocks and runs."""
    seen = model_records.evaluation()
    arms = {"fp32": 1000, "0": 900, "1": 400, "3": 625}
    one = records.sitting().runs[0]
    blocks = tuple(
        Block(arm=arm, session=session, round=number, order=number * 4 + at, samples_ns=(time * 1000,) * 5)
        for session in range(2)
        for number in range(4)
        for at, (arm, time) in enumerate(arms.items())
    )
    runs = tuple(replace(one, arm=arm, session=session) for arm in arms for session in range(2))
    sitting = replace(seen.result.sitting, runs=runs, blocks=blocks)
    result = replace(seen.result, sitting=sitting)
    return replace(seen, result=replace(result, models={0: result.models[0], 1: result.models[1], 3: result.models[3]}))


def test_one_table_names_how_each_was_made_and_what_became_of_it(view: records.EvalView) -> None:
    table = table_of(ENTRIES, view)
    assert [line.cells[1] for line in table.lines] == ["fp32", "j1/4", "static", "dynamic", "invalid", "raised"]
    cells = {line.cells[1]: line.cells for line in table.lines}
    assert cells["j1/4"][-1].startswith("the pick, FASTER")
    assert "breaks 1%" in cells["dynamic"][-1]
    assert cells["invalid"][-1] == "bad-model: it has no output 'out'"
    assert cells["raised"][-1] == "ValueError: no such thing"
    assert all(len(line.cells) == len(table.columns) for line in table.lines)
    assert "theirs takes 1.44×" in table.notes[1]


def test_the_document_has_every_row_its_spread_and_the_duel(view: records.EvalView) -> None:
    found = found_of(ENTRIES, view)
    *rows, duel = found.rows
    assert [row["what"] for row in rows] == ["fp32", "j1/4", "static", "dynamic", "invalid", "raised"]
    assert rows[1]["speedup_by_session"] == pytest.approx([1.6, 1.6])
    assert (rows[1]["keeps_drop"], rows[1]["n"]) == (True, 1500)
    assert rows[-1]["error"] == "ValueError: no such thing"
    assert (duel["pick"], duel["theirs"]) == ("j1/4", "static")
    assert [goal.met for goal in found.goals] == [True, True]


def test_where_none_of_theirs_keeps_the_limit_the_rival_is_fp32(view: records.EvalView) -> None:
    lost = replace(view, keeps={0: False, 1: False, 3: True})
    duel = found_of(ENTRIES, lost).rows[-1]
    assert duel["theirs"] == "none keeps the limit, so fp32"
    assert duel["time of theirs / time of the pick"] == pytest.approx(1.6)
    unpicked = [replace(entry, pick=False) for entry in ENTRIES]
    assert found_of(unpicked, lost).rows[-1]["verdict"] == "the same"
    assert table_of(unpicked, lost).notes[1].endswith("are the same")


def _polluted(view: records.EvalView, *positions: int) -> records.EvalView:
    """The same with every block of these arms rejected, and said so."""
    arms = {str(position) for position in positions}
    blocks = tuple(replace(b, rejected="steal") if b.arm in arms else b for b in view.result.sitting.blocks)
    bad = records.latency(9.0, verdict=Verdict.POLLUTED)
    models = {at: replace(m, latency=bad) if at in positions else m for at, m in view.result.models.items()}
    result = replace(view.result, models=models, sitting=replace(view.result.sitting, blocks=blocks))
    return replace(view, result=result)


def test_a_polluted_rival_is_passed_over(view: records.EvalView) -> None:
    both = replace(view, keeps={0: True, 1: True, 3: True})
    assert found_of(ENTRIES, both).rows[-1]["theirs"] == "dynamic"
    assert found_of(ENTRIES, _polluted(both, 1)).rows[-1]["theirs"] == "static"


def test_a_duel_that_was_polluted_is_not_judged_and_not_met(view: records.EvalView) -> None:
    for bad, why in ((_polluted(view, 0), "every one that keeps"), (_polluted(view, 3), "their common rounds are")):
        found = found_of(ENTRIES, bad)
        assert found.rows[-1]["theirs"] == "static"
        assert str(found.rows[-1]["verdict"]).startswith(f"not judged: {why}")
        assert [(goal.value, goal.met) for goal in found.goals] == [(None, False), (0, True)]
        assert "POLLUTED" in table_of(ENTRIES, bad).notes[1]
        json.dumps(found.rows, allow_nan=False)


def test_a_pick_that_failed_is_lost_and_no_other_takes_its_place(view: records.EvalView) -> None:
    models = {at: file for at, file in view.result.models.items() if at != 3}
    failures = {**view.result.failures, 3: EvalFailure(cause=Cause.OUT_OF_MEMORY, message="it was killed")}
    found = found_of(
        ENTRIES, replace(view, keeps={0: True, 1: False}, result=replace(view.result, models=models, failures=failures))
    )
    assert (found.rows[-1]["pick"], found.rows[-1]["verdict"]) == (
        "j1/4",
        "the pick failed, out-of-memory: it was killed",
    )
    assert [(goal.value, goal.met) for goal in found.goals] == [(None, False), (1, False)]


@pytest.mark.parametrize(("theirs_us", "spread_us", "met"), [(612, 60, True), (500, 2, False), (640, 2, True)])
def test_the_pick_loses_where_the_whole_interval_says_so(
    view: records.EvalView, theirs_us: int, spread_us: int, met: bool
) -> None:
    """The pick takes 625 µs."""

    def timed(block: Block) -> Block:
        time = theirs_us + (spread_us if block.round % 2 else -spread_us)
        return replace(block, samples_ns=(time * 1000,) * 5) if block.arm == "0" else block

    blocks = tuple(timed(block) for block in view.result.sitting.blocks)
    sitting = replace(view.result.sitting, blocks=blocks)
    goal = found_of(ENTRIES, replace(view, result=replace(view.result, sitting=sitting))).goals[0]
    assert goal.met is met
