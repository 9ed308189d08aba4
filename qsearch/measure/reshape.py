"""Real samples cut or tiled to the sizes a job wants to be measured at."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Mapping, Sequence

import numpy as np

from qsearch.contracts.errors import DataError, UsageError
from qsearch.contracts.task import Array, Feeds

Inputs = Mapping[str, tuple[str, tuple[int | str | None, ...]]]


def reshape_feeds(feeds: Sequence[Feeds], inputs: Inputs, shapes: Mapping[str, tuple[int, ...]]) -> list[Feeds]:
    """Every batch at every size asked for: all sizes in equal shares, alternating.

    Args:
        feeds: collated batches of real samples.
        inputs: as `Loaded.inputs` gives them: name → (dtype, shape), symbolic axes by name.
        shapes: axis → sizes; the axis is the model's own name of a symbolic dimension, or a prefix of
            exactly one. Several axes are combined in every way. Empty = the batches as they are.

    Returns:
        len(feeds) × (number of combinations) batches; longer axes are tiled from the sample's own
        values, shorter ones cropped, so that values stay real ones.

    Raises:
        UsageError: an axis the model does not have, one that is the batch axis, one under two names, or a size
            below 1.
        DataError: a batch that has nothing along the axis, or another number of axes than the model.
    """
    if not shapes:
        return list(feeds)
    axes: dict[str, tuple[int, ...]] = {}
    words: dict[str, str] = {}
    for word, sizes in shapes.items():
        axis = match_axis(word, inputs)
        if axis in axes:
            raise UsageError(
                f"shapes: {words[axis]} and {word} both mean the axis {axis}", "Give it once, with all its sizes."
            )
        axes[axis], words[axis] = sizes, word
    for axis, sizes in axes.items():
        if not sizes or min(sizes) < 1:
            raise UsageError(f"shapes: {axis} needs sizes of at least 1, found {list(sizes)}")
    mixes = [dict(zip(axes, mix, strict=True)) for mix in itertools.product(*axes.values())]
    return [{n: _resize(n, a, inputs, mix) for n, a in batch.items()} for batch in feeds for mix in mixes]


def match_axis(axis: str, inputs: Inputs) -> str:
    """The model's symbolic axis that a spec's word means: exact, or the only one that begins with it.

    Raises:
        UsageError: none, several, or the batch axis.
    """
    symbols = sorted({dim for _, shape in inputs.values() for dim in shape if isinstance(dim, str) and dim})
    found = [axis] if axis in symbols else [name for name in symbols if name.startswith(axis)]
    if len(found) != 1:
        known = ", ".join(symbols) or "none: all its axes are fixed"
        wrong = "could be " + " or ".join(found) if found else "is not an axis of this model"
        near = difflib.get_close_matches(axis, symbols, 1)
        raise UsageError(
            f"shapes: {axis} {wrong}; symbolic axes: {known}", f"Did you mean {near[0]}?" if near and not found else ""
        )
    if any(shape and shape[0] == found[0] for _, shape in inputs.values()):
        raise UsageError(f"shapes: {found[0]} is the batch axis", "The batch size belongs to the target: batch: N")
    return found[0]


def _resize(name: str, array: Array, inputs: Inputs, mix: Mapping[str, int]) -> Array:
    if name not in inputs:
        raise DataError(f"the samples have an input {name}, the model has {', '.join(inputs)}")
    shape = inputs[name][1]
    if len(shape) != array.ndim:
        raise DataError(f"{name}: expected {len(shape)} axes {list(shape)}, found {list(array.shape)}")
    for position, symbol in enumerate(shape):
        if isinstance(symbol, str) and symbol in mix:
            have = array.shape[position]
            if not have:
                raise DataError(f"{name}: nothing to repeat along {symbol}, its size is 0")
            array = np.take(array, np.arange(mix[symbol]) % have, axis=position)
    return array
