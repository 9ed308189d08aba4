"""Metrics of what is read or written: exact match, edit distance, character error rate.

NOTE: what is compared, sample by sample.

- The first output: float [steps, classes] is decoded as a CTC recogniser's (greedily, class 0 is the blank);
  integers [length] are elements as they are; text is text, of a single array element per sample.
- labels["labels"] (or the only label beside `charset`): text [n], or integers [n, length] in which negative
  numbers are filling and count nothing.
- labels["charset"], text [classes]: the characters of each class, needed where the label is text and the
  output is not. A class may stand for several characters, or for none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from qsearch.contracts.errors import TaskError
from qsearch.contracts.task import Array, Scores
from qsearch.measure.ctc import greedy_classes
from qsearch.measure.edit_distance import edit_distance
from qsearch.measure.outputs import CHARSET, Outputs, first, one_label

#: text, or numbers of elements
_Sequence = str | tuple[int, ...]


def exact(outputs: Outputs, labels: Mapping[str, Array], reference: Outputs | None) -> Scores:
    """1 for a sample that is read without a mistake, else 0. Two empty ones are equal."""
    return Scores(outcomes=np.array([read == wanted for read, wanted in _read(outputs, labels, "exact")], np.float64))


def edits(outputs: Outputs, labels: Mapping[str, Array], reference: Outputs | None) -> Scores:
    """Insertions, deletions and replacements for each sample; lower is better."""
    found = [edit_distance(read, wanted) for read, wanted in _read(outputs, labels, "edit-distance")]
    return Scores(outcomes=np.array(found, np.float64))


def character_errors(outputs: Outputs, labels: Mapping[str, Array], reference: Outputs | None) -> Scores:
    """CER: edits of all samples over the characters of all labels; lower is better, above 1 is possible."""
    both = _read(outputs, labels, "cer")
    lengths = np.array([len(wanted) for _, wanted in both], np.float64)
    if not lengths.any():
        raise TaskError("cer: all labels are empty, there is no character to get wrong", "Use exact or edit-distance.")
    found = np.array([edit_distance(read, wanted) for read, wanted in both], np.float64)
    return Scores(outcomes=found, weights=lengths, aggregate="ratio")


def _read(outputs: Outputs, labels: Mapping[str, Array], of: str) -> list[tuple[_Sequence, _Sequence]]:
    """What was read and what is wanted."""
    label, rows = one_label(labels, "a text or a row of integers per sample", of), first(outputs)
    if label.shape[:1] != (len(rows),):
        raise TaskError(f"{of}: expected a label for each of {len(rows)} samples, found {list(label.shape)}")
    if label.dtype.kind == "U" and label.ndim == 1:
        charset = _charset(labels)
        return [(_text(row, charset, of), str(wanted)) for row, wanted in zip(rows, label, strict=True)]
    if label.dtype.kind not in "iu" or label.ndim != 2:
        raise TaskError(
            f"{of}: expected text [n] or integers [n, length], found {label.dtype} {list(label.shape)}",
            "Fill shorter rows up with -1.",
        )
    return [(_numbers(row, of), tuple(wanted[wanted >= 0].tolist())) for row, wanted in zip(rows, label, strict=True)]


def _charset(labels: Mapping[str, Array]) -> Sequence[str] | None:
    return [str(one) for one in np.asarray(labels[CHARSET]).tolist()] if CHARSET in labels else None


def _text(row: Array, charset: Sequence[str] | None, of: str) -> str:
    if row.dtype.kind in "UO" and row.size == 1:
        return str(row.reshape(())[()])
    classes = _numbers(row, of)
    if charset is None:
        raise TaskError(
            f'{of}: labels are text and the output is not; expected the label "charset", the characters of each class'
        )
    if classes and max(classes) >= len(charset):
        raise TaskError(f"{of}: the output names class {max(classes)}, and charset has {len(charset)}")
    return "".join(charset[one] for one in classes)


def _numbers(row: Array, of: str) -> tuple[int, ...]:
    found = np.asarray(row)
    if found.dtype.kind == "f" and found.ndim == 2:
        if np.isnan(found).any():
            raise TaskError(f"{of}: an output is not a number")
        return tuple(greedy_classes(found).tolist())
    if found.dtype.kind in "iu" and found.ndim == 1:
        return tuple(found[found >= 0].tolist())
    raise TaskError(
        f"{of}: expected float [steps, classes] or integers [length] of each sample, found {found.dtype} "
        f"{list(found.shape)}"
    )
