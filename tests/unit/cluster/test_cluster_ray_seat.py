"""Seats and the pool over an imagined Ray: who is waited for, how long, and who is done without."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from types import ModuleType, SimpleNamespace

import pytest
from imagined_ray import ImaginedRay, imagine

from qsearch.cluster import ray_pool
from qsearch.cluster.memory import IMAGINED
from qsearch.cluster.ray_pool import RayPool
from qsearch.contracts.errors import Unreachable
from workers.wire import write_hello

DAY_S = 86400.0
Imagined = tuple[ImaginedRay, ModuleType]


@pytest.fixture
def imagined(monkeypatch: pytest.MonkeyPatch) -> Iterator[Imagined]:
    before = sys.modules.get("qsearch.cluster.ray_seat")
    yield imagine(monkeypatch)
    monkeypatch.undo()
    # whoever asks for the module next must not be given the one over the imagined Ray
    if before is None:
        sys.modules.pop("qsearch.cluster.ray_seat", None)


@pytest.fixture
def two_slots(imagined: Imagined, monkeypatch: pytest.MonkeyPatch) -> RayPool:
    cluster = SimpleNamespace(slots=lambda: 2, close=lambda: None)
    monkeypatch.setattr(ray_pool, "RayCluster", lambda address, **options: cluster)
    return RayPool("auto", start_s=DAY_S)


def test_a_driver_goes_on_with_the_slots_that_came_and_leaves_the_others_to_others(
    imagined: Imagined, two_slots: RayPool
) -> None:
    first, second = imagined[0].actors
    assert not two_slots.ready(0.0)
    first.calls["hello"].answer = write_hello(IMAGINED)
    # twice: the second is asked when a slot is known already
    assert (two_slots.ready(0.0), two_slots.ready(0.0)) == (True, True)
    assert not two_slots.complete(0.0)
    two_slots.settle()
    assert two_slots.complete(0.0)
    assert list(two_slots.capacity()) == [IMAGINED]
    assert (first.killed, second.killed) == (False, True)


def test_every_slot_that_is_free_comes_along(imagined: Imagined, two_slots: RayPool) -> None:
    for actor in imagined[0].actors:
        actor.calls["hello"].answer = write_hello(IMAGINED)
    assert two_slots.ready(0.0)
    assert two_slots.complete(0.0)
    two_slots.settle()
    assert len(two_slots.capacity()) == 2


def test_a_seat_that_is_replaced_counts_and_is_not_given_up(imagined: Imagined, two_slots: RayPool) -> None:
    ray, _ = imagined
    for actor in ray.actors:
        actor.calls["hello"].answer = write_hello(IMAGINED)
    assert two_slots.complete(0.0)
    seat = two_slots._ray_seats[0]
    seat._lost("its node died")
    assert two_slots.complete(0.0)
    two_slots.settle()
    assert len(two_slots.capacity()) == 2
    assert not seat.broken


def test_a_pool_that_nobody_joins_says_why(imagined: Imagined, two_slots: RayPool) -> None:
    two_slots.settle()
    with pytest.raises(Unreachable, match="it had no free qsearch_slot when the others began"):
        two_slots.ready(0.0)


def test_only_the_first_hello_is_waited_for_long(imagined: Imagined) -> None:
    ray, seats = imagined
    now = [0.0]
    seat = _seat(ray, seats, lambda: now[0])
    now[0] = DAY_S - 1
    assert (seat.poll(), seat.broken) == (None, "")
    ray.actors[0].calls["hello"].answer = write_hello(IMAGINED)
    seat.poll()
    assert seat.slot == IMAGINED
    seat._lost("its node died")
    assert (seat.slot, seat.patience_s()) == (None, seats.AGAIN_S)
    now[0] += seats.AGAIN_S + 1
    seat.poll()
    assert seat.broken == "no node gave a free qsearch_slot and a worker within 120 s"


def test_an_actor_that_dies_before_its_hello_is_replaced_with_the_same_patience(imagined: Imagined) -> None:
    ray, seats = imagined
    seat = _seat(ray, seats, lambda: 0.0)
    ray.actors[0].calls["hello"].answer = ray.exceptions.RayError("gone")
    seat.poll()
    assert (len(ray.actors), seat.patience_s(), seat.broken) == (2, DAY_S, "")


def _seat(ray: ImaginedRay, seats: ModuleType, clock: Callable[[], float]):  # type: ignore[no-untyped-def]
    return seats.RaySeat(ray.summon, start_s=DAY_S, clock=clock)
