"""One function per noun: document, rows and tables say the same."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import report_records as records
import report_records_compared as compared
import report_records_desk as desk_records
import report_records_models as model_records

from qsearch.contracts.bench import BenchedArm
from qsearch.contracts.choices import Choice
from qsearch.contracts.comparison import Basis
from qsearch.contracts.job import JobState
from qsearch.contracts.measurement import Accuracy
from qsearch.contracts.verdict import Interval, Verdict
from qsearch.report.across import across_answer
from qsearch.report.answer import Answer
from qsearch.report.bests import best_answer, versus_text
from qsearch.report.checks import checks_answer
from qsearch.report.comparison import comparison_answer
from qsearch.report.evaluation import evaluation_answer
from qsearch.report.exports import receipt_answer, verdict
from qsearch.report.jobs import jobs_answer, status_answer
from qsearch.report.layers import layers_answer
from qsearch.report.models import inspection_answer
from qsearch.report.plans import plan_answer, possible, spec_answer
from qsearch.report.progress import fraction_done, progress_line
from qsearch.report.queries import query_answer
from qsearch.report.timings import bench_answer
from qsearch.report.trial import latency_text, sample_counts, trial_answer
from qsearch.report.trial_rows import pooled_references
from qsearch.report.trials import fronts_answer, trials_answer
from qsearch.report.writers import FORMS, write

ANSWERS: dict[str, Callable[[], Answer]] = {
    "jobs": lambda: jobs_answer([records.job()]),
    "status": lambda: status_answer(records.status()),
    "running": lambda: status_answer(records.status(bests=(), progress=records.progress())),
    "trials": lambda: trials_answer("j1", [*records.front().rows, records.failed()]),
    "pareto": lambda: fronts_answer([records.front()]),
    "layers": lambda: layers_answer(model_records.layers()),
    "best": lambda: best_answer(records.best()),
    "early": lambda: best_answer(records.best(drop=None, versus_uniform=None, feasible=False)),
    "trial": lambda: trial_answer(records.shown()),
    "failed": lambda: trial_answer(records.failed()),
    "model": lambda: inspection_answer("m.onnx", records.inspection()),
    "comparison": lambda: comparison_answer(compared.comparison()),
    "incomparable": lambda: comparison_answer(compared.incomparable()),
    "arms": lambda: bench_answer(compared.timings()),
    "across": lambda: across_answer(compared.across()),
    "timings": lambda: bench_answer(records.bench()),
    "evaluation": lambda: evaluation_answer(model_records.evaluation()),
    "spec": lambda: spec_answer(records.job().spec),
    "plan": lambda: plan_answer(records.plan("unwise")),
    "export": lambda: receipt_answer(desk_records.receipt()),
    "query": lambda: query_answer(desk_records.rows_of_query()),
    "checks": lambda: checks_answer(desk_records.checks()),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_every_answer_can_be_written_in_every_form(name: str) -> None:
    answer = ANSWERS[name]()
    for form in FORMS:
        assert write(answer, form)
    assert json.loads(write(answer, "json"))["schema"] == f"qsearch.{answer.noun}/1"
    for table in answer.tables:
        assert all(len(line.cells) == len(table.columns) for line in table.lines)
        assert table.right <= set(table.columns)


def test_best_has_exactly_the_promised_keys() -> None:
    document = json.loads(write(best_answer(records.best()), "json"))
    assert list(document) == [
        "schema",
        "trial",
        "target",
        "rule",
        "reason",
        "speedup",
        "latency_p50_ms",
        "drop",
        "size_bytes",
        "choices",
    ]
    assert list(document["speedup"]) == ["value", "low", "high", "sessions", "verdict"]
    assert document["drop"] == {"value": 0.006, "low": 0.001, "high": 0.011, "n": 1500}
    assert document["choices"]["head"] == "fp32"


def test_best_before_the_finals_has_no_drop() -> None:
    assert json.loads(write(best_answer(records.best(drop=None)), "json"))["drop"] is None


def test_the_pick_is_compared_with_the_best_uniform_in_words() -> None:
    best = records.best()
    assert versus_text(best) == "faster than uniform int8-dynamic (trial 1): 1.05× [1.03, 1.08] head to head"
    tie = replace(best.versus_uniform, verdict=Verdict.UNRESOLVED)  # type: ignore[type-var]
    assert versus_text(replace(best, versus_uniform=tie)).startswith("not told apart from")
    uniform = dict.fromkeys(records.LAYERS, Choice.INT8_DYNAMIC)
    alone = versus_text(replace(best, versus_uniform=None, choices=uniform, uniform="uniform ternary"))
    assert alone == "the pick is uniform ternary itself, the best uniform candidate"


def test_a_pick_that_never_sat_in_the_finals_is_said_to_be_that_and_nothing_else() -> None:
    unseated = records.best(drop=None, versus_uniform=None)
    assert versus_text(unseated) == "not compared head to head: the pick was in no finals"
    assert versus_text(replace(unseated, uniform="uniform ternary")) == "the pick is uniform ternary itself"
    seated = records.best(versus_uniform=None)
    assert versus_text(seated) == "no uniform candidate that keeps the limits was in the finals"
    fp32 = replace(unseated, choices=dict.fromkeys(records.LAYERS, Choice.FP32), uniform="uniform fp32")
    assert versus_text(fp32) == "no uniform candidate that keeps the limits was in the finals"


def test_without_finals_it_is_said_why_there_were_none() -> None:
    fp32 = records.best(
        drop=None,
        versus_uniform=None,
        choices=dict.fromkeys(records.LAYERS, Choice.FP32),
        uniform="uniform fp32",
        finals=False,
    )
    assert versus_text(replace(fp32, state=JobState.SEARCHING)) == "no finals yet"
    assert versus_text(replace(fp32, state=JobState.CANCELLED)) == "no finals: the job was cancelled"
    assert versus_text(replace(fp32, state=JobState.FAILED, finals=None)) == "no finals: the job failed"
    assert versus_text(replace(fp32, state=JobState.DONE)).startswith("no finals: there was no candidate")
    seated = replace(fp32, state=JobState.DONE, finals=True)
    assert versus_text(seated) == "no uniform candidate that keeps the limits was in the finals"


def test_where_20_microseconds_decide_it_is_said() -> None:
    best = records.best(latency_p50_ms=0.005)
    same = replace(best.versus_uniform, verdict=Verdict.EQUIVALENT)  # type: ignore[type-var]
    told = "differences under 20 µs count as equal"
    assert versus_text(replace(best, versus_uniform=same)) == (
        f"as fast as uniform int8-dynamic (trial 1) ({told}): 1.05× [1.03, 1.08] head to head"
    )
    assert told not in versus_text(replace(records.best(), versus_uniform=same)), "6.33 ms: 2 % decide"
    quick = records.latency(0.93, verdict=Verdict.EQUIVALENT, reference_ms=0.006)
    assert f"EQUIVALENT ({told})" in latency_text(quick)
    assert told not in latency_text(replace(quick, verdict=Verdict.SLOWER))
    assert told not in latency_text(replace(quick, reference_ms=6.0))


def test_inferences_timed_in_groups_have_no_tails_and_say_why() -> None:
    shown = records.shown()
    assert shown.measurement is not None
    tails = {"tails": {"p50": None}, "tails_need": {"p50": 11}}
    blocks = tuple(replace(block, group=50) for block in shown.measurement.sitting.blocks)
    grouped = replace(
        shown.measurement,
        latency=replace(shown.measurement.latency, **tails),
        sitting=replace(shown.measurement.sitting, blocks=blocks),
    )
    cells = dict(line.cells for line in trial_answer(replace(shown, measurement=grouped)).tables[0].lines)
    assert cells["latency tails"] == "not told: inferences this short are timed in groups"
    assert cells["time went to"] == "assembling 200 ms, timing 12 s"


def test_the_origin_of_a_trial_is_said_once() -> None:
    why = "uniform int8-static: a baseline that every mixture has to beat."
    shown = records.shown()
    uniform = replace(shown, why=why, trial=replace(shown.trial, origin="uniform int8-static"))
    cells = dict(line.cells for line in trial_answer(uniform).tables[0].lines)
    assert cells["proposed by"] == why
    assert dict(line.cells for line in trial_answer(shown).tables[0].lines)["proposed by"].startswith("tpe: ")


def test_odd_numbers_of_a_row_are_words_that_are_explained_below() -> None:
    rows = records.front().rows
    useless = replace(rows[6].result.latency, ratio=Interval(value=4.0, low=0.001, high=300.0))
    flagged = replace(rows[1].result.latency, flags=("many_rejected", "no_steady_state"), verdict=Verdict.POLLUTED)
    changed = (
        rows[0],
        replace(rows[1], feasible=False, excess=1e6, result=replace(rows[1].result, latency=flagged)),
        replace(rows[2], rank=1, tied_with="j1/0", excess=35.68),
        *rows[3:6],
        replace(rows[6], result=replace(rows[6].result, latency=useless)),
    )
    table = fronts_answer([records.front(rows=changed)]).tables[0]
    lines = {line.cells[0]: line.cells for line in table.lines}
    assert lines["1"][-1] == "uniform int8-dynamic, polluted, disturbed, unsteady"
    assert lines["2"][1] == "", "what breaks a limit is no tie"
    assert lines["2"][-1] == "uniform ternary, infeasible, 37 times the limit"
    assert lines["6"][2] == "0.25× [not told]"
    (note,) = table.notes
    assert [word for word in ("polluted: ", "disturbed: ", "unsteady: ", "[not told]: ") if word not in note] == []
    assert "indicative" not in note
    assert fronts_answer([records.front()]).tables[0].notes == ()


def test_infeasible_is_said_where_the_pick_stands() -> None:
    table = best_answer(records.best(feasible=False)).tables[0]
    assert "closest" in table.lines[0].cells[1]


def test_rows_of_a_front_use_the_finals_and_the_pooled_reference() -> None:
    rows = {row["trial"]: row for row in fronts_answer([records.front()]).rows}
    pick = rows["j1/4"]
    assert pick["speedup"] == pytest.approx(1.58)
    assert pick["sessions"] == 6
    assert pick["latency_p50_ms"] == pytest.approx(10.0 / 1.58)
    assert (pick["drop_search"], pick["drop_search_n"], pick["drop"], pick["drop_n"]) == (0.004, 500, 0.006, 1500)
    assert rows["j1/0"]["drop"] is None


def test_pooling_leaves_out_what_is_not_finite() -> None:
    row = records.row(1, 1.5, 0.0, Choice.FP32)
    other = replace(row, result=replace(row.result, latency=records.latency(1.0, reference_ms=math.nan)))
    assert pooled_references([row, other]) == {("cpu-1thread", "mk"): 10.0}


def test_a_front_lists_members_and_ties_before_the_dominated() -> None:
    rows = fronts_answer([records.front()]).rows
    assert [row["rank"] == 2 for row in rows] == sorted(row["rank"] == 2 for row in rows)


def test_failed_trials_show_their_cause() -> None:
    answer = trials_answer("j1", [records.failed()])
    assert answer.rows[0]["cause"] == "native-crash"
    assert answer.tables[0].lines[0].cells[-1] == "native-crash: died by signal 11"


def test_show_counts_raw_samples_and_rejected_blocks() -> None:
    counts = sample_counts(records.sitting())
    assert counts["candidate"] == {"samples": 6, "blocks": 2, "rejected_blocks": 1}
    document = json.loads(write(trial_answer(records.shown()), "json"))
    assert document["samples"]["fp32"]["samples"] == 6
    assert document["export"] == "qsearch export j1/4 -o DIR --verify"


def test_show_tells_tails_or_the_samples_they_need() -> None:
    tails = {"tails": {"p50": 6.3, "p99": None}, "tails_need": {"p50": 11, "p99": 662}}
    view = records.shown()
    assert view.measurement is not None
    timed = replace(view, measurement=replace(view.measurement, latency=records.latency(1.6, **tails)))
    assert "p50 ≤ 6.30 ms, p99 – (needs 662 samples)" in write(trial_answer(timed), "md")
    document = json.loads(write(trial_answer(timed), "json"))["latency"]
    assert document["tails_ms"] == {"p50": 6.3, "p99": None}
    assert document["tails_need_samples"]["p99"] == 662
    assert "tails" not in write(trial_answer(view), "md")


def test_plans_that_are_impossible() -> None:
    assert possible(records.plan("unwise"))
    assert not possible(records.plan("impossible: smallest reachable 46.7 MiB"))


def test_export_verdicts() -> None:
    assert verdict(desk_records.receipt()) is True
    assert verdict(desk_records.receipt("p50 differs")) is False
    asked = desk_records.receipt()
    assert verdict(replace(asked, verification=replace(asked.verification, measured=None))) is None


def test_columns_of_one_name_are_told_apart() -> None:
    answer = query_answer(desk_records.rows_of_query())
    assert answer.document["columns"] == ["n", "n_2", "blob"]
    assert answer.rows[0] == {"n": 1, "n_2": "=1+1", "blob": "<2 bytes>"}
    assert "--limit" in answer.tables[0].notes[0]


def test_progress_is_one_line() -> None:
    line = progress_line(records.progress())
    assert "\n" not in line
    assert "12/30" in line
    assert "1 min 30 s to go" in line
    assert "1.60× [1.57, 1.63]" in line
    assert fraction_done(records.progress(budget=0)) == 0.0


def test_random_inputs_are_called_that_in_every_form() -> None:
    answer = bench_answer(compared.timings())
    document = json.loads(write(answer, "json"))
    assert document["random_inputs"] is True
    assert document["made_up"] == {"ids": "int64, 0 to 30521 (rows of table)"}
    assert "RANDOM" in answer.tables[0].notes[2]
    assert all(row["random_inputs"] for row in answer.rows)
    given = bench_answer(records.bench())
    assert json.loads(write(given, "json"))["random_inputs"] is False
    assert not any("RANDOM" in note for note in given.tables[0].notes)


def test_a_polluted_time_has_an_estimate_and_no_interval_in_any_form() -> None:
    view = records.bench()
    polluted = replace(view.result.latencies[1], verdict=Verdict.POLLUTED, pairs=0)
    answer = bench_answer(replace(view, result=replace(view.result, latencies={1: polluted})))
    row = answer.rows[1]
    assert (row["speedup"], row["speedup_low"], row["speedup_high"]) == (pytest.approx(1.5), None, None)
    document = json.loads(write(answer, "json"))
    assert document["models"][1]["latency"]["speedup"] == {"value": pytest.approx(1.5), "low": None, "high": None}
    assert document["models"][1]["latency"]["ratio"]["high"] is None
    assert "1.50× [polluted]" in answer.tables[0].lines[1].cells
    assert any(note.startswith("POLLUTED: 0 usable pairs left") for note in document["notes"])


def test_rows_say_where_20_microseconds_decided_and_what_must_be_known_of_an_arm() -> None:
    view = records.bench()
    tiny = replace(view.result.latencies[1], verdict=Verdict.EQUIVALENT, reference_ms=0.01)
    arm = BenchedArm(sha256="0", size_bytes=1, notes=("its outputs are no numbers",))
    result = replace(view.result, latencies={1: tiny}, arms={0: arm, 1: replace(arm, notes=())})
    answer = bench_answer(replace(view, result=result))
    reference, fast = answer.rows
    assert fast["remark"] == "differences under 20 µs count as equal"
    assert reference["notes"] == "its outputs are no numbers"
    assert "see the note" in answer.tables[0].lines[0].cells
    assert "Arm 1, a.onnx: its outputs are no numbers." in answer.tables[0].notes


def test_every_arm_tells_its_costs_its_tails_and_what_they_need() -> None:
    reference, fast, other, failed = bench_answer(compared.timings()).rows
    assert (reference["reference"], reference["load_ms"], reference["size_bytes"]) == (True, 10.0, 1000)
    assert (fast["tail_p90_ms"], fast["tail_p99_ms"], fast["target"]) == (4.6, None, "t")
    assert fast["rejected_blocks"] == 1
    assert other["target"] == "u"
    assert failed["cause"] == "bad-model"
    line = bench_answer(compared.timings()).tables[0].lines[1]
    assert "p90 ≤ 4.60 ms, p99 needs 662" in line.cells


def test_a_time_through_fp32_is_called_indirect_and_one_that_is_none_says_why() -> None:
    view = compared.comparison()
    assert view.time is not None
    indirect = replace(view, time=replace(view.time, basis=Basis.INDIRECT))
    document = json.loads(write(comparison_answer(indirect), "json"))
    assert (document["time"]["basis"], document["time"]["direct"]) == ("indirect", False)
    assert "indirect: each against fp32" in write(comparison_answer(indirect), "md")
    none = json.loads(write(comparison_answer(compared.incomparable()), "json"))
    assert none["time"] is None
    assert none["incomparable"].startswith("cannot compare")
    assert none["accuracy"][0]["p"] == 0.625
    assert "exact McNemar p=0.625: only the first right on 3, only the second on 1" in write(
        comparison_answer(view), "md"
    )


def test_trials_of_several_targets_stand_in_a_table_each() -> None:
    rows = records.front().rows
    there = replace(rows[1], result=replace(rows[1].result, trial=replace(rows[1].result.trial, target="other")))
    tables = trials_answer("j1", [rows[0], there, rows[2]]).tables
    assert [table.title for table in tables] == ["trials of j1 on cpu-1thread", "trials of j1 on other"]
    assert [len(table.lines) for table in tables] == [2, 1]


def _stopped_early() -> tuple[Accuracy, Accuracy]:
    whole = records.accuracy(0.3)
    return replace(whole, n=38, of=300, looks=(38,)), replace(whole, split="heldout", n=200)


def test_a_comparison_of_scores_that_were_stopped_early_says_of_how_many_samples() -> None:
    (told,) = compared.comparison().accuracies
    view = compared.comparison(accuracies=(replace(told, split="search", n=38, of=300),))
    answer = comparison_answer(view)
    assert "n=38 of 300; exact McNemar" in write(answer, "md")
    assert (answer.rows[0]["search_n"], answer.rows[0]["search_of"]) == (38, 300)
    document = json.loads(write(answer, "json"))
    assert (document["accuracy"][0]["n"], document["accuracy"][0]["of"]) == (38, 300)
    side = replace(view.second, search=_stopped_early()[0])
    document = json.loads(write(comparison_answer(replace(view, second=side)), "json"))
    assert document["second"]["accuracy_search"]["truncated"] is True
    assert document["second"]["accuracy_heldout"] is None
    whole = json.loads(write(comparison_answer(compared.comparison()), "json"))["accuracy"][0]
    assert (whole["n"], whole["of"]) == (200, 200)


def test_a_job_over_its_targets_says_what_each_drop_rests_on() -> None:
    view = compared.across()
    search, heldout = _stopped_early()
    cell = replace(view.rows[1].cells["cpu-1thread"], search=search, heldout=heldout)
    answer = across_answer(replace(view, rows=(replace(view.rows[1], cells={"cpu-1thread": cell}),)))
    (row,) = answer.rows
    assert (row["drop_search_n"], row["drop_search_of"], row["truncated"]) == (38, 300, True)
    assert (row["drop"], row["drop_low"], row["drop_high"], row["drop_n"]) == pytest.approx((0.3, 0.295, 0.305, 200))
    found = json.loads(write(answer, "json"))["candidates"][0]["on"]["cpu-1thread"]
    assert (found["accuracy_search"]["n"], found["accuracy_search"]["of"]) == (38, 300)
    assert found["accuracy_search"]["truncated"] is True
    assert found["accuracy_search"]["detectable"] == 0.007
    assert found["accuracy_heldout"]["drop"]["low"] == pytest.approx(0.295)
    assert "n=38 of 300" in write(answer, "md")
    (bare, *_) = across_answer(view).rows
    assert (bare["drop"], bare["drop_n"], bare["truncated"]) == (None, None, False)
