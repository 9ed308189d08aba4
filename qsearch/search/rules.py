"""The rules by which one answer is taken from many results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from qsearch.contracts.errors import UsageError
from qsearch.contracts.job import Constraints
from qsearch.contracts.trial import Result
from qsearch.search.objectives import choosing_values, values
from qsearch.search.pareto import front
from qsearch.search.space import is_fp32

#: the fastest of those that keep every constraint
FASTEST = "fastest-feasible"
#: where giving up more of one objective stops paying in the other
KNEE = "knee"


def rule_of(rule: str, constraints: Constraints) -> str:
    """The rule asked for, or the job's default: fastest-feasible with any constraint, else knee.

    NOTE: without a constraint everything is feasible, and the fastest of everything is usually a
    useless model, so the default is the knee.

    Raises:
        UsageError: an unknown rule.
    """
    if rule and rule not in (FASTEST, KNEE):
        raise UsageError(f'unknown rule "{rule}"; available: {FASTEST}, {KNEE}')
    return rule or (FASTEST if constraints != Constraints() else KNEE)


def by_rule(
    rule: str,
    rivals: Sequence[Result],
    everyone: Sequence[Result],
    constraints: Constraints,
    objectives: Sequence[str],
) -> tuple[Result, ...]:
    """The rivals, best first; equal ones by number. Latencies of finalists are those of the finals.

    Args:
        rule: fastest-feasible or knee.
        rivals: to be put in order.
        everyone: usable results of the target, whose front spans the axes of the knee.
        constraints: what a member of that front keeps.
        objectives: axes of the knee.
    """
    if rule == FASTEST:
        return tuple(sorted(rivals, key=lambda r: (r.judged_latency.ratio.value, r.trial.number)))
    ends = _ends(everyone, constraints, objectives)
    scores = {r.trial.number: _knee_score(choosing_values(r, objectives), ends) for r in rivals}
    return tuple(sorted(rivals, key=lambda r: (-scores[r.trial.number], r.trial.number)))


def _ends(
    everyone: Sequence[Result], constraints: Constraints, objectives: Sequence[str]
) -> Sequence[tuple[float, ...]]:
    """What spans the axes: fp32 and the feasible members of the front.

    A dominated or infeasible outlier is no point of the curve whose knee is sought. The front is the
    screened one: drawn with held-out drops, it would let that split choose.
    """
    screened = [replace(result, final_latency=None, heldout=None) for result in everyone]
    members = {e.number for e in front(screened, constraints, objectives) if e.rank == 0 and e.feasible}
    ends = [r for r in screened if r.trial.number in members or is_fp32(r.trial.candidate)]
    return [values(result, objectives) for result in ends or screened]


def _knee_score(point: Sequence[float], ends: Sequence[Sequence[float]]) -> float:
    # Scaled to the range of the ends, the chord of the front runs from (0, 1) to (1, 0); the score is
    # the distance below it.
    score = 1.0
    for axis, value in enumerate(point):
        least, most = min(end[axis] for end in ends), max(end[axis] for end in ends)
        score -= (value - least) / (most - least) if most > least else 0.0
    return score
