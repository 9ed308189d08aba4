"""Who is measured again, head to head and on the held-out split.

NOTE: the pick is chosen from noisy numbers, so its final may refute it. The seats after the first are
therefore shared between two kinds of heir: front members with less drop (safe if the held-out drop is
the trouble) and runners-up in speed (right if the first was lucky), one of each in turn. The best
uniform candidate always sits too: "does searching beat one word in a configuration file?" can only be
answered head to head. fp32 is the reference arm of the sitting and needs no seat.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, zip_longest

from qsearch.contracts.job import Constraints
from qsearch.contracts.trial import Result
from qsearch.contracts.verdict import Verdict
from qsearch.search.objectives import is_usable
from qsearch.search.pareto import excesses, front
from qsearch.search.rules import by_rule, rule_of
from qsearch.search.space import Space, is_fp32


def choose(
    history: Sequence[Result],
    constraints: Constraints,
    objectives: Sequence[str],
    space: Space,
    count: int,
    *,
    rule: str = "",
) -> tuple[int, ...]:
    """Trial numbers for the finals, the likeliest answer first.

    The first is what the rule would pick now; with nothing feasible (fp32 included) the closest to
    feasible. The fastest feasible uniform candidate other than fp32 is added when it is not among the
    `count`. Empty when only fp32 is feasible: there is nothing to measure again. A trial whose scoring was
    stopped early gets no seat, not even as the closest.

    Args:
        history: finished trials of one target.
        constraints: of the job.
        objectives: two of latency, drop, size, memory.
        space: knows the uniform candidates.
        count: seats, the added uniform candidate not counted; ≥ 1.
        rule: fastest-feasible or knee; empty = the job's default.
    """
    over = excesses(history, constraints)
    usable = [result for result in history if is_usable(result)]
    rivals = [r for r in usable if not is_fp32(r.trial.candidate) and not r.accuracy.truncated]
    feasible = sorted((r for r in rivals if over[r.trial.number] == 0), key=_speed)
    if not feasible:
        if any(over[result.trial.number] == 0 for result in usable):
            return ()
        closest = sorted(rivals, key=lambda r: (over[r.trial.number], _speed(r)))
        return tuple(result.trial.number for result in closest[:count])
    ranks = {entry.number: entry.rank for entry in front(history, constraints, objectives)}
    faster = [result for result in feasible if result.latency.verdict is Verdict.FASTER]
    first = by_rule(rule_of(rule, constraints), faster or feasible, usable, constraints, objectives)[0]
    seats = list(dict.fromkeys(_in_turn(first, feasible, ranks)))[:count]
    uniform = next((r.trial.number for r in feasible if space.uniform_name(r.trial.candidate)), None)
    return tuple(seats if uniform is None or uniform in seats else [*seats, uniform])


def _speed(result: Result) -> tuple[float, int]:
    return result.latency.ratio.value, result.trial.number


def _in_turn(first: Result, feasible: Sequence[Result], ranks: dict[int, int]) -> Iterator[int]:
    yield first.trial.number
    # A candidate that is clearly slower than fp32 cannot be the answer, so it gets no seat by turn.
    able = [result for result in feasible if result.latency.verdict is not Verdict.SLOWER]
    drop = first.accuracy.drop.value
    safer = [r for r in able if ranks[r.trial.number] == 0 and r.accuracy.drop.value < drop]
    swift = [r for r in able if r is not first and r not in safer]
    for result in chain.from_iterable(zip_longest(safer, swift)):
        if result is not None:
            yield result.trial.number
