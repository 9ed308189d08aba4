"""What a job knows of its layers, at every state it can be in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from driver_world import LAYERS, LOST, TARGET, World

from qsearch.contracts.choices import Choice
from qsearch.contracts.job import JobState, SpaceSpec
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
