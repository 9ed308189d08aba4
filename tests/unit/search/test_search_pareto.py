import itertools
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from qsearch.contracts.choices import Choice
from qsearch.contracts.codec import canonical
from qsearch.contracts.errors import Incomparable, Unsupported
from qsearch.contracts.front import FrontEntry
from qsearch.contracts.job import Constraints, DropLimit
from qsearch.contracts.trial import Result
from qsearch.contracts.verdict import Verdict
from qsearch.search.pareto import front, hypervolume
from tests.factories import make_accuracy, make_candidate, make_latency, make_layers, make_result

CANDIDATE = make_candidate(make_layers(2), Choice.TERNARY)
AXES = ("latency", "drop")
FREE = Constraints()
ONE_PERCENT = Constraints(drop=DropLimit(amount=0.01, relative=True))


def results(*rows: tuple[float, float] | tuple[float, float, float]) -> list[Result]:
    """Trials 0, 1, … by (drop, ratio) or (drop, ratio, half)."""
    return [
        make_result(n, CANDIDATE, drop=row[0], ratio=row[1], half=row[2] if len(row) == 3 else 0.01)
        for n, row in enumerate(rows)
    ]


def finalist(result: Result, *, ratio: float, drop: float, half: float = 0.005) -> Result:
    return replace(result, final_latency=make_latency(ratio, half), heldout=make_accuracy(drop, split="heldout"))


def places(entries: Sequence[FrontEntry]) -> dict[int, tuple[int, int | None]]:
    return {entry.number: (entry.rank, entry.tied_with) for entry in entries}


def test_the_example_of_the_rule() -> None:
    fp32, a, b, c, d = (0.0, 1.0), (0.002, 0.66), (0.004, 0.64), (0.006, 0.90), (0.009, 0.50)
    found = places(front(results(fp32, a, b, c, d), FREE, AXES))
    assert found == {0: (0, None), 1: (0, None), 2: (1, 1), 3: (2, None), 4: (0, None)}


def test_order_is_by_rank_then_speed_and_does_not_depend_on_the_input() -> None:
    history = results((0.0, 1.0), (0.002, 0.66), (0.004, 0.64), (0.006, 0.90), (0.009, 0.50), (0.004, 0.64))
    expected = front(history, FREE, AXES)
    assert [entry.number for entry in expected] == [4, 1, 0, 2, 5, 3]
    for shuffled in itertools.islice(itertools.permutations(history), 0, 720, 37):
        assert front(shuffled, FREE, AXES) == expected


def test_ties_do_not_chain() -> None:
    """B is tied with A; C can be told from A though not from B, so it is dominated."""
    found = places(front(results((0.001, 0.60), (0.002, 0.64), (0.003, 0.67)), FREE, AXES))
    assert found == {0: (0, None), 1: (1, 0), 2: (2, None)}


def test_many_equal_noisy_trials_are_one_cluster() -> None:
    rng = np.random.default_rng(0)
    rows = [(float(rng.normal(0.002, 0.001)), float(rng.normal(0.8, 0.01)), 0.02) for _ in range(200)]
    entries = front(results(*rows), FREE, AXES)
    members = [entry for entry in entries if entry.rank == 0]
    assert len(members) == 1
    assert all(entry.rank == 1 and entry.tied_with == members[0].number for entry in entries[1:])


def test_a_wide_interval_does_not_hold_the_front() -> None:
    coarse = (-0.001, 0.98, 0.4)
    found = places(front(results(coarse, (0.003, 0.64), (0.004, 0.97), (0.005, 1.5)), FREE, AXES))
    assert found == {0: (0, None), 1: (0, None), 2: (2, None), 3: (2, None)}


def test_a_wide_challenger_wins_no_place() -> None:
    found = places(front(results((0.001, 0.65), (0.002, 0.55, 0.2)), FREE, AXES))
    assert found[1] == (1, 0)


def test_equal_drops_belong_to_the_faster() -> None:
    found = places(front(results((0.001, 0.9), (0.001, 0.6)), FREE, AXES))
    assert found == {0: (2, None), 1: (0, None)}


def test_feasibility_and_excess_are_told() -> None:
    entries = {e.number: e for e in front(results((0.0, 1.0), (0.005, 0.7), (0.03, 0.5)), ONE_PERCENT, AXES)}
    assert [entries[n].feasible for n in range(3)] == [True, True, False]
    assert entries[2].excess == pytest.approx(2.0)
    assert entries[2].rank == 0


def test_what_breaks_a_constraint_takes_nobodys_place() -> None:
    big = make_result(0, CANDIDATE, drop=0.001, ratio=0.5, size=2_000_000)
    small = make_result(1, CANDIDATE, drop=0.002, ratio=0.7, size=1_000_000)
    poor = make_result(2, CANDIDATE, drop=0.003, ratio=0.8, size=2_000_000)
    found = places(front([big, small, poor], Constraints(size_bytes=1_500_000), AXES))
    assert found == {0: (0, None), 1: (0, None), 2: (2, None)}
    assert places(front([big, small, poor], FREE, AXES))[1] == (2, None)


def test_without_latency_everything_is_exact() -> None:
    numbers = [(0.0, 100), (0.1, 99), (0.2, 99), (0.1, 99)]
    history = [make_result(n, CANDIDATE, drop=drop, size=size) for n, (drop, size) in enumerate(numbers)]
    for axes in (("size", "drop"), ("drop", "size")):
        assert places(front(history, FREE, axes)) == {0: (0, None), 1: (0, None), 2: (2, None), 3: (1, 1)}


