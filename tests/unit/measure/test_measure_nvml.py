"""The door to NVML, with a library of our own making on the import path; no GPU is needed."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from qsearch.measure.nvml import on_gpu, open_gpu
from qsearch.measure.telemetry import Probe, between

LIBRARY = """
NVML_CLOCK_SM = 1

class NVMLError(Exception):
    pass

class Process:
    def __init__(self, pid):
        self.pid = pid

now, wanted, most, reasons, processes, asked = 1200, 1500, 1800, 0x1, [], []

def nvmlInit():
    pass

def nvmlDeviceGetHandleByIndex(index):
    asked.append(index)
    return "gpu"

def nvmlDeviceGetHandleByUUID(uuid):
    asked.append(uuid)
    return "gpu"

def nvmlDeviceGetClockInfo(handle, kind):
    return now

def nvmlDeviceGetApplicationsClock(handle, kind):
    if wanted is None:
        raise NVMLError("not supported")
    return wanted

def nvmlDeviceGetMaxClockInfo(handle, kind):
    return most

def nvmlDeviceGetCurrentClocksThrottleReasons(handle):
    return reasons

def nvmlDeviceGetComputeRunningProcesses(handle):
    return [Process(pid) for pid in processes]
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def put(text: str) -> None:
        (tmp_path / "lib").mkdir()
        (tmp_path / "lib/pynvml.py").write_text(text)
        monkeypatch.syspath_prepend(str(tmp_path / "lib"))
        # forgotten again at the end of the test
        monkeypatch.setitem(sys.modules, "pynvml", None)
        monkeypatch.delitem(sys.modules, "pynvml")

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return put


def _library() -> object:
    return sys.modules["pynvml"]


def test_clock_slowdown_and_strangers_are_read(install: Callable[[str], None], tmp_path: Path) -> None:
    install(LIBRARY)
    gpu = open_gpu("CUDA", tmp_path)
    assert gpu is not None
    for pid, parent in ((7, os.getppid()), (8, 1)):
        (tmp_path / f"proc/{pid}").mkdir(parents=True)
        (tmp_path / f"proc/{pid}/stat").write_text(f"{pid} (a b) S {parent} 1 1\n")
    library = _library()
    library.processes = [os.getpid(), 7, 8]  # type: ignore[attr-defined]
    assert gpu.read() == {"gpu_clock_lost": 0.2, "gpu_throttled": 0.0, "gpu_foreign": 1.0}
    library.wanted, library.reasons = None, 0x20  # type: ignore[attr-defined]
    assert gpu.read() == {"gpu_clock_lost": pytest.approx(1 / 3, abs=1e-3), "gpu_throttled": 1.0, "gpu_foreign": 1.0}


def test_numbers_of_another_namespace_tell_nobody_apart(install: Callable[[str], None], tmp_path: Path) -> None:
    install(LIBRARY)
    gpu = open_gpu("TensorrtExecutionProvider", tmp_path)
    assert gpu is not None
    assert "gpu_foreign" not in gpu.read()


def test_the_first_visible_gpu_is_the_one(install: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    install(LIBRARY)
    for visible in ("2,0", "GPU-abc"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        open_gpu("CUDA")
    assert _library().asked == [2, "GPU-abc"]  # type: ignore[attr-defined]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert open_gpu("CUDA") is None


def test_a_probe_takes_a_gpu_along(install: Callable[[str], None], tmp_path: Path) -> None:
    install(LIBRARY)
    probe = Probe(cpus=(0,), clock=lambda: 0, root=tmp_path, gpu=open_gpu("CUDA", tmp_path))
    assert between(probe.read(), probe.read()) == {"elapsed_ms": 0.0, "gpu_clock_lost": 0.2, "gpu_throttled": 0.0}


def test_without_library_driver_or_gpu_there_is_none(install: Callable[[str], None]) -> None:
    assert not on_gpu("CPU")
    assert on_gpu("CUDAExecutionProvider")
    assert open_gpu("CPU") is None
    install(LIBRARY.replace("def nvmlInit():\n    pass", "def nvmlInit():\n    raise NVMLError('no driver')"))
    assert open_gpu("CUDA") is None


def test_a_library_that_is_not_installed_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert open_gpu("CUDA") is None
