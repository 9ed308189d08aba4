"""How a sitting goes: how many blocks, in which order, how long. Pure: clocks and models come in.

NOTE: blocks of a round run *equally many* inferences on the *same* inputs in every arm. Running each
arm for a fixed time instead would feed a faster arm other samples, and where shapes differ between
samples the ratio would then compare two mixes of work. For the same reason a block is whole cycles
of the shapes, however long one takes: a mix of 64 different ones is 64 inferences at least, and the
longest block yields to that, because a mix that depended on a candidate's speed would make the ratios
of two candidates ratios of different work.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from types import MappingProxyType

from qsearch.contracts.measurement import Tier
from qsearch.measure.mix import typical

#: nanoseconds, monotonic
Clock = Callable[[], int]

#: Shortest block of the fastest arm, ns; telemetry and clock are coarse below.
BLOCK_NS = 50_000_000
#: Longest block of the slowest arm, ns, unless it is `BLOCK_RUNS` inferences.
LONGEST_BLOCK_NS = 400_000_000
#: Fewest inferences in a block, so that one spike is outvoted.
BLOCK_RUNS = 3
#: Inferences shorter than this are timed in groups that last as long, ns: reading the clock costs
#: about 50 ns, and a block of a microsecond model would else hold ten thousand samples.
GROUP_NS = 200_000
#: Untimed inferences when an arm gets its turn: the other arm has emptied the caches.
SETTLE_RUNS, SETTLE_NS = 2, 10_000_000
#: Warm-up ends after so long, if the last two windows agree so well.
WARMUP_NS, WARMUP_AGREEMENT = 500_000_000, 0.02
#: Rounds that make up for rejected ones, as a share of the most a plan asks for.
EXTRA_ROUNDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One tier as numbers."""

    #: fresh children each
    sessions: int
    #: per session; even, because rounds come as R C C R
    least_pairs: int
    most_pairs: int
    #: stop when the interval is this narrow on each side (0.02 = 2 %); 0 = never
    half_width: float
    #: seconds for the whole sitting of so many arms; then every session gets `hurried_pairs` only
    cap_s: float
    arms: int
    #: per arm and session; then the arm counts as not steady
    warmup_cap_s: float
    #: seconds that a session waits for a calm machine at most; they count towards `cap_s`
    calm_patience_s: float
    #: pairs a session gets when time is up: one R C C R
    hurried_pairs: int = 2

    def enough(self, session: int, rounds: int, clean: int, half_width: float, elapsed_s: float) -> bool:
        """Whether this session ends. Width and time decide, never which arm is faster.

        Args:
            session: number of the session, from 0.
            rounds: complete rounds of this session.
            clean: those of them that telemetry left standing.
            half_width: of the ratio's interval over all sessions so far; infinite when unknown.
            elapsed_s: since the sitting began.
        """
        if rounds % 2 or rounds < self.hurried_pairs:
            return False
        if clean >= self.most_pairs or rounds >= self.most_pairs * (1 + EXTRA_ROUNDS):
            return True
        if elapsed_s >= self.cap_s * (session + 1) / self.sessions:
            return True
        return clean >= self.least_pairs and half_width <= self.half_width


PLANS: Mapping[Tier, Plan] = MappingProxyType(
    {
        Tier.QUICK: Plan(
            sessions=1,
            least_pairs=6,
            most_pairs=6,
            half_width=0,
            cap_s=5,
            arms=2,
            warmup_cap_s=1.0,
            calm_patience_s=0.5,
        ),
        Tier.SCREEN: Plan(
            sessions=2,
            least_pairs=4,
            most_pairs=12,
            half_width=0.02,
            cap_s=20,
            arms=2,
            warmup_cap_s=1.5,
            calm_patience_s=2.0,
        ),
        Tier.FINAL: Plan(
            sessions=6,
            least_pairs=6,
            most_pairs=6,
            half_width=0,
            cap_s=300,
            arms=7,
            warmup_cap_s=4.0,
            calm_patience_s=10.0,
        ),
    }
)


def plan_for(tier: Tier, arms: int) -> Plan:
    """The plan of a tier with the time that so many arms need.

    NOTE: every arm is started, loaded and warmed up before the first round. A cap that did not grow with
    them would be spent on that, and fourteen arms would be left with so few pairs that all are polluted.
    """
    plan = PLANS[tier]
    return replace(plan, cap_s=plan.cap_s * max(1.0, arms / plan.arms))


def load_order(arms: Sequence[str], session: int, seed: int) -> tuple[str, ...]:
    """Who is loaded first, second... in a session: for two arms, each is first in every second session."""
    return _balanced(arms, session, seed & 1)


