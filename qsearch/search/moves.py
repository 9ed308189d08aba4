"""Candidates that nobody has seen: near the measured front, or anywhere."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from qsearch.search.space import Key, Space

#: how often a local move is tried before any unseen candidate will do
_TRIES = 64


def local_move(space: Space, parents: Sequence[Key], known: Collection[Key], rng: np.random.Generator) -> Key | None:
    """A parent with one to three layers changed, unseen; None when none was found.

    Args:
        space: whose free layers may change.
        parents: measured candidates worth staying near.
        known: what must not come back.
        rng: decides alone; equal states give equal answers.
    """
    if not parents:
        return None
    free = space.free
    for _ in range(_TRIES):
        moved = list(parents[int(rng.integers(len(parents)))])
        count = int(rng.integers(1, min(3, len(free)) + 1))
        for place in rng.choice(len(free), size=count, replace=False):
            others = [choice for choice in space.allowed[free[place]] if choice is not moved[place]]
            moved[place] = others[int(rng.integers(len(others)))]
        if tuple(moved) not in known:
            return tuple(moved)
    return None


def unseen(space: Space, known: Collection[Key], rng: np.random.Generator) -> Key | None:
    """Any candidate nobody has seen, None when there is none left: exact, however small the space.

    It walks on from a random place until something is new, so it needs at most one step more than
    there are known candidates.
    """
    digits = [int(rng.integers(len(space.allowed[layer]))) for layer in space.free]
    place = 1
    start = 0
    for layer, digit in zip(space.free, digits, strict=True):
        start += digit * place
        place *= len(space.allowed[layer])
    size = space.size
    for step in range(min(size, len(known) + 1)):
        key = space.at((start + step) % size)
        if key not in known:
            return key
    return None


def not_dominated(points: Sequence[Sequence[float]]) -> tuple[int, ...]:
    """Positions of the points that no other point beats in one objective without losing another."""
    table = np.asarray(points, dtype=np.float64)
    found = []
    for position, point in enumerate(table):
        no_worse = np.all(table <= point, axis=1)
        better = np.any(table < point, axis=1)
        if not np.any(no_worse & better):
            found.append(position)
    return tuple(found)
