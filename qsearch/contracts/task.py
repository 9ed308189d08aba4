"""What a user's own task is: one function that returns one `Task`.

    def task() -> Task:
        return Task(metric="top1", score="top1", calibration=Split(...), search=Split(...), heldout=Split(...))

It runs once per job, in a child of its own; the three splits are written as tensors, and nothing
that measures ever imports the user's code. The scoring function is called in another child.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
#: input name → array; one sample without its batch axis, or a collated batch with it
Feeds = Mapping[str, Array]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Per-sample outcomes; the score is their weighted mean."""

    #: float64 [m]; m need not be the number of samples (a retrieval split also holds documents)
    outcomes: Array
    #: float64 [m], not negative; None = equal. CER: outcome = edits / length, weight = length
    weights: Array | None = None


#: (outputs, labels) → outcomes. `outputs`: output name → one array per sample, batch axis removed
#: (all samples of the split, in order); `labels`: as the split gave them. A plain float array [m]
#: means equal weights.
Score = Callable[[Mapping[str, Sequence[Array]], Mapping[str, Array]], "Scores | Array"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Samples of one purpose. The three splits of a task must not share samples."""

    #: one mapping per sample, arrays without the batch axis; shapes may differ between samples
    samples: Sequence[Feeds]
    #: whatever `score` needs, by name; stored as tensors
    labels: Mapping[str, Array] = field(default_factory=dict)


def stack(samples: Sequence[Feeds]) -> Feeds:
    """The default collate: equal shapes are stacked along a new first axis."""
    return {name: np.stack([sample[name] for sample in samples]) for name in samples[0]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Samples, how to batch them, how to score the outputs."""

    #: name of the metric as tables print it
    metric: str
    #: a module-level function of the user's, or the name of a built-in metric
    score: Score | str
    calibration: Split
    #: what every trial is scored on
    search: Split
    #: scored once, for finalists
    heldout: Split
    higher_is_better: bool = True
    #: samples → feeds with a batch axis; must be a pure function of its argument
    collate: Callable[[Sequence[Feeds]], Feeds] = stack
