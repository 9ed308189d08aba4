"""Metrics of retrieval: where the right document stands when all are sorted by similarity.

NOTE: who is asked and who answers is said in one of two ways.

- labels["query"] and labels["document"]: integers [q], numbers of samples; document[i] answers query[i], and
  every sample named in "document" is ranked for every query.
- labels["labels"] (or the only label): one class per sample; every sample asks for the others of its own
  class among all other samples, and the nearest of them counts. A sample alone in its class does not ask.

Similarity is the cosine between rows of the first output. Ties count against the candidate. Ranks
depend on all samples at once, so that these metrics are never computed on a part of a split.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from qsearch.contracts.errors import TaskError
from qsearch.contracts.task import Array, Scores
from qsearch.measure.outputs import Outputs, class_labels, vectors

#: queries ranked at once, so that 10 000 × 10 000 similarities never are in memory
_SLICE = 512


def reciprocal_rank(outputs: Outputs, labels: Mapping[str, Array], reference: Outputs | None) -> Scores:
    """1 / (rank of the right document) for each query; its mean is MRR. Labels: see above."""
    return Scores(outcomes=1.0 / _ranks(outputs, labels, "mrr"))


def retrieval_at(k: int) -> Callable[[Outputs, Mapping[str, Array], Outputs | None], Scores]:
    """1 where a right document is among the k nearest; labels: see above."""

    def score(outputs: Outputs, labels: Mapping[str, Array], reference: Outputs | None) -> Scores:
        return Scores(outcomes=(_ranks(outputs, labels, f"retrieval@{k}") <= k).astype(np.float64))

    return score


def _ranks(outputs: Outputs, labels: Mapping[str, Array], name: str) -> Array:
    """float64 [q]: 1 = nearest."""
    rows = vectors(outputs, name)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    rows = rows / np.where(lengths > 0, lengths, 1)
    if "query" in labels or "document" in labels or (len(labels) != 1 and "labels" not in labels):
        return _of_pairs(rows, labels, name)
    return _of_classes(rows, class_labels(labels, len(rows), name), name)


def _of_pairs(rows: Array, labels: Mapping[str, Array], name: str) -> Array:
    query, answer = _samples(labels, "query", len(rows), name), _samples(labels, "document", len(rows), name)
    if query.shape != answer.shape:
        raise TaskError(f"{name}: expected one document per query, found {query.size} queries, {answer.size} documents")
    documents, right = np.unique(answer, return_inverse=True)
    ranks = []
    for start in range(0, query.size, _SLICE):
        near = rows[query[start : start + _SLICE]] @ rows[documents].T
        mine = near[np.arange(len(near)), right[start : start + _SLICE], None]
        ranks.append((near >= mine).sum(axis=1))
    return np.concatenate(ranks).astype(np.float64)


def _of_classes(rows: Array, classes: Array, name: str) -> Array:
    _, group, sizes = np.unique(classes, return_inverse=True, return_counts=True)
    asking = np.flatnonzero(sizes[group] > 1)
    if not asking.size:
        raise TaskError(f"{name}: no two samples have the same label, so nobody has anything to find")
    ranks = []
    for start in range(0, asking.size, _SLICE):
        who = asking[start : start + _SLICE]
        near = rows[who] @ rows.T
        near[np.arange(len(who)), who] = -np.inf
        right = group[who][:, None] == group[None, :]
        right[np.arange(len(who)), who] = False
        best = np.where(right, near, -np.inf).max(axis=1, keepdims=True)
        # of the right ones only the nearest counts, and wrong ones that are as near stand before it
        ranks.append(1 + ((near >= best) & ~right).sum(axis=1))
    return np.concatenate(ranks).astype(np.float64)


def _samples(labels: Mapping[str, Array], name: str, count: int, of: str) -> Array:
    if name not in labels:
        raise TaskError(f'{of}: expected labels "query" and "document", found {", ".join(labels) or "none"}')
    numbers = np.asarray(labels[name])
    if numbers.dtype.kind not in "iu" or numbers.ndim != 1 or not numbers.size:
        raise TaskError(f"{of}: label {name} must be integers [q], found {numbers.dtype} {list(numbers.shape)}")
    if numbers.min() < 0 or numbers.max() >= count:
        raise TaskError(f"{of}: label {name} names samples 0 to {count - 1}, found {numbers.min()} to {numbers.max()}")
    return numbers
