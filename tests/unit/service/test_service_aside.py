"""Where a driver runs while its own host measures."""

from __future__ import annotations

import os
import platform

import pytest

from qsearch.contracts.machine import Machine
from qsearch.contracts.pool import Slot
from qsearch.contracts.target import Target
from qsearch.service.aside import off_measuring_cpus
from workers import cpus


def _slot(hostname: str) -> Slot:
    machine = Machine(
        host="h", cpu="c", isa=(), cores=4, virtualisation="none", details={"hostname": hostname} if hostname else {}
    )
    return Slot(machine=machine, labels={}, runtimes={})


@pytest.fixture
def affinity(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    mine = {0, 1, 2, 3}

    def pin(task: int, wanted: set[int]) -> None:
        mine.clear()
        mine.update(wanted)

    monkeypatch.setattr(os, "sched_getaffinity", lambda task: set(mine))
    monkeypatch.setattr(os, "sched_setaffinity", pin)
    monkeypatch.setattr(cpus, "_core", lambda topology, cpu: str(cpu))
    return mine


def test_it_keeps_off_what_its_own_host_measures_on(affinity: set[int]) -> None:
    slots = [_slot("elsewhere"), _slot(platform.node())]
    with off_measuring_cpus(slots, [Target(name="a"), Target(name="b", threads=2)]):
        assert affinity == {0, 1}
    assert affinity == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("hostname", "threads"), [("elsewhere", 1), ("", 1), (platform.node(), 4), (platform.node(), 9)]
)
def test_it_stays_where_it_is_without_a_reason_or_without_a_complement(
    affinity: set[int], hostname: str, threads: int
) -> None:
    with off_measuring_cpus([_slot(hostname)], [Target(name="a", threads=threads)]):
        assert affinity == {0, 1, 2, 3}
