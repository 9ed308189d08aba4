"""tdq beside int8-static on the terrain model: error to fp32 at each noise level, and time.

Three arms have the same int8 weights: `int8-static` has one range for each activation over all levels, `tdq` one
for each level, and `weights` multiplies them with float activations: what no treatment of activations can go below.
All are calibrated with the same samples of all levels and judged on 16 others of each. The goals: tdq loses at
most 0.75 of what int8-static does (geometric mean over the levels), and takes at most 1.2 times as long.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import distribution
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from onnx import numpy_helper

from qsearch.contracts.candidate import Candidate
from qsearch.contracts.choices import Choice
from qsearch.contracts.runtime import Loaded
from qsearch.contracts.target import Target
from qsearch.contracts.task import Array, Feeds
from qsearch.graph.sites import Role
from qsearch.measure.ort import OnnxRuntime
from qsearch.quantize.assemble import write_model
from qsearch.quantize.index import read_index
from qsearch.quantize.prepare import prepare_model
from qsearch.quantize.tensors import TENSORS, TensorReader
from qsearch.quantize.weights import stored_name
from qsearch.zoo import terrain
from tests.bench.harness import Found, Goal, bench, spread

_FILE = "terrain_diffusion/weights/terrain_consistency_unet_difficulty100.onnx"
_TARGET = Target(name="bench", threads=1)
_DRAWS = 2000


def main() -> int:
    """The exit code."""
    return bench("tdq", 20, 8, measure)


def measure(quick: bool) -> Found:
    """Normalised squared error and latency of uniform tdq and int8-static."""
    task = terrain.task()
    calibration = [task.collate([s]) for s in task.calibration.samples]
    heldout = [task.collate([s]) for s in task.heldout.samples]
    if quick:
        calibration, heldout = calibration[::2], heldout[::4]
    with TemporaryDirectory(prefix="qsearch-bench-") as place:
        arms = build(Path(place), calibration)
        loaded = {name: OnnxRuntime().load(path, _TARGET) for name, path in arms.items()}
        losses = errors(loaded, heldout)
        ratios = latency(loaded, heldout[:: max(1, len(heldout) // 10)], rounds=2 if quick else 4)
    levels = np.array([float(feeds["sigma"][0]) for feeds in heldout])
    rows: list[dict[str, object]] = [
        {"what": f"nmse at sigma {sigma:g}", "n": int((levels == sigma).sum())}
        | {arm: float(pooled(found[levels == sigma])) for arm, found in losses.items()}
        for sigma in terrain.SIGMAS
    ]
    means = {arm: over_levels(found, levels) for arm, found in losses.items()}
    rows.append({"what": "nmse, geometric mean over levels"} | means)
    rows.append({"what": "error ratio to int8-static, 95 % over draws of inputs"} | drawn_ratios(losses, levels))
    rows.append({"what": "latency ratio tdq / int8-static, pairs"} | spread(ratios) | _interval(ratios))
    return Found(
        rows=rows,
        goals=[
            Goal(
                name="tdq: error by int8-static's", value=means["tdq"] / means["int8-static"], unit="x", goal="<= 0.75"
            ),
            Goal(name="tdq: time by int8-static's", value=float(np.median(ratios)), unit="x", goal="<= 1.2"),
        ],
    )


def build(folder: Path, calibration: Sequence[Feeds]) -> dict[str, Path]:
    """Arm → model file."""
    source = Path(str(distribution("adaptive-terrain-diffusion").locate_file(_FILE)))
    prepared = folder / "prepared"
    choices = (Choice.FP32, Choice.INT8_STATIC, Choice.TDQ)
    runtime = OnnxRuntime()
    done = prepare_model(
        source,
        prepared,
        calibration=calibration,
        runtime=runtime,
        target=_TARGET,
        choices=choices,
        time_input="sigma",
    )
    seconds = {part: round(value) for part, value in done.seconds.items()}
    print(f"tdq: prepared with {len(calibration)} samples: {seconds}", *done.notes, sep="\n  ", file=sys.stderr)
    layers = read_index(prepared).layers
    arms = {}
    for choice in choices:
        candidate = Candidate(choices={layer.id: choice for layer in layers})
        arms[choice.value] = write_model(prepared, candidate, folder / f"{choice.value}.onnx").path
    arms["weights"] = weights_alone(prepared, arms["fp32"], folder / "weights.onnx")
    return arms


def weights_alone(prepared: Path, floats: Path, out: Path) -> Path:
    """The fp32 model with every weight replaced by what its int8 codes say."""
    index, model = read_index(prepared), onnx.load(floats)
    reader = TensorReader(prepared / TENSORS, index.tensors)
    wanted: dict[str, Array] = {}
    for layer in index.layers:
        site = index.sites[layer.id][0]
        codes, scale = (reader.array(stored_name(site, part)) for part in ("int8", "scale"))
        if site.role is Role.MATRIX:
            full = codes * scale / np.float32(site.alpha)
            wanted[site.weight] = full.T if site.transposed else full
        else:
            wanted[site.weight] = codes * scale.reshape(-1, *[1] * (codes.ndim - 1))
    for tensor in model.graph.initializer:
        if tensor.name in wanted:
            values = np.ascontiguousarray(wanted[tensor.name], dtype=np.float32)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    onnx.save(model, out)
    return out


def errors(loaded: Mapping[str, Loaded], heldout: Sequence[Feeds]) -> dict[str, Array]:
    """Arm → squared error and squared reference of each input, float64 [n, 2]."""
    found: dict[str, list[tuple[float, float]]] = {arm: [] for arm in loaded if arm != "fp32"}
    for feeds in heldout:
        exact = loaded["fp32"].run(feeds)["denoised"].astype(np.float64)
        for arm, several in found.items():
            wrong = loaded[arm].run(feeds)["denoised"] - exact
            several.append((float(np.sum(wrong**2)), float(np.sum(exact**2))))
    return {arm: np.array(several) for arm, several in found.items()}


def pooled(found: Array) -> float:
    """Σ squared error / Σ squared reference."""
    wrong, whole = found.sum(axis=0)
    return float(wrong / whole)


def over_levels(found: Array, levels: Array) -> float:
    """Geometric mean of the levels' errors."""
    return float(np.exp(np.mean([np.log(pooled(found[levels == sigma])) for sigma in np.unique(levels)])))


