"""The readiness gate on a clock and a /proc of our own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from qsearch.contracts.limits import FLAGGED, Limits, Thresholds
from qsearch.measure.telemetry import TICK_MS, Probe
from workers.readiness import WINDOW_S, await_calm


class Machine:
    """Time moves by sleeping only; in each window another process runs for so many ticks."""

    def __init__(self, root: Path, busy: Sequence[int], steal: int = 0) -> None:
        self._root, self._busy, self._steal = root, list(busy), steal
        self.now, self._ran, self._stolen = 0.0, 100, 0
        (root / "proc/self/task/1").mkdir(parents=True)
        (root / "proc/self/task/1/schedstat").write_text("0 0 0\n")
        self._write()

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self._ran += self._busy.pop(0) if len(self._busy) > 1 else self._busy[0]
        self._stolen += self._steal
        self._write()

    def probe(self) -> Probe:
        return Probe(cpus=(1,), clock=lambda: round(self.now * 1e9), root=self._root)

    def _write(self) -> None:
        (self._root / "proc/stat").write_text(f"cpu1 {self._ran} 0 0 0 0 0 0 {self._stolen}\n")


def test_a_calm_machine_costs_one_window(tmp_path: Path) -> None:
    machine = Machine(tmp_path, [0])
    found = await_calm(3, machine.probe(), Limits(), 2.0, clock=machine.clock, sleep=machine.sleep)
    assert (found.session, found.waited_s, found.unrest) == (3, WINDOW_S, "")


def test_it_waits_until_others_are_done(tmp_path: Path) -> None:
    machine = Machine(tmp_path, [10, 10, 6, 2])
    found = await_calm(0, machine.probe(), Limits(), 2.0, clock=machine.clock, sleep=machine.sleep)
    assert found.unrest == ""
    assert found.waited_s == pytest.approx(4 * WINDOW_S)


def test_patience_ends_and_says_what_was_seen(tmp_path: Path) -> None:
    machine = Machine(tmp_path, [round(50 / TICK_MS)])
    found = await_calm(0, machine.probe(), Limits(), 2.0, clock=machine.clock, sleep=machine.sleep)
    assert found.unrest == "foreign work 50.0 % > 3 %"
    assert 2.0 - 1.5 * WINDOW_S < found.waited_s < 2.0 + 1e-3
    assert machine.now == pytest.approx(found.waited_s, abs=1e-4)


def test_what_a_user_switched_off_is_not_waited_for(tmp_path: Path) -> None:
    machine = Machine(tmp_path, [0], steal=round(50 / TICK_MS))
    limits = Limits(flag=Thresholds(**{n: getattr(FLAGGED, n) for n in FLAGGED.__dataclass_fields__} | {"steal": None}))
    assert not await_calm(0, machine.probe(), limits, 2.0, clock=machine.clock, sleep=machine.sleep).unrest
    assert await_calm(0, machine.probe(), Limits(), 0.0, clock=machine.clock, sleep=machine.sleep).unrest


def test_where_nothing_can_be_read_nothing_is_waited_for(tmp_path: Path) -> None:
    probe = Probe(cpus=(1,), clock=lambda: 0, root=tmp_path / "nothing")
    assert not await_calm(0, probe, Limits(), 2.0, clock=lambda: 0.0, sleep=lambda seconds: None).unrest
