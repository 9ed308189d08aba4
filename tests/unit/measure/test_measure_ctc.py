"""Greedy decoding."""

from __future__ import annotations

import random
from itertools import groupby

import numpy as np
import pytest

from qsearch.measure.ctc import BLANK, greedy

CHARSET = ["", "a", "b", " "]


def steps(*classes: int) -> np.ndarray:
    likely = np.full((len(classes), len(CHARSET)), 0.1, np.float32)
    likely[np.arange(len(classes)), classes] = 0.7
    return likely


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        ((), ""),
        ((0, 0, 0), ""),
        ((1, 1, 1), "a"),
        # a blank between two equal characters keeps both
        ((1, 0, 1), "aa"),
        ((1, 1, 2, 2, 0, 2, 3, 1), "abb a"),
        ((0, 1, 0), "a"),
    ],
)
def test_repetitions_are_merged_and_blanks_left_out(classes: tuple[int, ...], expected: str) -> None:
    assert greedy(steps(*classes), CHARSET) == expected


def test_it_is_what_grouping_gives() -> None:
    rng = random.Random(5)
    for _ in range(100):
        classes = rng.choices(range(4), k=rng.randint(1, 20))
        expected = "".join(CHARSET[one] for one, _ in groupby(classes) if one != BLANK)
        assert greedy(steps(*classes), CHARSET) == expected


def test_of_equally_likely_classes_the_first_counts() -> None:
    assert greedy(np.full((3, 4), 0.25, np.float32), CHARSET) == ""
