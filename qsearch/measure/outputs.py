"""What the built-in metrics share: a model's outputs and a split's labels, checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from qsearch.contracts.errors import TaskError
from qsearch.contracts.task import Array

#: output name → one array per sample, batch axis removed
Outputs = Mapping[str, Sequence[Array]]
#: the label that names the characters of classes; of the whole split, not of a sample
CHARSET = "charset"


def first(outputs: Outputs) -> Sequence[Array]:
    """The model's first output, one array per sample."""
    return next(iter(outputs.values()))


def vectors(outputs: Outputs, of: str) -> Array:
    """float64 [n, d] of the first output; a batch axis of 1 that a model put inside is dropped.

    Raises:
        TaskError: other shapes, or a number that is none.
    """
    rows = [np.asarray(row, np.float64) for row in first(outputs)]
    rows = [row[0] if row.ndim == 2 and len(row) == 1 else row for row in rows]
    shapes = {row.shape for row in rows}
    if len(shapes) != 1 or rows[0].ndim != 1:
        raise TaskError(f"{of}: expected one vector of equal length per sample, found {sorted(shapes)[:3]}")
    table = np.stack(rows)
    if np.isnan(table).any():
        raise TaskError(f"{of}: the output of sample {int(np.isnan(table).any(axis=1).argmax())} is not a number")
    return table


def class_labels(labels: Mapping[str, Array], count: int, of: str) -> Array:
    """One class number per sample: labels["labels"], or the only label, whatever its name.

    Raises:
        TaskError: there is none, or it is something else.
    """
    classes = np.asarray(one_label(labels, "one class per sample", of)).squeeze()
    classes = classes.reshape(1) if count == 1 and classes.ndim == 0 else classes
    if classes.shape != (count,) or classes.dtype.kind not in "iu":
        raise TaskError(f"{of}: expected {count} class numbers, found {classes.dtype} {list(classes.shape)}")
    return classes


def one_label(labels: Mapping[str, Array], what: str, of: str) -> Array:
    """labels["labels"], or the only one beside `charset`.

    Raises:
        TaskError: there is none, or several and none of that name.
    """
    named = {name: label for name, label in labels.items() if name != CHARSET}
    if "labels" not in named and len(named) != 1:
        raise TaskError(f'{of}: expected "labels", {what}; found {", ".join(labels) or "none"}')
    return np.asarray(named["labels"] if "labels" in named else next(iter(named.values())))


def pairs(mine: Sequence[Array], theirs: Sequence[Array]) -> list[tuple[Array, Array]]:
    """One output of the candidate beside fp32's, sample by sample.

    Raises:
        TaskError: another number of samples, or other shapes.
    """
    if len(mine) != len(theirs):
        raise TaskError(f"fp32 has outputs of {len(theirs)} samples, the candidate of {len(mine)}")
    found = [(np.asarray(a), np.asarray(b)) for a, b in zip(mine, theirs, strict=True)]
    for index, (a, b) in enumerate(found):
        if a.shape != b.shape:
            raise TaskError(f"sample {index}: the candidate's output is {list(a.shape)}, fp32's {list(b.shape)}")
    return found


def flat(outputs: Outputs, reference: Outputs | None) -> list[tuple[Array, Array]]:
    """All numbers of a sample's outputs as one float64 vector, the candidate's beside fp32's."""
    theirs = given(reference)
    if list(outputs) != list(theirs):
        raise TaskError(f"the candidate's outputs are {', '.join(outputs)}, fp32's {', '.join(theirs)}")
    samples = zip(*(pairs(outputs[name], theirs[name]) for name in outputs), strict=True)
    return [(_joined(mine for mine, _ in sample), _joined(other for _, other in sample)) for sample in samples]


def given(reference: Outputs | None) -> Outputs:
    """fp32's outputs.

    Raises:
        TaskError: there are none.
    """
    if reference is None:
        raise TaskError("a metric of fidelity needs the outputs of fp32 on the same samples, found none")
    return reference


def _joined(parts: Iterable[Array]) -> Array:
    return np.concatenate([np.ravel(part).astype(np.float64) for part in parts])
