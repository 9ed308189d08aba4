"""A moment of a running job: one plain line, or tables for a live view."""

from __future__ import annotations

from qsearch.contracts.trial import TrialState
from qsearch.contracts.views import Progress
from qsearch.report.answer import Line, Mark, Table
from qsearch.report.numbers import duration, percent, speedup

#: in the order a reader wants them
_ORDER = (TrialState.DONE, TrialState.RUNNING, TrialState.QUEUED, TrialState.FAILED, TrialState.CANCELLED)
#: a cancelled trial gives its place in the budget back
_ENDED = (TrialState.DONE, TrialState.FAILED)


def ended_trials(progress: Progress) -> int:
    """Trials that used up a place of the budget, whatever became of them."""
    return sum(progress.trials.get(state, 0) for state in _ENDED)


def fraction_done(progress: Progress) -> float:
    """Share of the budget that has ended, 0 to 1."""
    return min(1.0, ended_trials(progress) / progress.budget) if progress.budget > 0 else 0.0


def states_text(progress: Progress) -> str:
    """`12 done, 2 running, 1 failed`; states nobody is in are left out."""
    parts = [f"{progress.trials[state]} {state.value.lower()}" for state in _ORDER if progress.trials.get(state)]
    return ", ".join(parts) or "none yet"


def progress_line(progress: Progress) -> str:
    """One line that means something on its own in a log."""
    head = f"{progress.job.name} {progress.job.state.value.lower()} {ended_trials(progress)}/{progress.budget}"
    parts = [head, states_text(progress), f"{duration(progress.elapsed_s)} gone"]
    if progress.eta_s is not None:
        parts.append(f"{duration(progress.eta_s)} to go")
    parts += [
        f"{target}: {trial} {speedup(value, low, high)} drop {percent(drop)}"
        for target, trial, value, low, high, drop in progress.leaders
    ]
    # of a job that has ended it is why, which the error or the answer after this line says
    if progress.doing and not progress.job.state.ended:
        parts.append(progress.doing)
    return " | ".join(parts)


def leaders_table(progress: Progress) -> Table:
    """The best feasible trial so far, target by target."""
    lines = tuple(
        Line(cells=(target, trial, speedup(value, low, high), percent(drop)), mark=Mark.PICK)
        for target, trial, value, low, high, drop in progress.leaders
    )
    columns = ("target", "best so far", "speed-up", "drop (search)")
    return Table(columns=columns, lines=lines, right=frozenset(columns[2:]), spare=(columns[3], columns[0]))
