"""Inputs that nobody gave: seeded random ones that a model can be fed with, and how they were made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from qsearch.contracts.errors import DataError, ModelError, Unsupported
from qsearch.contracts.layer import TensorInfo
from qsearch.contracts.task import Array, Feeds
from qsearch.graph.input_ranges import InputRange, input_ranges
from qsearch.graph.signature import read_signature

#: samples made up
SAMPLES = 8
#: length given to an axis that the model leaves open
OPEN_AXIS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeUp:
    """Random inputs and how they came about."""

    feeds: tuple[Feeds, ...]
    #: input → "whole numbers 0…30521: rows of word_embeddings", in words for a reader
    how: Mapping[str, str]


def made_up(model: Path, *, batch: int, seed: int, others: Sequence[Path] = ()) -> MadeUp:
    """Batches of the model's own shapes; equal models and seeds give equal values.

    Floats are standard normal. Whole numbers fill the range that the graph gives them, the same for every
    sample; axis 0 counts samples, other axes that the model leaves open are `OPEN_AXIS` long.

    Args:
        model: whose inputs are made up.
        batch: samples in each.
        seed: of the values.
        others: files that are fed the same: whole numbers stay within what each of them can take. One that
            cannot be read narrows nothing.

    Raises:
        ModelError: the file cannot be read.
        Unsupported: an input of text, or one without an axis for the samples.
        DataError: an input whose first axis is fixed to another size than the batch, or for which no number
            is in range for every file.
    """
    inputs, ranges = read_signature(model).inputs, dict(input_ranges(model))
    for other in others:
        try:
            theirs = input_ranges(other)
        except ModelError:
            # it fails by name where it is run
            continue
        ranges |= _narrowed(ranges, theirs, other)
    draw = np.random.default_rng(seed)
    arrays: dict[str, Array] = {}
    for tensor in inputs:
        arrays[tensor.name] = _drawn(draw, tensor, ranges.get(tensor.name), _size(tensor, batch, model))
    feeds = tuple({name: array[i] for name, array in arrays.items()} for i in range(SAMPLES))
    return MadeUp(feeds=feeds, how={tensor.name: _how(tensor, ranges.get(tensor.name)) for tensor in inputs})


def _narrowed(
    ranges: Mapping[str, InputRange], theirs: Mapping[str, InputRange], other: Path
) -> Mapping[str, InputRange]:
    """What both can take, for inputs that both have; a bound that a graph sets goes before a custom."""
    found = {}
    for name in ranges.keys() & theirs.keys():
        a, b = ranges[name], theirs[name]
        low, high = max(a.low, b.low), min(a.high, b.high)
        if not b.bound or (a.bound and (low, high) == (a.low, a.high)):
            continue
        reason = f"{b.reason} in {other.name}"
        if not a.bound:
            found[name] = replace(b, reason=reason)
            continue
        if low > high:
            raise DataError(
                f"input {name!r}: {other.name} takes {b.low} to {b.high} ({b.reason}), the files before it {a.low} to "
                f"{a.high} ({a.reason}); no number suits all of them",
                "Bench them with --data, or one by one.",
            )
        found[name] = InputRange(low=low, high=high, reason=reason)
    return found


def _size(tensor: TensorInfo, batch: int, model: Path) -> Sequence[int]:
    if not tensor.shape:
        raise Unsupported(
            f"{model.name}: input {tensor.name!r} has no axis that could count samples", "Bench it with --data."
        )
    if isinstance(tensor.shape[0], int) and tensor.shape[0] != batch:
        raise DataError(
            f"{model.name}: the first axis of input {tensor.name!r} is {tensor.shape[0]}, the batch is {batch}",
            "Name a target with that batch.",
        )
    return [SAMPLES, batch, *(axis if isinstance(axis, int) else OPEN_AXIS for axis in tensor.shape[1:])]


def _drawn(draw: np.random.Generator, tensor: TensorInfo, bounds: InputRange | None, size: Sequence[int]) -> Array:
    if bounds is not None:
        drawn: Array = draw.integers(bounds.low, bounds.high, size, dtype=np.int64, endpoint=True)
        return drawn.astype(tensor.dtype)
    if tensor.dtype == "str":
        raise Unsupported(f"input {tensor.name!r} holds text, which cannot be made up", "Bench it with --data.")
    return draw.standard_normal(size).astype(tensor.dtype)


def _how(tensor: TensorInfo, bounds: InputRange | None) -> str:
    if bounds is None:
        return f"{tensor.dtype}, standard normal"
    numbers = f"always {bounds.low}" if bounds.low == bounds.high else f"{bounds.low} to {bounds.high}"
    return f"{tensor.dtype}, {numbers} ({bounds.reason})"
