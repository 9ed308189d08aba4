"""The layers of a model: what a search can choose for."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import onnx_ir as ir

from qsearch.contracts.choices import AVAILABLE, Choice
from qsearch.contracts.errors import Unsupported
from qsearch.contracts.layer import Layer
from qsearch.graph.names import printable
from qsearch.graph.shapes import infer_shapes, static_shape
from qsearch.graph.sites import Role, Site, read_site
from qsearch.graph.storage import stored_bytes, supported


def find_layers(
    model: ir.Model,
    *,
    capabilities: Mapping[str, Sequence[Choice]],
    choices: Sequence[Choice],
    shapes: Mapping[str, tuple[int, ...]] | None = None,
) -> tuple[tuple[Layer, ...], tuple[str, ...]]:
    """The layers in graph order, and a note for each weighted node that is left out.

    Supported: Conv; Gemm; MatMul with a two-dimensional weight on the right; MatMul with its weight
    on the left or with more than two axes (weights alone, as storage: no integer kernel has one
    scale per row of the left operand, or per matrix of a batch); Gather of a float table on axis 0.

    Args:
        model: a normalised model.
        capabilities: operator → choices for which the runtime has a kernel.
        choices: what the spec allows; fp32 is always first, allowed or not.
        shapes: input → full shape of one sample, batch axis included. Sizes that stay unknown
            count as 1, so `macs` is then a lower bound.

    Raises:
        Unsupported: a choice that this version cannot assemble, by name.
        DataError: `shapes` names no input, or has another rank.
    """
    for choice in choices:
        if choice not in AVAILABLE:
            known = ", ".join(AVAILABLE)
            raise Unsupported(f"the choice {choice.value!r} cannot be assembled by this version", f"Available: {known}")
    groups, notes = group_sites(model)
    shaped = {value.name: value for value in _values(infer_shapes(model, shapes))}
    layers = []
    for sites in groups:
        allowed = capabilities.get(sites[0].op, ())
        got = tuple(c for c in supported(sites[0]) if c is Choice.FP32 or (c in choices and c in allowed))
        layers.append(_layer(model, sites, got, shaped))
    return tuple(layers), notes


def group_sites(model: ir.Model) -> tuple[tuple[tuple[Site, ...], ...], tuple[str, ...]]:
    """The sites of each layer, in graph order, and notes on the weighted nodes left out."""
    groups: dict[str, list[Site]] = {}
    notes: list[str] = []
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        found = read_site(node)
        if isinstance(found, str):
            notes.append(f"{node.op_type} {node.name!r} is left out: {found}")
        elif found is not None and node.graph is not model.graph:
            notes.append(f"{node.op_type} {node.name!r} is left out: it stands inside a subgraph (If, Loop, Scan)")
        elif found is not None:
            groups.setdefault(found.weight, []).append(found)
    kept = []
    for weight, sites in groups.items():
        reason = _conflict(model, weight, sites)
        if reason:
            notes.extend(f"{site.op} {site.node!r} is left out: {reason}" for site in sites)
        else:
            kept.append(tuple(sites))
    return tuple(kept), tuple(notes)


def layer_id(sites: Sequence[Site]) -> str:
    """The name of the layer's first node, which normalisation made unique and printable."""
    return printable(sites[0].node)


def _conflict(model: ir.Model, weight: str, sites: Sequence[Site]) -> str:
    """Why nodes that read one initializer cannot be one layer; empty when they can."""
    readers = {use.node.name for use in model.graph.initializers[weight].uses()}
    others = sorted(str(name) for name in readers - {site.node for site in sites})
    if others:
        return f"its weight {weight!r} is also read by {', '.join(others[:3])}"
    if len({site.kind for site in sites}) > 1:
        return f"its weight {weight!r} is read in different ways by {', '.join(s.node for s in sites[:3])}"
    return ""


def _layer(
    model: ir.Model, sites: Sequence[Site], choices: tuple[Choice, ...], shaped: Mapping[str | None, ir.Value]
) -> Layer:
    shape = _shape(model, sites[0].weight)
    biases = tuple(_shape(model, name) for name in dict.fromkeys(s.bias for s in sites if s.bias))
    return Layer(
        id=layer_id(sites),
        op=sites[0].op,
        nodes=tuple(site.node for site in sites),
        weight_shape=shape,
        parameters=math.prod(shape) + sum(math.prod(b) for b in biases),
        macs=sum(_macs(model, site, shape, shaped) for site in sites),
        choices=choices,
        bytes={choice: stored_bytes(choice, sites[0], shape, biases) for choice in choices},
    )


def _macs(model: ir.Model, site: Site, shape: tuple[int, ...], shaped: Mapping[str | None, ir.Value]) -> int:
    """Multiply-accumulates of one node: output elements times the length of each inner product."""
    if site.role is Role.TABLE:
        return 0
    node = next(n for n in model.graph if n.name == site.node)
    output = static_shape(shaped.get(node.outputs[0].name))
    if site.role is Role.CONV:
        return math.prod(output or (1, shape[0])) * math.prod(shape[1:])
    if site.role is Role.MATRIX:
        inner = shape[1 - site.channel_axis]
        return math.prod(output or (shape[site.channel_axis],)) * inner
    inner = shape[-1] if site.weight_index == 0 else shape[-2]
    return math.prod(output or (math.prod(shape) // inner,)) * inner


def _shape(model: ir.Model, name: str) -> tuple[int, ...]:
    tensor = model.graph.initializers[name].const_value
    return tuple(int(str(size)) for size in tensor.shape) if tensor is not None else ()


def _values(model: ir.Model) -> Iterable[ir.Value]:
    for node in model.graph:
        yield from node.outputs
