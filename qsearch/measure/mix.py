"""Inputs of several shapes in one sitting: what repeats, and the time of an average inference.

NOTE: the estimator. A deployment that serves a mix pays for the whole mix, so the time of a block is the
mean over the inputs of one cycle, and the ratio of two arms is the ratio of their total work: shapes with
true ratios 0.5 and 1.0, the second taking 4× as long, give (0.5 + 4) / (1 + 4) = 0.9. A median over all
samples, or over the ratios of single inputs, is neither shape's number: it falls between two peaks, and
on which side is decided by one spike or by an odd count of samples.

But a mean lets spikes in. So every block is taken apart as *level of the block × profile of the cycle*
(Tukey's median polish, 1977): the profile of a position is a median over the blocks of its session, the
level of a block a median over its positions, and the block's time is level × mean of the profile. One
spike is outvoted in both, even when a block holds each input once. With one shape the profile is a
single number that cancels, and what is left is the median of the block.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence

from qsearch.contracts.errors import DataError
from qsearch.contracts.measurement import Block

#: of the polish; a second pass takes the drift between blocks out of the profile
_PASSES = 2


def whole_cycles(kinds: Sequence[Hashable]) -> tuple[int, int]:
    """How many inputs to keep, and after how many their kinds repeat.

    Args:
        kinds: what the time of each input depends on (its shapes), in the order they are run.

    Returns:
        (kept, cycle), cycle ≤ kept ≤ len(kinds) and kept a multiple of cycle. One kind: cycle 1. Kinds
        that do not repeat at least once make one cycle as they are, and all are kept.
    """
    count = len(kinds)
    for cycle in range(1, count // 2 + 1):
        if all(kinds[i] == kinds[i - cycle] for i in range(cycle, count)):
            return count - count % cycle, cycle
    return count, max(1, count)


def typical(samples: Sequence[float], cycle: int) -> float:
    """Time of an average inference: the mean over the positions of the cycle of each one's median.

    Args:
        samples: in the order they were taken, beginning with position 0; at least one.
        cycle: samples after which the inputs repeat; 1 makes this the median.
    """
    return statistics.fmean(statistics.median(samples[place::cycle]) for place in range(min(cycle, len(samples))))


def typical_ns(blocks: Sequence[Block]) -> float:
    """The same over many blocks of one arm, each of whole cycles; at least one.

    Blocks whose samples are grouped differently cannot be laid end to end: the commonest kind counts.
    """
    cycle = Counter(block.cycle for block in blocks).most_common(1)[0][0]
    return typical([sample for block in blocks if block.cycle == cycle for sample in block.samples_ns], cycle)


def block_times(blocks: Sequence[Block]) -> dict[tuple[int, int], float]:
    """(session, round) → time of an average inference in that block of one arm; see the note above.

    Args:
        blocks: of one arm; those that telemetry rejected have no say in the profile while others are left.

    Raises:
        DataError: a block that is no whole cycles.
    """
    kinds: dict[tuple[int, int], list[Block]] = {}
    for block in blocks:
        if not block.samples_ns or len(block.samples_ns) % block.cycle:
            held = f"{len(block.samples_ns)} samples for a cycle of {block.cycle}"
            raise DataError(f"a block of arm {block.arm} must hold whole cycles of its inputs, found {held}")
        kinds.setdefault((block.session, block.cycle), []).append(block)
    times: dict[tuple[int, int], float] = {}
    for (session, cycle), found in kinds.items():
        profile = _profile([block for block in found if not block.rejected] or found, cycle)
        mean = statistics.fmean(profile)
        times |= {(session, block.round): _level(block, profile) * mean for block in found}
    return times


def _profile(blocks: Sequence[Block], cycle: int) -> Sequence[float]:
    profile = _positions(blocks, dict.fromkeys((block.round for block in blocks), 1.0), cycle)
    for _ in range(_PASSES):
        profile = _positions(blocks, {block.round: _level(block, profile) for block in blocks}, cycle)
    return profile


def _positions(blocks: Sequence[Block], levels: Mapping[int, float], cycle: int) -> Sequence[float]:
    return [
        # The clock may not have moved; nothing takes no time at all.
        max(1e-3, statistics.median(s / levels[b.round] for b in blocks for s in b.samples_ns[place::cycle]))
        for place in range(cycle)
    ]


def _level(block: Block, profile: Sequence[float]) -> float:
    seen = statistics.median(sample / profile[i % len(profile)] for i, sample in enumerate(block.samples_ns))
    return max(1e-3, seen)
