"""What a job knows of its layers: from the database alone, at any state of the job."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from qsearch.contracts.choices import Choice
from qsearch.contracts.errors import NotFound
from qsearch.contracts.front import FrontEntry
from qsearch.contracts.job import Job, SpaceSpec
from qsearch.contracts.layer import Layer
from qsearch.contracts.ledger import Ledger
from qsearch.contracts.trial import Result
from qsearch.contracts.views import ChoiceEffect, GraphSeen, LayerSeen, LayersView
from qsearch.search.sensitivity import Sensitivity, sensitivity_of
from qsearch.search.space import Space


def layers_view(ledger: Ledger, job: Job, target: str) -> LayersView:
    """Layers in graph order with what the finished trials tell, and the graphs that ran.

    Raises:
        NotFound: the job has ended, and never knew its layers.
    """
    # Each is read before what it is made of: a running job writes in the other direction.
    entries = ledger.front(job.id, target)
    best = ledger.best(job.id, target)
    history = ledger.history(job.id, target)
    prepared = ledger.prepared(job.id, target)
    layers = prepared[1].layers if prepared else tuple(ledger.layers(job.id))
    if not layers and job.state.ended:
        raise NotFound(
            f"job {job.id} is {job.state} and never came to know the layers of its model", f"qsearch status {job.id}"
        )
    # an unprepared model has no layers, which a pin would take for a mistake
    space = Space.of(layers, job.spec.space if layers else SpaceSpec())
    results = {result.trial.number: result for result in history}
    picked = results.get(int(best.trial.rpartition("/")[2])) if best else None
    found = sensitivity_of(history)
    members = [results[entry.number] for entry in entries if entry.rank == 0]
    return LayersView(
        job=job.id,
        target=target,
        metric=prepared[0].metric if prepared else "",
        trials=found.trials,
        samples=max((result.accuracy.n for result in history), default=0),
        layers=tuple(_layer(layer, space, found, members, picked) for layer in layers),
        graphs=_graphs(ledger, job, space, entries, results, picked),
        notes=_notes(job, layers, history, found),
    )


def _layer(
    layer: Layer, space: Space, found: Sensitivity, members: Sequence[Result], picked: Result | None
) -> LayerSeen:
    got = [member.trial.candidate.choices.get(layer.id) for member in members]
    allowed = space.allowed[layer.id]
    return LayerSeen(
        layer=layer,
        effects=tuple(
            ChoiceEffect(
                choice=choice,
                trials=found.seen.get((layer.id, choice), 0),
                drop=found.effects.get((layer.id, choice)),
                front=got.count(choice),
            )
            for choice in Choice
            if choice in allowed and choice is not Choice.FP32
        ),
        front_fp32=got.count(Choice.FP32),
        pick=picked.trial.candidate.choices.get(layer.id) if picked else None,
    )


def _graphs(
    ledger: Ledger,
    job: Job,
    space: Space,
    entries: Iterable[FrontEntry],
    results: dict[int, Result],
    picked: Result | None,
) -> tuple[GraphSeen, ...]:
    """fp32 first, then the uniform candidates, then the members of the front; each by number."""
    ranks = {entry.number: entry.rank for entry in entries}
    graphs = []
    for number, result in sorted(results.items()):
        uniform = space.uniform_name(result.trial.candidate).removeprefix("uniform ")
        pick = result is picked
        measurement = ledger.measurement(job.id, number) if uniform or pick or ranks.get(number) == 0 else None
        if measurement is not None:
            graphs.append(
                GraphSeen(
                    trial=f"{job.id}/{number}",
                    pick=pick,
                    front=ranks.get(number) == 0,
                    uniform=uniform,
                    operators=measurement.optimised_ops,
                )
            )
    return tuple(sorted(graphs, key=lambda graph: (graph.uniform != Choice.FP32.value, not graph.uniform)))


def _notes(job: Job, layers: Sequence[Layer], history: Sequence[Result], found: Sensitivity) -> tuple[str, ...]:
    if not layers:
        return (f"The model is not prepared yet, so its layers are not known; the job is {job.state.value}.",)
    if not history:
        return (f"No trial has finished yet, so nothing is known of any sensitivity; the job is {job.state.value}.",)
    asked, told = len(found.seen), len(found.effects)
    if asked and not told:
        return (f"{found.trials} trials do not tell {asked} effects apart; more, and more varied, trials would.",)
    return ()
