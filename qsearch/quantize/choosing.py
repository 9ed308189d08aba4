"""Which interval each activation gets: the one that costs the layers that read it least."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from qsearch.contracts.choices import Choice
from qsearch.contracts.layer import Layer
from qsearch.graph.sites import Site
from qsearch.quantize.intervals import Interval, fake_quantized
from qsearch.quantize.moments import Moment
from qsearch.quantize.rounding import matrices_of


def judged(
    candidates: Mapping[str, tuple[Interval, ...]],
    layers: Sequence[Layer],
    sites: Mapping[str, Sequence[Site]],
    moments: Mapping[str, Sequence[Moment]],
    weight_of: Callable[[str], NDArray[np.float32]],
) -> dict[str, tuple[Interval, ...]]:
    """The candidates of tensors that these layers read, with their output errors.

    NOTE: a tensor's own squared error counts every element alike. What a layer makes of it weighs each channel
    by its weights, and adds up the errors of clipping, which have one sign: an interval that cuts off the few
    large channels of a transformer can have the smaller tensor error and ruin the output.

    Args:
        candidates: tensor → intervals.
        layers: those whose inputs were observed together.
        sites: layer id → its nodes.
        moments: layer id → its moments; layers without one judge nothing.
        weight_of: initializer → values.
    """
    wrong: dict[str, NDArray[np.float64]] = {}
    whole: dict[str, float] = {}
    for layer in layers:
        if Choice.INT8_STATIC not in layer.choices:
            continue
        for moment in moments.get(layer.id, ()):
            tensor, held = moment.rows.tensor, moment.held_back()
            if not held.any() or tensor not in candidates:
                continue
            site = sites[layer.id][0]
            matrices = matrices_of(site, weight_of(site.weight), moment.rows.groups)
            errors = [_energy(fake_quantized(held, c.range) - held, matrices) for c in candidates[tensor]]
            wrong[tensor] = wrong.get(tensor, np.zeros(len(errors))) + np.array(errors)
            whole[tensor] = whole.get(tensor, 0.0) + _energy(held, matrices)
    return {
        tensor: tuple(
            replace(candidate, output_error=float(f"{error / whole[tensor]:.6g}"))
            for candidate, error in zip(candidates[tensor], errors, strict=True)
        )
        for tensor, errors in wrong.items()
        if whole[tensor] > 0.0 and np.isfinite(errors).all()
    }


def _energy(rows: NDArray[np.float32], matrices: NDArray[np.float32]) -> float:
    """Σ (x W)² over groups, rows [groups, n, K], matrices [groups, K, N / groups]."""
    with np.errstate(over="ignore", invalid="ignore"):
        return float(np.sum(np.square((rows @ matrices).astype(np.float64))))
