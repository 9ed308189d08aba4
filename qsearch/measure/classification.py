"""Metrics of classifiers: the right class among the k highest scores, and F1."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from qsearch.contracts.errors import TaskError
from qsearch.contracts.task import Array, Scores
from qsearch.measure.aggregates import cells
from qsearch.measure.outputs import Outputs, class_labels, vectors


def top_k(k: int) -> Callable[[Outputs, Mapping[str, Array], Outputs | None], Scores]:
    """1 where the right class is among the k highest scores of the first output; of equal scores the first counts.

    labels["labels"] (or the only label, whatever its name): one class number per sample.
    """

    def score(outputs: Outputs, labels: Mapping[str, Array], reference: Outputs | None) -> Scores:
        rows = _scores(outputs, f"top{k}")
        classes = class_labels(labels, len(rows), f"top{k}")
        best = np.argsort(-rows, axis=1, kind="stable")[:, :k]
        return Scores(outcomes=(best == classes[:, None]).any(axis=1).astype(np.float64))

    return score


def f1(aggregate: str) -> Callable[[Outputs, Mapping[str, Array], Outputs | None], Scores]:
    """F1 of class 1 (`f1-binary`), or the plain mean over all classes that are true or predicted (`f1-macro`).

    The predicted class is the highest score of the first output. labels["labels"] (or the only label): one
    class number per sample. F1 is no mean over samples, so every resample has an F1 of its own.
    """

    def score(outputs: Outputs, labels: Mapping[str, Array], reference: Outputs | None) -> Scores:
        rows = _scores(outputs, aggregate)
        classes = class_labels(labels, len(rows), aggregate)
        if aggregate == "f1-binary" and (rows.shape[1] > 2 or classes.max() > 1):
            raise TaskError(f"{aggregate}: expected the classes 0 and 1; with more of them, use f1-macro")
        return Scores(outcomes=cells(classes, rows.argmax(axis=1)), aggregate=aggregate)

    return score


def _scores(outputs: Outputs, of: str) -> Array:
    """float64 [n, classes]; of one score per sample, the first class would always be the highest."""
    rows = vectors(outputs, of)
    if rows.shape[1] < 2:
        raise TaskError(
            f"{of}: expected a score for each class, found a single one per sample",
            "Where a score becomes a class is known to you alone: give a task with a scoring function.",
        )
    return rows
