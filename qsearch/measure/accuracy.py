"""From per-sample outcomes to an accuracy with its drop against fp32."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from qsearch.contracts.causes import Cause
from qsearch.contracts.errors import TaskError, WorkFailed
from qsearch.contracts.measurement import Accuracy
from qsearch.contracts.task import CELL, Array, Scores
from qsearch.contracts.verdict import Interval
from qsearch.measure.aggregates import CLASSES, must_be_known, score_of
from qsearch.measure.drop import paired_drop

#: Resampling is seeded with a constant: the same outcomes have the same interval, on every machine.
_SEED = 20_230_917


def judge(scores: Scores, *, metric: str, higher_is_better: bool, split: str, reference: Accuracy | None) -> Accuracy:
    """The score of a candidate and its drop against fp32 on the same samples.

    Args:
        scores: per-sample outcomes, and how they make the score.
        metric: its name as tables print it.
        higher_is_better: its direction.
        split: "search" or "heldout".
        reference: fp32 on the same split; None = this is fp32 itself, whose drop is exactly 0.

    Raises:
        TaskError: not one finite outcome per sample and one weight per outcome, or others than fp32 had.
        WorkFailed: BAD_MODEL, the candidate's outcomes are not finite where fp32's were.
    """
    outcomes, weights = _checked(scores, metric, reference)
    score = _score(outcomes, weights, scores.aggregate)
    if reference is None:
        nothing = Interval(value=0.0, low=0.0, high=0.0)
        drop, points, detectable = nothing, nothing, 0.0
    else:
        fp32 = np.asarray(reference.outcomes, np.float64)
        drop, points, detectable = paired_drop(
            outcomes, fp32, weights, higher_is_better, _SEED, aggregate=scores.aggregate
        )
    return Accuracy(
        metric=metric,
        higher_is_better=higher_is_better,
        split=split,
        n=outcomes.size,
        score=score,
        reference_score=score if reference is None else reference.score,
        drop=drop,
        drop_points=points,
        detectable=detectable,
        outcomes=tuple(outcomes.tolist()),
        weights=() if weights is None else tuple(weights.tolist()),
        aggregate=scores.aggregate,
    )


def part_of(reference: Accuracy, samples: Array) -> Accuracy:
    """fp32's own score on some of its samples, as if nothing else had been scored.

    Args:
        reference: of the whole split, fp32 against itself.
        samples: numbers of outcomes, int64 [n].
    """
    outcomes = np.asarray(reference.outcomes, np.float64)[samples]
    weights = np.asarray(reference.weights, np.float64)[samples] if reference.weights else None
    scores = Scores(outcomes=outcomes, weights=weights, aggregate=reference.aggregate)
    score = _score(outcomes, weights, scores.aggregate)
    return replace(
        reference,
        n=outcomes.size,
        score=score,
        reference_score=score,
        outcomes=tuple(outcomes.tolist()),
        weights=() if weights is None else tuple(weights.tolist()),
    )


def _score(outcomes: Array, weights: Array | None, aggregate: str) -> float:
    if aggregate != "mean":
        return score_of(outcomes, weights, aggregate)
    share = np.full(outcomes.size, 1 / outcomes.size) if weights is None else weights / weights.sum()
    return float(share @ outcomes)


def _checked(scores: Scores, metric: str, reference: Accuracy | None) -> tuple[Array, Array | None]:
    must_be_known(scores.aggregate)
    outcomes = _numbers(scores.outcomes, f"{metric} outcomes")
    weights = None if scores.weights is None else _numbers(scores.weights, f"{metric} weights")
    if not outcomes.size:
        raise TaskError(f"{metric}: expected one outcome per scored sample, found none")
    bad = int(np.count_nonzero(~np.isfinite(outcomes)))
    if bad:
        first = int(np.flatnonzero(~np.isfinite(outcomes))[0])
        found = f"{metric}: {bad} of {outcomes.size} outcomes are not finite, the first is number {first}"
        if reference is None:
            raise TaskError(
                f"{found}, for fp32 itself", "Look at the scoring function and at the labels of that sample."
            )
        raise WorkFailed(Cause.BAD_MODEL, f"{found}; fp32's are finite")
    if weights is not None and (
        weights.shape != outcomes.shape or not np.isfinite(weights).all() or weights.min() < 0 or weights.sum() <= 0
    ):
        raise TaskError(
            f"{metric}: expected {outcomes.size} weights, none negative, not all 0; found {weights.shape[0]}"
        )
    if scores.aggregate in CLASSES and (weights is not None or outcomes.min() < 0 or (outcomes % 1).any()):
        raise TaskError(
            f"{metric}: outcomes of {scores.aggregate} are true class × {CELL} + predicted class, without weights"
        )
    if reference is not None:
        _same_samples(metric, outcomes, weights, reference)
        _same_score(metric, outcomes, scores.aggregate, reference)
    return outcomes, weights


def _same_samples(metric: str, outcomes: Array, weights: Array | None, reference: Accuracy) -> None:
    if outcomes.size != len(reference.outcomes):
        raise TaskError(f"{metric}: fp32 has {len(reference.outcomes)} outcomes, the candidate {outcomes.size}")
    if reference.weights != (() if weights is None else tuple(weights.tolist())):
        raise TaskError(
            f"{metric}: the candidate's weights are not fp32's, so their scores are means of different samples",
            "Weights must follow from the labels alone.",
        )


def _same_score(metric: str, outcomes: Array, aggregate: str, reference: Accuracy) -> None:
    if aggregate != reference.aggregate:
        raise TaskError(f"{metric}: the candidate's outcomes make a {aggregate}, fp32's a {reference.aggregate}")
    if aggregate in CLASSES and (outcomes // CELL != np.asarray(reference.outcomes) // CELL).any():
        raise TaskError(f"{metric}: the candidate's true classes are not fp32's", "They must follow from the labels.")


def _numbers(values: Array, what: str) -> Array:
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise TaskError(f"{what}: expected float64 of one axis, found {type(values).__name__}: {error}") from error
    if array.ndim != 1:
        raise TaskError(f"{what}: expected float64 of one axis, found shape {list(array.shape)}")
    return array
