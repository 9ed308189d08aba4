"""Metrics of fidelity: how closely the outputs follow those of fp32 on the same samples. No labels are needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from qsearch.contracts.errors import TaskError
from qsearch.contracts.task import Array, Scores
from qsearch.measure.outputs import Outputs, first, flat, given, pairs


def agreement(outputs: Outputs, labels: Mapping[str, Array], reference: Outputs | None) -> Scores:
    """The share of positions where the highest score of the first output is the one fp32 picks: 1 or 0 for a vector.

    Raises:
        TaskError: there are no two scores to pick from.
    """
    outcomes, both = [], pairs(first(outputs), first(given(reference)))
    _more_than_one([mine.shape[-1] for mine, _ in both if mine.ndim], "agreement-to-fp32", "scores on the last axis")
    for index, (mine, theirs) in enumerate(both):
        if not mine.ndim:
            raise TaskError(f"agreement-to-fp32: sample {index} is a single number, there is nothing to pick from")
        outcomes.append(float(np.mean(mine.argmax(axis=-1) == theirs.argmax(axis=-1))))
    return Scores(outcomes=np.asarray(outcomes, np.float64))


def cosine(outputs: Outputs, labels: Mapping[str, Array], reference: Outputs | None) -> Scores:
    """Cosine of the angle between all outputs of a sample, as one vector, and fp32's. Two zero vectors agree: 1.

    Raises:
        TaskError: the outputs of a sample are a single number, whose angle tells its sign and nothing else.
    """
    outcomes, both = [], flat(outputs, reference)
    _more_than_one([mine.size for mine, _ in both], "cosine-to-fp32", "output numbers per sample")
    for mine, theirs in both:
        # Equal vectors are 1 exactly; rounding would give fp32 a drop against itself.
        if np.array_equal(mine, theirs):
            outcomes.append(1.0)
            continue
        length = float(np.linalg.norm(mine) * np.linalg.norm(theirs))
        outcomes.append(float(np.clip(mine @ theirs / length, -1, 1)) if length else 0.0)
    return Scores(outcomes=np.asarray(outcomes, np.float64))


def squared_error(outputs: Outputs, labels: Mapping[str, Array], reference: Outputs | None) -> Scores:
    """Mean squared difference to fp32 over all numbers of all outputs of a sample."""
    outcomes = [float(np.mean((mine - theirs) ** 2)) for mine, theirs in flat(outputs, reference)]
    return Scores(outcomes=np.asarray(outcomes, np.float64))


def signal_to_noise(outputs: Outputs, labels: Mapping[str, Array], reference: Outputs | None) -> Scores:
    """Energy of fp32's outputs over the energy of the difference to them, decibel, all samples together.

    At most 144.5 dB, which fp32 itself has: finer than its 24 bits nothing can be told. A drop limit in points
    counts hundredths as everywhere: 1 dB is 100pt.
    """
    both = flat(outputs, reference)
    noise = [float(np.sum((mine - theirs) ** 2)) for mine, theirs in both]
    signal = [float(np.sum(theirs**2)) for _, theirs in both]
    return Scores(outcomes=np.array(noise, np.float64), weights=np.array(signal, np.float64), aggregate="decibel")


def _more_than_one(sizes: Sequence[int], of: str, what: str) -> None:
    """Of one number each, all samples agree whatever was computed; samples of unlike lengths may have a short one."""
    if sizes and max(sizes) == 1:
        raise TaskError(
            f"{of}: expected two {what} or more, found one, of which every candidate would score as perfect",
            "Take metric: sqnr-to-fp32 or mse-to-fp32, or score it with a task of your own.",
        )
