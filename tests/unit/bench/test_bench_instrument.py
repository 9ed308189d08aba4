"""The parts of the instrument bench: work is put in, plans and children are given back, series are told."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import psutil
import pytest

import workers.sitting
from qsearch.contracts.measurement import Tier
from qsearch.contracts.target import Target
from qsearch.contracts.verdict import Verdict
from qsearch.measure import protocol
from qsearch.measure.ort import OnnxRuntime
from tests.bench.instrument_load import another_cpu, busy, busy_while_on_turn, measured_cpu
from tests.bench.instrument_models import images, with_more_work, yardstick
from tests.bench.instrument_rig import exactly, log_sd, row, share
from tests.factories import make_latency
from workers.child_process import ChildProcess


def test_more_work_is_more_layers_on_the_same_inputs(tmp_path: Path) -> None:
    more = with_more_work(yardstick(tmp_path), 3, tmp_path / "more.onnx")
    base, heavier = (onnx.load(file).graph for file in (tmp_path / "yardstick.onnx", more))
    assert len(heavier.node) == len(base.node) + 6
    onnx.checker.check_model(onnx.load(more), full_check=True)
    (out,) = OnnxRuntime().load(more, Target(name="t")).run(images(1)[0]).values()
    assert np.isfinite(out).all()
    assert np.abs(out).mean() > 0.01


@pytest.mark.parametrize("pairs", [8, 32])
def test_a_screen_has_exactly_so_many_pairs_and_the_plan_is_given_back(pairs: int) -> None:
    before = protocol.PLANS
    with exactly(pairs):
        plan = protocol.plan_for(Tier.SCREEN, 2)
        assert plan.sessions * plan.most_pairs == pairs
        assert workers.sitting.PLANS is protocol.PLANS
        assert not plan.enough(0, plan.least_pairs - 2, plan.least_pairs - 2, 0.0, 1.0)
        assert plan.enough(0, plan.least_pairs, plan.least_pairs, 1.0, 1.0)
    assert protocol.PLANS is workers.sitting.PLANS is before


def test_the_disturber_stands_still_until_its_arm_is_on_turn_and_ends_with_the_part() -> None:
    # other tests may have left a database server running
    before = psutil.Process().children()
    with busy_while_on_turn("C"):
        assert workers.sitting.ChildProcess is not ChildProcess
        (disturber,) = (child for child in psutil.Process().children() if child not in before)
        assert disturber.status() == psutil.STATUS_STOPPED
        assert disturber.cpu_affinity() == [measured_cpu()]
    assert workers.sitting.ChildProcess is ChildProcess
    assert not disturber.is_running()


def test_a_neighbour_is_beside_the_measured_cpu() -> None:
    assert another_cpu() != measured_cpu()
    assert (another_cpu() is None) == (len(os.sched_getaffinity(0)) == 1)
    with busy(measured_cpu()) as pid:
        assert psutil.Process(pid).cpu_affinity() == [measured_cpu()]
    assert not psutil.pid_exists(pid)


def test_a_series_tells_its_verdicts_and_what_it_could_have_seen() -> None:
    found = [make_latency(1.0), make_latency(1.1), make_latency(1.2, verdict=Verdict.POLLUTED)]
    told = row("what", found, floor=0.01)
    assert (told["n"], told["EQUIVALENT"], told["SLOWER"], told["POLLUTED"]) == (3, 1, 1, 1)
    assert told["detectable"] == {"min": 0.01, "median": 0.01, "max": 0.01, "sd_ln": 0.0}
    assert (told["floor"], told["pairs"]) == (0.01, 36)
    assert share(found, Verdict.SLOWER, Verdict.EQUIVALENT) == pytest.approx(2 / 3)
    assert log_sd([1.0, np.e]) == pytest.approx(0.5**0.5)
