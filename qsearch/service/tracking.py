"""Where a driven job stands, for whoever watches."""

from __future__ import annotations

from collections.abc import Callable

from qsearch.contracts.desk import Watcher
from qsearch.contracts.job import Job, JobState
from qsearch.contracts.ledger import Ledger
from qsearch.contracts.trial import TrialState
from qsearch.contracts.views import Progress

#: what the finals are guessed to take before they have begun, seconds
FINALS_GUESS_S = 90.0
#: how often a watcher hears of a job in which nothing happens, seconds
TICK_S = 2.0


class Tracker:
    """Collects what the driver does and tells the watcher after every change."""

    def __init__(self, ledger: Ledger, job: Job, watch: Watcher, clock: Callable[[], float]) -> None:
        self._ledger = ledger
        self._job = job
        self._watch = watch
        self._clock = clock
        self._began = clock()
        self._search_began: float | None = None
        self._searched_before = job.searched_s
        self._doing = "starting"
        self._done_before = 0
        self._told = self._began

    @property
    def state(self) -> JobState:
        """The job's state as last entered."""
        return self._job.state

    def entered(self, job: Job, doing: str) -> None:
        """The job is in another state."""
        if self._job.state is JobState.SEARCHING and job.state is not JobState.SEARCHING:
            self._searched_before, self._search_began = self.searched_s(), None
        self._job = job
        self.doing(doing)

    def doing(self, what: str) -> None:
        """Something else is being done now."""
        self._doing = what
        self.changed()

    def told_to_stop(self, count: int) -> None:
        """A signal came; said at the next change, because a signal handler must not touch the database."""
        self._doing = "stopping: running trials end, then the finals (again to cancel)" if count == 1 else "cancelling"

    def search_begins(self) -> None:
        """The clock of the search starts (or goes on, for a resumed job)."""
        self._search_began = self._clock()
        self._done_before = self._counts().get(TrialState.DONE, 0)

    def searched_s(self) -> float:
        """Seconds spent searching, under earlier leases too."""
        running = 0.0 if self._search_began is None else self._clock() - self._search_began
        return self._searched_before + running

    def tick(self) -> None:
        """Nothing happened; tell the watcher now and then, so that its clock and its ETA move."""
        if self._clock() - self._told >= TICK_S:
            self.changed()

    def changed(self) -> None:
        """Tell the watcher."""
        self._told = self._clock()
        self._watch(self.progress())

    def progress(self) -> Progress:
        """The moment as a record."""
        counts = self._counts()
        leaders = []
        for target in self._job.spec.targets:
            best = self._ledger.best(self._job.id, target.name)
            if best is not None:
                s = best.speedup
                leaders.append((target.name, best.trial, s.value, s.low, s.high, best.drop_search.value))
        return Progress(
            job=self._job,
            trials=counts,
            budget=self._job.spec.search.trials,
            elapsed_s=self._clock() - self._began,
            eta_s=self._eta(counts),
            doing=self._doing,
            leaders=tuple(leaders),
        )

    def _counts(self) -> dict[TrialState, int]:
        states = [t.state for t in self._ledger.trials(self._job.id)]
        return {state: states.count(state) for state in TrialState if state in states}

    def _eta(self, counts: dict[TrialState, int]) -> float | None:
        if self._job.state.ended:
            return None
        done = counts.get(TrialState.DONE, 0) - self._done_before
        if self._search_began is None or done < 2:
            return None
        each = (self._clock() - self._search_began) / done
        spent = sum(n for state, n in counts.items() if state in (TrialState.DONE, TrialState.FAILED))
        left = max(0, self._job.spec.search.trials - spent) * each
        if self._job.spec.search.time_s is not None:
            left = min(left, max(0.0, self._job.spec.search.time_s - self.searched_s()))
        return left + FINALS_GUESS_S
