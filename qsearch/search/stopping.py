"""When more trials no longer pay.

NOTE: the reference point is fixed by the uniform candidates, so that the hypervolume only grows and a
late bad trial cannot move the yardstick. With a drop limit the drop axis ends at twice the limit and
infeasible trials count nothing: a uniform ternary model that loses everything would otherwise
stretch the axis until a whole search below 1 % drop is no visible part of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from qsearch.contracts.job import Constraints
from qsearch.contracts.trial import Result
from qsearch.search.objectives import checked, is_usable, values
from qsearch.search.pareto import excesses, hypervolume


def plateau(
    history: Sequence[Result],
    objectives: Sequence[str],
    *,
    constraints: Constraints | None = None,
    window: int = 20,
    share: float = 0.3,
    gain: float = 0.002,
) -> bool:
    """Whether the hypervolume of the screened numbers stalled over the last trials.

    Args:
        history: finished trials of one target; taken by number.
        objectives: two of latency, drop, size, memory.
        constraints: of the job; only feasible trials count then.
        window: stalled over at least this many trials.
        share: and over at least this share of the history.
        gain: a relative growth of the hypervolume below this is none.

    Returns:
        False while fewer than two uniform candidates or `window` later trials are known.
    """
    names = checked(objectives)
    limits = constraints or Constraints()
    ordered = sorted((r for r in history if is_usable(r)), key=lambda r: r.trial.number)
    back = max(window, math.ceil(share * len(ordered)))
    uniform = [r for r in ordered if r.trial.origin.startswith("uniform")]
    if len(uniform) < 2 or len(ordered) < len(uniform) + back:
        return False
    reference = _reference(uniform, names, limits)
    over = excesses(ordered, limits)
    points = [(r, (values(r, names)[0], values(r, names)[1])) for r in ordered]
    counted = [[p for r, p in part if over[r.trial.number] == 0] for part in (points, points[:-back])]
    now, before = (hypervolume(part, reference) for part in counted)
    return now > 0 and now - before < gain * now


def _reference(uniform: Sequence[Result], names: tuple[str, str], limits: Constraints) -> tuple[float, float]:
    corner = []
    for name in names:
        seen = [values(result, (name,))[0] for result in uniform]
        # A tenth beyond the worst, so that the worst itself spans some area.
        worst = max(seen) + 0.1 * (max(seen) - min(seen))
        if name == "drop" and limits.drop is not None and limits.drop.relative:
            worst = min(worst, 2 * limits.drop.amount)
        corner.append(worst)
    return corner[0], corner[1]
