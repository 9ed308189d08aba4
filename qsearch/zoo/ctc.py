"""Greedy decoding of a recogniser trained with connectionist temporal classification (Graves et al., 2006)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qsearch.contracts.task import Array

#: the class that stands for "no character here"
BLANK = 0


def greedy(likely: Array, charset: Sequence[str]) -> str:
    """The best class of each step, repetitions merged, blanks left out.

    Args:
        likely: float [steps, classes], larger = more likely; of equal classes the first counts.
        charset: the character of each class; the one of `BLANK` is not used.
    """
    best = np.argmax(likely, axis=-1)
    kept = (best != BLANK) & (best != np.concatenate(([BLANK], best[:-1])))
    return "".join(charset[place] for place in best[kept])
