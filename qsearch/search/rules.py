"""The rules by which one answer is taken from many results."""

from __future__ import annotations

from collections.abc import Sequence

from qsearch.contracts.errors import UsageError
from qsearch.contracts.job import Constraints
from qsearch.contracts.trial import Result
from qsearch.search.objectives import honest_values, values

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
    rule: str, rivals: Sequence[Result], everyone: Sequence[Result], objectives: Sequence[str]
) -> tuple[Result, ...]:
    """The rivals, best first; equal ones by number. Finalists count by their final numbers.

    Args:
        rule: fastest-feasible or knee.
        rivals: to be put in order.
        everyone: whose numbers span the axes of the knee; fp32 among them is one end.
        objectives: axes of the knee.
    """
    if rule == FASTEST:
        return tuple(sorted(rivals, key=lambda r: (*honest_values(r, ("latency",)), r.trial.number)))
    ends = [values(result, objectives) for result in everyone]
    scores = {r.trial.number: _knee_score(honest_values(r, objectives), ends) for r in rivals}
    return tuple(sorted(rivals, key=lambda r: (-scores[r.trial.number], r.trial.number)))


def _knee_score(point: Sequence[float], ends: Sequence[Sequence[float]]) -> float:
    # Scaled to the range of the ends, the chord of the front runs from (0, 1) to (1, 0); the score is
    # the distance below it.
    score = 1.0
    for axis, value in enumerate(point):
        least, most = min(end[axis] for end in ends), max(end[axis] for end in ends)
        score -= (value - least) / (most - least) if most > least else 0.0
    return score
