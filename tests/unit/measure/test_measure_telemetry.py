"""Signals from a /proc of our own making: absent ones stay absent."""

from __future__ import annotations

from pathlib import Path

from qsearch.measure.telemetry import Probe, between, unavailable


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


def _write(root: Path, name: str, text: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)


def _read(root: Path, *cpus: int) -> dict[str, float]:
    reading = Probe(cpus=cpus or (1,), clock=lambda: 0, root=root).read()
    return {**reading.counters, **reading.states}


def test_a_quota_is_read_in_both_versions_of_control_groups_and_around_the_own_one(tmp_path: Path) -> None:
    one, two, host = tmp_path / "one", tmp_path / "two", tmp_path / "host"
    _write(one, "proc/self/cgroup", "4:memory:/a\n3:cpu,cpuacct:/a/b\n0::/\n")
    _write(one, "sys/fs/cgroup/cpu,cpuacct/a/b/cpu.stat", "nr_periods 7\nthrottled_time 2000000\n")
    _write(one, "sys/fs/cgroup/cpu,cpuacct/a/cpu.stat", "nr_periods 7\nthrottled_time 1000000\n")
    assert _read(one) == {"throttled_ms": 3.0}
    _write(two, "proc/self/cgroup", "0::/user/me\n")
    _write(two, "sys/fs/cgroup/user/me/cpu.stat", "usage_usec 9\nthrottled_usec 1500\n")
    _write(two, "sys/fs/cgroup/cpu.stat", "usage_usec 9\n")
    assert _read(two) == {"throttled_ms": 1.5}
    # a container sees the host's path and only its own end of the tree
    _write(host, "proc/self/cgroup", "2:cpu:/docker/0123\n")
    _write(host, "sys/fs/cgroup/cpu/cpu.stat", "throttled_time 4000000\n")
    assert _read(host) == {"throttled_ms": 4.0}


def test_no_quota_to_be_read_is_absent(tmp_path: Path) -> None:
    _write(tmp_path, "proc/self/cgroup", "0::/\n")
    _write(tmp_path, "sys/fs/cgroup/cpu.stat", "usage_usec 9\n")
    assert _read(tmp_path) == {}


def test_pressure_of_cpu_and_memory_are_apart(tmp_path: Path) -> None:
    _write(tmp_path, "proc/pressure/cpu", "some avg10=0.00 avg60=0.00 avg300=0.00 total=2500\nfull total=1\n")
    assert _read(tmp_path) == {"pressure_ms": 2.5}
    _write(tmp_path, "proc/pressure/memory", "some avg10=0.00 avg60=0.00 avg300=0.00 total=500\n")
    assert _read(tmp_path) == {"pressure_ms": 2.5, "memory_pressure_ms": 0.5}


def test_a_clock_is_a_state_and_the_mean_of_the_pinned_cpus(tmp_path: Path) -> None:
    for cpu, khz in ((1, 3_000_000), (2, 2_000_000)):
        _write(tmp_path, f"sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_cur_freq", f"{khz}\n")
    probe = Probe(cpus=(1, 2), clock=iter([0, 10**6]).__next__, root=tmp_path)
    assert between(probe.read(), probe.read()) == {"elapsed_ms": 1.0, "clock_mhz": 2500.0}
    assert _read(tmp_path, 1, 3) == {}


def test_what_no_block_has_is_unavailable_with_a_reason() -> None:
    seen = [{"elapsed_ms": 1.0, "steal_ms": 0.0}, {"wait_ms": 0.0, "foreign_ms": 0.0, "major_faults": 0.0}]
    missing = unavailable(seen, gpu=False)
    assert list(missing) == ["CPU pressure", "memory pressure", "quota", "clock"]
    assert set(missing.values()) == {"this kernel or container does not tell"}
    assert list(unavailable(seen, gpu=True))[4:] == ["GPU clock", "GPU throttling", "GPU processes"]
