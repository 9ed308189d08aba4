"""Greedy decoding of a recogniser trained with connectionist temporal classification (Graves et al., 2006)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qsearch.contracts.task import Array

#: the class that stands for "no character here"
BLANK = 0


def greedy_classes(likely: Array) -> Array:
    """The best class of each step, repetitions merged, blanks left out; int64 [at most steps].

    Args:
        likely: float [steps, classes], larger = more likely; of equal classes the first counts.
    """
    best = np.argmax(likely, axis=-1)
    kept = (best != BLANK) & (best != np.concatenate(([BLANK], best[:-1])))
    classes: Array = best[kept].astype(np.int64)
    return classes


def greedy(likely: Array, charset: Sequence[str]) -> str:
    """The text of the best classes; see `greedy_classes`.

    Args:
        likely: float [steps, classes].
        charset: the characters of each class; those of `BLANK` are not used.
    """
    return "".join(charset[place] for place in greedy_classes(likely))
