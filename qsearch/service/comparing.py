"""`compare A B`: two trials, from what is stored or from a sitting held now."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from qsearch.contracts.bench import BenchOrder
from qsearch.contracts.comparison import (
    AccuracyCompared,
    Basis,
    Compared,
    CompareView,
    LayerDiffers,
    TimeCompared,
)
from qsearch.contracts.errors import Incomparable, JobFailed, NotFound, UsageError
from qsearch.contracts.job import Job
from qsearch.contracts.ledger import Ledger
from qsearch.contracts.machine import Circumstances, Scored
from qsearch.contracts.measurement import Accuracy, Tier
from qsearch.contracts.target import Target
from qsearch.contracts.trial import Result
from qsearch.contracts.verdict import Verdict
from qsearch.contracts.work import FinalResult, Materialized, Prepared
from qsearch.measure.comparison import met, paired, through_fp32
from qsearch.measure.latency import summarise
from qsearch.service.benching import benched
from qsearch.service.evaluating import Asked, evaluate, ready_for, same_preparation
from qsearch.service.exporting import export
from qsearch.service.noise import known_luck
from qsearch.service.placing import where_for
from qsearch.service.references import find_trial
from qsearch.service.workplace import Workplace
from workers.splits import split_file

#: what to do where stored times must not be compared
_MEASURE = "qsearch compare A B --measure puts both into one sitting."


def compare(ledger: Ledger, first: str, second: str, owner: str) -> CompareView:
    """The second trial against the first, from the database alone.

    The times come from one final sitting where both were its arms; else through fp32, where model, samples,
    shapes, machine_key and runtime_key agree; else they are not told, with the reason. Scores are paired sample
    by sample where data, metric, scoring code and numerics class agree, whatever the times are.

    Raises:
        UsageError: not two references, or one trial twice.
        NotFound: a job, a trial, or a trial's measurement that is not there.
    """
    a, b = _pair(ledger, first, second, owner)
    time, incomparable = _time(a, b)
    accuracies, notes = _accuracies(a, b)
    return _view(a, b, time, incomparable, accuracies, notes)


def compare_now(place: Workplace, first: str, second: str, owner: str, *, quick: bool) -> CompareView:
    """The same with both trials exported and timed in one sitting now.

    Trials of one model, data and target are evaluated as `eval` does it, beside fp32 and on the held-out
    samples. Other ones, of two targets say, are timed against each other alone, on the first one's search
    samples, and their scores are the stored ones.

    Raises:
        UsageError: as `compare`; targets of unlike batch sizes.
        NotFound: as `compare`.
        JobFailed: one of the two could not be measured.
        ModelError: the source model has changed since a trial was searched, or neither could be measured.
    """
    a, b = _pair(place.ledger, first, second, owner)
    asked = Asked(
        spec=a.job.spec,
        target=a.target,
        models=(a.compared.trial, b.compared.trial),
        tier=Tier.QUICK if quick else Tier.FINAL,
    )
    if same_preparation(b.job.spec, asked) and b.target.digest == a.target.digest:
        return _evaluated(place, a, b, asked, owner)
    return _timed(place, a, b, asked.tier)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Side:
    """A trial with what must agree for its numbers to be compared."""

    job: Job
    result: Result
    target: Target
    materialized: Materialized
    prepared: Prepared
    #: the finals that it was an arm of
    final: FinalResult | None
    compared: Compared
    #: what the score on each split was taken under
    scored: Mapping[str, Circumstances]


def _pair(ledger: Ledger, first: str, second: str, owner: str) -> tuple[_Side, _Side]:
    a, b = _side(ledger, first, owner), _side(ledger, second, owner)
    if a.compared.trial == b.compared.trial:
        raise UsageError(
            f"{first} and {second} are one trial, {a.compared.trial}",
            "Name two: qsearch compare @last/best @last/front[0]",
        )
    return a, b


def _side(ledger: Ledger, reference: str, owner: str) -> _Side:
    job, number = find_trial(ledger, reference, owner)
    trial = ledger.trial(job.id, number)
    measurement, prepared = ledger.measurement(job.id, number), ledger.prepared(job.id, trial.target)
    if measurement is None or prepared is None:
        raise NotFound(
            f"trial {job.id}/{number} is {trial.state.value}; only finished trials can be compared",
            f"qsearch trials {job.id}",
        )
    result = next(r for r in ledger.history(job.id, trial.target) if r.trial.number == number)
    final = ledger.final(job.id, trial.target)
    seated = final if final and any(f.number == number for f in final.finalists) else None
    judged = result.judged_latency
    under = seated.circumstances if seated and judged is result.final_latency else measurement.circumstances
    return _Side(
        job=job,
        result=result,
        target=next(t for t in job.spec.targets if t.name == trial.target),
        materialized=prepared[0],
        prepared=prepared[1],
        final=seated,
        compared=Compared(
            trial=f"{job.id}/{number}",
            target=trial.target,
            origin=trial.origin,
            choices=trial.candidate.choices,
            latency=judged,
            search=result.accuracy,
            heldout=result.heldout,
            size_bytes=result.size_bytes,
            peak_memory_bytes=result.peak_memory_bytes,
            circumstances=under,
        ),
        scored={
            "search": measurement.circumstances,
            "heldout": seated.circumstances if seated else measurement.circumstances,
        },
    )


def _time(a: _Side, b: _Side) -> tuple[TimeCompared | None, str]:
    """The stored times brought together, or why they must not be."""
    together = _head_to_head(a, b)
    if together is not None:
        return together, ""
    try:
        _must_be_equal_work(a, b)
        a.compared.circumstances.must_agree(b.compared.circumstances)
    except Incomparable as error:
        return None, f"{error.message}. {_MEASURE}"
    return through_fp32(a.result.judged_latency, b.result.judged_latency), ""


def _head_to_head(a: _Side, b: _Side) -> TimeCompared | None:
    if a.final is None or b.final is None or (a.job.id, a.target.name) != (b.job.id, b.target.name):
        return None
    mine = next(f for f in b.final.finalists if f.number == b.result.trial.number)
    latency = mine.versus.get(a.result.trial.number)
    if latency is None or latency.verdict is Verdict.POLLUTED:
        return None
    return met(latency, Basis.FINALS)


def _must_be_equal_work(a: _Side, b: _Side) -> None:
    """Two ratios to fp32 say something of each other only where fp32 did the same work.

    Raises:
        Incomparable: names what differs and both values.
    """
    for what, mine, theirs in (
        ("the model", a.prepared.inspection.digest[:12], b.prepared.inspection.digest[:12]),
        ("the data", a.materialized.digest[:12], b.materialized.digest[:12]),
        ("shapes", dict(a.job.spec.shapes), dict(b.job.spec.shapes)),
    ):
        if mine != theirs:
            raise Incomparable(f"cannot compare: {what} is {mine} here and {theirs} there")


def _accuracies(a: _Side, b: _Side) -> tuple[tuple[AccuracyCompared, ...], tuple[str, ...]]:
    """Held out first, then the search split; and why one is not there."""
    for what, here, there in (
        ("data", a.materialized.digest[:12], b.materialized.digest[:12]),
        ("scoring", a.materialized.score, b.materialized.score),
    ):
        if here != there:
            return (), (f"scores are not paired: the {what} is {here} here and {there} there",)
    found: list[AccuracyCompared] = []
    notes: list[str] = []
    for name, one, two in (
        ("held-out", a.compared.heldout, b.compared.heldout),
        ("search", a.compared.search, b.compared.search),
    ):
        try:
            told = _paired(a, b, one, two)
        except Incomparable as error:
            notes.append(f"{name}: {error.message}")
            continue
        if told is not None:
            found.append(told)
        elif one is not None or two is not None:
            notes.append(f"only the {'second' if one is None else 'first'} has a {name} score; it was a finalist")
    return tuple(found), tuple(notes)


def _paired(a: _Side, b: _Side, one: Accuracy | None, two: Accuracy | None) -> AccuracyCompared | None:
    if one is None or two is None:
        return None
    _scored(a, one).must_agree(_scored(b, two))
    return paired(one, two)


def _scored(side: _Side, accuracy: Accuracy) -> Scored:
    under = side.scored[accuracy.split]
    return Scored(metric=accuracy.metric, data=side.materialized.digest, circumstances=under)


def _view(
    a: _Side,
    b: _Side,
    time: TimeCompared | None,
    incomparable: str,
    accuracies: tuple[AccuracyCompared, ...],
    notes: Sequence[str],
) -> CompareView:
    layers, same = _layers(a, b)
    said = []
    if a.prepared.inspection.digest != b.prepared.inspection.digest:
        said.append("the trials are of two models; layers are matched by name")
    if a.target.digest != b.target.digest:
        said.append(f"the trials are of two targets: {a.target.name} and {b.target.name}")
    return CompareView(
        first=a.compared,
        second=b.compared,
        layers=layers,
        same_layers=same,
        time=time,
        incomparable=incomparable,
        accuracies=accuracies,
        notes=(*said, *notes),
    )


def _layers(a: _Side, b: _Side) -> tuple[tuple[LayerDiffers, ...], int]:
    known = {layer.id: layer for layer in (*a.prepared.layers, *b.prepared.layers)}
    mine, theirs = a.compared.choices, b.compared.choices
    # in graph order, which a stored mapping has not kept
    order = [layer for layer in known if layer in mine or layer in theirs]
    differing = tuple(
        LayerDiffers(
            layer=layer,
            op=known[layer].op,
            parameters=known[layer].parameters,
            first=mine.get(layer),
            second=theirs.get(layer),
        )
        for layer in order
        if mine.get(layer) != theirs.get(layer)
    )
    return differing, len(order) - len(differing)


def _evaluated(place: Workplace, a: _Side, b: _Side, asked: Asked, owner: str) -> CompareView:
    seen = evaluate(place, asked, owner)
    for at, failure in seen.result.failures.items():
        raise JobFailed(f"trial {asked.models[at]} could not be measured ({failure.cause.value}): {failure.message}")
    sides = []
    for at, side in enumerate((a, b)):
        file = seen.result.models[at]
        now = replace(
            side.compared,
            latency=file.latency,
            heldout=file.heldout,
            size_bytes=file.size_bytes,
            peak_memory_bytes=file.peak_memory_bytes,
            circumstances=seen.result.circumstances,
        )
        scored = {**side.scored, "heldout": seen.result.circumstances}
        sides.append(replace(side, compared=now, scored=scored))
    luck = known_luck(place.ledger, seen.result.circumstances.machine_key)
    time = met(summarise(seen.result.sitting, "1", against="0", luck=luck), Basis.NOW)
    accuracies, notes = _accuracies(sides[0], sides[1])
    return _view(sides[0], sides[1], time, "", accuracies, (*notes, *seen.notes))


def _timed(place: Workplace, a: _Side, b: _Side, tier: Tier) -> CompareView:
    if a.target.batch != b.target.batch:
        raise UsageError(
            f"{a.target.name} has batches of {a.target.batch}, {b.target.name} of {b.target.batch}: other work",
            "Only trials of one batch size can sit together.",
        )
    for target in (a.target, b.target):
        where_for(place.workshop(), place.pool.capacity(), target)
    ready = ready_for(place, a.job, a.target)
    files = [_exported(place, side) for side in (a, b)]
    order = BenchOrder(
        models=tuple(str(file) for file in files),
        data="",
        target=a.target,
        tier=tier,
        seed=a.job.spec.search.seed,
        shapes=a.job.spec.shapes,
        targets=(a.target, b.target),
        samples=str(split_file(ready.splits, "search", a.target.batch)),
        limits=a.job.spec.limits,
    )
    found = benched(place, order)
    accuracies, notes = _accuracies(a, b)
    said = "both were timed against each other alone; their times against fp32, scores and sizes are the stored ones"
    return _view(a, b, met(found.latencies[1], Basis.NOW), "", accuracies, (*notes, said))


def _exported(place: Workplace, side: _Side) -> Path:
    number = side.result.trial.number
    out = place.scratch / "compared" / f"{side.job.id}-{number}"
    if out.exists():
        shutil.rmtree(out)
    return Path(export(place, side.job, number, out, verify=False, force=False).folder) / "model.onnx"
