"""What a job knows of its layers, at every state it can be in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from driver_world import LAYERS, LOST, TARGET, World

from qsearch.contracts.choices import Choice
from qsearch.contracts.job import JobState, SpaceSpec
from qsearch.contracts.ledger import Ledger
from qsearch.service.driver import Driver
from qsearch.service.layering import layers_view
from tests.factories import make_layers


def test_an_unprepared_job_says_so_even_with_pins(tmp_path: Path) -> None:
    world = World(tmp_path)
    job = world.job()
    pinned = replace(job, spec=replace(job.spec, space=SpaceSpec(pin={"nothing*": Choice.FP32})))
    view = layers_view(world.ledger, pinned, TARGET.name)
    assert (view.layers, view.graphs, view.trials) == ((), (), 0)
    assert "not prepared yet" in view.notes[0]
    assert JobState.QUEUED.value in view.notes[0]


def test_a_finished_job_tells_effects_front_and_pick(tmp_path: Path) -> None:
    world = World(tmp_path)
    job = world.job(40)
    with world.place() as place:
        Driver(place, lambda progress: None).drive(job)
    view = layers_view(world.ledger, world.ledger.job(job.id, "me"), TARGET.name)
    assert [seen.layer for seen in view.layers] == list(LAYERS) == list(make_layers(6))
    best = world.ledger.best(job.id, TARGET.name)
    assert best is not None
    members = [entry.number for entry in world.ledger.front(job.id, TARGET.name) if entry.rank == 0]
    for seen in view.layers:
        assert seen.pick is best.choices[seen.layer.id]
        assert seen.front_fp32 + sum(effect.front for effect in seen.effects) == len(members)
        assert [effect.choice for effect in seen.effects] == [c for c in seen.layer.choices if c is not Choice.FP32]
    told = [effect for seen in view.layers for effect in seen.effects if effect.drop]
    assert told
    assert all(abs(effect.drop.value - LOST[effect.choice]) < 1e-4 for effect in told if effect.drop)


def test_graphs_are_those_of_fp32_the_uniforms_and_the_front(tmp_path: Path) -> None:
    world = World(tmp_path)
    job = world.job(8)
    with world.place() as place:
        Driver(place, lambda progress: None).drive(job)
    view = layers_view(world.ledger, job, TARGET.name)
    assert view.graphs[0].uniform == "fp32"
    assert {graph.uniform for graph in view.graphs} >= {"fp32", "int8-static", "int8-dynamic", "ternary"}
    entries = world.ledger.front(job.id, TARGET.name)
    assert {graph.trial for graph in view.graphs if graph.front} == {
        f"{job.id}/{entry.number}" for entry in entries if entry.rank == 0
    }
    assert sum(graph.pick for graph in view.graphs) == 1


class Running:
    """A ledger whose job goes on between two reads: the first read still answers as before the last member finished."""

    def __init__(self, ledger: Ledger, job: str) -> None:
        self._ledger, self._reads = ledger, 0
        self._last = max(entry.number for entry in ledger.front(job, TARGET.name) if entry.rank == 0)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    def front(self, job: str, target: str) -> Sequence[Any]:
        return self._as_of_now([(e.number, e) for e in self._ledger.front(job, target)])

    def history(self, job: str, target: str) -> Sequence[Any]:
        return self._as_of_now([(r.trial.number, r) for r in self._ledger.history(job, target)])

    def _as_of_now(self, numbered: Sequence[tuple[int, Any]]) -> Sequence[Any]:
        self._reads += 1
        return [each for number, each in numbered if self._reads > 1 or number < self._last]


def test_a_job_that_goes_on_between_two_reads_is_no_trouble(tmp_path: Path) -> None:
    world = World(tmp_path)
    job = world.job(8)
    with world.place() as place:
        Driver(place, lambda progress: None).drive(job)
    done = layers_view(world.ledger, job, TARGET.name)
    view = layers_view(Running(world.ledger, job.id), job, TARGET.name)
    assert view.trials == done.trials
    assert len(view.layers) == len(LAYERS)
    members = [sum(graph.front for graph in each.graphs) for each in (view, done)]
    assert 0 < members[0] < members[1]
