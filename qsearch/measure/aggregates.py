"""How per-sample outcomes make a score, and the scores of resampled samples.

The names and their formulas stand at `qsearch.contracts.task.Scores`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from qsearch.contracts.errors import TaskError
from qsearch.contracts.task import CELL, Array

#: float32 has 24 bits of mantissa: no ratio of signal to noise beyond 24 · 6.02 dB can be told apart
_FINEST = 2.0**-48
#: numbers held at once while resampling: 32 MB of float64
_HELD = 4_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """A score that is a monotone function of Σ numerator / Σ denominator, both additive over samples."""

    #: numerators are outcome × weight, and not the outcome as it is
    weighted: bool
    #: ratio → score, elementwise
    transform: Callable[[Array], Array]
    #: score → ratio
    inverse: Callable[[float], float]
    #: whether a larger ratio is a larger score
    rising: bool = True

    def numerators(self, outcomes: Array, weights: Array | None) -> Array:
        """float64 [m]."""
        return outcomes * weights if self.weighted and weights is not None else outcomes

    def score(self, numerators: Array, denominators: Array) -> Array:
        """The scores of sums, elementwise; a denominator of 0 counts as 1."""
        return self.transform(numerators / np.where(denominators > 0, denominators, 1.0))


def _same(value: Array) -> Array:
    return value


def _decibel(ratio: Array) -> Array:
    return -10 * np.log10(np.maximum(ratio, _FINEST))


def _power(decibel: float) -> float:
    return float(10 ** (-decibel / 10))


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf


RATIOS: Mapping[str, Ratio] = {
    "mean": Ratio(weighted=True, transform=_same, inverse=float),
    "ratio": Ratio(weighted=False, transform=_same, inverse=float),
    "exp-ratio": Ratio(weighted=False, transform=np.exp, inverse=_log),
    "decibel": Ratio(weighted=False, transform=_decibel, inverse=_power, rising=False),
}
#: scores over classes: their outcomes are cells of a table, and no function of sums of them
CLASSES = ("f1-binary", "f1-macro")
#: by name, as messages list them
AGGREGATES = (*RATIOS, *CLASSES)


def cells(true: Array, predicted: Array) -> Array:
    """Outcomes of the aggregates over classes, float64 [m], of two arrays of class numbers.

    Raises:
        TaskError: a class number that is negative or not below `CELL`.
    """
    for name, found in (("true", true), ("predicted", predicted)):
        if found.size and (found.min() < 0 or found.max() >= CELL):
            raise TaskError(f"expected {name} classes from 0 to {CELL - 1}, found {found.min()} to {found.max()}")
    return (true.astype(np.int64) * CELL + predicted.astype(np.int64)).astype(np.float64)


def score_of(outcomes: Array, weights: Array | None, aggregate: str) -> float:
    """The score of outcomes.

    Raises:
        TaskError: there is no such aggregate.
    """
    must_be_known(aggregate)
    if aggregate in RATIOS:
        ratio, ones = RATIOS[aggregate], np.ones(outcomes.size)
        whole = ratio.numerators(outcomes, weights).sum(), (ones if weights is None else weights).sum()
        return float(ratio.score(np.asarray(whole[0]), np.asarray(whole[1])))
    return float(_f1(np.ones((1, outcomes.size)), *_classes(outcomes), aggregate)[0])


def must_be_known(aggregate: str) -> None:
    """Refuse a name that is no aggregate.

    Raises:
        TaskError: names the known ones.
    """
    if aggregate not in AGGREGATES:
        raise TaskError(f"no aggregate {aggregate}; known are {', '.join(AGGREGATES)}")


def resampled_scores(
    outcomes: tuple[Array, Array], weights: Array | None, aggregate: str, resamples: int, seed: int
) -> tuple[Array, Array]:
    """Scores of two arms over the same samples, drawn again with replacement; float64 [resamples] each.

    Args:
        outcomes: of the two arms, [m] each, on the same samples.
        weights: [m], of both; None = equal.
        aggregate: one of `AGGREGATES`.
        resamples: how many draws.
        seed: equal seeds give equal draws.
    """
    drawn = []
    for counts in _counts(outcomes[0].size, resamples, seed):
        if aggregate in RATIOS:
            ratio = RATIOS[aggregate]
            under = counts @ (np.ones(outcomes[0].size) if weights is None else weights)
            drawn.append([ratio.score(counts @ ratio.numerators(arm, weights), under) for arm in outcomes])
        else:
            drawn.append([_f1(counts, *_classes(arm), aggregate) for arm in outcomes])
    first, second = (np.concatenate(parts) for parts in zip(*drawn, strict=True))
    return first, second


def _counts(samples: int, resamples: int, seed: int) -> Iterator[Array]:
    """How often each sample is drawn, float64 [some, samples]: what drawing with replacement comes to."""
    generator, rows = np.random.default_rng(seed), max(1, _HELD // samples)
    for start in range(0, resamples, rows):
        size = min(rows, resamples - start)
        picks = generator.integers(0, samples, (size, samples)) + np.arange(size)[:, None] * samples
        yield np.bincount(picks.ravel(), minlength=size * samples).reshape(size, samples).astype(np.float64)


def _classes(outcomes: Array) -> tuple[Array, Array]:
    whole = outcomes.astype(np.int64)
    return whole // CELL, whole % CELL


def _f1(counts: Array, true: Array, predicted: Array, aggregate: str) -> Array:
    """F1 of each row of counts [r, m]: float64 [r]. Classes that a row does not see are not averaged over."""
    classes = np.array([1]) if aggregate == "f1-binary" else np.unique(np.concatenate([true, predicted]))
    total, seen = np.zeros(len(counts)), np.zeros(len(counts))
    for one in classes:
        mine, theirs = true == one, predicted == one
        hit = counts[:, mine & theirs].sum(axis=1)
        either = counts[:, mine].sum(axis=1) + counts[:, theirs].sum(axis=1)
        total += np.where(either > 0, 2 * hit / np.where(either > 0, either, 1.0), 0.0)
        seen += either > 0
    return total if aggregate == "f1-binary" else total / np.maximum(seen, 1.0)