def test_a_polluted_trial_has_no_place() -> None:
    history = results((0.0, 1.0), (0.0, 0.5))
    spoiled = replace(history[1], latency=make_latency(math.nan, verdict=Verdict.POLLUTED))
    entries = front([history[0], spoiled], ONE_PERCENT, AXES)
    assert places(entries) == {0: (0, None), 1: (2, None)}
    assert not entries[1].feasible
    assert canonical(entries)  # storable: no infinity, no NaN


def test_unlike_machines_do_not_meet() -> None:
    history = results((0.0, 1.0), (0.0, 0.5))
    with pytest.raises(Incomparable, match="machine_key is machine for some and other for others"):
        front([history[0], replace(history[1], machine_key="other")], FREE, AXES)


def test_unknown_objectives_and_empty_histories() -> None:
    assert front([], FREE, AXES) == ()
    with pytest.raises(Unsupported, match='"speed"'):
        front([], FREE, ("speed", "drop"))


def test_finalists_meet_each_other_in_final_numbers() -> None:
    """Screened, 1 beats 2; measured again, 2 is as good with less drop, so 1 is only tied."""
    history = results((0.0, 1.0), (0.001, 0.60), (0.002, 0.70))
    history[1] = finalist(history[1], ratio=0.66, drop=0.004)
    history[2] = finalist(history[2], ratio=0.67, drop=0.002)
    assert places(front(history, FREE, AXES)) == {0: (0, None), 2: (0, None), 1: (1, 2)}


def test_an_untested_rival_is_compared_by_the_screened_numbers_of_both() -> None:
    """The finalist fell back from 0.60 to 0.66 as lucky ones do; its untested rival at 0.62 does not profit."""
    history = results((0.001, 0.60), (0.001, 0.62), (0.002, 0.61))
    history[0] = finalist(history[0], ratio=0.66, drop=0.003)
    assert places(front(history, FREE, AXES)) == {0: (0, None), 1: (1, 0), 2: (1, 0)}


def test_a_finalist_that_lost_its_place_holds_nobody() -> None:
    """1 hid 3 on the screened front; in the finals 1 lost to 2, which 3 is clear of."""
    history = results((0.0, 1.0), (0.001, 0.60), (0.0005, 0.70), (0.004, 0.605))
    before = places(front(history, FREE, AXES))
    assert before[3] == (1, 1)
    history[1] = finalist(history[1], ratio=0.75, drop=0.002)
    history[2] = finalist(history[2], ratio=0.70, drop=0.0005)
    after = places(front(history, FREE, AXES))
    assert after[1] == (2, None)
    assert after[3] == (0, None)


def test_a_uniform_finalist_that_the_others_beat_is_no_member() -> None:
    """A seat in the finals is not a place on the front."""
    history = results((0.001, 0.60), (0.003, 0.90), (0.002, 0.50))
    history[1] = finalist(history[1], ratio=0.90, drop=0.0)
    history[2] = finalist(history[2], ratio=0.50, drop=0.002)
    assert places(front(history, FREE, AXES)) == {0: (0, None), 1: (2, None), 2: (0, None)}


def test_ties_always_name_a_member() -> None:
    rng = np.random.default_rng(5)
    for _ in range(60):
        history = results(
            *[
                (float(rng.normal(0.005, 0.004)), float(rng.uniform(0.5, 1)), float(rng.uniform(0.005, 0.08)))
                for _ in range(14)
            ]
        )
        for place in rng.choice(14, size=4, replace=False):
            history[place] = finalist(
                history[place], ratio=float(rng.uniform(0.5, 1)), drop=float(rng.normal(0.006, 0.004))
            )
        entries = front(history, ONE_PERCENT, AXES)
        members = {entry.number for entry in entries if entry.rank == 0}
        assert members
        assert all((entry.rank == 1) == (entry.tied_with is not None) for entry in entries)
        assert all(entry.tied_with in members for entry in entries if entry.rank == 1)


def test_hypervolume_of_known_shapes() -> None:
    assert hypervolume([], (1.0, 1.0)) == 0
    assert hypervolume([(0.0, 0.0)], (1.0, 1.0)) == 1
    assert hypervolume([(1.0, 0.0), (0.0, 1.0), (2.0, -5.0)], (1.0, 1.0)) == 0
    assert hypervolume([(0.0, 0.5), (0.5, 0.0), (0.6, 0.6), (0.0, 0.5)], (1.0, 1.0)) == pytest.approx(0.75)


def test_hypervolume_agrees_with_counting_cells() -> None:
    """Points on a grid of 24 × 24, so that counting dominated cells is exact."""
    rng = np.random.default_rng(1)
    for _ in range(40):
        points = rng.integers(-3, 28, size=(int(rng.integers(1, 12)), 2))
        cells = np.array([[x, y] for x in range(-3, 24) for y in range(-3, 24)])
        covered = np.zeros(len(cells), dtype=bool)
        for point in points:
            covered |= np.all(cells >= point, axis=1)
        assert hypervolume([(float(x), float(y)) for x, y in points], (24.0, 24.0)) == covered.sum()


def test_a_finalist_whose_final_was_polluted_is_placed_by_its_screening() -> None:
    history = results((0.0, 1.0), (0.002, 0.66), (0.004, 0.60))
    expected = front(history, FREE, AXES)
    spoiled = finalist(history[1], ratio=0.3, drop=0.5)
    assert spoiled.final_latency is not None
    spoiled = replace(spoiled, final_latency=replace(spoiled.final_latency, verdict=Verdict.POLLUTED))
    assert front([history[0], spoiled, history[2]], FREE, AXES) == expected
