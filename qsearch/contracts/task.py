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


#: in a score over classes an outcome is true class × CELL + predicted class, both below CELL
CELL = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Per-sample outcomes; the score is their weighted mean, or what `aggregate` names.

    NOTE: outcomes o and weights w are kept and not the score alone, because the interval of a drop comes
    from drawing samples again, and every draw needs a score of its own. A score that is no mean
    of outcomes therefore names how it is made of them:

    | aggregate    | score                                    | example                                     |
    |--------------|------------------------------------------|---------------------------------------------|
    | `mean`       | Σ w·o / Σ w                              | accuracy                                    |
    | `ratio`      | Σ o / Σ w                                | CER: o edits, w characters                  |
    | `exp-ratio`  | exp(Σ o / Σ w)                           | perplexity: o nats, w tokens                |
    | `decibel`    | −10·log₁₀(Σ o / Σ w), at most 144.5      | SQNR: o noise energy, w signal energy       |
    | `f1-binary`  | F1 of class 1, 0 where nothing is 1      | o = true class × `CELL` + predicted class   |
    | `f1-macro`   | mean F1 of the classes that are seen     | o = true class × `CELL` + predicted class   |
    """

    #: float64 [m]; m need not be the number of samples (a retrieval split also holds documents)
    outcomes: Array
    #: float64 [m], not negative; None = equal. CER: outcome = edits / length, weight = length
    weights: Array | None = None
    #: how the score is made of them: see the table
    aggregate: str = "mean"


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
    #: of a scoring function of the user's: it gives one outcome per sample, which depends on that sample and
    #: its labels alone. Then it may be called on some of the samples, with the rows of every label that
    #: has as many as the split has samples; a built-in metric knows this of itself
    per_sample: bool = False
