"""The door to Optuna: a study in memory that mirrors the trials, and draws from it.

NOTE: the study is a view, never the truth. What it holds is a function of the rows it is given and of
nothing else: finished rows by trial number, then running ones. So a fresh process that is given the
same rows holds the same study, and a sampler that is seeded for this one draw gives the same answer.
Rows that extend the earlier ones are appended; anything else (a lower number finished late, a
constraint that moved with the pooled reference) builds the study anew, which costs a storage copy of
every row (about 0.2 s at 500 rows of 60 layers) and is therefore not done on every call.

Facts of Optuna 5.0 this file rests on: added trials never get a generation key, and the parents of a
generation are cached in the study when they are first asked for, so a late finisher would be left out
in a living process and taken in by a resumed one. `_Generations` replaces both by the row's own
generation. A trial that was asked for and is closed as failed is seen by no sampler.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from qsearch.contracts.choices import Choice
from qsearch.search.rows import Row, Sampling
from qsearch.search.space import Key, Space

#: user attribute of a trial in the study
_GENERATION = "generation"


class StudyView:
    """A study that holds exactly the rows it was last given. Not thread-safe."""

    def __init__(self, space: Space, objectives: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._free = space.free
        self._distributions: dict[str, BaseDistribution] = {
            layer: CategoricalDistribution([str(choice) for choice in space.allowed[layer]]) for layer in space.free
        }
        self._directions = [StudyDirection.MINIMIZE] * objectives
        self._begin()

    def hold(self, finished: Sequence[Row], running: Sequence[Row]) -> None:
        """Make the study hold these rows, `finished` by trial number."""
        known = len(self._finished)
        if list(finished[:known]) != self._finished:
            self._begin()
            known = 0
        # Running rows come last, so they go before more finished ones are appended.
        if len(finished) > known or list(running[: len(self._running)]) != self._running:
            self._close_running()
        for row in finished[known:]:
            self._study.add_trial(self._trial(row))
            self._finished.append(row)
        for row in running[len(self._running) :]:
            self._running_numbers.append(len(self._study.get_trials(deepcopy=False)))
            self._study.add_trial(self._trial(row))
            self._running.append(row)

    def draw(self, sampling: Sampling, *, generation: int, seed: int) -> Key:
        """What the sampler wants next, given the rows; the study holds the same rows afterwards.

        Args:
            sampling: which sampler.
            generation: of the row to be drawn.
            seed: 0 ≤ seed < 2³²; equal rows and seeds give equal keys.
        """
        self._study.sampler = _sampler(sampling, generation, seed)
        trial = self._study.ask(self._distributions)
        drawn = tuple(Choice(trial.params[layer]) for layer in self._free)
        self._study.tell(trial, state=TrialState.FAIL)
        return drawn

    def _begin(self) -> None:
        self._study = optuna.create_study(directions=self._directions, sampler=RandomSampler(seed=0))
        self._finished: list[Row] = []
        self._running: list[Row] = []
        self._running_numbers: list[int] = []

    def _close_running(self) -> None:
        for number in self._running_numbers:
            self._study.tell(number, state=TrialState.FAIL)
        self._running, self._running_numbers = [], []

    def _trial(self, row: Row) -> FrozenTrial:
        return create_trial(
            state=TrialState.RUNNING if row.values is None else TrialState.COMPLETE,
            values=row.values,
            params={layer: str(choice) for layer, choice in zip(self._free, row.key, strict=True)},
            distributions=self._distributions,
            user_attrs={_GENERATION: row.generation},
            constraints=dict(row.exceedances) if row.values is not None else None,
        )


def _sampler(sampling: Sampling, generation: int, seed: int) -> BaseSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=ExperimentalWarning)
        if sampling.name == "random":
            return RandomSampler(seed=seed)
        if sampling.name == "nsga2":
            return _Generations(generation, population_size=sampling.population, seed=seed)
        # Not the default for two objectives, whose independent form models each layer on its own and
        # repeats the whole split of the trials for each of them.
        return TPESampler(multivariate=True, n_startup_trials=sampling.startup, seed=seed)


class _Generations(NSGAIISampler):
    """NSGA-II whose generations are what the rows say, so that added trials are its population."""

    def __init__(self, generation: int, *, population_size: int, seed: int) -> None:
        super().__init__(population_size=population_size, seed=seed)
        self._generation = generation

    def get_trial_generation(self, study: optuna.Study, trial: FrozenTrial) -> int:
        return self._generation

    def get_population(self, study: optuna.Study, generation: int) -> list[FrozenTrial]:
        finished = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return [trial for trial in finished if trial.user_attrs[_GENERATION] == generation]

    def get_parent_population(self, study: optuna.Study, generation: int) -> list[FrozenTrial]:
        parents = self.select_parent(study, generation) if generation > 0 else []
        # A crossover of fewer than two raises; without parents the draw is random.
        return parents if len(parents) > 1 or generation < self._generation else []
