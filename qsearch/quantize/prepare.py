"""Prepare a model once: normalise, calibrate, quantize every layer's weights for every choice."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from qsearch.contracts.choices import Choice
from qsearch.contracts.errors import ModelError, Unsupported
from qsearch.contracts.layer import Inspection, Layer
from qsearch.contracts.runtime import Runtime
from qsearch.contracts.target import Target
from qsearch.contracts.task import Feeds
from qsearch.graph.inspection import describe
from qsearch.graph.layers import find_layers, group_sites, layer_id
from qsearch.graph.load import load_model
from qsearch.graph.normalise import normalise
from qsearch.graph.sites import Site
from qsearch.graph.storage import vector_bias
from qsearch.graph.time_input import check_time_input
from qsearch.quantize import QUANTIZER
from qsearch.quantize.calibrate import calibrate
from qsearch.quantize.choosing import judged
from qsearch.quantize.floats import merged_addends, write_floats
from qsearch.quantize.index import INDEX, MODEL, Index, write_index
from qsearch.quantize.int8_weights import scale_floor
from qsearch.quantize.intervals import Interval, best
from qsearch.quantize.moments import Moment
from qsearch.quantize.observing import plan
from qsearch.quantize.ranges import Range
from qsearch.quantize.rounding import RULES, Rounder, Rounding, WeightRules, grids_of, summary
from qsearch.quantize.tensors import TENSORS, TensorReader, TensorWriter
from qsearch.quantize.timing import TimeRanges, note, time_ranges
from qsearch.quantize.weights import quantize_weight, stored_name

_NO_SAMPLES = "no calibration samples: all weights are rounded to nearest"


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedModel:
    """What `prepare_model` wrote."""

    inspection: Inspection
    #: SHA-256 (hex) over model, tensors and index; equal inputs give equal digests
    digest: str
    #: what a user should know: layers left out and why
    notes: tuple[str, ...]
    #: part → seconds: normalise, calibrate, quantize
    seconds: Mapping[str, float]


def prepare_model(  # noqa: PLR0913 - two files, what is asked and what runs it; a record would only rename it
    model: Path,
    out: Path,
    *,
    calibration: Sequence[Feeds],
    runtime: Runtime,
    target: Target,
    choices: Sequence[Choice],
    rules: WeightRules = RULES,
    time_input: str = "",
) -> PreparedModel:
    """Write `model.onnx`, `tensors.bin` and `index.json` into `out`, which is made.

    Args:
        model: the source; it is not changed.
        out: folder; files of these names are replaced.
        calibration: batches of the model's inputs, with the batch axis; may be empty when
            int8-static is not among the choices.
        runtime: runs the float model and says what its kernels can do.
        target: where the float model is run.
        choices: what the spec allows.
        rules: how weights are rounded. Without calibration each goes to its nearest code.
        time_input: the model's input that tdq follows; empty = none.

    Raises:
        ModelError: not a model, nothing to quantize, or weights with NaN or infinity.
        DataError: calibration feeds that do not fit, or tensors with NaN or infinity, by name.
        Unsupported: a choice, an opset or a number of bits that cannot be honoured, or a model that
            QSearch has quantized already.
    """
    if rules.bits not in {7, 8}:
        raise Unsupported(f"weight_bits is {rules.bits}; int8 weights have 8 bits, or 7 where products saturate")
    seconds: dict[str, float] = {}
    out.mkdir(parents=True, exist_ok=True)
    with _timed(seconds, "normalise"):
        graph = normalise(load_model(model))
        _refuse_own(graph, model)
        check_time_input(graph, time_input, choices)
        shapes = {name: array.shape for name, array in calibration[0].items()} if calibration else None
        shapes = _one_sample(graph, shapes)
        layers, notes = find_layers(graph, capabilities=runtime.capabilities(), choices=choices, shapes=shapes)
        layers, notes = _without_shared_int8(layers, notes, target)
        inspection = describe(graph, layers, notes, model)
        sites = {layer_id(group): group for group in group_sites(graph)[0]}
    # A hard link of an earlier trial may share the old file; a new one must not change it.
    (out / TENSORS).unlink(missing_ok=True)
    with (out / TENSORS).open("wb") as file:
        writer = TensorWriter(file)
        with _timed(seconds, "normalise"):
            write_floats(graph, out, writer)
            file.flush()
        with _timed(seconds, "calibrate"):
            reader = TensorReader(out / TENSORS, writer.entries)
            static = [s for layer in layers if Choice.INT8_STATIC in layer.choices for s in sites[layer.id]]
            groups, unobserved = plan(out, layers, sites)
            timed = [s for layer in layers if Choice.TDQ in layer.choices for s in sites[layer.id]]
            times = time_ranges(time_input, out, timed, calibration, runtime, target, reader) if timed else None
        candidates: dict[str, tuple[Interval, ...]] = {}
        ranges: dict[str, Range] = {}
        roundings: dict[str, dict[Choice, Rounding]] = {}
        for i, group in enumerate(groups):
            moments = group.moments(len(calibration)) if rules.compensate and calibration else {}
            with _timed(seconds, "calibrate"):
                ranged = static if i == 0 else []
                several = _distinct(moments)
                if ranged or several:
                    candidates.update(calibrate(out, ranged, calibration, runtime, target, reader, several))
                candidates.update(judged(candidates, group.layers, sites, moments, partial(_values, graph)))
                read = {site.activation for layer in group.layers for site in sites[layer.id]}
                # a later group may read what this one does: its weights are rounded with the range chosen here
                ranges.update(
                    {name: best(candidates[name]) for name in sorted(read & candidates.keys() - ranges.keys())}
                )
            with _timed(seconds, "quantize"):
                rounder = Rounder(moments)
                for layer in group.layers:
                    found = _quantize(
                        layer, sites[layer.id], graph, _several(ranges, times), rules.bits, writer, rounder
                    )
                    roundings.update({layer.id: found} if found else {})
    ranges.update({name: best(candidates[name]) for name in sorted(candidates.keys() - ranges.keys())})
    if times is not None:
        notes = (*notes, note(times))
    if rules.compensate:
        notes = (*notes, *(unobserved if calibration else (_NO_SAMPLES,)), *summary(roundings))
    index = Index(
        quantizer=QUANTIZER,
        weight_bits=rules.bits,
        layers=layers,
        sites=sites,
        tensors=writer.entries,
        ranges=ranges,
        intervals=candidates,
        merged=merged_addends(graph, out, static, shapes),
        roundings=roundings,
        times=times,
    )
    write_index(index, out)
    return PreparedModel(inspection=inspection, digest=_digest(out), notes=notes, seconds=seconds)


def _refuse_own(graph: ir.Model, path: Path) -> None:
    """Names that assembling makes must not be there already."""
    names = [value.name or "" for node in graph.graph for value in node.outputs] + list(graph.graph.initializers)
    own = [name for name in names if "/qsearch/" in name or name.startswith("qsearch/")]
    if own:
        raise Unsupported(f"{path} was quantized by QSearch already ({own[0]!r})", "Start from its source model.")


def _without_shared_int8(
    layers: tuple[Layer, ...], notes: tuple[str, ...], target: Target
) -> tuple[tuple[Layer, ...], tuple[str, ...]]:
    """Take int8 from layers of several nodes where the target asks ONNX Runtime for exact u8×s8 products.

    NOTE: with `session.x64quantprecision` it rewrites each int8 weight as uint8, once per node, and
    refuses the whole model when two nodes share the weight ("Attempt to replace the existing tensor").
    """
    if target.options.get("session.x64quantprecision") != "1":
        return layers, notes
    kept, added = [], []
    for layer in layers:
        choices = tuple(c for c in layer.choices if c not in {Choice.INT8_STATIC, Choice.INT8_DYNAMIC, Choice.TDQ})
        if len(layer.nodes) == 1 or choices == layer.choices:
            kept.append(layer)
            continue
        kept.append(replace(layer, choices=choices, bytes={c: layer.bytes[c] for c in choices}))
        added.append(
            f"layer {layer.id!r} has no integer product: its weight is shared, which x64quantprecision refuses"
        )
    return tuple(kept), (*notes, *added)


def _one_sample(model: ir.Model, shapes: Mapping[str, tuple[int, ...]] | None) -> dict[str, tuple[int, ...]] | None:
    """Shapes of the first batch with a symbolic first axis set to one sample."""
    if shapes is None:
        return None
    inputs = {value.name: value.shape for value in model.graph.inputs}
    result = {}
    for name, shape in shapes.items():
        known = inputs.get(name)
        symbolic = known is not None and len(known) == len(shape) > 0 and not isinstance(known[0], int)
        if known is not None and len(known) == len(shape):
            result[name] = (1, *shape[1:]) if symbolic else tuple(shape)
    return result


def _quantize(
    layer: Layer,
    sites: Sequence[Site],
    model: ir.Model,
    ranges: Mapping[str, Sequence[Range]],
    bits: int,
    writer: TensorWriter,
    rounder: Rounder,
) -> dict[Choice, Rounding]:
    """Append the arrays of every choice of one layer; choices that share an array share its bytes."""
    weight = _values(model, sites[0].weight)
    if not np.isfinite(weight).all():
        raise ModelError(f"the weight {sites[0].weight!r} of layer {layer.id!r} holds NaN or infinity", "Export again.")
    scaled = {Choice.INT8_STATIC, Choice.TDQ} & set(layer.choices)
    floor = _floor(sites, model, ranges) if scaled else None
    grids = grids_of(sites[0], weight, bits, floor)
    better = rounder.round(layer.id, sites[0], weight, layer.choices, grids)
    for choice in layer.choices:
        parts = better[choice][1] if choice in better else {}
        for part, array in (parts or quantize_weight(choice, sites[0], weight, bits, floor)).items():
            name = stored_name(sites[0], part)
            if name not in writer.entries:
                writer.add(name, array)
    return {choice: rounding for choice, (rounding, _) in better.items()}


def _distinct(moments: Mapping[str, Sequence[Moment]]) -> tuple[Moment, ...]:
    """Each once, although layers with one input share them."""
    return tuple({id(m): m for several in moments.values() for m in several}.values())


def _several(ranges: Mapping[str, Range], times: TimeRanges | None) -> dict[str, tuple[Range, ...]]:
    """All ranges that a tensor is quantized with, over all time or in each step."""
    found: dict[str, tuple[Range, ...]] = {} if times is None else dict(times.ranges)
    for name, one in ranges.items():
        found[name] = (one, *found.get(name, ()))
    return found


def _floor(sites: Sequence[Site], model: ir.Model, ranges: Mapping[str, Sequence[Range]]) -> NDArray[np.float32] | None:
    """Smallest weight scales with which each bias fits into int32 beside its activation's scale."""
    floors = []
    for site in sites:
        if not site.bias:
            continue
        bias = _values(model, site.bias)
        channels = model.graph.initializers[site.weight].shape
        if channels is None:
            continue
        count = int(str(channels[site.channel_axis]))
        if vector_bias(bias.shape, count):
            scale = min(float(found.parameters()[0]) for found in ranges[site.activation])
            floors.append(scale_floor(np.broadcast_to(bias.reshape(-1), (count,)), scale))
    return np.max(floors, axis=0) if floors else None


def _values(model: ir.Model, name: str) -> NDArray[np.float32]:
    tensor = model.graph.initializers[name].const_value
    if tensor is None:
        raise ModelError(f"the initializer {name!r} has no values", "Export the model again.")
    return tensor.numpy()


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for name in (MODEL, TENSORS, INDEX):
        with (folder / name).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


@contextmanager
def _timed(seconds: dict[str, float], part: str) -> Iterator[None]:
    start = time.perf_counter()
    try:
        yield
    finally:
        seconds[part] = seconds.get(part, 0.0) + time.perf_counter() - start