def drawn_ratios(losses: Mapping[str, Array], levels: Array) -> dict[str, object]:
    """Arm → (ratio of geometric means, 2.5 % and 97.5 % over draws of inputs within each level)."""
    rng = np.random.default_rng(0)
    draws = []
    for _ in range(_DRAWS):
        rows = np.concatenate([rng.choice(np.flatnonzero(levels == s), (levels == s).sum()) for s in np.unique(levels)])
        mean = {arm: over_levels(found[rows], levels[rows]) for arm, found in losses.items()}
        draws.append([mean["tdq"] / mean["int8-static"], mean["weights"] / mean["int8-static"]])
    told: dict[str, object] = {}
    for arm, column in zip(("tdq", "weights"), np.array(draws).T, strict=True):
        value = over_levels(losses[arm], levels) / over_levels(losses["int8-static"], levels)
        told[arm] = [value, *(float(edge) for edge in np.quantile(column, [0.025, 0.975]))]
    return told


def latency(loaded: Mapping[str, Loaded], inputs: Sequence[Feeds], rounds: int) -> list[float]:
    """tdq's seconds by int8-static's, one for each input and round; who goes first alternates."""
    arms = ("tdq", "int8-static")
    for arm in arms:
        loaded[arm].run(inputs[0])
    ratios = []
    for number, feeds in enumerate(list(inputs) * rounds):
        taken = {arm: _seconds(loaded[arm], feeds) for arm in (arms if number % 2 else arms[::-1])}
        ratios.append(taken["tdq"] / taken["int8-static"])
    return ratios


def _seconds(model: Loaded, feeds: Feeds) -> float:
    started = time.perf_counter()
    model.run(feeds)
    return time.perf_counter() - started


def _interval(ratios: Sequence[float]) -> dict[str, object]:
    rng = np.random.default_rng(0)
    medians = np.median(rng.choice(ratios, (_DRAWS, len(ratios))), axis=1)
    return {"median_95": [float(edge) for edge in np.quantile(medians, [0.025, 0.975])]}


if __name__ == "__main__":
    sys.exit(main())
