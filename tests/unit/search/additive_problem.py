"""A made-up model whose time and drop are sums over layers: good enough to tell a search from a lottery."""

from __future__ import annotations

import numpy as np

from qsearch.contracts.candidate import Candidate
from qsearch.contracts.choices import DEFAULT, Choice
from qsearch.contracts.job import Constraints, SearchSpec, SpaceSpec
from qsearch.contracts.trial import Proposal, Result
from qsearch.search.pareto import hypervolume
from qsearch.search.proposing import make_proposer
from qsearch.search.space import Space
from tests.factories import TARGET, make_layers, make_result


class AdditiveProblem:
    """`layers` layers with seeded costs; fp32 is at ratio 1 and drop 0."""

    def __init__(self, layers: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.space = Space.of(make_layers(layers), SpaceSpec())
        share = rng.dirichlet(np.full(layers, 1.0))
        pain = rng.lognormal(0.0, 1.2, layers)
        pain /= pain.sum()
        self._saving = {c: share * s for c, s in zip(DEFAULT, (0.0, 0.35, 0.4, 0.6), strict=True)}
        self._cost = {c: pain * s for c, s in zip(DEFAULT, (0.0, 0.03, 0.02, 0.6), strict=True)}

    def true(self, candidate: Candidate) -> tuple[float, float]:
        """Time ratio and drop without noise."""
        got: list[Choice] = list(candidate.choices.values())
        time = 1.0 - sum(self._saving[choice][place] for place, choice in enumerate(got))
        return float(time), float(1.0 - np.exp(-sum(self._cost[choice][place] for place, choice in enumerate(got))))

    def measure(self, number: int, proposal: Proposal) -> Result:
        """A result with half a percent of noise on the time, seeded by the candidate."""
        time, drop = self.true(proposal.candidate)
        rng = np.random.default_rng(int(proposal.candidate.digest[:8], 16))
        noisy = time * (1 + 0.005 * float(rng.standard_normal()))
        return make_result(number, proposal.candidate, ratio=noisy, drop=drop, origin=proposal.origin)


def searched(problem: AdditiveProblem, sampler: str, *, trials: int, seed: int) -> list[Result]:
    """The results of one search without constraints."""
    search = SearchSpec(trials=trials, seed=seed, sampler=sampler)
    proposer = make_proposer(problem.space, search, TARGET, ("latency", "drop"), constraints=Constraints())
    results: list[Result] = []
    while len(results) < trials:
        (asked,) = proposer.propose(1, results, (), number=len(results))
        results.append(problem.measure(len(results), asked))
    return results


def true_hypervolume(problem: AdditiveProblem, results: list[Result]) -> float:
    """Of the noiseless numbers of all that was measured, against (1.05, 0.5)."""
    return hypervolume([problem.true(result.trial.candidate) for result in results], (1.05, 0.5))
