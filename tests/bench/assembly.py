"""What a trial costs beyond measuring: our assembly beside ONNX Runtime's `quantize_static`, per candidate.

Both make an int8-static MiniLM-L3 from the same calibration samples, in the same process, in turn.
`quantize_static` calibrates for every candidate; QSearch calibrates once per job (its own row), and a
trial is a graph rewrite. Session creation is timed for both files.
"""

from __future__ import annotations

import logging
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from qsearch.contracts.candidate import Candidate
from qsearch.contracts.choices import AVAILABLE, Choice
from qsearch.contracts.target import Target
from qsearch.contracts.task import Feeds
from qsearch.measure.ort import OnnxRuntime
from qsearch.quantize.assemble import assemble
from qsearch.quantize.prepare import prepare_model
from tests.bench.harness import Found, Goal, bench, spread
from tests.bench.models import minilm, token_batches

SAMPLES = 32


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, feeds: list[Feeds]) -> None:
        self._feeds: Iterator[Feeds] = iter(feeds)

    def get_next(self) -> Feeds | None:
        return next(self._feeds, None)


def measure(quick: bool) -> Found:
    """Seconds per candidate, ours and theirs in turn."""
    logging.getLogger().setLevel(logging.ERROR)
    feeds, target = token_batches(SAMPLES), Target(name="bench")
    seconds: dict[str, list[float]] = {
        "qsearch": [],
        "quantize_static": [],
        "qsearch load": [],
        "quantize_static load": [],
    }
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        began = time.perf_counter()
        model = prepare_model(
            minilm(), work / "prepared", calibration=feeds, runtime=OnnxRuntime(), target=target, choices=AVAILABLE
        )
        once = time.perf_counter() - began
        static = {
            layer.id: Choice.INT8_STATIC if Choice.INT8_STATIC in layer.choices else Choice.FP32
            for layer in model.inspection.layers
        }
        quant_pre_process(str(minilm()), str(work / "pre.onnx"), skip_symbolic_shape=True)
        for number in range(2 if quick else 5):
            out = work / str(number)
            began = time.perf_counter()
            assembled = assemble(work / "prepared", Candidate(choices=static), out)
            seconds["qsearch"].append(time.perf_counter() - began)
            seconds["qsearch load"].append(_load(assembled.path))
            theirs = out / "theirs.onnx"
            began = time.perf_counter()
            quantize_static(
                str(work / "pre.onnx"),
                str(theirs),
                _Reader(feeds),
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                per_channel=True,
                op_types_to_quantize=["MatMul"],
            )
            seconds["quantize_static"].append(time.perf_counter() - began)
            seconds["quantize_static load"].append(_load(theirs))
    rows: list[dict[str, object]] = [{"what": name, "unit": "s", **spread(values)} for name, values in seconds.items()]
    rows.append({"what": "qsearch prepare, once per job", "unit": "s", **spread([once])})
    ratios = [t / o for t, o in zip(seconds["quantize_static"], seconds["qsearch"], strict=True)]
    rows.append({"what": "quantize_static / qsearch", "unit": "ratio", **spread(ratios)})
    goal = Goal(name="assembling beats requantizing", value=min(ratios), unit="ratio", goal=">= 10")
    return Found(rows=rows, goals=[goal])


def _load(path: Path) -> float:
    began = time.perf_counter()
    onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(bench("assembly", 1.5, 0.7, measure))
