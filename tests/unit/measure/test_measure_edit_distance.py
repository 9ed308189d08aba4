"""The edit distance against its definition."""

from __future__ import annotations

import random
from functools import cache

import pytest

from qsearch.measure.edit_distance import edit_distance


@cache
def naive(one: str, other: str) -> int:
    """The definition, letter by letter."""
    if not one or not other:
        return len(one) + len(other)
    replaced = naive(one[1:], other[1:]) + (one[0] != other[0])
    return min(replaced, naive(one[1:], other) + 1, naive(one, other[1:]) + 1)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [("", "", 0), ("", "abc", 3), ("abc", "", 3), ("kitten", "sitting", 3), ("flaw", "lawn", 2), ("same", "same", 0)],
)
def test_known_distances(one: str, other: str, expected: int) -> None:
    assert edit_distance(one, other) == expected


def test_it_is_the_naive_one() -> None:
    rng = random.Random(3)
    for _ in range(300):
        one, other = ("".join(rng.choices("abc", k=rng.randint(0, 7))) for _ in range(2))
        assert edit_distance(one, other) == naive(one, other) == edit_distance(list(other), list(one))
