"""The built-in metrics: pure functions from outputs to per-sample outcomes, for numpy alone."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from qsearch.contracts.errors import InputError, TaskError
from qsearch.contracts.task import Array, Scores

#: output name → one array per sample, batch axis removed
Outputs = Mapping[str, Sequence[Array]]
#: (outputs, labels, fp32's outputs or None) → outcomes
Function = Callable[[Outputs, Mapping[str, Array], Outputs | None], Scores]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A way to score outputs.

    NOTE: where a metric looks at one output, it is the model's first.
    """

    name: str
    higher_is_better: bool
    needs_labels: bool
    #: the outputs of fp32 on the same samples are asked for
    needs_reference: bool
    #: what is not needed is not looked at
    function: Function


def metric(name: str) -> Metric:
    """The metric of this name.

    Raises:
        InputError: there is none, with the nearest name.
    """
    if name not in METRICS:
        near = difflib.get_close_matches(name, METRICS, 1)
        raise InputError(
            f"metric {name} is not built in; there are {', '.join(METRICS)}",
            f"Did you mean {near[0]}?" if near else "Your own one is named module:function.",
        )
    return METRICS[name]


def top_k(k: int) -> Function:
    """1 where the right class is among the k highest scores of the first output.

    labels["labels"] (or the only label, whatever its name): one class number per sample.
    """

    def score(outputs: Outputs, labels: Mapping[str, Array], reference: Outputs | None) -> Scores:
        rows = _vectors(outputs, f"top{k}")
        classes = _one_label(labels, len(rows), f"top{k}")
        best = np.argsort(-rows, axis=1, kind="stable")[:, :k]
        return Scores(outcomes=(best == classes[:, None]).any(axis=1).astype(np.float64))

    return score


def agreement(outputs: Outputs, labels: Mapping[str, Array], reference: Outputs | None) -> Scores:
    """The share of positions where the highest score of the first output is the one fp32 picks: 1 or 0 for a vector."""
    outcomes = []
    for index, (mine, theirs) in enumerate(_pairs(_first(outputs), _first(_given(reference)))):
        if not mine.ndim:
            raise TaskError(f"agreement-to-fp32: sample {index} is a single number, there is nothing to pick from")
        outcomes.append(float(np.mean(mine.argmax(axis=-1) == theirs.argmax(axis=-1))))
    return Scores(outcomes=np.asarray(outcomes, np.float64))


def cosine(outputs: Outputs, labels: Mapping[str, Array], reference: Outputs | None) -> Scores:
    """Cosine of the angle between all outputs of a sample, as one vector, and fp32's. Two zero vectors agree: 1."""
    outcomes = []
    for mine, theirs in _flat(outputs, reference):
        # Equal vectors are 1 exactly; rounding would give fp32 a drop against itself.
        if np.array_equal(mine, theirs):
            outcomes.append(1.0)
            continue
        length = float(np.linalg.norm(mine) * np.linalg.norm(theirs))
        outcomes.append(float(np.clip(mine @ theirs / length, -1, 1)) if length else 0.0)
    return Scores(outcomes=np.asarray(outcomes, np.float64))


def squared_error(outputs: Outputs, labels: Mapping[str, Array], reference: Outputs | None) -> Scores:
    """Mean squared difference to fp32 over all numbers of all outputs of a sample."""
    outcomes = [float(np.mean((mine - theirs) ** 2)) for mine, theirs in _flat(outputs, reference)]
    return Scores(outcomes=np.asarray(outcomes, np.float64))


def reciprocal_rank(outputs: Outputs, labels: Mapping[str, Array], reference: Outputs | None) -> Scores:
    """1 / (rank of the right document) for each query; its mean is MRR.

    labels["query"] and labels["document"]: integers [q], numbers of samples; document[i] answers
    query[i], and every sample named in "document" is ranked for every query by the cosine between
    rows of the first output. Ties count against the candidate.
    """
    return Scores(outcomes=1.0 / _ranks(outputs, labels, "mrr"))


def retrieval_at(k: int) -> Function:
    """1 where the right document is among the k nearest; labels as in `reciprocal_rank`."""

    def score(outputs: Outputs, labels: Mapping[str, Array], reference: Outputs | None) -> Scores:
        return Scores(outcomes=(_ranks(outputs, labels, f"retrieval@{k}") <= k).astype(np.float64))

    return score


