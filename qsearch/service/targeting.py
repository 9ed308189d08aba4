"""`compare JOB --targets`: one job's candidates on each of its targets, side by side. From the database alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from qsearch.contracts.candidate import Candidate
from qsearch.contracts.choices import Choice
from qsearch.contracts.comparison import Across, AcrossRow, AcrossView, PickedLayer
from qsearch.contracts.errors import NotFound, UsageError
from qsearch.contracts.job import Job, SpaceSpec
from qsearch.contracts.layer import Layer
from qsearch.contracts.ledger import Ledger
from qsearch.contracts.trial import Result
from qsearch.search.space import Space


def across_targets(ledger: Ledger, job: Job) -> AcrossView:
    """Where a job's targets differ: the uniform candidates, the picks, and what else was measured on several.

    NOTE: times stand beside each other and are not compared: each is against fp32 of its own target, and
    runtimes differ in fp32 too. `compare A B --measure` puts two files into one sitting.

    Raises:
        UsageError: the job has one target.
        NotFound: nothing has been measured yet.
    """
    if len(job.spec.targets) < 2:
        raise UsageError(
            f"job {job.id} has one target, {job.spec.targets[0].name}", "Run it with --target A --target B."
        )
    seen = {target.name: _Seen.of(ledger, job, target.name) for target in job.spec.targets}
    if not any(one.results for one in seen.values()):
        raise NotFound(f"job {job.id} has no finished trial yet", f"qsearch status {job.id}")
    return AcrossView(
        job=job.id,
        metric=next(one.metric for one in seen.values() if one.results),
        targets={name: one.runtime for name, one in seen.items()},
        rows=(*_uniform_rows(seen), *_mixed_rows(seen)),
        layers=_picked_layers(seen),
        notes=tuple(_notes(seen)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What one target has."""

    job: str
    metric: str
    runtime: str
    layers: tuple[Layer, ...]
    space: Space
    #: digest of a candidate → its result
    results: Mapping[str, Result]
    front: frozenset[int]
    #: number of the pick; None while there is none
    pick: int | None

    @classmethod
    def of(cls, ledger: Ledger, job: Job, target: str) -> _Seen:
        # a running job writes these in the other direction
        front = frozenset(e.number for e in ledger.front(job.id, target) if e.rank == 0)
        best, history, prepared = (
            ledger.best(job.id, target),
            ledger.history(job.id, target),
            ledger.prepared(job.id, target),
        )
        layers = prepared[1].layers if prepared else ()
        return cls(
            job=job.id,
            metric=prepared[0].metric if prepared else "",
            runtime=prepared[1].circumstances.runtime if prepared else "",
            layers=layers,
            space=Space.of(layers, job.spec.space if layers else SpaceSpec()),
            results={r.trial.candidate.digest: r for r in history},
            front=front,
            pick=int(best.trial.rpartition("/")[2]) if best else None,
        )

    def cell(self, candidate: Candidate) -> Across | None:
        result = self.results.get(candidate.digest)
        if result is None:
            return None
        number = result.trial.number
        return Across(
            trial=f"{self.job}/{number}",
            latency=result.judged_latency,
            final=result.judged_latency is result.final_latency,
            search=result.accuracy,
            heldout=result.heldout,
            front=number in self.front,
            pick=number == self.pick,
        )

    def runs(self) -> frozenset[Choice]:
        """Choices that at least one layer can have there."""
        return frozenset(choice for choices in self.space.allowed.values() for choice in choices)

    def why_absent(self, candidate: Candidate) -> str:
        if not self.layers:
            return "not prepared"
        lacking = {c for layer, c in candidate.choices.items() if c not in self.space.allowed.get(layer, ())}
        return f"no kernel for {_names(lacking)}" if lacking else "not measured"


def _uniform_rows(seen: Mapping[str, _Seen]) -> Iterator[AcrossRow]:
    """One row per rule; where a layer cannot have the choice on a target, the rule leaves it in fp32 there."""
    rules = {name: dict(one.space.uniform()) for name, one in seen.items() if one.layers}
    for uniform in dict.fromkeys(rule for known in rules.values() for rule in known):
        cells, absent = {}, {}
        some = next(known[uniform] for known in rules.values() if uniform in known)
        for name, one in seen.items():
            candidate = rules.get(name, {}).get(uniform)
            cell = one.cell(candidate) if candidate else None
            if cell is not None:
                cells[name] = cell
            else:
                absent[name] = one.why_absent(candidate or some)
        if cells:
            yield AcrossRow(uniform=uniform, choices=some.choices, cells=cells, absent=absent)


def _mixed_rows(seen: Mapping[str, _Seen]) -> Iterator[AcrossRow]:
    """Picks first, then what was measured on several targets, then what is on a front."""
    candidates: dict[str, Candidate] = {}
    for one in seen.values():
        for digest, result in one.results.items():
            if not one.space.uniform_name(result.trial.candidate):
                candidates[digest] = result.trial.candidate
    rows = []
    for candidate in candidates.values():
        found = {name: one.cell(candidate) for name, one in seen.items()}
        cells = {name: cell for name, cell in found.items() if cell is not None}
        absent = {name: seen[name].why_absent(candidate) for name, cell in found.items() if cell is None}
        if len(cells) > 1 or any(cell.front or cell.pick for cell in cells.values()):
            rows.append(AcrossRow(uniform="", choices=candidate.choices, cells=cells, absent=absent))
    return iter(sorted(rows, key=_rank))


def _rank(row: AcrossRow) -> tuple[bool, bool, float]:
    cells = row.cells.values()
    fastest = min(cell.latency.ratio.value for cell in cells)
    return not any(cell.pick for cell in cells), len(cells) < 2, fastest


def _picked_layers(seen: Mapping[str, _Seen]) -> tuple[PickedLayer, ...]:
    picked = {
        name: result.trial.candidate.choices
        for name, one in seen.items()
        for result in one.results.values()
        if result.trial.number == one.pick
    }
    layers = next((one.layers for one in seen.values() if one.layers), ())
    if len(picked) < 2:
        return ()
    found = (
        PickedLayer(
            layer=layer.id,
            op=layer.op,
            choices={name: choices[layer.id] for name, choices in picked.items() if layer.id in choices},
        )
        for layer in layers
    )
    return tuple(layer for layer in found if len(set(layer.choices.values())) > 1)


def _notes(seen: Mapping[str, _Seen]) -> Sequence[str]:
    every = frozenset(choice for one in seen.values() for choice in one.runs())
    notes = []
    for name, one in seen.items():
        if not one.layers:
            notes.append(f"nothing is prepared yet for {name}")
        elif every - one.runs():
            notes.append(
                f"there is no kernel for {_names(every - one.runs())} on {name}: it was searched without, among "
                f"10^{one.space.size_log10:.1f} candidates"
            )
    return notes


def _names(choices: frozenset[Choice] | set[Choice]) -> str:
    return ", ".join(choice.value for choice in Choice if choice in choices)
