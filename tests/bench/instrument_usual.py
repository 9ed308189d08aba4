"""The usual way to time a model: load it, run it ten times, then take the mean of twenty.

python -m tests.bench.instrument_usual MODEL SAMPLES      milliseconds, on stdout
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

WARM_UPS, REPEATS = 10, 20


def usual_ratio(reference: Path, model: Path, samples: Path) -> float:
    """Time of the model / time of the reference, each in a process of its own, one after the other."""
    first, second = (_timed(file, samples) for file in (reference, model))
    return second / first


def main() -> int:
    """One model, one thread, nothing pinned."""
    import onnxruntime

    from qsearch.measure.samples import read_samples

    model, samples = sys.argv[1:]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    feeds = read_samples(Path(samples)).feeds[0]
    for _ in range(WARM_UPS):
        session.run(None, feeds)
    began = time.perf_counter()
    for _ in range(REPEATS):
        session.run(None, feeds)
    print(1000 * (time.perf_counter() - began) / REPEATS)
    return 0


def _timed(model: Path, samples: Path) -> float:
    command = [sys.executable, "-m", "tests.bench.instrument_usual", str(model), str(samples)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


if __name__ == "__main__":
    sys.exit(main())