def _metric(name: str, function: Function, *, fidelity: bool) -> Metric:
    return Metric(
        name=name,
        higher_is_better=name != "mse-to-fp32",
        needs_labels=not fidelity,
        needs_reference=fidelity,
        function=function,
    )


#: By name, in the order that messages list them.
METRICS: Mapping[str, Metric] = {
    found.name: found
    for found in (
        _metric("top1", top_k(1), fidelity=False),
        _metric("top5", top_k(5), fidelity=False),
        _metric("mrr", reciprocal_rank, fidelity=False),
        _metric("retrieval@1", retrieval_at(1), fidelity=False),
        _metric("retrieval@5", retrieval_at(5), fidelity=False),
        _metric("retrieval@10", retrieval_at(10), fidelity=False),
        _metric("agreement-to-fp32", agreement, fidelity=True),
        _metric("cosine-to-fp32", cosine, fidelity=True),
        _metric("mse-to-fp32", squared_error, fidelity=True),
    )
}


def _ranks(outputs: Outputs, labels: Mapping[str, Array], name: str) -> Array:
    """float64 [q]: 1 = nearest. In slices, so that 10 000 × 10 000 similarities never are in memory at once."""
    rows = _vectors(outputs, name)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    rows = rows / np.where(lengths > 0, lengths, 1)
    query, answer = _samples(labels, "query", len(rows), name), _samples(labels, "document", len(rows), name)
    if query.shape != answer.shape:
        raise TaskError(f"{name}: expected one document per query, found {query.size} queries, {answer.size} documents")
    documents, right = np.unique(answer, return_inverse=True)
    ranks = []
    for start in range(0, query.size, 512):
        near = rows[query[start : start + 512]] @ rows[documents].T
        mine = near[np.arange(len(near)), right[start : start + 512], None]
        ranks.append((near >= mine).sum(axis=1))
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


def _one_label(labels: Mapping[str, Array], count: int, of: str) -> Array:
    if "labels" not in labels and len(labels) != 1:
        raise TaskError(f'{of}: expected "labels", one class per sample; found {", ".join(labels) or "none"}')
    classes = np.asarray(labels["labels"] if "labels" in labels else next(iter(labels.values()))).squeeze()
    if classes.shape != (count,) or classes.dtype.kind not in "iu":
        raise TaskError(f"{of}: expected {count} class numbers, found {classes.dtype} {list(classes.shape)}")
    return classes


def _first(outputs: Outputs) -> Sequence[Array]:
    return next(iter(outputs.values()))


def _vectors(outputs: Outputs, of: str) -> Array:
    """float64 [n, d] of the first output; a batch axis of 1 that a model put inside is dropped."""
    rows = [np.asarray(row, np.float64) for row in _first(outputs)]
    rows = [row[0] if row.ndim == 2 and len(row) == 1 else row for row in rows]
    shapes = {row.shape for row in rows}
    if len(shapes) != 1 or rows[0].ndim != 1:
        raise TaskError(f"{of}: expected one vector of equal length per sample, found {sorted(shapes)[:3]}")
    return np.stack(rows)


def _pairs(mine: Sequence[Array], theirs: Sequence[Array]) -> list[tuple[Array, Array]]:
    if len(mine) != len(theirs):
        raise TaskError(f"fp32 has outputs of {len(theirs)} samples, the candidate of {len(mine)}")
    pairs = [(np.asarray(a), np.asarray(b)) for a, b in zip(mine, theirs, strict=True)]
    for index, (a, b) in enumerate(pairs):
        if a.shape != b.shape:
            raise TaskError(f"sample {index}: the candidate's output is {list(a.shape)}, fp32's {list(b.shape)}")
    return pairs


def _flat(outputs: Outputs, reference: Outputs | None) -> list[tuple[Array, Array]]:
    given = _given(reference)
    if list(outputs) != list(given):
        raise TaskError(f"the candidate's outputs are {', '.join(outputs)}, fp32's {', '.join(given)}")
    samples = zip(*(_pairs(outputs[name], given[name]) for name in outputs), strict=True)
    return [(_joined(mine for mine, _ in sample), _joined(theirs for _, theirs in sample)) for sample in samples]


def _joined(parts: Iterable[Array]) -> Array:
    """All numbers of a sample's outputs as one float64 vector."""
    return np.concatenate([np.ravel(part).astype(np.float64) for part in parts])


def _given(reference: Outputs | None) -> Outputs:
    if reference is None:
        raise TaskError("a metric of fidelity needs the outputs of fp32 on the same samples, found none")
    return reference
