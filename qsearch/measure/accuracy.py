"""From per-sample outcomes to an accuracy with its drop against fp32."""

from __future__ import annotations

import numpy as np

from qsearch.contracts.causes import Cause
from qsearch.contracts.errors import TaskError, WorkFailed
from qsearch.contracts.measurement import Accuracy
from qsearch.contracts.task import Array, Scores
from qsearch.contracts.verdict import Interval
from qsearch.measure.drop import paired_drop

#: Resampling is seeded with a constant: the same outcomes have the same interval, on every machine.
_SEED = 20_230_917


def judge(scores: Scores, *, metric: str, higher_is_better: bool, split: str, reference: Accuracy | None) -> Accuracy:
    """The score of a candidate and its drop against fp32 on the same samples.

    Args:
        scores: per-sample outcomes; the score is their weighted mean.
        metric: its name as tables print it.
        higher_is_better: its direction.
        split: "search" or "heldout".
        reference: fp32 on the same split; None = this is fp32 itself, whose drop is exactly 0.

    Raises:
        TaskError: not one finite outcome per sample and one weight per outcome, or others than fp32 had.
        WorkFailed: BAD_MODEL, the candidate's outcomes are not finite where fp32's were.
    """
    outcomes, weights = _checked(scores, metric, reference)
    share = np.full(outcomes.size, 1 / outcomes.size) if weights is None else weights / weights.sum()
    score = float(share @ outcomes)
    if reference is None:
        nothing = Interval(value=0.0, low=0.0, high=0.0)
        drop, points, detectable = nothing, nothing, 0.0
    else:
        fp32 = np.asarray(reference.outcomes, np.float64)
        drop, points, detectable = paired_drop(outcomes, fp32, weights, higher_is_better, _SEED)
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
    )


def _checked(scores: Scores, metric: str, reference: Accuracy | None) -> tuple[Array, Array | None]:
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
    if reference is not None:
        _same_samples(metric, outcomes, weights, reference)
    return outcomes, weights


def _same_samples(metric: str, outcomes: Array, weights: Array | None, reference: Accuracy) -> None:
    if outcomes.size != len(reference.outcomes):
        raise TaskError(f"{metric}: fp32 has {len(reference.outcomes)} outcomes, the candidate {outcomes.size}")
    if reference.weights != (() if weights is None else tuple(weights.tolist())):
        raise TaskError(
            f"{metric}: the candidate's weights are not fp32's, so their scores are means of different samples",
            "Weights must follow from the labels alone.",
        )


def _numbers(values: Array, what: str) -> Array:
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise TaskError(f"{what}: expected float64 of one axis, found {type(values).__name__}: {error}") from error
    if array.ndim != 1:
        raise TaskError(f"{what}: expected float64 of one axis, found shape {list(array.shape)}")
    return array
