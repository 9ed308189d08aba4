"""Cycles of shapes, and the time of an average inference of a mix."""

from __future__ import annotations

from dataclasses import replace

import pytest

from qsearch.contracts.errors import DataError
from qsearch.contracts.measurement import Block
from qsearch.measure.mix import block_times, typical, typical_ns, whole_cycles


def block(number: int, *samples: int, cycle: int = 1, session: int = 0) -> Block:
    return Block(arm="A", session=session, round=number, order=number, samples_ns=samples, cycle=cycle)


@pytest.mark.parametrize(
    ("kinds", "kept", "cycle"),
    [
        ("aaaaa", 5, 1),
        ("ababab", 6, 2),
        ("ababa", 4, 2),
        ("abc" * 21 + "a", 63, 3),
        ("abcdef", 6, 6),
        ("abcda", 5, 5),
        ("aab", 3, 3),
        ("a", 1, 1),
    ],
)
def test_inputs_are_cut_to_whole_cycles_of_their_kinds(kinds: str, kept: int, cycle: int) -> None:
    assert whole_cycles(kinds) == (kept, cycle)


def test_an_average_inference_is_the_mean_over_positions_with_spikes_outvoted() -> None:
    assert typical([10, 40, 10, 40, 900, 40], 2) == 25
    assert typical([10, 11, 90], 1) == 11
    assert typical([10, 40], 64) == 25
    assert typical_ns([block(0, 10, 40, cycle=2), block(1, 12, 44, cycle=2), block(2, 99)]) == 26.5


def test_one_shape_leaves_the_median_of_the_block() -> None:
    times = block_times([block(0, 10, 12, 90), block(1, 20, 21, 22, 23), block(0, 5, session=1)])
    assert times == pytest.approx({(0, 0): 12, (0, 1): 21.5, (1, 0): 5})


def test_a_spike_in_a_block_that_holds_each_input_once_is_outvoted() -> None:
    """Levels 1, 2, 3, 4 of a profile 100, 200, 400, 800, and one sample that takes ten times as long."""
    profile = (100, 200, 400, 800)
    blocks = [block(n, *((n + 1) * p for p in profile), cycle=4) for n in range(4)]
    spiky = [replace(blocks[0], samples_ns=(100, 200, 400, 8000)), *blocks[1:]]
    assert block_times(spiky) == pytest.approx({(0, n): 375 * (n + 1) for n in range(4)})


def test_rejected_blocks_have_no_say_in_the_profile_and_a_time_all_the_same() -> None:
    good = [block(n, 100, 300, cycle=2) for n in range(2)]
    bad = [replace(block(n, 900, 300, cycle=2), rejected="steal") for n in range(2, 7)]
    times = block_times([*good, *bad])
    assert times[0, 0] == times[0, 1] == pytest.approx(200)
    assert times[0, 6] == pytest.approx(1000)
    assert block_times(bad)[0, 2] == pytest.approx(600)


@pytest.mark.parametrize("broken", [block(0, 1, 2, 3, cycle=2), block(0)])
def test_a_block_of_no_whole_cycles_is_refused(broken: Block) -> None:
    with pytest.raises(DataError, match="whole cycles"):
        block_times([broken])


def test_a_clock_that_stood_still_is_no_division_by_zero() -> None:
    assert block_times([block(0, 0, 0)])[0, 0] > 0
