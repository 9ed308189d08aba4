"""The only door to NVML (`pynvml` of nvidia-ml-py): the clock of a GPU, what slows it, who else is on it.

NOTE: an optional library that nobody has to install. Where it is absent, or the driver is, a GPU's
signals are unavailable, and a number stands without them.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

#: providers whose inferences run on an NVIDIA GPU, lower case
_PROVIDERS = frozenset({"cuda", "tensorrt", "nvtensorrtrtx"})
#: reasons that are nobody's choice: slowdown by hardware, by software for heat, by hardware for heat, by power brake
_HARMFUL = 0x8 | 0x20 | 0x40 | 0x80


class Gpu:
    """One GPU, read between blocks; about 0.1 ms."""

    def __init__(self, library: Any, handle: Any, root: Path) -> None:
        self._nvml, self._handle, self._root = library, handle, root

    def read(self) -> dict[str, float]:
        """What can be read now: gpu_clock_lost (share), gpu_throttled (0 or 1), gpu_foreign (processes)."""
        seen: dict[str, float] = {}
        sources: Mapping[str, Callable[[], float]] = {
            "gpu_clock_lost": self._clock_lost,
            "gpu_throttled": self._throttled,
            "gpu_foreign": self._foreign,
        }
        for name, source in sources.items():
            try:
                seen[name] = source()
            except (self._nvml.NVMLError, AttributeError, ValueError, OSError):
                continue  # this GPU or driver does not tell
        return seen

    def _clock_lost(self) -> float:
        nvml = self._nvml
        now = nvml.nvmlDeviceGetClockInfo(self._handle, nvml.NVML_CLOCK_SM)
        try:
            wanted = nvml.nvmlDeviceGetApplicationsClock(self._handle, nvml.NVML_CLOCK_SM)
        except nvml.NVMLError:
            wanted = nvml.nvmlDeviceGetMaxClockInfo(self._handle, nvml.NVML_CLOCK_SM)
        if wanted <= 0:
            raise ValueError("no clock is set")
        return round(max(0.0, 1 - float(now) / float(wanted)), 4)

    def _throttled(self) -> float:
        nvml = self._nvml
        # renamed by NVIDIA; older libraries have the second name only
        ask = getattr(nvml, "nvmlDeviceGetCurrentClocksEventReasons", None)
        reasons = (ask or nvml.nvmlDeviceGetCurrentClocksThrottleReasons)(self._handle)
        return float(bool(int(reasons) & _HARMFUL))

    def _foreign(self) -> float:
        """Processes that are neither this one nor an arm beside it, which has the same parent."""
        there = {int(process.pid) for process in self._nvml.nvmlDeviceGetComputeRunningProcesses(self._handle)}
        if os.getpid() not in there:
            # in a container the numbers are the host's: nobody can be told apart
            raise ValueError("this process is not in the list")
        return float(sum(_parent(self._root, pid) != os.getppid() for pid in there - {os.getpid()}))


def on_gpu(provider: str) -> bool:
    """Whether a target's provider computes on an NVIDIA GPU."""
    return provider.lower().removesuffix("executionprovider") in _PROVIDERS


def open_gpu(provider: str, root: Path = Path("/")) -> Gpu | None:
    """The GPU that this process's CUDA calls the first; None where there is none, or nobody to ask.

    Args:
        provider: of the target; others than NVIDIA's have no such GPU.
        root: where /proc is.
    """
    if not on_gpu(provider):
        return None
    try:
        nvml: Any = importlib.import_module("pynvml")
    except ImportError:
        return None
    try:
        nvml.nvmlInit()
        return Gpu(nvml, _first(nvml), root)
    except (nvml.NVMLError, ValueError):
        return None


def _first(nvml: Any) -> Any:
    """CUDA numbers the GPUs that CUDA_VISIBLE_DEVICES leaves; NVML numbers all."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip()
    if visible.startswith(("GPU-", "MIG-")):
        return nvml.nvmlDeviceGetHandleByUUID(visible)
    return nvml.nvmlDeviceGetHandleByIndex(int(visible))


def _parent(root: Path, pid: int) -> int:
    try:
        return int((root / f"proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[1])
    except (OSError, IndexError, ValueError):
        return 0
