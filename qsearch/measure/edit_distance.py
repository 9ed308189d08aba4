"""How many characters must be changed to make one text of another (Levenshtein, 1966)."""

from __future__ import annotations

from collections.abc import Sequence


def edit_distance(found: Sequence[object], wanted: Sequence[object]) -> int:
    """The fewest insertions, deletions and replacements of single elements that turn one into the other."""
    above = list(range(len(wanted) + 1))
    for row, one in enumerate(found, start=1):
        here = [row]
        for column, other in enumerate(wanted, start=1):
            replaced = above[column - 1] + (one != other)
            here.append(min(above[column] + 1, here[-1] + 1, replaced))
        above = here
    return above[-1]
