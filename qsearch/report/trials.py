"""Trials and fronts, as answers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from qsearch.contracts.trial import Trial, TrialState
from qsearch.contracts.views import FrontRow, FrontView, TrialView
from qsearch.report.answer import Answer, Line, Mark, Row, Table
from qsearch.report.bests import best_document, choice_counts
from qsearch.report.limits import limits_remark
from qsearch.report.numbers import NOTHING, drop_of, milliseconds, rate, samples_per_s, size
from qsearch.report.remarks import explained, flag_words
from qsearch.report.speedups import latency_speedup
from qsearch.report.trial_rows import (
    Pooled,
    front_row,
    p50_ms,
    pooled_references,
    rate_of,
    reference,
    reference_rate,
    shown_latency,
    trial_cells,
)

#: heading of the column that stands in the place of p50 where throughput is measured
_RATE = "samples/s"
_SPARE = ("p50", "size", "layers")


def trials_answer(job: str, trials: Sequence[FrontRow | TrialView]) -> Answer:
    """Every trial of a job: finished ones with their place, the others with their state and cause."""
    finished = [row for row in trials if isinstance(row, FrontRow)]
    pooled, style = pooled_references(finished), _Style.of(finished)
    rows, lines = [], []
    for each in trials:
        if isinstance(each, FrontRow):
            rows.append(front_row(each, pooled))
            lines.append(style.line(each, pooled))
        else:
            rows.append(trial_cells(reference(each.trial), each.trial))
            lines.append(_unfinished(each.trial))
    tables = tuple(
        style.table([lines[at] for at in places], f"trials of {job}{on}") for on, places in _by_target(trials).items()
    )
    document = {"job": job, "trials": rows}
    return Answer(noun="trials", row_noun="trial", document=document, rows=tuple(rows), tables=tables)


def fronts_answer(views: Sequence[FrontView]) -> Answer:
    """The fronts of one or several jobs, fastest first within each."""
    rows: list[Row] = []
    fronts: list[dict[str, object]] = []
    for view in views:
        pooled = pooled_references(view.rows)
        mine = [front_row(row, pooled) for row in by_speed(view)]
        rows += [{"job": view.job, **row} for row in mine]
        head = {"job": view.job, "target": view.target, "metric": view.metric, "machine_key": view.machine_key}
        fronts.append({**head, "best": best_document(view.best) if view.best else None, "rows": mine})
    tables = tuple(front_table(view) for view in views)
    return Answer(noun="pareto", row_noun="trial", document={"fronts": fronts}, rows=tuple(rows), tables=tables)


def front_table(view: FrontView) -> Table:
    """The front for people: members, their ties, fp32 and the uniform candidates, then the dominated."""
    pooled, style = pooled_references(view.rows), _Style.of(view.rows)
    title = f"{view.job} on {view.target}: {view.metric}, machine class {view.machine_key}{_offline(view, pooled)}"
    return style.table([style.line(row, pooled) for row in by_speed(view)], title)


def _offline(view: FrontView, pooled: Pooled) -> str:
    """fp32's throughput, which the others' is a multiple of; empty where latency is measured."""
    rates = [(shown_latency(row).throughput, reference_rate(row, pooled)) for row in view.rows]
    told = next(((seen.batch, rate) for seen, rate in rates if seen and rate), None)
    return f", offline at batch {told[0]}, fp32 {samples_per_s(told[1])}" if told else ""


def by_speed(view: FrontView) -> list[FrontRow]:
    """Front members and their ties first, then the rest; fastest first."""
    return sorted(view.rows, key=lambda row: (row.rank == 2, shown_latency(row).ratio.value))


def short(trial: str) -> str:
    """`42` of `JOB/42`, where the job is named above."""
    return trial.rpartition("/")[2]


def _by_target(trials: Sequence[FrontRow | TrialView]) -> dict[str, list[int]]:
    """Places in the list by target, as a title tells it; one nameless heading where there are not several."""
    places: dict[str, list[int]] = {}
    for at, each in enumerate(trials):
        trial = each.result.trial if isinstance(each, FrontRow) else each.trial
        places.setdefault(f" on {trial.target}", []).append(at)
    return places if len(places) > 1 else {"": list(range(len(trials)))}


def _place(row: FrontRow) -> str:
    tie = f"tie {short(row.tied_with)}" if row.feasible else ""
    return {0: "front", 1: tie}.get(row.rank, "")


@dataclass(frozen=True, slots=True)
class _Style:
    """Whether all rows share one number of samples, which then stands in the heading, once."""

    search_n: int | None
    heldout_n: int | None
    #: whether every row is of the offline scenario
    offline: bool = False
    #: what explains the words in the rows
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, rows: Sequence[FrontRow]) -> _Style:
        heldout = [row.result.heldout for row in rows if row.result.heldout]
        searched = [row.result.accuracy for row in rows if not row.result.accuracy.truncated]
        offline = bool(rows) and all(shown_latency(row).throughput for row in rows)
        return cls(_only(each.n for each in searched), _only(each.n for each in heldout), offline, explained(rows))

    def table(self, lines: Sequence[Line], title: str) -> Table:
        drops = (_heading("drop, search", self.search_n), _heading("drop, held out", self.heldout_n))
        time = _RATE if self.offline else "p50"
        columns = ("trial", "place", "speed-up", *drops, "size", time, "layers", "remarks")
        right = frozenset({"trial", "speed-up", *drops, "size", time})
        return Table(columns=columns, lines=tuple(lines), title=title, notes=self.notes, right=right, spare=_SPARE)

    def line(self, row: FrontRow, pooled: Pooled) -> Line:
        result = row.result
        cells = (
            short(row.trial),
            _place(row),
            latency_speedup(shown_latency(row)),
            drop_of(result.accuracy, with_n=self.search_n is None),
            drop_of(result.heldout, with_n=self.heldout_n is None) if result.heldout else NOTHING,
            size(result.size_bytes),
            self._time(row, pooled),
            choice_counts(result.trial.candidate.choices.values()),
            _remarks(row),
        )
        return Line(cells=cells, mark=_mark(row))

    def _time(self, row: FrontRow, pooled: Pooled) -> str:
        seen = rate_of(row, pooled)
        if seen is None:
            return milliseconds(p50_ms(row, pooled))
        return rate(seen).replace(" samples/s", "") if self.offline else rate(seen)


def _only(numbers: Iterable[int]) -> int | None:
    seen = set(numbers)
    return seen.pop() if len(seen) == 1 else None


def _heading(name: str, n: int | None) -> str:
    return name if n is None else f"{name} n={n}"


def _remarks(row: FrontRow) -> str:
    remarks = [
        "the pick" if row.pick else "",
        f"uniform {row.uniform}" if row.uniform else "",
        limits_remark(row),
        *flag_words(shown_latency(row)),
    ]
    return ", ".join(part for part in remarks if part)


def _unfinished(trial: Trial) -> Line:
    cause = f"{trial.cause.value}: {trial.message}" if trial.cause else trial.message
    layers = choice_counts(trial.candidate.choices.values())
    cells = (str(trial.number), trial.state.value.lower(), *([NOTHING] * 5), layers, cause)
    return Line(cells=cells, mark=Mark.PROBLEM if trial.state is TrialState.FAILED else Mark.DIM)


def _mark(row: FrontRow) -> Mark:
    if row.pick:
        return Mark.PICK
    if not row.feasible or row.rank == 2:
        return Mark.DIM
    return Mark.GOOD if row.rank == 0 else Mark.NONE
