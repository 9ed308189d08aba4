"""The index of a prepared model: everything about it that is not a tensor."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from qsearch.contracts.choices import Choice
from qsearch.contracts.codec import canonical, from_data
from qsearch.contracts.errors import DataError
from qsearch.contracts.layer import Layer
from qsearch.graph.sites import Site
from qsearch.quantize import QUANTIZER
from qsearch.quantize.intervals import Interval
from qsearch.quantize.ranges import Range
from qsearch.quantize.rounding import Rounding
from qsearch.quantize.tensors import TensorEntry
from qsearch.quantize.timing import TimeRanges

#: File names inside a prepared folder.
MODEL, INDEX = "model.onnx", "index.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """What `prepare_model` found, as `assemble` needs it. No paths, no times: equal work, equal bytes."""

    quantizer: str
    #: 8, or 7 for machines whose u8×s8 products saturate
    weight_bits: int
    layers: tuple[Layer, ...]
    #: layer id → its nodes
    sites: Mapping[str, tuple[Site, ...]]
    #: initializer, or stored quantized array → where it lies
    tensors: Mapping[str, TensorEntry]
    #: activation → calibrated range
    ranges: Mapping[str, Range]
    #: activation → what its range was chosen from
    intervals: Mapping[str, tuple[Interval, ...]]
    #: MatMul node → Add node behind it, where a runtime makes one Gemm of the two
    merged: Mapping[str, str]
    #: layer id → choice → how its weights were rounded; choices without a word are rounded to nearest
    roundings: Mapping[str, Mapping[Choice, Rounding]]
    #: ranges by the model's time input; None where no layer has a choice that follows it
    times: TimeRanges | None = None


def write_index(index: Index, folder: Path) -> None:
    """Write `index.json`, canonically."""
    (folder / INDEX).write_text(canonical(index), encoding="utf-8")


def read_index(folder: Path) -> Index:
    """The index of a prepared folder.

    Raises:
        DataError: it is missing, damaged, or written by another quantizer.
    """
    path = folder / INDEX
    try:
        index = from_data(Index, json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise DataError(f"{folder} is no prepared model: {INDEX} cannot be read", "Prepare the model again.") from error
    except ValueError as error:
        raise DataError(f"{path} is damaged: {error}", "Prepare the model again.") from error
    if index.quantizer != QUANTIZER:
        raise DataError(f"{path} was written by {index.quantizer}, this is {QUANTIZER}", "Prepare the model again.")
    return index
