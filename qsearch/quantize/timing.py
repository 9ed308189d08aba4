"""Ranges of activations per step of the time input, and which step a time belongs to.

The idea is that of So et al., "Temporal Dynamic Quantization for Diffusion Models", NeurIPS 2023: activations of
one layer differ by orders of magnitude between noise levels, so each level gets an interval of its own. There a
small network tells the interval from the time; here the intervals of the times that calibration saw stand in a table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qsearch.contracts.errors import DataError
from qsearch.contracts.runtime import Runtime
from qsearch.contracts.target import Target
from qsearch.contracts.task import Feeds
from qsearch.graph.sites import Site
from qsearch.quantize.calibrate import calibrate
from qsearch.quantize.intervals import best
from qsearch.quantize.ranges import Range
from qsearch.quantize.tensors import TensorReader

#: Steps of a table; more distinct times than this are put together by quantiles.
MOST_STEPS = 32
#: Largest positive time by the smallest, from which on nearness is one of ratios.
_WIDE = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeRanges:
    """What the choices that follow the time need of a prepared model."""

    #: name of the model's input
    input: str
    #: ascending, one fewer than steps; a time belongs to the step whose number is how many edges lie below it
    edges: tuple[float, ...]
    #: of each step: the least and the largest time that calibration saw
    seen: tuple[tuple[float, float], ...]
    #: activation → its range in each step
    ranges: Mapping[str, tuple[Range, ...]]


def time_ranges(
    name: str,
    folder: Path,
    sites: Sequence[Site],
    calibration: Sequence[Feeds],
    runtime: Runtime,
    target: Target,
    reader: TensorReader,
) -> TimeRanges:
    """Each step calibrated by its own samples: the float model runs once over all of them.

    Args:
        name: the time input.
        folder, sites, calibration, runtime, target, reader: as `calibrate` takes them.

    Raises:
        DataError: no samples; a batch of several times, of none, or of no number.
    """
    if not calibration:
        raise DataError("tdq needs calibration samples, found none", "Give at least a few samples of each time.")
    times = np.array([time_of(feeds, name, i) for i, feeds in enumerate(calibration)], dtype=np.float32)
    edges = edges_between(times)
    steps = np.searchsorted(edges, times, side="left")
    found: dict[str, list[Range]] = {}
    for step in range(len(edges) + 1):
        own = [feeds for feeds, at in zip(calibration, steps, strict=True) if at == step]
        for tensor, candidates in calibrate(folder, sites, own, runtime, target, reader).items():
            found.setdefault(tensor, []).append(best(candidates))
    return TimeRanges(
        input=name,
        edges=tuple(float(edge) for edge in edges),
        seen=tuple((float(times[steps == s].min()), float(times[steps == s].max())) for s in range(len(edges) + 1)),
        ranges={tensor: tuple(several) for tensor, several in found.items()},
    )


def time_of(feeds: Feeds, name: str, batch: int) -> float:
    """The one time of a batch.

    NOTE: a kernel has one scale for the whole activation, so samples of unlike times cannot share a batch.

    Raises:
        DataError: the input is not fed, or has several values, none, or no finite one.
    """
    if name not in feeds:
        raise DataError(f"calibration batch {batch} does not feed the time input {name!r}")
    distinct = np.unique(np.asarray(feeds[name], dtype=np.float32))
    if len(distinct) != 1:
        said = ", ".join(f"{value:g}" for value in distinct[:3]) or "no value"
        raise DataError(
            f"calibration batch {batch} has several times in {name!r} ({said}); tdq needs one in each batch",
            "Take targets with batch 1, or order the samples so that each batch has one time.",
        )
    if not np.isfinite(distinct[0]):
        raise DataError(f"calibration batch {batch}: the time input {name!r} is {distinct[0]}")
    return float(distinct[0])


def edges_between(times: NDArray[np.float32]) -> NDArray[np.float32]:
    """Where one step ends and the next begins, float32 ascending, at most `MOST_STEPS` − 1.

    NOTE: an edge lies halfway between two times that were seen, so that a time that was not seen goes to the
    nearest. Halfway is geometric where times are positive and span a decade or more: noise levels from
    0.002 to 80 are even in their logarithms, and halfway between 0.33 and 80 on a plain scale is 40.
    Up to `MOST_STEPS` distinct times are a step each; of more, steps hold equal shares of the samples.
    """
    distinct = np.unique(times)
    cuts = distinct[:-1]
    if len(distinct) > MOST_STEPS:
        shares = np.arange(1, MOST_STEPS) / MOST_STEPS
        quantiles = np.unique(np.quantile(times, shares, method="lower"))
        cuts = quantiles[quantiles < distinct[-1]]
    following = distinct[np.searchsorted(distinct, cuts, side="right")]
    low, high = cuts.astype(np.float64), following.astype(np.float64)
    geometric = bool(distinct[0] > 0 and distinct[-1] >= _WIDE * distinct[0])
    middle = (np.sqrt(low * high) if geometric else (low + high) / 2).astype(np.float32)
    # an edge that rounds up to the later time would take it into the earlier step
    return np.where(middle < following, middle, cuts).astype(np.float32)


def note(times: TimeRanges) -> str:
    """What a user should know of the steps."""
    said = ", ".join(f"{low:g}" if low == high else f"{low:g}-{high:g}" for low, high in times.seen)
    return f"tdq: {len(times.seen)} steps of the time input {times.input!r}: {said}"
