"""What a trial costs beyond measuring: a candidate to a ready session, ours beside ONNX Runtime's two ways.

    python -m tests.bench assembly [--json] [--quick]

Each of three models becomes all int8-static, in three ways from the same 64 calibration samples, in turn in
one process: QSearch assembles from what it prepared once per job; `quantize_static` calibrates and quantizes
per candidate, as its users do; `QDQQuantizer` is given ranges that were found once, which is the fair rival: it
does per candidate what QSearch does. Session creation is timed for every file. What each way takes at its
peak is asked in a process of its own, beside one that only creates the session.
"""

from __future__ import annotations

import logging
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, QuantType, create_calibrator, quantize_static
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
from onnxruntime.quantization.shape_inference import quant_pre_process

from qsearch.contracts.candidate import Candidate
from qsearch.contracts.choices import Choice
from qsearch.contracts.target import Target
from qsearch.contracts.task import Feeds
from qsearch.measure.ort import OnnxRuntime
from qsearch.quantize.assemble import assemble
from qsearch.quantize.index import read_index
from qsearch.quantize.prepare import prepare_model
from tests.bench.harness import Found, Goal, bench, spread
from tests.bench.subjects import SUBJECTS, Subject

#: ways from a candidate to a file
WAYS = ("qsearch", "qdq-cached-ranges", "quantize_static")


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, feeds: list[Feeds]) -> None:
        self._feeds: Iterator[Feeds] = iter(feeds)

    def get_next(self) -> Feeds | None:
        return next(self._feeds, None)


def measure(quick: bool) -> Found:
    """Seconds and bytes per candidate, by model and way."""
    logging.getLogger().setLevel(logging.ERROR)
    rows: list[dict[str, object]] = []
    goals: list[Goal] = []
    for name, subject in SUBJECTS.items():
        with tempfile.TemporaryDirectory() as folder:
            found, kept = _compare(subject(), Path(folder), 2 if quick else 5)
            rows += [{"model": name, **row} for row in found]
            goals += kept
    return Found(rows=rows, goals=goals)


def _compare(subject: Subject, work: Path, times: int) -> tuple[list[dict[str, object]], list[Goal]]:
    began = time.perf_counter()
    prepare_model(
        subject.path,
        work / "prepared",
        calibration=subject.feeds,
        runtime=OnnxRuntime(),
        target=Target(name="bench"),
        choices=(Choice.FP32, Choice.INT8_STATIC),
    )
    once = time.perf_counter() - began
    quant_pre_process(str(subject.path), str(work / "pre.onnx"), skip_symbolic_shape=True)
    ranges = _their_ranges(subject, work)
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    sessions: dict[str, list[float]] = {way: [] for way in WAYS}
    written: dict[str, int] = {}
    for number in range(times):
        for way in WAYS:
            out = work / f"{way}-{number}"
            out.mkdir()
            began = time.perf_counter()
            path = _make(way, subject, work, out, ranges)
            seconds[way].append(time.perf_counter() - began)
            began = time.perf_counter()
            onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
            sessions[way].append(time.perf_counter() - began)
            written[way] = sum(f.stat().st_size for f in out.iterdir() if f.stat().st_nlink == 1)
    rows: list[dict[str, object]] = [{"what": "qsearch prepare, once per job", "unit": "s", **spread([once])}]
    for way in WAYS:
        rows.append({"what": f"{way}: candidate to file", "unit": "s", **spread(seconds[way])})
        rows.append({"what": f"{way}: session creation", "unit": "s", **spread(sessions[way])})
        rows.append({"what": f"{way}: bytes written", "unit": "B", "value": written[way]})
        rows.append({"what": f"{way}: peak memory of its process", "unit": "B", "value": _peak(way, subject, work)})
    rows.append({"what": "session alone: peak memory of its process", "unit": "B", "value": _peak("", subject, work)})
    return rows, _goals(subject.name, seconds, sessions)


def _goals(name: str, seconds: dict[str, list[float]], sessions: dict[str, list[float]]) -> list[Goal]:
    """The least favourable repeat decides."""
    goals = []
    for way, bound in (("quantize_static", 20), ("qdq-cached-ranges", 5)):
        worst = min(theirs / ours for theirs, ours in zip(seconds[way], seconds["qsearch"], strict=True))
        goals.append(Goal(name=f"{name}: {way} takes longer to a file", value=worst, unit="ratio", goal=f">= {bound}"))
    pairs = list(zip(seconds["qsearch"], sessions["qsearch"], strict=True))
    share = max(min(made / (0.1 * loaded), made / 0.030) for made, loaded in pairs)
    goals.append(
        Goal(name=f"{name}: assembly by 10 % of session creation or 30 ms", value=share, unit="ratio", goal="<= 1")
    )
    return goals


def _make(way: str, subject: Subject, work: Path, out: Path, ranges: Any) -> Path:
    if way == "qsearch":
        layers = read_index(work / "prepared").layers
        choices = {x.id: Choice.INT8_STATIC if Choice.INT8_STATIC in x.choices else Choice.FP32 for x in layers}
        return assemble(work / "prepared", Candidate(choices=choices), out).path
    path = out / "model.onnx"
    if way == "quantize_static":
        quantize_static(
            str(work / "pre.onnx"),
            str(path),
            _Reader(list(subject.feeds)),
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=subject.per_channel,
            op_types_to_quantize=list(subject.op_types),
        )
        return path
    quantizer = QDQQuantizer(
        onnx.load(str(work / "pre.onnx")),
        subject.per_channel,
        False,
        QuantType.QInt8,
        QuantType.QUInt8,
        ranges,
        [],
        [],
        list(subject.op_types),
        {},
    )
    quantizer.quantize_model()
    quantizer.model.save_model_to_file(str(path), False)
    return path


def _their_ranges(subject: Subject, work: Path) -> Any:
    calibrator = create_calibrator(
        str(work / "pre.onnx"), list(subject.op_types), augmented_model_path=str(work / "augmented.onnx")
    )
    calibrator.collect_data(_Reader(list(subject.feeds)))
    return calibrator.compute_data()


def _peak(way: str, subject: Subject, work: Path) -> int:
    """Bytes of a fresh process that makes one file, if a way is named, and its session."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    child = context.Process(target=_once, args=(theirs, way, subject, work))
    child.start()
    found = int(ours.recv())
    child.join()
    return found


def _once(answer: Any, way: str, subject: Subject, work: Path) -> None:
    logging.getLogger().setLevel(logging.ERROR)
    out = work / f"peak-{way or 'none'}"
    out.mkdir()
    path = work / "qsearch-0" / "model.onnx"
    if way:
        ranges = _their_ranges(subject, work) if way == "qdq-cached-ranges" else None
        path = _make(way, subject, work, out, ranges)
    onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    # ru_maxrss would be the parent's own peak: it survives the start of another program, this does not
    status = Path("/proc/self/status").read_text()
    answer.send(1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))))


if __name__ == "__main__":
    sys.exit(bench("assembly", 6, 3, measure))
