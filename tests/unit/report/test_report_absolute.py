"""Where 20 µs decide, and not 2 %, every table with a verdict says so."""

from __future__ import annotations

from dataclasses import replace

import pytest
import report_records as records
import report_records_compared as compared
import report_records_models as model_records

from qsearch.contracts.comparison import AcrossView, CompareView
from qsearch.contracts.measurement import Latency
from qsearch.contracts.verdict import Verdict
from qsearch.contracts.views import EvalView
from qsearch.report.across import across_answer
from qsearch.report.answer import Answer
from qsearch.report.comparison import comparison_answer
from qsearch.report.evaluation import evaluation_answer

TOLD = "EQUIVALENT (differences under 20 µs count as equal)"


def timed(reference_ms: float) -> Latency:
    return records.latency(1.05, verdict=Verdict.EQUIVALENT, reference_ms=reference_ms)


def evaluated(reference_ms: float) -> EvalView:
    view = model_records.evaluation()
    models = {at: replace(file, latency=timed(reference_ms)) for at, file in view.result.models.items()}
    return replace(view, result=replace(view.result, models=models))


def compared_two(reference_ms: float) -> CompareView:
    view = compared.comparison()
    assert view.time is not None
    return replace(
        view,
        first=replace(view.first, latency=timed(reference_ms)),
        second=replace(view.second, latency=timed(reference_ms)),
        time=replace(view.time, verdict=Verdict.EQUIVALENT, reference_ms=reference_ms),
    )


def across(reference_ms: float) -> AcrossView:
    view = compared.across()
    rows = (
        replace(row, cells={name: replace(cell, latency=timed(reference_ms)) for name, cell in row.cells.items()})
        for row in view.rows
    )
    return replace(view, rows=tuple(rows))


def cells(answer: Answer) -> list[str]:
    return [cell for line in answer.tables[0].lines for cell in line.cells]


@pytest.mark.parametrize(("reference_ms", "said"), [(0.006, True), (6.0, False)])
def test_it_is_said_beside_every_verdict_that_rests_on_it(reference_ms: float, said: bool) -> None:
    counted = {
        "eval": (evaluation_answer(evaluated(reference_ms)), 3),
        "compare": (comparison_answer(compared_two(reference_ms)), 3),
        "across": (across_answer(across(reference_ms)), 3),
    }
    for name, (answer, verdicts) in counted.items():
        assert sum(TOLD in cell for cell in cells(answer)) == said * verdicts, name
        assert sum("EQUIVALENT" in cell for cell in cells(answer)) == verdicts, name
