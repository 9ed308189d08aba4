"""Outcomes become an accuracy, or a refusal that says whose fault it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from qsearch.contracts.causes import Cause
from qsearch.contracts.codec import from_data, to_data
from qsearch.contracts.errors import TaskError, WorkFailed
from qsearch.contracts.measurement import Accuracy
from qsearch.contracts.task import Scores
from qsearch.measure.accuracy import judge


def _judge(outcomes: Any, reference: Accuracy | None = None, weights: Any = None, **more: Any) -> Accuracy:
    options = {"metric": "top1", "higher_is_better": True, "split": "search"} | more
    scores = Scores(outcomes=np.asarray(outcomes), weights=None if weights is None else np.asarray(weights))
    return judge(scores, reference=reference, **options)


def test_fp32_loses_nothing_against_itself_exactly() -> None:
    fp32 = _judge([1, 0, 1, 1])
    assert (fp32.score, fp32.reference_score, fp32.n) == (0.75, 0.75, 4)
    assert (fp32.drop.value, fp32.drop.low, fp32.drop.high, fp32.detectable) == (0, 0, 0, 0)


def test_a_drop_is_positive_when_it_is_worse() -> None:
    fp32 = _judge([1, 1, 1, 0])
    worse = _judge([1, 0, 1, 0], fp32)
    assert worse.drop_points.value == pytest.approx(0.25)
    assert worse.drop.value == pytest.approx(1 / 3)
    assert worse.reference_score == 0.75
    errors = _judge([0.2, 0.4], higher_is_better=False)
    better = _judge([0.1, 0.3], errors, higher_is_better=False)
    assert better.drop_points.value == pytest.approx(-0.1)


def test_weights_weigh_and_are_kept() -> None:
    found = _judge([0.0, 1.0], weights=[3.0, 1.0])
    assert found.score == 0.25
    assert found.weights == (3.0, 1.0)


def test_equal_outcomes_give_equal_records_that_cross_a_wire() -> None:
    fp32 = _judge(np.linspace(0, 1, 50))
    found = _judge(np.linspace(0, 0.9, 50), fp32)
    assert found == _judge(np.linspace(0, 0.9, 50), fp32)
    assert from_data(Accuracy, to_data(found)) == found


def test_not_a_number_is_the_tasks_fault_for_fp32_and_the_models_for_a_candidate() -> None:
    fp32 = _judge([1.0, 0.0])
    with pytest.raises(TaskError, match="1 of 2 outcomes are not finite, the first is number 1, for fp32"):
        _judge([1.0, np.nan])
    with pytest.raises(WorkFailed, match="not finite") as failed:
        _judge([np.inf, 0.0], fp32)
    assert failed.value.cause is Cause.BAD_MODEL


@pytest.mark.parametrize(
    ("outcomes", "weights", "said"),
    [
        ([], None, "found none"),
        ([[1.0, 0.0]], None, "one axis"),
        (["a"], None, "expected float64"),
        ([1.0, 0.0], [1.0], "expected 2 weights"),
        ([1.0, 0.0], [1.0, -1.0], "none negative"),
        ([1.0, 0.0], [0.0, 0.0], "not all 0"),
    ],
)
def test_wrong_scores_are_refused(outcomes: Any, weights: Any, said: str) -> None:
    with pytest.raises(TaskError, match=said):
        _judge(outcomes, weights=weights)


def test_other_samples_than_fp32s_are_refused() -> None:
    with pytest.raises(TaskError, match="fp32 has 2 outcomes, the candidate 3"):
        _judge([1, 1, 1], _judge([1, 0]))
    with pytest.raises(TaskError, match="weights are not fp32's"):
        _judge([1, 1], _judge([1, 0]), weights=[1.0, 2.0])