def rounds(arms: Sequence[str], session: int, seed: int) -> Iterator[tuple[str, ...]]:
    """Without end: the order of the arms in each round. Odd rounds mirror the even ones (R C C R).

    Over the rounds every arm stands at every position equally often, and over sessions the first
    one changes. A round has one block of every arm, so any two of them make one pair.
    """
    start = _balanced(arms, session, seed >> 1 & 1)
    for turn in count():
        shift = turn % len(start)
        order = start[shift:] + start[:shift]
        yield order
        yield order[::-1]


def block_runs(typical_ns: Sequence[int], cycle: int = 1) -> int:
    """Inferences per block, one number for all arms of a session, from their warmed-up typical times.

    The fastest arm's block lasts `BLOCK_NS`, unless the slowest one's would pass `LONGEST_BLOCK_NS`;
    always whole cycles of the shapes, the last one filled up.
    """
    fast, slow = max(1, min(typical_ns)), max(1, *typical_ns)
    return _whole(max(BLOCK_RUNS, min(-(-BLOCK_NS // fast), -(-LONGEST_BLOCK_NS // slow))), cycle)


def group_runs(typical_ns: Sequence[int], cycle: int = 1) -> int:
    """Inferences timed together as one sample, one number for all arms: 1 unless the fastest is very short.

    A group of several is whole cycles of the shapes, so that all groups are equal work.
    """
    wanted = -(-GROUP_NS // max(1, min(typical_ns)))
    return _whole(wanted, cycle) if wanted > 1 else 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Warmth:
    """What a warm-up found."""

    seconds: float
    #: False when the cap came before two windows agreed
    steady: bool
    #: of an average inference in the last window; the median where all inputs have one shape
    typical_ns: int


def warm_up(run: Callable[[int], object], clock: Clock, cap_s: float, cycle: int = 1) -> Warmth:
    """Run windows of 1, 2, 4... inferences until they last, hold every shape, and agree.

    The window that would pass half a second, or leave less of it than itself, fills it up: blind doubling takes
    nearly twice as long to get there. From then on windows stay as long as that one.

    Windows are compared input by input, as far as the shorter one goes, and the median of those ratios
    decides: the medians of two windows of unlike length over inputs of two shapes need not agree however
    steady the machine is.

    Args:
        run: executes the i-th inference; every window begins with i = 0.
        clock: nanoseconds.
        cap_s: give up being steady after so long; the last inference may end later.
        cycle: inferences after which the shapes repeat.
    """
    started, window = clock(), 1
    before: list[int] = []
    while True:
        samples = timed(run, clock, 0, window)
        elapsed = clock() - started
        agree = bool(before) and abs(_change(before, samples)) < WARMUP_AGREEMENT
        if (elapsed >= WARMUP_NS and agree and window >= cycle) or elapsed >= cap_s * 1e9:
            return Warmth(seconds=elapsed / 1e9, steady=agree, typical_ns=int(typical(samples, cycle)))
        before, each = samples, max(1.0, statistics.fmean(samples))
        wanted = _next_window(window, cycle, (WARMUP_NS - elapsed) / each)
        window = max(1, min(wanted, int((cap_s * 1e9 - elapsed) / each)))


def timed(run: Callable[[int], object], clock: Clock, first: int, runs: int, group: int = 1) -> list[int]:
    """Nanoseconds of each of `runs` inferences, numbered from `first`.

    With `group` > 1 each sample is the mean of that many inferences in a row; the last group is filled up.
    """
    samples = []
    for start in range(first, first + runs, group):
        before = clock()
        for index in range(start, start + group):
            run(index)
        samples.append((clock() - before) // group)
    return samples


def settle(run: Callable[[int], object], clock: Clock, first: int) -> None:
    """Untimed inferences at the start of a turn: at least two, and ten milliseconds."""
    started = clock()
    for done in count(1):
        run(first)
        if done >= SETTLE_RUNS and clock() - started >= SETTLE_NS:
            return


def _next_window(window: int, cycle: int, left: float) -> int:
    """Inferences of the next window, given those that are left of the time that a warm-up lasts at least."""
    if window < cycle:
        return 2 * window
    return max(window, math.ceil(left)) if left <= 3 * window else 2 * window


def _whole(runs: int, cycle: int) -> int:
    return -(-runs // cycle) * cycle


def _change(before: Sequence[int], now: Sequence[int]) -> float:
    return statistics.median(b / max(1, a) for a, b in zip(before, now, strict=False)) - 1


def _balanced(arms: Sequence[str], session: int, flip: int) -> tuple[str, ...]:
    shift = (session // 2) % len(arms)
    order = tuple(arms[shift:]) + tuple(arms[:shift])
    return order[::-1] if (session + flip) % 2 else order
