"""Whose inputs are observed together: layers in groups, so that their moments fit into a budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx

from qsearch.contracts.choices import Choice
from qsearch.contracts.layer import Layer
from qsearch.graph.sites import Role, Site
from qsearch.quantize.flow import Flow
from qsearch.quantize.index import MODEL
from qsearch.quantize.input_rows import InputRows, input_rows
from qsearch.quantize.moments import LONGEST, Moment, moment_bytes

#: Bytes of the moments that are in memory at the same time. Layers beyond it take another run of the
#: float model over the calibration samples.
BUDGET = 512 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """Layers that are observed in one run and quantized behind it."""

    layers: tuple[Layer, ...]
    #: layer id → how its nodes read their inputs; equal ones are one moment
    rows: Mapping[str, tuple[InputRows, ...]]

    def moments(self, batches: int) -> dict[str, tuple[Moment, ...]]:
        """Layer id → its moments, empty ones; layers that share an input share them."""
        made = {rows: Moment(rows, batches) for several in self.rows.values() for rows in several}
        return {layer: tuple(made[rows] for rows in several) for layer, several in self.rows.items()}


def plan(
    folder: Path, layers: Sequence[Layer], sites: Mapping[str, Sequence[Site]], budget: int = BUDGET
) -> tuple[tuple[Observed, ...], tuple[str, ...]]:
    """Groups of layers in graph order, at least one, and notes on layers that cannot be observed.

    Layers without a moment of their own (embeddings, stored weights, rows that are too long) are in the
    groups, too: they are rounded to nearest.
    """
    graph = onnx.load(str(folder / MODEL), load_external_data=False).graph
    flow = Flow(graph)
    tensors = {v.name for v in graph.input} | {name for node in graph.node for name in node.output}
    groups: list[Observed] = []
    current: list[Layer] = []
    rows: dict[str, tuple[InputRows, ...]] = {}
    notes: list[str] = []
    for layer in layers:
        several = _rows(layer, sites[layer.id], flow, tensors)
        if any(r.length > LONGEST for r in several):
            longest = max(r.length for r in several)
            notes.append(f"layer {layer.id!r} is rounded to nearest: {longest} inputs are more than {LONGEST}")
            several = ()
        distinct = {r for known in (*rows.values(), several) for r in known}
        if rows and several and sum(map(moment_bytes, distinct)) > budget:
            groups.append(Observed(layers=tuple(current), rows=rows))
            current, rows = [], {}
        current.append(layer)
        if several:
            rows[layer.id] = several
    return (*groups, Observed(layers=tuple(current), rows=rows)), tuple(notes)


def _rows(layer: Layer, sites: Sequence[Site], flow: Flow, tensors: set[str]) -> tuple[InputRows, ...]:
    """Empty where nothing is rounded, or where the input is not one that the main graph computes."""
    if set(layer.choices) == {Choice.FP32} or sites[0].role not in {Role.MATRIX, Role.CONV}:
        return ()
    if any(site.activation not in tensors or site.node not in flow.nodes for site in sites):
        return ()
    return tuple(dict.fromkeys(input_rows(site, flow.nodes[site.node], layer.weight_shape) for site in sites))
