"""Optuna's samplers as a `Proposer`: the uniform candidates first, then draws nobody has seen.

NOTE: a sampler may draw what is known already, and small or converged ones do so often. A known
draw is thrown away and drawn again under another seed, a bounded number of times; then comes a
local move around the measured front, because that is where a converged sampler was looking; then
any unseen candidate; and when there is none, fewer proposals than asked for. Every step is seeded
by (job seed, trial number, step), so a resumed job asks what an unkilled one would have asked:
- `random`: always, because a draw looks at nothing but what was asked before. Only the local move, near
  the end of a small space, looks at results.
- `tpe` and `nsga2`: when their results are the same too, and the job has one slot, so that every ask sees
  all earlier trials ended. With several slots an ask sees who has ended by then, and a kill changes that.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qsearch.contracts.candidate import Candidate
from qsearch.contracts.codec import digest_of
from qsearch.contracts.job import Constraints, SearchSpec
from qsearch.contracts.proposer import Proposer
from qsearch.contracts.trial import Proposal, Result, Trial, TrialState
from qsearch.search.feasible import exceedances, pooled_reference_ms
from qsearch.search.moves import local_move, not_dominated, unseen
from qsearch.search.objectives import checked, is_usable, values
from qsearch.search.rows import Row, Sampling
from qsearch.search.space import Key, Space

#: draws that may turn out known before a local move is made instead
_REDRAWS = 6
_LIVE = (TrialState.QUEUED, TrialState.RUNNING)


def make_proposer(
    space: Space,
    search: SearchSpec,
    target: str,
    objectives: tuple[str, ...],
    constraints: Constraints | None = None,
) -> Proposer:
    """The proposer a job asks for.

    Args:
        space: what may be proposed.
        search: sampler, seed, and the budget its settings are made for.
        target: name of the target; results and trials of other targets are ignored.
        objectives: two of latency, drop, size, memory.
        constraints: of the job; the sampler prefers what keeps them.

    Raises:
        Unsupported: an unknown sampler or objective, by name.
    """
    return SampledProposer(space, search, target, objectives, constraints or Constraints())


class SampledProposer:
    """Keeps the promises of `Proposer`; what it remembers between calls only saves time."""

    def __init__(
        self, space: Space, search: SearchSpec, target: str, objectives: tuple[str, ...], constraints: Constraints
    ) -> None:
        # Optuna takes a quarter of a second to import, and most commands never propose anything.
        from qsearch.search.study import StudyView

        self._space = space
        self._seed = search.seed
        self._target = target
        self._objectives = checked(objectives)
        self._constraints = constraints
        self._sampling = Sampling.of(search.sampler, search.trials)
        self._study = StudyView(space, len(self._objectives))
        self._uniform = tuple((name, space.key(candidate)) for name, candidate in space.uniform())
        self._reasons: dict[Key, str] = {}

    def propose(
        self, n: int, history: Sequence[Result], pending: Sequence[Trial], *, number: int
    ) -> Sequence[Proposal]:
        """See `Proposer.propose`."""
        seen = _Seen(self._space, self._target, history, pending)
        proposals = [self._proposal(name, key) for name, key in self._uniform if key not in seen.known][:n]
        seen.known.update(key for _, key in self._uniform)
        finished, running = self._rows(seen)
        for proposal in proposals:
            running.append(self._running_row(self._space.key(proposal.candidate), finished, running))
        while len(proposals) < n and len(seen.known) < self._space.size:
            drawn = self._draw(seen, finished, running, number + len(proposals))
            if drawn is None:
                break
            origin, key = drawn
            seen.known.add(key)
            running.append(self._running_row(key, finished, running))
            proposals.append(self._proposal(origin, key))
        return tuple(proposals)

    def explain(self, candidate: Candidate) -> str:
        """See `Proposer.explain`."""
        name = self._space.uniform_name(candidate)
        if name:
            return f"{name}: a baseline that every mixture has to beat."
        got = ", ".join(f"{count} {choice}" for choice, count in candidate.counts().items())
        why = self._reasons.get(self._space.key(candidate)) if self._space.holds(candidate) else None
        return f"A mixture ({got}) {why or f'of a search by {self._sampling.name}'}."

    def _draw(self, seen: _Seen, finished: list[Row], running: list[Row], number: int) -> tuple[str, Key] | None:
        self._study.hold(finished, running)
        generation = self._generation(finished, running)
        name = self._sampling.name
        for attempt in range(_REDRAWS):
            key = self._study.draw(self._sampling, generation=generation, seed=self._seed_of(number, attempt))
            if key not in seen.known:
                self._reasons[key] = f"drawn by {name} from {len(finished)} finished trials"
                return name, key
        rng = np.random.default_rng(self._seed_of(number, _REDRAWS))
        moved = local_move(self._space, _front_of(finished), seen.known, rng)
        if moved is not None:
            self._reasons[moved] = f"near the measured front, because {name} drew only known ones"
            return "local", moved
        left = unseen(self._space, seen.known, rng)
        if left is None:
            return None
        self._reasons[left] = f"taken at random from what is left, because {name} drew only known ones"
        return "random", left

    def _rows(self, seen: _Seen) -> tuple[list[Row], list[Row]]:
        numbers = sorted([*seen.finished, *seen.running])
        generation = {number: place // self._sampling.population for place, number in enumerate(numbers)}
        in_ms = self._constraints.latency_ms is not None and seen.finished
        reference_ms = pooled_reference_ms(list(seen.finished.values())) if in_ms else None
        finished = []
        for number, result in sorted(seen.finished.items()):
            over = exceedances(result, self._constraints, reference_ms)
            row = Row(
                self._space.key(result.trial.candidate),
                generation[number],
                values(result, self._objectives),
                tuple(over.items()),
            )
            finished.append(row)
        running = [Row(key, generation[number]) for number, key in sorted(seen.running.items())]
        return finished, running

    def _running_row(self, key: Key, finished: Sequence[Row], running: Sequence[Row]) -> Row:
        return Row(key, self._generation(finished, running))

    def _generation(self, finished: Sequence[Row], running: Sequence[Row]) -> int:
        return (len(finished) + len(running)) // self._sampling.population

    def _proposal(self, origin: str, key: Key) -> Proposal:
        return Proposal(candidate=self._space.candidate(key), target=self._target, origin=origin)

    def _seed_of(self, number: int, step: int) -> int:
        return int(digest_of([self._seed, number, step])[:8], 16)


class _Seen:
    """What is known of a target: by trial number, as far as the space holds it."""

    def __init__(self, space: Space, target: str, history: Sequence[Result], pending: Sequence[Trial]) -> None:
        results = [r for r in history if r.trial.target == target and space.holds(r.trial.candidate)]
        trials = [t for t in pending if t.target == target and space.holds(t.candidate)]
        self.known = {space.key(r.trial.candidate) for r in results} | {space.key(t.candidate) for t in trials}
        self.finished = {r.trial.number: r for r in results if is_usable(r)}
        #: queued and running; what has failed is known, but tells a sampler nothing
        self.running = {t.number: space.key(t.candidate) for t in trials if t.state in _LIVE}


def _front_of(finished: Sequence[Row]) -> tuple[Key, ...]:
    kept = [row for row in finished if all(over <= 0 for _, over in row.exceedances)] or list(finished)
    points = [row.values for row in kept if row.values is not None]
    return tuple(kept[place].key for place in not_dominated(points)) if points else ()
