"""Ranges of the activations that int8-static needs, from running the float model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import onnx

from qsearch.contracts.errors import DataError
from qsearch.contracts.runtime import Runtime
from qsearch.contracts.target import Target
from qsearch.contracts.task import Feeds
from qsearch.graph.sites import Site
from qsearch.quantize.flow import Flow
from qsearch.quantize.intervals import Interval, intervals
from qsearch.quantize.moments import Moment
from qsearch.quantize.ranges import Histogram
from qsearch.quantize.tensors import TensorReader

_AUGMENTED = "calibrate.onnx"


def calibrate(
    folder: Path,
    sites: Sequence[Site],
    calibration: Sequence[Feeds],
    runtime: Runtime,
    target: Target,
    reader: TensorReader,
    moments: Sequence[Moment] = (),
) -> dict[str, tuple[Interval, ...]]:
    """Tensor → candidates of its range, for the inputs of `sites` and, where integer kernels write int8, their results.

    Each element of `calibration` is one batch of the model's inputs. Memory is bounded by the
    activations of one batch, 128 KiB for each tensor, and the moments.

    Args:
        folder: with the normalised `model.onnx` and its tensors; a temporary model is written there.
        moments: filled in the same run of the model.

    Raises:
        DataError: no samples, wrong inputs, or a tensor with NaN or infinity, by name.
    """
    if not calibration:
        raise DataError("int8-static needs calibration samples, found none", "Give at least a few samples.")
    model = onnx.load(str(folder / "model.onnx"), load_external_data=False)
    flow = Flow(model.graph)
    ranged = tuple(dict.fromkeys(name for site in sites for name in flow.observed(site)))
    names = tuple(dict.fromkeys((*ranged, *(moment.rows.tensor for moment in moments))))
    constants = {t.name for t in model.graph.initializer}
    inputs = {value.name for value in model.graph.input}
    histograms = {name: Histogram(name) for name in ranged}
    for name in ranged:
        if name in constants:
            histograms[name].update(reader.array(name))
    fetched = tuple(name for name in names if name not in constants | inputs)
    augmented = _augment(model, fetched, folder)
    try:
        loaded = runtime.load(augmented, target, outputs=fetched or (model.graph.output[0].name,))
        for feeds in calibration:
            found = loaded.run(feeds)
            values = {name: feeds[name] if name in inputs else found[name] for name in names if name not in constants}
            for name, histogram in histograms.items():
                if name not in constants:
                    histogram.update(values[name])
            for moment in moments:
                moment.update(values[moment.rows.tensor])
    finally:
        augmented.unlink()
    return {name: intervals(histogram) for name, histogram in histograms.items()}


def _augment(model: onnx.ModelProto, names: Sequence[str], folder: Path) -> Path:
    """The same model with more outputs, beside its tensors."""
    known = {value.name for value in model.graph.output}
    for name in names:
        if name not in known:
            value = model.graph.output.add(name=name)
            value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    path = folder / _AUGMENTED
    path.write_bytes(model.SerializeToString())
    return path
