"""What a sampler is told: the trials as rows, and its settings. Free of Optuna, so cheap to import."""

from __future__ import annotations

from dataclasses import dataclass

from qsearch.contracts.errors import Unsupported
from qsearch.search.space import Key

#: samplers by the name a spec gives them
SAMPLERS: tuple[str, ...] = ("tpe", "nsga2", "random")


@dataclass(frozen=True, slots=True)
class Row:
    """One trial as a sampler sees it."""

    key: Key
    #: NSGA-II's generation, from 0
    generation: int
    #: one number per objective, minimised; None while it runs
    values: tuple[float, ...] | None = None
    #: (constraint, exceedance); above 0 is violated
    exceedances: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Sampling:
    """Which sampler, and how it is set for a budget."""

    #: one of SAMPLERS
    name: str
    #: individuals of a generation (NSGA-II)
    population: int
    #: finished trials before the sampler models anything (TPE)
    startup: int

    @classmethod
    def of(cls, name: str, trials: int) -> Sampling:
        """Settings for a budget of `trials`.

        NOTE: Optuna's defaults (50 individuals, 10 random trials first) are made for budgets ten times
        ours: with 60 trials NSGA-II would never leave its random generation. A sixth of the budget
        leaves it six generations.

        Raises:
            Unsupported: not a sampler of this version, by name.
        """
        if name not in SAMPLERS:
            raise Unsupported(f'unknown sampler "{name}"; available: {", ".join(SAMPLERS)}')
        return cls(name=name, population=min(max(trials // 6, 8), 50), startup=min(max(trials // 5, 5), 10))
