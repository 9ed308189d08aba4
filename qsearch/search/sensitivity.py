"""What each choice at each layer does to the drop, as far as a job's finished trials tell.

The model: on the search split, the drop of a candidate is the sum of one effect per (layer, choice),
fp32 being 0, plus what does not add up: v = σ² + (κ·drop)², because large drops interact and saturate.
σ, κ and the usual size τ of each choice's effects are those that make the drops seen most likely (the
marginal likelihood; Bishop, "Pattern Recognition and Machine Learning", 2006, section 3.5). The effects
are then estimated with a prior three times as wide as τ, so wide that it hardly pulls at what the
trials do tell, and just keeps finite what they do not.

NOTE: the mean drop of the trials in which a layer had a choice says nothing about that layer: the other
layers were changed in the same trials. So an effect is given only where its standard error is no larger
than the usual effect of its choice; elsewhere it is *not told apart*. With fewer trials than effects
that is the rule and not the exception. Two layers that always changed together share one effect, and
neither is told apart, however many trials there are.

The intervals are about this split's samples: how well the split stands for all data is what the
intervals of the trials' own drops say.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from qsearch.contracts.choices import Choice
from qsearch.contracts.measurement import Accuracy
from qsearch.contracts.trial import Result
from qsearch.contracts.verdict import Interval
from qsearch.search.evidence import Evidence, Floats, Sizes

#: (layer id, choice)
Site = tuple[str, Choice]
#: sizes that τ and σ may have, relative to the root mean square of the drops
_SIZES = tuple(10.0 ** (power / 2) for power in range(-8, 3))
_INTERACTIONS = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8)
_SWEEPS = 2
#: the prior of the estimate is this many times wider than the usual effect
_WIDE = 3.0
#: degrees of freedom left for what does not add up, below which nothing is said
_LEAST_FREEDOM = 2.0
#: smallest σ, as a drop: far below what any split can show, above rounding
_FLOOR = 1e-5


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensitivity:
    """Effects by (layer, choice)."""

    #: finished quantized trials that were used
    trials: int
    #: how often each layer had each choice in these; choices never had are absent
    seen: Mapping[Site, int]
    #: relative drop that the choice adds; absent where it is not told apart
    effects: Mapping[Site, Interval]


def sensitivity_of(history: Sequence[Result]) -> Sensitivity:
    """What the trials of one target tell; equal histories give equal answers.

    Trials without a finite drop are left out, and so is fp32, whose drop is 0 by identity. A polluted
    sitting spoils a latency, not a drop, so such trials count. So do those whose scoring was stopped early, with
    the variance that the samples they lack leave.
    """
    told = [r for r in history if math.isfinite(r.accuracy.drop.value) and _sites(r)]
    seen: dict[Site, int] = {}
    for site in (site for result in told for site in _sites(result)):
        seen[site] = seen.get(site, 0) + 1
    sites = tuple(seen)
    drops = np.array([result.accuracy.drop.value for result in told], dtype=np.float64)
    column = {site: j for j, site in enumerate(sites)}
    had = np.zeros((len(told), len(sites)))
    for row, result in zip(had, told, strict=True):
        row[[column[site] for site in _sites(result)]] = 1.0
    extra = np.array([_unseen_variance(result.accuracy) for result in told], dtype=np.float64)
    effects = _estimate(had, drops, [site[1] for site in sites], extra) if len(told) > _LEAST_FREEDOM else {}
    return Sensitivity(trials=len(told), seen=seen, effects={sites[j]: found for j, found in effects.items()})


def _sites(result: Result) -> list[Site]:
    return [(layer, choice) for layer, choice in result.trial.candidate.choices.items() if choice is not Choice.FP32]


def _unseen_variance(accuracy: Accuracy) -> float:
    """Variance of a drop on n samples around the drop on all `of`: that of n, less the share that was seen."""
    if not accuracy.truncated:
        return 0.0
    return ((accuracy.drop.high - accuracy.drop.low) / (2 * 1.96)) ** 2 * (1 - accuracy.n / accuracy.of)


def _estimate(had: Floats, drops: Floats, choices: Sequence[Choice], extra: Floats) -> dict[int, Interval]:
    """Column → effect, where it is told apart."""
    kinds = list(dict.fromkeys(choices))
    kind = np.array([kinds.index(choice) for choice in choices])
    evidence = Evidence(had, drops, kind, extra)
    sizes = _likeliest(evidence, drops, len(kinds))
    usual = np.maximum(np.array(sizes.usual)[kind], sizes.noise)
    found = evidence.posterior((_WIDE * usual) ** 2, evidence.noise_of(sizes))
    if found.freedom < _LEAST_FREEDOM:
        return {}
    reach = _student(found.freedom) * found.error
    return {
        j: Interval(value=float(effect), low=float(effect - reach[j]), high=float(effect + reach[j]))
        for j, effect in enumerate(found.effect)
        if found.error[j] <= usual[j]
    }


def _likeliest(evidence: Evidence, drops: Floats, kinds: int) -> Sizes:
    """The sizes with the highest marginal likelihood on a grid, one after the other, a few times over."""
    scale = max(float(np.sqrt(np.mean(drops**2))), _FLOOR)
    best = Sizes((scale / 10,) * kinds, scale / 10, 0.1)
    for _ in range(_SWEEPS):
        for place in range(kinds):
            around = best.usual[:place], best.usual[place + 1 :]
            tried = [replace(best, usual=(*around[0], scale * size, *around[1])) for size in _SIZES]
            best = min(tried, key=evidence.unlikeliness)
        best = min((replace(best, noise=max(scale * size, _FLOOR)) for size in _SIZES), key=evidence.unlikeliness)
        best = min((replace(best, interaction=share) for share in _INTERACTIONS), key=evidence.unlikeliness)
    return best


def _student(freedom: float) -> float:
    """The 97.5 % quantile of Student's t. Source: Abramowitz and Stegun, 26.7.5."""
    z = 1.959964
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return sum(term / freedom**power for power, term in enumerate(terms))
