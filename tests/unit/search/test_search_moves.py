import numpy as np

from qsearch.contracts.choices import DEFAULT
from qsearch.contracts.job import SpaceSpec
from qsearch.search.moves import local_move, not_dominated, unseen
from qsearch.search.space import Space
from tests.factories import make_layers

SPACE = Space.of(make_layers(4), SpaceSpec())


def test_a_local_move_changes_one_to_three_layers() -> None:
    parent = SPACE.at(7)
    for seed in range(50):
        moved = local_move(SPACE, [parent], {parent}, np.random.default_rng(seed))
        assert moved is not None
        assert 1 <= sum(a is not b for a, b in zip(parent, moved, strict=True)) <= 3
        assert SPACE.holds(SPACE.candidate(moved))


def test_without_parents_or_room_there_is_no_local_move() -> None:
    everything = {SPACE.at(i) for i in range(SPACE.size)}
    assert local_move(SPACE, [], set(), np.random.default_rng(0)) is None
    assert local_move(SPACE, [SPACE.at(0)], everything, np.random.default_rng(0)) is None


def test_the_last_unseen_candidate_is_found_and_then_none() -> None:
    everything = {SPACE.at(i) for i in range(SPACE.size)}
    last = SPACE.at(200)
    assert unseen(SPACE, everything - {last}, np.random.default_rng(3)) == last
    assert unseen(SPACE, everything, np.random.default_rng(3)) is None


def test_unseen_reaches_far_places_of_huge_spaces() -> None:
    huge = Space.of(make_layers(150), SpaceSpec())
    found = {unseen(huge, set(), np.random.default_rng(seed)) for seed in range(20)}
    assert len(found) == 20
    assert all(key is not None and set(key) == set(DEFAULT) for key in found)


def test_not_dominated_keeps_equal_points() -> None:
    points = [(1.0, 2.0), (2.0, 1.0), (2.0, 2.0), (1.0, 2.0), (0.5, 3.0)]
    assert not_dominated(points) == (0, 1, 3, 4)
