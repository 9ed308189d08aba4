"""Signals from a /proc of our own making: absent ones stay absent, latencies are never looked at."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from qsearch.measure.telemetry import Limits, Probe, between, rejection


def _proc(
    root: Path, *, busy: int = 100, steal: int = 5, ran: int = 10**9, waited: int = 10**6, faults: int = 3
) -> Path:
    tasks = root / "proc/self/task"
    for task in ("1", "2"):
        (tasks / task).mkdir(parents=True, exist_ok=True)
        (tasks / task / "schedstat").write_text(f"{ran // 2} {waited // 2} 7\n")
    (root / "proc/stat").write_text(
        f"cpu  0 0 0 0 0 0 0 0 0 0\ncpu0 9 9 9 9 9 9 9 9 0 0\ncpu1 {busy} 0 0 500 3 0 0 {steal} 0 0\nintr 1\n"
    )
    (root / "proc/self/stat").write_text(f"42 (a (b) c) R 1 2 3 4 5 6 7 8 {faults} 9 10\n")
    return root


def test_increases_are_counted_per_pinned_cpu_and_over_all_threads(tmp_path: Path) -> None:
    clock = iter([0, 100_000_000])
    probe = Probe(cpus=[1], clock=lambda: next(clock), root=_proc(tmp_path))
    before = probe.read()
    _proc(tmp_path, busy=112, steal=6, ran=10**9 + 90_000_000, waited=3 * 10**6, faults=4)
    seen = between(before, probe.read())
    assert seen == {
        "elapsed_ms": 100.0,
        "own_ms": 90.0,
        "wait_ms": 2.0,
        "steal_ms": 10.0,
        "major_faults": 1.0,
        "foreign_ms": 30.0,
    }


def test_what_cannot_be_read_is_absent_and_not_zero(tmp_path: Path) -> None:
    clock = iter([0, 1, 2, 3])
    probe = Probe(cpus=[1], clock=lambda: next(clock), root=tmp_path)
    assert between(probe.read(), probe.read()) == {"elapsed_ms": 1e-6}
    _proc(tmp_path)
    missing = Probe(cpus=[7], clock=lambda: 0, root=tmp_path)
    assert "steal_ms" not in missing.read().counters


def test_this_machine_can_be_read() -> None:
    seen = Probe(cpus=[0], clock=lambda: 0).read().counters
    assert seen.get("own_ms", 1.0) > 0


@pytest.mark.parametrize(
    ("telemetry", "said"),
    [
        ({"elapsed_ms": 60.0}, ""),
        ({"elapsed_ms": 60.0, "steal_ms": 10.0, "foreign_ms": 20.0, "wait_ms": 4.0}, ""),
        ({"elapsed_ms": 60.0, "steal_ms": 20.0}, "steal 33.3 % > 3 %"),
        ({"elapsed_ms": 60.0, "wait_ms": 12.0}, "run-queue wait 20.0 % > 3 %"),
        ({"elapsed_ms": 100.0, "foreign_ms": 50.0}, "foreign work 50.0 % > 10 %"),
        ({"elapsed_ms": 100.0, "major_faults": 11.0}, "11 major faults > 10"),
        ({"elapsed_ms": 100.0, "throttled_ms": 0.5}, "throttled for 0.5 ms"),
    ],
)
def test_sustained_trouble_rejects_and_one_tick_does_not(telemetry: dict[str, float], said: str) -> None:
    assert rejection(telemetry, Limits(), 1) == said


def test_shares_are_of_all_pinned_cpus() -> None:
    telemetry = {"elapsed_ms": 100.0, "foreign_ms": 45.0}
    assert rejection(telemetry, Limits(), 1)
    assert not rejection(telemetry, Limits(), 4)


def test_rejection_cannot_see_latencies() -> None:
    assert list(inspect.signature(rejection).parameters) == ["telemetry", "limits", "cpus"]
